//! A server that sends what it is told, when it is told.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ServerConnection, StreamOwned};
use socket2::SockRef;
use tungstenite::{Message, WebSocket};

use crate::Error;
use crate::certificate::Identity;
use crate::stack::{Venue, Want};

/// How long a client may take for anything.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// What the kernel may hold for a client that is behind.
const SEND_BYTES: usize = 128 * 1024;

/// Waits for clients on loopback.
pub struct Feeder {
    listener: TcpListener,
    address: SocketAddr,
    identity: Identity,
    is_secure: bool,
}

impl Feeder {
    /// On a port that the system chooses; TLS 1.3 if `is_secure`.
    pub fn bind(is_secure: bool) -> Result<Self, Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, identity: Identity::generate()?, is_secure })
    }

    /// What a client has to know.
    pub fn venue(&self, wants: &[Want], core: usize) -> Venue {
        let scheme = if self.is_secure { "wss" } else { "ws" };
        Venue {
            url: format!("{scheme}://127.0.0.1:{}/websocket/v1", self.address.port()),
            certificate_pem: self.identity.pem.clone(),
            certificate_der: self.identity.der.clone(),
            wants: wants.to_vec(),
            core,
        }
    }

    /// The next client, as soon as it has sent its request. One that went away before that is not the next: the client
    /// before may have tried to come back when its connection was closed, and been stopped then.
    pub fn accept(&self) -> Result<Connection, Error> {
        let started = now();
        loop {
            match self.try_accept() {
                Err(_) if started.elapsed() < PATIENCE => {}
                result => return result,
            }
        }
    }

    fn try_accept(&self) -> Result<Connection, Error> {
        let socket = self.wait_for_client()?;
        socket.set_nonblocking(false)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        SockRef::from(&socket).set_send_buffer_size(SEND_BYTES)?;
        if !self.is_secure {
            return Ok(Connection { socket: open(socket)?, tls: None, out: Vec::new() });
        }
        let tls = ServerConnection::new(self.identity.tls.clone()).map_err(|e| Error::failed("TLS", e))?;
        let StreamOwned { conn: mut tls, sock } = open(StreamOwned::new(tls, socket))?;
        tls.set_buffer_limit(None);
        Ok(Connection { socket: sock, tls: Some(tls), out: Vec::new() })
    }

    fn wait_for_client(&self) -> Result<TcpStream, Error> {
        let started = now();
        loop {
            match self.listener.accept() {
                Ok((socket, _)) => return Ok(socket),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e.into()),
            }
            if started.elapsed() > PATIENCE {
                return Err(Error::Failed(format!("no client connected within {PATIENCE:?}")));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "real time is what is measured here")]
fn now() -> Instant {
    Instant::now()
}

/// Upgrades to WebSocket and waits for the request. Later ones are not read.
fn open<S: Read + Write>(stream: S) -> Result<S, Error> {
    let failed = |e: &dyn std::fmt::Display| Error::failed("a client did not open its WebSocket", e);
    let mut socket: WebSocket<S> = tungstenite::accept(stream).map_err(|e| failed(&e))?;
    while !matches!(socket.read().map_err(|e| failed(&e))?, Message::Text(_) | Message::Binary(_)) {}
    Ok(socket.into_inner())
}

/// An open connection to a client.
pub struct Connection {
    socket: TcpStream,
    tls: Option<ServerConnection>,
    out: Vec<u8>,
}

impl Connection {
    /// Adds a frame to what goes out next; under TLS in a record of its own, as the exchange sends it.
    pub fn push(&mut self, frame: &[u8]) -> Result<(), Error> {
        let Some(tls) = &mut self.tls else {
            self.out.extend_from_slice(frame);
            return Ok(());
        };
        tls.writer().write_all(frame)?;
        while tls.wants_write() {
            tls.write_tls(&mut self.out)?;
        }
        Ok(())
    }

    /// Bytes that wait for [`send`](Self::send).
    pub fn pending(&self) -> usize {
        self.out.len()
    }

    /// Sends what was added, in one write as far as the kernel takes it; waits where it does not.
    pub fn send(&mut self) -> Result<(), Error> {
        let sent = self.socket.write_all(&self.out);
        self.out.clear();
        sent.map_err(|e| Error::failed("the client took no more", e))
    }
}
