//! Records of an open connection: what is inside, decrypted where it lies, and what goes out.
//!
//! rustls does the handshake and derives all keys, and its ciphers open and seal; this takes records apart and follows
//! the few messages that may come besides data. rustls' own way copies each record twice and allocates for it, a sixth
//! of what a ticker costs under TLS. It offers this one for kernels that do their own TLS.

use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::{
    AlertDescription, ContentType, Error, ExtractedSecrets, HandshakeType, InvalidMessage, PeerMisbehaved,
    ProtocolVersion,
};

use super::cipher::{Opener, Sealer};
use super::ciphertext::HEADER;

/// The most data of one record.
pub(super) const DATA_MAX: usize = 16 * 1024;
/// The most bytes of a handshake message in several records. A ticket has some hundreds.
const MESSAGE_MAX: usize = 64 * 1024;
/// Records in a row without data that are taken: a server sends a few tickets, and a new key once in a long while.
const WITHOUT_DATA_MAX: u32 = 64;
/// Bytes that may wait to be sent when yet another answer is asked for: a record of ours, and hundreds of answers.
const UNSENT_MAX: usize = 32 * 1024;

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
    opener: Opener,
    sealer: Sealer,
    /// The beginning of a handshake message that goes on in the next record.
    message: Vec<u8>,
    /// Records without data since the last with some.
    without_data: u32,
}

impl Records {
    /// From where the handshake ends.
    pub fn new(secrets: ExtractedSecrets, connection: KernelConnection<ClientConnectionData>) -> Result<Self, Error> {
        let suite = connection.negotiated_cipher_suite();
        Ok(Self {
            hides_types: connection.protocol_version() == ProtocolVersion::TLSv1_3,
            connection,
            opener: Opener::new(suite, secrets.rx)?,
            sealer: Sealer::new(suite, secrets.tx)?,
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
        let plain = self.opener.open(typ, version, body)?;
        if plain.typ == ContentType::ApplicationData && !plain.payload.is_empty() && self.message.is_empty() {
            self.without_data = 0;
            return Ok(Opened::Data(plain.payload));
        }
        self.open_other(plain.typ, plain.payload, outgoing)
    }

    /// Seals `bytes`; tells how many were taken.
    pub fn write(&mut self, bytes: &[u8], outgoing: &mut Vec<u8>) -> Result<usize, Error> {
        let taken = &bytes[..bytes.len().min(DATA_MAX)];
        self.sealer.seal(ContentType::ApplicationData, taken, outgoing)?;
        Ok(taken.len())
    }

    /// Tells the peer that nothing more comes.
    pub fn close(&mut self, outgoing: &mut Vec<u8>) -> Result<(), Error> {
        self.sealer.seal(ContentType::Alert, &[WARNING, AlertDescription::CloseNotify.into()], outgoing)
    }

    /// Tells the peer what was wrong with what it said (RFC 8446 section 6.2).
    pub fn refuse(&mut self, error: &Error, outgoing: &mut Vec<u8>) {
        let description = match error {
            Error::AlertReceived(_) => return,
            Error::DecryptError => AlertDescription::BadRecordMac,
            Error::PeerSentOversizedRecord | Error::InvalidMessage(InvalidMessage::MessageTooLarge) => {
                AlertDescription::RecordOverflow
            }
            Error::InvalidMessage(_) => AlertDescription::DecodeError,
            // Records without data.
            _ => AlertDescription::UnexpectedMessage,
        };
        // Who can seal no more says nothing.
        let _ = self.sealer.seal(ContentType::Alert, &[FATAL, description.into()], outgoing);
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
            return Err(Error::General(format!("{WITHOUT_DATA_MAX} records in a row without data")));
        }
        match typ {
            // RFC 8446 section 5.1.
            other if !self.message.is_empty() && other != ContentType::Handshake => {
                Err(PeerMisbehaved::MessageInterleavedWithHandshakeMessage.into())
            }
            // An empty one.
            ContentType::ApplicationData => Ok(Opened::Nothing),
            ContentType::Alert => alert(payload, self.connection.protocol_version()),
            ContentType::Handshake => self.handshake(payload, outgoing).map(|()| Opened::Nothing),
            _ => Err(unexpected(typ)),
        }
    }

    /// Takes handshake messages, which records may cut in pieces.
    fn handshake(&mut self, payload: &[u8], outgoing: &mut Vec<u8>) -> Result<(), Error> {
        // RFC 8446 section 5.1.
        if payload.is_empty() {
            return Err(InvalidMessage::InvalidEmptyPayload.into());
        }
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
        self.opener = Opener::new(suite, self.connection.update_rx_secret()?)?;
        if is_requested {
            if outgoing.len() > UNSENT_MAX {
                return Err(PeerMisbehaved::TooManyKeyUpdateRequests.into());
            }
            self.sealer.seal(ContentType::Handshake, &[HandshakeType::KeyUpdate.into(), 0, 0, 1, 0], outgoing)?;
            self.sealer = Sealer::new(suite, self.connection.update_tx_secret()?)?;
        }
        Ok(())
    }
}

/// Levels of alerts (RFC 8446 section 6).
const WARNING: u8 = 1;
const FATAL: u8 = 2;

fn alert(payload: &[u8], version: ProtocolVersion) -> Result<Opened<'static>, Error> {
    let [level, description] = *payload else { return Err(InvalidMessage::MessageTooShort.into()) };
    // Before 1.3 there were warnings; now any alert but these two is an error.
    let is_warning = level == WARNING && version == ProtocolVersion::TLSv1_2;
    match AlertDescription::from(description) {
        AlertDescription::CloseNotify => Ok(Opened::End),
        AlertDescription::UserCanceled if level == WARNING => Ok(Opened::Nothing),
        _ if is_warning => Ok(Opened::Nothing),
        fatal => Err(Error::AlertReceived(fatal)),
    }
}

fn unexpected(typ: ContentType) -> Error {
    Error::InappropriateMessage { expect_types: vec![ContentType::ApplicationData], got_type: typ }
}
