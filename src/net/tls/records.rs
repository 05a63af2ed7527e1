//! Records of an open connection: what is inside, decrypted where it lies, and what goes out.
//!
//! rustls does the handshake and derives all keys, and its ciphers open and seal; this takes records apart and follows
//! the few messages that may come besides data. rustls' own way copies each record twice and allocates for it, a seventh
//! of what a ticker costs. It offers this one for kernels that do their own TLS.

use rustls::client::ClientConnectionData;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, Iv, MessageDecrypter, MessageEncrypter, OutboundChunks, OutboundPlainMessage,
};
use rustls::kernel::KernelConnection;
use rustls::{
    AlertDescription, ConnectionTrafficSecrets, ContentType, Error, ExtractedSecrets, HandshakeType, InvalidMessage,
    PeerMisbehaved, ProtocolVersion, SupportedCipherSuite,
};

use super::ciphertext::HEADER;

/// The most data of one record.
pub(super) const DATA_MAX: usize = 16 * 1024;
/// The most bytes of a handshake message in several records. A ticket has some hundreds.
const MESSAGE_MAX: usize = 64 * 1024;
/// Records in a row without data that are taken: a server sends a few tickets, and a new key once in a long while.
const WITHOUT_DATA_MAX: u32 = 64;

/// Bytes of answers that a server may leave unread.
const ANSWERS_MAX: usize = 16 * 1024;

/// What a record held.
pub(super) enum Opened<'a> {
    Data(&'a [u8]),
    /// Something that has been dealt with.
    Nothing,
    /// The peer says that nothing more comes.
    End,
}

/// Both directions of an open connection.
pub(super) struct Records {
    /// Keeps tickets, and derives new keys.
    connection: KernelConnection<ClientConnectionData>,
    /// From 1.3 on, every sealed record says that it is data (RFC 8446 section 5.2).
    hides_types: bool,
    receiving: Direction<dyn MessageDecrypter>,
    sending: Direction<dyn MessageEncrypter>,
    /// The beginning of a handshake message that goes on in the next record.
    message: Vec<u8>,
    /// Records without data since the last with some.
    without_data: u32,
}

/// A cipher and how many records it has seen: no two may have the same number.
pub(super) struct Direction<C: ?Sized> {
    pub cipher: Box<C>,
    pub records: u64,
}

impl Records {
    /// From where the handshake ends.
    pub fn new(secrets: ExtractedSecrets, connection: KernelConnection<ClientConnectionData>) -> Result<Self, Error> {
        let suite = connection.negotiated_cipher_suite();
        Ok(Self {
            hides_types: connection.protocol_version() == ProtocolVersion::TLSv1_3,
            connection,
            receiving: receiving(suite, secrets.rx)?,
            sending: sending(suite, secrets.tx)?,
            message: Vec::new(),
            without_data: 0,
        })
    }

