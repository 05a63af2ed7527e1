//! A listener on loopback, and the sending side of a connection. The owner of the listener decides how a WebSocket is
//! opened, and when written data is sent.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use hoga_cli::rounds::Error;
use rustls::{ServerConnection, Stream};

use super::certificate::Identity;
use crate::stack::{Endpoint, Want};

/// How long a client may take for each step.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Accepts clients on loopback.
pub(crate) struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    identity: Identity,
    is_secure: bool,
}

/// A byte stream in both directions.
pub(crate) trait Duplex: Read + Write {}

impl<S: Read + Write> Duplex for S {}

/// An accepted client.
pub(crate) struct Wire {
    pub socket: TcpStream,
    pub tls: Option<ServerConnection>,
    /// Pushed data that is not yet sent, in the form that goes over the socket.
    pub out: Vec<u8>,
}

impl Listener {
    /// Binds a port that the system chooses; with TLS 1.3 if `is_secure`.
    pub fn bind(is_secure: bool) -> Result<Self, Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, identity: Identity::of_localhost()?, is_secure })
    }

    /// Returns the endpoint for a client.
    pub fn endpoint(&self, wants: &[Want], core: usize) -> Endpoint {
        let scheme = if self.is_secure { "wss" } else { "ws" };
        Endpoint {
            url: format!("{scheme}://127.0.0.1:{}/websocket/v1", self.address.port()),
            certificate_pem: self.identity.pem.clone(),
            certificate_der: self.identity.der.clone(),
            wants: wants.to_vec(),
            core,
        }
    }

    /// Returns the next client after its WebSocket is open, or `None` if no client is waiting.
    pub fn accept(&self, open: fn(&mut dyn Duplex) -> Result<(), Error>) -> Result<Option<Wire>, Error> {
        let mut socket = match self.listener.accept() {
            Ok((socket, _)) => socket,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        socket.set_nonblocking(false)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let tls = if self.is_secure {
            let mut tls = ServerConnection::new(self.identity.tls.clone()).map_err(|e| Error::failed("TLS", e))?;
            open(&mut Stream::new(&mut tls, &mut socket))?;
            tls.set_buffer_limit(None);
            Some(tls)
        } else {
            open(&mut socket)?;
            None
        };
        Ok(Some(Wire { socket, tls, out: Vec::new() }))
    }
}

impl Wire {
    /// Adds a frame to the output. Under TLS the frame has its own record, as the exchange sends it.
    pub fn push(&mut self, frame: &[u8]) -> io::Result<()> {
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
}
