//! TLS over one socket: the handshake, and data both ways.

use std::io::{self, Read, Write};
use std::mem;

use rustls::Error;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};

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
    /// Plaintext that there was no room for.
    left: Vec<u8>,
}

enum State {
    Handshake(Box<UnbufferedClientConnection>),
    Open(Box<Records>),
    /// Nothing more comes.
    Ended(Box<Records>),
    Failed(Error),
}

/// What the handshake waits for.
enum Wants {
    Nothing,
    Bytes,
    Open,
}

impl Tls {
    pub fn new(config: &TlsConfig, host: &str) -> Result<Self, String> {
        let name = ServerName::try_from(host.to_owned()).map_err(|e| format!("\"{host}\" cannot be verified: {e}"))?;
        let connection = UnbufferedClientConnection::new(config.0.clone(), name).map_err(|e| e.to_string())?;
        Ok(Self {
            state: State::Handshake(Box::new(connection)),
            incoming: Ciphertext::new(),
            outgoing: Vec::new(),
            left: Vec::with_capacity(DATA_MAX),
        })
    }

    /// The socket has news: it holds bytes again, or its end (`ended`).
    pub fn readable(&mut self, ended: bool) {
        self.incoming.readable(ended);
    }

    /// Takes the handshake on as far as the socket allows; `WouldBlock` when it does not.
    pub fn handshake(&mut self, socket: &mut (impl Read + Write)) -> io::Result<()> {
        loop {
            let wants = match &mut self.state {
                State::Handshake(connection) => {
                    step(connection, &mut self.incoming, &mut self.outgoing, &mut self.left).map_err(invalid)?
                }
                State::Failed(error) => return Err(invalid(error.clone())),
                State::Open(_) | State::Ended(_) => return self.flush(socket),
            };
            match wants {
                Wants::Nothing => {}
                Wants::Bytes => {
                    self.flush(socket)?;
                    self.receive(socket)?;
                }
                Wants::Open => self.open(),
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
                Ok(None) if matches!(self.state, State::Ended(_)) => break,
                Ok(None) => self.receive(socket)?,
                Err(error) => return Err(invalid(error)),
            }
        }
        Ok(filled)
    }

    /// Seals some of `bytes`, and tells how many; sending is [`flush`](Self::flush)'s.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.state {
            State::Open(records) | State::Ended(records) => records.write(bytes, &mut self.outgoing).map_err(invalid),
            State::Handshake(_) | State::Failed(_) => Err(io::ErrorKind::NotConnected.into()),
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
        if let State::Open(records) | State::Ended(records) = &mut self.state {
            // Who can seal no more has nothing to tell.
            let _ = records.close(&mut self.outgoing);
        }
    }

    /// The handshake is done: from here on records are opened without rustls' buffers.
    fn open(&mut self) {
        // Seen by nobody.
        let between = State::Failed(Error::HandshakeNotComplete);
        let State::Handshake(connection) = mem::replace(&mut self.state, between) else { return };
        let parts = connection.dangerous_into_kernel_connection();
        self.state = match parts.and_then(|(secrets, connection)| Records::new(secrets, connection)) {
            Ok(records) => State::Open(Box::new(records)),
            Err(error) => State::Failed(error),
        };
    }

    /// Plaintext that is here. `None`: more has to be received, or nothing more comes.
    #[inline]
    fn next(&mut self, into: &mut [u8]) -> Result<Option<usize>, Error> {
        if !self.left.is_empty() {
            let n = self.left.len().min(into.len());
            into[..n].copy_from_slice(&self.left[..n]);
            self.left.drain(..n);
            return Ok(Some(n));
        }
        let records = match &mut self.state {
            State::Open(records) => records,
            State::Handshake(_) | State::Ended(_) => return Ok(None),
            State::Failed(error) => return Err(error.clone()),
        };
        let opened = match self.incoming.record() {
            Ok(None) => return Ok(None),
            Ok(Some(record)) => {
                let len = record.len();
                records.open(record, &mut self.outgoing).map(|opened| (len, opened))
            }
            Err(error) => Err(error),
        };
        match opened {
            Ok((len, Opened::Data(data))) => {
                let (fits, rest) = data.split_at(data.len().min(into.len()));
                into[..fits.len()].copy_from_slice(fits);
                self.left.extend_from_slice(rest);
                let n = fits.len();
                self.incoming.consume(len);
                Ok(Some(n))
            }
            Ok((len, Opened::Nothing)) => {
                self.incoming.consume(len);
                Ok(Some(0))
            }
            Ok((_, Opened::End)) => {
                self.end();
                Ok(None)
            }
            Err(error) => {
                self.state = State::Failed(error.clone());
                Err(error)
            }
        }
    }

    #[cold]
    fn end(&mut self) {
        let between = State::Failed(Error::HandshakeNotComplete);
        if let State::Open(records) = mem::replace(&mut self.state, between) {
            self.state = State::Ended(records);
        }
    }

    fn receive(&mut self, socket: &mut impl Read) -> io::Result<()> {
        match self.incoming.receive(socket)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// Takes the handshake on by what is here.
fn step(
    connection: &mut UnbufferedClientConnection,
    incoming: &mut Ciphertext,
    outgoing: &mut Vec<u8>,
    left: &mut Vec<u8>,
) -> Result<Wants, Error> {
    let UnbufferedStatus { discard, state } = connection.process_tls_records(incoming.pending());
    let wants = match state? {
        ConnectionState::EncodeTlsData(data) => encode(data, outgoing)?,
        ConnectionState::TransmitTlsData(data) => {
            // It goes out before anything is waited for.
            data.done();
            Wants::Nothing
        }
        // A server may be quick.
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                left.extend_from_slice(record?.payload);
            }
            Wants::Nothing
        }
        ConnectionState::BlockedHandshake => Wants::Bytes,
        ConnectionState::WriteTraffic(_) => Wants::Open,
        _ => return Err(Error::HandshakeNotComplete),
    };
    incoming.consume(discard);
    Ok(wants)
}

fn encode<C>(mut data: EncodeTlsData<'_, C>, outgoing: &mut Vec<u8>) -> Result<Wants, Error> {
    let at = outgoing.len();
    if let Err(EncodeError::InsufficientSize(needed)) = data.encode(&mut []) {
        outgoing.resize(at + needed.required_size, 0);
        data.encode(&mut outgoing[at..]).map_err(|e| Error::General(e.to_string()))?;
    }
    Ok(Wants::Nothing)
}

/// What is wrong with what came; all other errors are the network's.
fn invalid(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
