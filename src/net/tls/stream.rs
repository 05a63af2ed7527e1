//! TLS over one socket: the handshake, and data both ways.

use std::io::{self, Read, Write};
use std::mem;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{Error, PeerMisbehaved};

use super::TlsConfig;
use super::ciphertext::Ciphertext;
use super::records::{DATA_MAX, Opened, Records};

/// Plaintext that one read gathers: every batch has its price, and the first of it waits until the last is decrypted. 16
/// tickers share the price then, and wait some 10 µs.
const PLAINTEXT_BYTES: usize = 16 * 1024;

/// TLS on one socket.
pub struct Tls {
    state: State,
    incoming: Ciphertext,
    /// Sealed and not yet sent.
    outgoing: Vec<u8>,
    /// How much of `incoming` rustls has been shown. It is shown one record more whenever it asks: what it has opened
    /// behind the handshake would be lost for `records`.
    shown: usize,
    /// Plaintext that there was no room for.
    left: Vec<u8>,
    /// The peer has said that nothing more comes.
    closed_by_peer: bool,
}

enum State {
    Handshake(Box<UnbufferedClientConnection>),
    Open(Box<Records>),
    Failed(Error),
}

/// What the handshake waits for.
enum Wants {
    Nothing,
    Bytes,
    /// It is done, and its last bytes are to be sent.
    Room,
}

impl Tls {
    /// A client that has not sent anything yet. `host` is the name that the server has to prove.
    pub fn new(config: &TlsConfig, host: &str) -> Result<Self, String> {
        let name = ServerName::try_from(host.to_owned()).map_err(|e| format!("\"{host}\" cannot be verified: {e}"))?;
        let connection = UnbufferedClientConnection::new(config.0.clone(), name).map_err(|e| e.to_string())?;
        Ok(Self {
            state: State::Handshake(Box::new(connection)),
            incoming: Ciphertext::new(),
            outgoing: Vec::new(),
            shown: 0,
            left: Vec::with_capacity(DATA_MAX),
            closed_by_peer: false,
        })
    }

    /// The socket has news: it holds bytes again, or its end (`ended`).
    pub fn readable(&mut self, ended: bool) {
        self.incoming.readable(ended);
    }

    /// Takes the handshake on as far as the socket allows; `WouldBlock` when it does not.
    pub fn handshake(&mut self, socket: &mut (impl Read + Write)) -> io::Result<()> {
        loop {
            match self.step() {
                Ok(Wants::Nothing) => {}
                Ok(Wants::Bytes) => {
                    self.flush(socket)?;
                    self.receive(socket)?;
                }
                Ok(Wants::Room) => return self.flush(socket),
                Err(error) => {
                    self.fail(&error);
                    return Err(invalid(error));
                }
            }
        }
    }

    /// Reads plaintext. `Ok(0)` is a clean end; a socket that ends without close_notify is `UnexpectedEof`, because
    /// then anybody on the path could have cut it. What came before a mistake is read before that is told.
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

    /// Seals some of `bytes`, and tells how many; sending is [`flush`](Self::flush)'s.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.state {
            _ if bytes.is_empty() => Ok(0),
            State::Open(records) => records.write(bytes, &mut self.outgoing).map_err(invalid),
            State::Handshake(_) => Err(io::ErrorKind::NotConnected.into()),
            State::Failed(error) => Err(invalid(error.clone())),
        }
    }

    /// Sends what was sealed until there is none left; `WouldBlock` when the socket takes no more.
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

    /// Tells the peer that nothing more comes, if the connection has come so far.
    pub fn close(&mut self) {
        if let State::Open(records) = &mut self.state {
            // Who can seal no more has nothing to tell.
            let _ = records.close(&mut self.outgoing);
        }
    }

    /// Takes the handshake on by what is here.
    fn step(&mut self) -> Result<Wants, Error> {
        let connection = match &mut self.state {
            State::Handshake(connection) => connection,
            State::Open(_) => return Ok(Wants::Room),
            State::Failed(error) => return Err(error.clone()),
        };
        let shown = &mut self.incoming.pending()[..self.shown];
        let UnbufferedStatus { discard, state } = connection.process_tls_records(shown);
        match state? {
            ConnectionState::EncodeTlsData(data) => encode(data, &mut self.outgoing)?,
            // It goes out before anything is waited for.
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
        Ok(Wants::Nothing)
    }

    fn discard(&mut self, n: usize) {
        self.incoming.consume(n);
        self.shown -= n;
    }

    fn show_another(&mut self) -> Result<Wants, Error> {
        let Some(record) = self.incoming.record_at(self.shown)? else { return Ok(Wants::Bytes) };
        self.shown += record.len();
        Ok(Wants::Nothing)
    }

    /// The handshake is done: from here on records are opened without rustls' buffers.
    fn open(&mut self) -> Result<Wants, Error> {
        // A message that is not over would be lost with rustls' part of it.
        if self.shown != 0 {
            return Err(PeerMisbehaved::KeyEpochWithPendingFragment.into());
        }
        // Nobody sees it: what is open comes in its place, or what went wrong.
        let between = State::Failed(Error::HandshakeNotComplete);
        let State::Handshake(connection) = mem::replace(&mut self.state, between) else { return Ok(Wants::Room) };
        let (secrets, connection) = connection.dangerous_into_kernel_connection()?;
        self.state = State::Open(Box::new(Records::new(secrets, connection)?));
        Ok(Wants::Room)
    }

    /// Nothing goes on from here. What the peer should know of it waits to be sent.
    #[cold]
    fn fail(&mut self, error: &Error) {
        // During the handshake rustls would have to say it, and asking it once too often after a mistake is not safe.
        if let State::Open(records) = &mut self.state {
            records.refuse(error, &mut self.outgoing);
        }
        self.state = State::Failed(error.clone());
    }

    /// Plaintext that is here. `None`: more has to be received, or nothing more comes.
    #[inline]
    fn next(&mut self, into: &mut [u8]) -> Result<Option<usize>, Error> {
        if !self.left.is_empty() {
            return Ok(Some(self.take_left(into)));
        }
        if self.closed_by_peer {
            return Ok(None);
        }
        self.open_next(into).inspect_err(|error| self.fail(error))
    }

    fn take_left(&mut self, into: &mut [u8]) -> usize {
        let n = self.left.len().min(into.len());
        into[..n].copy_from_slice(&self.left[..n]);
        self.left.drain(..n);
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
                self.left.extend_from_slice(rest);
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

/// What is wrong with what came; all other errors are the network's.
fn invalid(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
