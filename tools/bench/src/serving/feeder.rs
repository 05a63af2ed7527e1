//! A server for one client at a time. The caller hands it the data and decides when to send it.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use hoga_cli::rounds::Error;
use socket2::SockRef;
use tungstenite::Message;

use super::listener::{Duplex, Listener, Wire};
use crate::stack::{Endpoint, Want};

pub use super::listener::PATIENCE;

/// The kernel's send buffer for a client, in bytes.
const SEND_BYTES: usize = 128 * 1024;

/// Accepts clients on loopback.
pub struct Feeder {
    listener: Listener,
}

impl Feeder {
    /// Binds a port that the system chooses; with TLS 1.3 if `is_secure`.
    pub fn bind(is_secure: bool) -> Result<Self, Error> {
        Ok(Self { listener: Listener::bind(is_secure)? })
    }

    /// Returns the endpoint for a client.
    pub fn endpoint(&self, wants: &[Want], core: usize) -> Endpoint {
        self.listener.endpoint(wants, core)
    }

    /// Returns the next client after it has sent its request. Clients that leave before that are skipped: the previous
    /// client may try to reconnect when its connection is closed, before it is stopped.
    pub fn accept(&self) -> Result<Connection, Error> {
        let started = now();
        loop {
            match self.listener.accept(open) {
                Ok(Some(wire)) => return Connection::new(wire),
                Ok(None) | Err(_) if started.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(1)),
                Ok(None) => return Err(Error::Failed(format!("no client connected within {PATIENCE:?}"))),
                Err(e) => return Err(e),
            }
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "real time is what is measured here")]
fn now() -> Instant {
    Instant::now()
}

/// Upgrades to WebSocket and waits for the request. Later requests are not read.
fn open(stream: &mut dyn Duplex) -> Result<(), Error> {
    let failed = |e: &dyn std::fmt::Display| Error::failed("a client did not open its WebSocket", e);
    let mut socket = tungstenite::accept(stream).map_err(|e| failed(&e))?;
    while !matches!(socket.read().map_err(|e| failed(&e))?, Message::Text(_) | Message::Binary(_)) {}
    Ok(())
}

/// An open connection to a client.
pub struct Connection {
    wire: Wire,
}

impl Connection {
    fn new(wire: Wire) -> Result<Self, Error> {
        SockRef::from(&wire.socket).set_send_buffer_size(SEND_BYTES)?;
        Ok(Self { wire })
    }

    /// Adds a frame to the next [`send`](Self::send).
    pub fn push(&mut self, frame: &[u8]) -> Result<(), Error> {
        Ok(self.wire.push(frame)?)
    }

    /// Returns the number of bytes that wait for [`send`](Self::send).
    pub fn pending(&self) -> usize {
        self.wire.out.len()
    }

    /// Sends the added frames, in one write as far as the kernel accepts it. Blocks while the kernel's buffer is full.
    pub fn send(&mut self) -> Result<(), Error> {
        let sent = self.wire.socket.write_all(&self.wire.out);
        self.wire.out.clear();
        sent.map_err(|e| Error::failed("the client could not be written to", e))
    }
}
