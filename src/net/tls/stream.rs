//! TLS over one socket: the handshake, and data in both directions.

use std::io::{self, Read, Write};
use std::mem;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{Error, InvalidMessage, PeerMisbehaved};

use super::TlsConfig;
use super::ciphertext::Ciphertext;
use super::failure::Context;
use super::records::{DATA_MAX, Opened, Records};

/// The maximum number of plaintext bytes of one read. More records per read share the fixed cost of a read, but the
/// first one waits until the last one is decrypted. With this limit, 16 tickers share the cost, and the first one waits
/// about 10 µs.
const PLAINTEXT_BYTES: usize = 16 * 1024;

/// A TLS client on one socket.
pub struct Tls {
    state: State,
    incoming: Ciphertext,
    /// Encrypted bytes that were not sent yet.
    outgoing: Vec<u8>,
    /// The number of bytes of `incoming` that rustls has seen. rustls is shown one more record each time it needs one,
    /// and no more: if it decrypted a record that follows the handshake, that record would be lost for `records`.
    shown: usize,
    /// Plaintext that did not fit into the reader's buffer.
    leftover: Vec<u8>,
    /// Whether the peer has sent its close notification.
    closed_by_peer: bool,
    /// What is known about the handshake, to explain its failure.
    context: Box<Context>,
}

enum State {
    Handshake(Box<UnbufferedClientConnection>),
    Open(Box<Records>),
    Failed(Error),
}

/// What the handshake needs next.
enum Step {
    /// Another step.
    Continue,
    /// Bytes from the peer.
    Receive,
    /// Nothing. The handshake is done, and its last bytes must be sent.
    Done,
}

impl Tls {
    /// Returns a client that has not sent anything yet. The server must prove the name `host`. It has already sent the
    /// `received` bytes.
    pub fn new(config: &TlsConfig, host: &str, received: &[u8]) -> Result<Self, String> {
        let name = ServerName::try_from(host.to_owned()).map_err(|e| format!("cannot verify \"{host}\": {e}"))?;
        let connection = UnbufferedClientConnection::new(config.client.clone(), name).map_err(|e| e.to_string())?;
        Ok(Self {
            state: State::Handshake(Box::new(connection)),
            incoming: Ciphertext::new(received),
            outgoing: Vec::new(),
            shown: 0,
            leftover: Vec::with_capacity(DATA_MAX),
            closed_by_peer: false,
            context: Box::new(Context::new(host, config.roots().clone(), received)),
        })
    }

    /// Records that the socket has new bytes, or with `ended` that the peer has closed its side.
    pub fn readable(&mut self, ended: bool) {
        self.incoming.readable(ended);
    }

    /// Advances the handshake as far as the socket allows; `WouldBlock` if it is not done.
    pub fn handshake(&mut self, socket: &mut (impl Read + Write)) -> io::Result<()> {
        loop {
            match self.step() {
                Ok(Step::Continue) => {}
                Ok(Step::Receive) => {
                    self.flush(socket)?;
                    self.receive(socket)?;
                    self.context.received(self.incoming.pending());
                }
                Ok(Step::Done) => return self.flush(socket),
                Err(error) => {
                    self.fail(&error);
                    return Err(invalid(error));
                }
            }
        }
    }

    /// Explains why [`handshake`](Self::handshake) failed.
    #[cold]
    pub fn explain(&self, error: &io::Error) -> String {
        self.context.explain(error)
    }

    /// Reads plaintext. `Ok(0)` is a clean end. If the socket ends without close_notify, the error is `UnexpectedEof`,
    /// because anyone on the path could have cut the connection. Data before an invalid record is returned before the
    /// error.
    pub fn read(&mut self, socket: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(PLAINTEXT_BYTES);
        let mut filled = 0;
        while filled < most {
            match self.next(&mut into[filled..]) {
                Ok(Some(n)) => filled += n,
                Ok(None) | Err(_) if filled > 0 => break,
                Ok(None) if self.closed_by_peer => break,
                Ok(None) => self.receive(socket)?,
                Err(error) => return Err(invalid(error)),
            }
        }
        Ok(filled)
    }