    /// Opens a record with its header, where it lies. What has to be answered goes to `outgoing`.
    #[inline]
    pub fn open<'a>(&mut self, record: &'a mut [u8], outgoing: &mut Vec<u8>) -> Result<Opened<'a>, Error> {
        let (header, body) = record.split_at_mut(HEADER);
        let version = ProtocolVersion::from(u16::from_be_bytes([header[1], header[2]]));
        let typ = ContentType::from(header[0]);
        if self.hides_types && typ != ContentType::ApplicationData {
            return Err(unexpected(typ));
        }
        let sealed = InboundOpaqueMessage::new(typ, version, body);
        let plain = self.receiving.cipher.decrypt(sealed, self.receiving.records)?;
        self.receiving.records += 1;
        if plain.typ == ContentType::ApplicationData && self.message.is_empty() {
            self.without_data = 0;
            return Ok(Opened::Data(plain.payload));
        }
        self.open_other(plain.typ, plain.payload, outgoing)
    }

    /// Seals `bytes`; tells how many were taken.
    pub fn write(&mut self, bytes: &[u8], outgoing: &mut Vec<u8>) -> Result<usize, Error> {
        let taken = &bytes[..bytes.len().min(DATA_MAX)];
        self.seal(ContentType::ApplicationData, taken, outgoing)?;
        Ok(taken.len())
    }

    /// Tells the peer that nothing more comes.
    pub fn close(&mut self, outgoing: &mut Vec<u8>) -> Result<(), Error> {
        self.seal(ContentType::Alert, &[WARNING, AlertDescription::CloseNotify.into()], outgoing)
    }

    fn seal(&mut self, typ: ContentType, payload: &[u8], outgoing: &mut Vec<u8>) -> Result<(), Error> {
        // Far away at a few records a minute; what a key may seal is limited all the same.
        if self.sending.records >= limit(self.connection.negotiated_cipher_suite()) {
            return Err(Error::EncryptError);
        }
        let version = ProtocolVersion::TLSv1_2; // what records of both versions say
        let plain = OutboundPlainMessage { typ, version, payload: OutboundChunks::Single(payload) };
        let sealed = self.sending.cipher.encrypt(plain, self.sending.records)?;
        self.sending.records += 1;
        outgoing.extend(sealed.encode());
        Ok(())
    }

    #[cold]
    fn open_other(
        &mut self,
        typ: ContentType,
        payload: &[u8],
        outgoing: &mut Vec<u8>,
    ) -> Result<Opened<'static>, Error> {
        self.without_data += 1;
        if self.without_data > WITHOUT_DATA_MAX {
            return Err(PeerMisbehaved::TooManyWarningAlertsReceived.into());
        }
        match typ {
            ContentType::Alert => alert(payload, self.connection.protocol_version()),
            ContentType::Handshake => self.handshake(payload, outgoing).map(|()| Opened::Nothing),
            _ => Err(unexpected(typ)),
        }
    }

    /// Takes handshake messages, which records may cut in pieces.
    fn handshake(&mut self, payload: &[u8], outgoing: &mut Vec<u8>) -> Result<(), Error> {
        self.message.extend_from_slice(payload);
        if self.message.len() > MESSAGE_MAX {
            return Err(InvalidMessage::HandshakePayloadTooLarge.into());
        }
        while let [typ, a, b, c, rest @ ..] = self.message.as_slice() {
            let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            let Some(body) = rest.get(..len) else { return Ok(()) };
            let (typ, body, is_last) = (HandshakeType::from(*typ), body.to_vec(), rest.len() == len);
            self.message.drain(..4 + len);
            self.handshake_message(typ, &body, is_last, outgoing)?;
        }
        Ok(())
    }

    fn handshake_message(
        &mut self,
        typ: HandshakeType,
        body: &[u8],
        is_last: bool,
        outgoing: &mut Vec<u8>,
    ) -> Result<(), Error> {
        match (self.connection.protocol_version(), typ) {
            (ProtocolVersion::TLSv1_3, HandshakeType::NewSessionTicket) => {
                self.connection.handle_new_session_ticket(body)
            }
            // What is sealed with the new key begins with the next record.
            (ProtocolVersion::TLSv1_3, HandshakeType::KeyUpdate) if is_last => self.key_update(body, outgoing),
            (ProtocolVersion::TLSv1_3, HandshakeType::KeyUpdate) => {
                Err(PeerMisbehaved::KeyEpochWithPendingFragment.into())
            }
            // An offer to begin anew, which nobody has to take.
            (ProtocolVersion::TLSv1_2, HandshakeType::HelloRequest) => Ok(()),
            _ => Err(unexpected(ContentType::Handshake)),
        }
    }

    /// RFC 8446 section 4.6.3.
    fn key_update(&mut self, body: &[u8], outgoing: &mut Vec<u8>) -> Result<(), Error> {
        let is_requested = match body {
            [0] => false,
            [1] => true,
            _ => return Err(InvalidMessage::InvalidKeyUpdate.into()),
        };
        let suite = self.connection.negotiated_cipher_suite();
        self.receiving = receiving(suite, self.connection.update_rx_secret()?)?;
        if is_requested {
            if outgoing.len() > ANSWERS_MAX {
                return Err(PeerMisbehaved::TooManyKeyUpdateRequests.into());
            }
            self.seal(ContentType::Handshake, &[HandshakeType::KeyUpdate.into(), 0, 0, 1, 0], outgoing)?;
            self.sending = sending(suite, self.connection.update_tx_secret()?)?;
        }
        Ok(())
    }
}

/// Levels of an alert (RFC 8446 section 6).
const WARNING: u8 = 1;

fn alert(payload: &[u8], version: ProtocolVersion) -> Result<Opened<'static>, Error> {
    let [level, description] = *payload else { return Err(InvalidMessage::MessageTooShort.into()) };
    match AlertDescription::from(description) {
        AlertDescription::CloseNotify => Ok(Opened::End),
        AlertDescription::UserCanceled => Ok(Opened::Nothing),
        // Before 1.3 there were warnings; now any other alert is an end.
        _ if level == WARNING && version == ProtocolVersion::TLSv1_2 => Ok(Opened::Nothing),
        fatal => Err(Error::AlertReceived(fatal)),
    }
}

fn unexpected(typ: ContentType) -> Error {
    Error::InappropriateMessage { expect_types: vec![ContentType::ApplicationData], got_type: typ }
}

fn receiving(
    suite: SupportedCipherSuite,
    (records, secrets): (u64, ConnectionTrafficSecrets),
) -> Result<Direction<dyn MessageDecrypter>, Error> {
    let (key, iv) = parts(secrets)?;
    let cipher = match suite {
        SupportedCipherSuite::Tls13(suite) => suite.aead_alg.decrypter(key, iv),
        SupportedCipherSuite::Tls12(suite) => {
            let fixed = suite.aead_alg.key_block_shape().fixed_iv_len;
            suite.aead_alg.decrypter(key, &iv.as_ref()[..fixed])
        }
    };
    Ok(Direction { cipher, records })
}

pub(super) fn sending(
    suite: SupportedCipherSuite,
    (records, secrets): (u64, ConnectionTrafficSecrets),
) -> Result<Direction<dyn MessageEncrypter>, Error> {
    let (key, iv) = parts(secrets)?;
    let cipher = match suite {
        SupportedCipherSuite::Tls13(suite) => suite.aead_alg.encrypter(key, iv),
        SupportedCipherSuite::Tls12(suite) => {
            let (fixed, explicit) = iv.as_ref().split_at(suite.aead_alg.key_block_shape().fixed_iv_len);
            suite.aead_alg.encrypter(key, fixed, explicit)
        }
    };
    Ok(Direction { cipher, records })
}

fn parts(secrets: ConnectionTrafficSecrets) -> Result<(AeadKey, Iv), Error> {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => Ok((key, iv)),
        _ => Err(Error::General("a cipher that this does not know".to_owned())),
    }
}

fn limit(suite: SupportedCipherSuite) -> u64 {
    match suite {
        SupportedCipherSuite::Tls13(suite) => suite.common.confidentiality_limit,
        SupportedCipherSuite::Tls12(suite) => suite.common.confidentiality_limit,
    }
}
