//! One accepted TCP connection, with or without TLS. Moves bytes and does not interpret them.

use mio::net::TcpStream;
use rustls::{ServerConfig, ServerConnection};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Result, Write};
use std::net::Shutdown;
use std::sync::Arc;

/// The maximum number of bytes that are read at a time.
const READ_BYTES: usize = 16 * 1024;
/// The maximum number of reads in one turn, so that a client that sends without end does not delay the others.
const READS_PER_TURN: usize = 4;

#[derive(Debug)]
pub(crate) struct Socket {
    pub stream: TcpStream,
    tls: Option<ServerConnection>,
    /// Bytes of a connection without TLS that the kernel has not taken yet. With TLS, rustls queues them.
    unsent: VecDeque<u8>,
    /// Readiness is edge-triggered: true until a read would block.
    pub readable: bool,
    /// Set once writing has ended. TCP is closed when the peer closes, and at this time at the latest.
    pub linger_until: Option<u64>,
}

impl Socket {
    pub fn new(stream: TcpStream, tls: Option<&Arc<ServerConfig>>) -> Result<Self> {
        stream.set_nodelay(true)?;
        let tls = match tls {
            Some(config) => Some(ServerConnection::new(config.clone()).map_err(std::io::Error::other)?),
            None => None,
        };
        let mut socket = Self { stream, tls, unsent: VecDeque::new(), readable: false, linger_until: None };
        if let Some(tls) = &mut socket.tls {
            // The buffer stays bounded, because the exchange is asked for more only when everything before was sent.
            tls.set_buffer_limit(None);
        }
        Ok(socket)
    }

    /// Appends received bytes to `into`. Returns false once the peer has closed. More bytes may wait as long as the
    /// socket is readable.
    pub fn read(&mut self, into: &mut Vec<u8>) -> Result<bool> {
        for _ in 0..READS_PER_TURN {
            if !self.readable {
                break;
            }
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
            let mut buffer = [0; READ_BYTES];
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
            None => self.unsent.extend(bytes),
        }
        self.flush()
    }

    /// Continues to send the queued bytes.
    pub fn flush(&mut self) -> Result<()> {
        while self.has_unsent() {
            let written = match &mut self.tls {
                Some(tls) => tls.write_tls(&mut self.stream),
                None => self.stream.write(self.unsent.as_slices().0).inspect(|count| drop(self.unsent.drain(..*count))),
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream as Peer};

    /// The other clients of the server wait during a turn.
    #[test]
    fn a_turn_reads_a_part_of_what_a_flooding_peer_has_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = Peer::connect(listener.local_addr().unwrap()).unwrap();
        let stream = listener.accept().unwrap().0;
        stream.set_nonblocking(true).unwrap();
        let mut socket = Socket::new(TcpStream::from_std(stream), None).unwrap();
        let flood = std::thread::spawn(move || {
            peer.write_all(&vec![b'x'; 1 << 20]).unwrap();
            peer
        });
        let mut received = 0;
        while received < 1 << 20 {
            socket.readable = true;
            let mut bytes = Vec::new();
            assert!(socket.read(&mut bytes).unwrap());
            assert!(bytes.len() <= READS_PER_TURN * READ_BYTES);
            assert!(socket.readable || bytes.len() < READS_PER_TURN * READ_BYTES, "more may wait");
            received += bytes.len();
        }
        drop(flood.join().unwrap());
    }
}