    /// Encrypts some of `bytes` and returns the number taken. [`flush`](Self::flush) sends them.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.state {
            _ if bytes.is_empty() => Ok(0),
            State::Open(records) => records.write(bytes, &mut self.outgoing).map_err(invalid),
            State::Handshake(_) => Err(io::ErrorKind::NotConnected.into()),
            State::Failed(error) => Err(invalid(error.clone())),
        }
    }

    /// Sends all encrypted bytes; `WouldBlock` if the socket takes no more.
    pub fn flush(&mut self, socket: &mut impl Write) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            let n = socket.write(&self.outgoing)?;
            if n == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.outgoing.drain(..n);
        }
        Ok(())
    }

    /// Queues the close notification, if the handshake is done.
    pub fn close(&mut self) {
        if let State::Open(records) = &mut self.state {
            // Fails only if the key has reached its limit; then no notification can be sent.
            let _ = records.close(&mut self.outgoing);
        }
    }

    /// Advances the handshake by one step, with the received bytes.
    fn step(&mut self) -> Result<Step, Error> {
        let connection = match &mut self.state {
            State::Handshake(connection) => connection,
            State::Open(_) => return Ok(Step::Done),
            State::Failed(error) => return Err(error.clone()),
        };
        let shown = &mut self.incoming.pending()[..self.shown];
        let UnbufferedStatus { discard, state } = connection.process_tls_records(shown);
        let state = match state {
            Ok(state) => state,
            Err(error) => {
                self.discard(discard);
                self.queue_alert(&error);
                return Err(error);
            }
        };
        match state {
            ConnectionState::EncodeTlsData(data) => encode(data, &mut self.outgoing)?,
            // The bytes are flushed before the next wait.
            ConnectionState::TransmitTlsData(data) => data.done(),
            ConnectionState::BlockedHandshake => {
                self.discard(discard);
                return self.show_another();
            }
            ConnectionState::WriteTraffic(_) => {
                self.discard(discard);
                return self.open();
            }
            _ => return Err(Error::HandshakeNotComplete),
        }
        self.discard(discard);
        Ok(Step::Continue)
    }

    fn discard(&mut self, n: usize) {
        self.incoming.consume(n);
        self.shown -= n;
    }

    fn show_another(&mut self) -> Result<Step, Error> {
        // Otherwise the length in the middle of some other text would be waited for.
        if self.context.is_foreign() {
            return Err(InvalidMessage::InvalidContentType.into());
        }
        let Some(record) = self.incoming.record_at(self.shown)? else { return Ok(Step::Receive) };
        self.shown += record.len();
        Ok(Step::Continue)
    }

    /// Ends the handshake. From here on, records are decrypted without rustls' buffers.
    fn open(&mut self) -> Result<Step, Error> {
        // rustls holds the beginning of an incomplete message, which would be lost.
        if self.shown != 0 {
            return Err(PeerMisbehaved::KeyEpochWithPendingFragment.into());
        }
        // Never visible: the open state or the error replaces it.
        let between = State::Failed(Error::HandshakeNotComplete);
        let State::Handshake(connection) = mem::replace(&mut self.state, between) else { return Ok(Step::Done) };
        let (secrets, connection) = connection.dangerous_into_kernel_connection()?;
        self.state = State::Open(Box::new(Records::new(secrets, connection)?));
        Ok(Step::Done)
    }

    /// Queues the alert with which rustls ends a handshake, after it has returned an error.
    #[cold]
    fn queue_alert(&mut self, error: &Error) {
        // An alert is not answered. rustls has queued none, so it would continue to read.
        let State::Handshake(connection) = &mut self.state else { return };
        if matches!(error, Error::AlertReceived(_)) {
            return;
        }
        let shown = &mut self.incoming.pending()[..self.shown];
        if let Ok(ConnectionState::EncodeTlsData(alert)) = connection.process_tls_records(shown).state {
            // Without the alert, the peer only sees that the socket closes.
            let _ = encode(alert, &mut self.outgoing);
        }
    }

    /// Fails the connection. Queues the alert for the peer, unless [`queue_alert`](Self::queue_alert) has.
    #[cold]
    fn fail(&mut self, error: &Error) {
        if let State::Open(records) = &mut self.state {
            records.refuse(error, &mut self.outgoing);
        }
        self.state = State::Failed(error.clone());
    }

    /// Returns received plaintext. `None` if more must be received, or if the peer has closed.
    #[inline]
    fn next(&mut self, into: &mut [u8]) -> Result<Option<usize>, Error> {
        if !self.leftover.is_empty() {
            return Ok(Some(self.take_leftover(into)));
        }
        if self.closed_by_peer {
            return Ok(None);
        }
        self.open_next(into).inspect_err(|error| self.fail(error))
    }

    fn take_leftover(&mut self, into: &mut [u8]) -> usize {
        let n = self.leftover.len().min(into.len());
        into[..n].copy_from_slice(&self.leftover[..n]);
        self.leftover.drain(..n);
        n
    }

    #[inline]
    fn open_next(&mut self, into: &mut [u8]) -> Result<Option<usize>, Error> {
        let records = match &mut self.state {
            State::Open(records) => records,
            State::Handshake(_) => return Ok(None),
            State::Failed(error) => return Err(error.clone()),
        };
        let Some(record) = self.incoming.record_at(0)? else { return Ok(None) };
        let len = record.len();
        let n = match records.open(record, &mut self.outgoing)? {
            Opened::Data(data) => {
                let (fits, rest) = data.split_at(data.len().min(into.len()));
                into[..fits.len()].copy_from_slice(fits);
                self.leftover.extend_from_slice(rest);
                Some(fits.len())
            }
            Opened::Nothing => Some(0),
            Opened::End => {
                self.closed_by_peer = true;
                None
            }
        };
        self.incoming.consume(len);
        Ok(n)
    }

    fn receive(&mut self, socket: &mut impl Read) -> io::Result<()> {
        match self.incoming.receive(socket)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

fn encode<C>(mut data: EncodeTlsData<'_, C>, outgoing: &mut Vec<u8>) -> Result<(), Error> {
    let at = outgoing.len();
    if let Err(EncodeError::InsufficientSize(needed)) = data.encode(&mut []) {
        outgoing.resize(at + needed.required_size, 0);
        data.encode(&mut outgoing[at..]).map_err(|e| Error::General(e.to_string()))?;
    }
    Ok(())
}

/// Converts an error in the received bytes. All other errors come from the network.
fn invalid(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
