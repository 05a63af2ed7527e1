//! Records of an open connection: decrypts received ones in place, and encrypts those to send.
//!
//! rustls does the handshake and derives all keys, and its ciphers decrypt and encrypt. This module splits records and
//! handles the few messages other than data. rustls' own record layer copies each record twice and allocates for it,
//! which is a sixth of a ticker's cost under TLS. The interface used here is the one that rustls offers for TLS in
//! kernels.

use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::{
    AlertDescription, ContentType, Error, ExtractedSecrets, HandshakeType, InvalidMessage, PeerMisbehaved,
    ProtocolVersion,
};

use super::cipher::{Opener, Sealer};
use super::ciphertext::HEADER;

/// The maximum number of data bytes in one record.
pub(super) const DATA_MAX: usize = 16 * 1024;
/// The maximum length of a handshake message in several records. A ticket has some hundreds of bytes.
const MESSAGE_MAX: usize = 64 * 1024;
/// The maximum number of records without data in a row. A server sends a few tickets, and rarely a new key.
const WITHOUT_DATA_MAX: u32 = 64;
/// The maximum number of unsent bytes when another answer is requested. Enough for one record of ours and hundreds of
/// answers.
const UNSENT_MAX: usize = 32 * 1024;

/// The content of a record.
pub(super) enum Opened<'a> {
    Data(&'a [u8]),
    /// No data: an empty record, or a message that was handled.
    Nothing,
    /// The peer's close notification.
    End,
}

/// Both directions of an open connection.
pub(super) struct Records {
    /// Stores tickets and derives new keys.
    connection: KernelConnection<ClientConnectionData>,
    /// Whether each record has the outer type of data, as in TLS 1.3 (RFC 8446 section 5.2).
    hides_types: bool,
    opener: Opener,
    sealer: Sealer,
    /// The beginning of a handshake message that continues in the next record.
    message: Vec<u8>,
    /// The number of records without data since the last record with data.
    without_data: u32,
}

impl Records {
    /// Continues a connection after its handshake.
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

    /// Decrypts a record, including its header, in place. Appends answers to `outgoing`.
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

    /// Encrypts some of `bytes` and returns the number taken.
    pub fn write(&mut self, bytes: &[u8], outgoing: &mut Vec<u8>) -> Result<usize, Error> {
        let taken = &bytes[..bytes.len().min(DATA_MAX)];
        self.sealer.seal(ContentType::ApplicationData, taken, outgoing)?;
        Ok(taken.len())
    }

    /// Appends the close notification.
    pub fn close(&mut self, outgoing: &mut Vec<u8>) -> Result<(), Error> {
        self.sealer.seal(ContentType::Alert, &[WARNING, AlertDescription::CloseNotify.into()], outgoing)
    }

    /// Appends the alert for an error in the peer's messages (RFC 8446 section 6.2).
    pub fn refuse(&mut self, error: &Error, outgoing: &mut Vec<u8>) {
        let description = match error {
            Error::AlertReceived(_) => return,
            Error::DecryptError => AlertDescription::BadRecordMac,
            Error::PeerSentOversizedRecord | Error::InvalidMessage(InvalidMessage::MessageTooLarge) => {
                AlertDescription::RecordOverflow
            }
            Error::InvalidMessage(_) => AlertDescription::DecodeError,
            // Includes too many records without data.
            _ => AlertDescription::UnexpectedMessage,
        };
        // Fails only if the key has reached its limit; then no alert can be sent.
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
            // An empty record.
            ContentType::ApplicationData => Ok(Opened::Nothing),
            ContentType::Alert => alert(payload, self.connection.protocol_version()),
            ContentType::Handshake => self.handshake(payload, outgoing).map(|()| Opened::Nothing),
            _ => Err(unexpected(typ)),
        }
    }

    /// Handles handshake messages, which may be split across records.
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
            // The new key applies from the next record on, so nothing may follow in this one.
            (ProtocolVersion::TLSv1_3, HandshakeType::KeyUpdate) if is_last => self.key_update(body, outgoing),
            (ProtocolVersion::TLSv1_3, HandshakeType::KeyUpdate) => {
                Err(PeerMisbehaved::KeyEpochWithPendingFragment.into())
            }
            // A request to renegotiate, which a client may ignore.
            (ProtocolVersion::TLSv1_2, HandshakeType::HelloRequest) => Ok(()),
            _ => Err(unexpected(ContentType::Handshake)),
        }
    }

    /// Handles a key update (RFC 8446 section 4.6.3).
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
    // TLS 1.2 has warnings. In TLS 1.3 every alert except these two is an error.
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
