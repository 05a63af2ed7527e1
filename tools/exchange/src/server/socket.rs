//! One accepted TCP connection, with or without TLS. Moves bytes and does not interpret them.

use mio::net::TcpStream;
use rustls::{ServerConfig, ServerConnection};
use std::io::{ErrorKind, Read, Result, Write};
use std::net::Shutdown;
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Socket {
    pub stream: TcpStream,
    tls: Option<ServerConnection>,
    /// Bytes of a connection without TLS that the kernel has not taken yet. With TLS, rustls queues them.
    unsent: Vec<u8>,
    /// Readiness is edge-triggered: true until a read would block.
    pub readable: bool,
    /// Set once writing has ended. TCP is closed when the peer closes, at this time at the latest.
    pub linger_until: Option<u64>,
}

impl Socket {
    pub fn new(stream: TcpStream, tls: Option<&Arc<ServerConfig>>) -> Result<Self> {
        stream.set_nodelay(true)?;
        let tls = match tls {
            Some(config) => Some(ServerConnection::new(config.clone()).map_err(std::io::Error::other)?),
            None => None,
        };
        let mut socket = Self { stream, tls, unsent: Vec::new(), readable: false, linger_until: None };
        if let Some(tls) = &mut socket.tls {
            // The buffer stays bounded, because the exchange is asked for more only when everything before was sent.
            tls.set_buffer_limit(None);
        }
        Ok(socket)
    }

    /// Appends the received bytes to `into`. Returns false once the peer has closed.
    pub fn read(&mut self, into: &mut Vec<u8>) -> Result<bool> {
        while self.readable {
            match self.read_once(into) {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn read_once(&mut self, into: &mut Vec<u8>) -> Result<usize> {
        let Some(tls) = &mut self.tls else {
            let mut buffer = [0; 16 * 1024];
            let count = self.stream.read(&mut buffer)?;
            into.extend_from_slice(&buffer[..count]);
            return Ok(count);
        };
        let count = tls.read_tls(&mut self.stream)?;
        let state = tls.process_new_packets().map_err(std::io::Error::other)?;
        let start = into.len();
        into.resize(start + state.plaintext_bytes_to_read(), 0);
        tls.reader().read_exact(&mut into[start..])?;
        Ok(if state.peer_has_closed() { 0 } else { count })
    }

    /// Queues bytes and sends as many as the socket takes.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.tls {
            Some(tls) => tls.writer().write_all(bytes)?,
            None => self.unsent.extend_from_slice(bytes),
        }
        self.flush()
    }

    /// Continues to send the queued bytes.
    pub fn flush(&mut self) -> Result<()> {
        while self.has_unsent() {
            let written = match &mut self.tls {
                Some(tls) => tls.write_tls(&mut self.stream),
                None => self.stream.write(&self.unsent).inspect(|count| drop(self.unsent.drain(..*count))),
            };
            match written {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether bytes are waiting for the kernel to take them.
    pub fn has_unsent(&self) -> bool {
        self.tls.as_ref().map_or(!self.unsent.is_empty(), |tls| tls.wants_write())
    }

    /// Ends the writing side. The peer may still be sending, so closing at once would discard bytes that it has not
    /// read yet.
    pub fn finish(&mut self, linger_until: u64) -> Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
        self.flush()?;
        self.linger_until = Some(linger_until);
        self.stream.shutdown(Shutdown::Write)
    }
}
