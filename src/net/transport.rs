//! One non-blocking socket, plain or under TLS.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::socket::Socket;
use super::tls::{Tls, TlsConfig};
use crate::model::Nanos;

/// An opening or open connection to the exchange.
pub struct Transport {
    socket: Socket,
    tls: Option<Tls>,
    /// As far as we know, the socket holds bytes (or its end) that were not read yet.
    readable: bool,
    /// The peer has closed its side, so an end waits behind the last bytes.
    ended: bool,
}

impl Transport {
    /// Starts to open TCP. Ready, or failed, when the socket becomes writable.
    pub fn connect(address: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { socket: Socket::new(stream), tls: None, readable: false, ended: false })
    }

    /// Asks the kernel when bytes come, see [`take_arrived`](Self::take_arrived). Costs the kernel a look at its clock for
    /// each packet of the machine.
    pub fn stamp_arrivals(&mut self) {
        self.socket.stamp_arrivals();
    }

    /// When the kernel had received the last of what the newest read took from the socket, if that is known and was not
    /// asked before. By the wall clock.
    #[inline]
    pub fn take_arrived(&mut self) -> Option<Nanos> {
        self.socket.take_arrived()
    }

    /// Whether TCP is open by now. `Ok(false)`: not yet.
    pub fn finish_connect(&mut self) -> io::Result<bool> {
        if let Some(error) = self.socket.stream.take_error()? {
            return Err(error);
        }
        match self.socket.stream.peer_addr() {
            Ok(_) => {
                // Requests and pongs are small and must not wait for each other.
                self.socket.stream.set_nodelay(true)?;
                Ok(true)
            }
            Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// From here on, everything is encrypted.
    pub fn start_tls(&mut self, config: &TlsConfig, host: &str) -> Result<(), String> {
        let mut tls = Tls::new(config, host)?;
        // An end that was seen before is not announced a second time.
        tls.readable(self.ended);
        self.tls = Some(tls);
        Ok(())
    }

    /// Takes the TLS handshake on as far as the socket allows; `WouldBlock` when it does not.
    pub fn handshake(&mut self) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.handshake(&mut self.socket),
            None => Ok(()),
        }
    }

    /// The event loop saw the socket become readable; `ended`: the peer has closed its side.
    pub fn set_readable(&mut self, ended: bool) {
        self.readable = true;
        self.ended |= ended;
        if let Some(tls) = &mut self.tls {
            tls.readable(ended);
        }
    }

    /// Whether a [`read`](Self::read) may give something.
    pub fn is_readable(&self) -> bool {
        self.readable
    }

    /// Reads what came, decrypted. `Ok(0)` is the end. `WouldBlock`: nothing until the loop sees news.
    #[inline]
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let result = match &mut self.tls {
            Some(tls) => {
                let result = tls.read(&mut self.socket, into);
                // An answer to new keys, seldom. What is wrong with the socket, the next flush tells.
                let _ = tls.flush(&mut self.socket);
                result
            }
            None => {
                let room = into.len();
                let result = self.socket.read(into);
                // Less than there was room for: the socket is empty, and asking again would only cost a system call.
                // An end that waits behind the bytes is not announced a second time.
                self.readable = self.ended || !matches!(&result, Ok(n) if *n < room);
                result
            }
        };
        if matches!(&result, Err(e) if e.kind() == io::ErrorKind::WouldBlock) {
            self.readable = false;
        }
        result
    }

    /// Sends some of `bytes`; tells how many were taken. `WouldBlock` when the socket takes none.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.socket.write(bytes) };
        tls.flush(&mut self.socket)?;
        let taken = tls.write(bytes)?;
        match tls.flush(&mut self.socket) {
            // What was taken is sealed; it goes out with the next call.
            Err(e) if is_temporary(&e) => Ok(taken),
            other => other.map(|()| taken),
        }
    }

    /// Sends what TLS still holds.
    pub fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.flush(&mut self.socket),
            None => Ok(()),
        }
    }

    /// Says that nothing more comes, as far as that goes at once.
    pub fn close(mut self, registry: &Registry) {
        if let Some(tls) = &mut self.tls {
            tls.close();
            let _ = tls.flush(&mut self.socket);
        }
        let _ = registry.deregister(&mut self.socket.stream);
    }
}

/// Whether the same call may go through later.
pub(super) fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::net::{Shutdown, TcpListener};
    use std::time::Duration;

    use mio::{Events, Poll};

    use super::*;

    /// The end came before TLS was started, and the handshake waited for it until its deadline.
    #[test]
    fn an_end_that_came_before_tls_was_started_ends_the_handshake() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut poll = Poll::new().unwrap();
        let mut transport = Transport::connect(listener.local_addr().unwrap(), poll.registry(), Token(0)).unwrap();
        let mut peer = listener.accept().unwrap().0;
        // The beginning of a record.
        peer.write_all(&[22, 3, 3, 0]).unwrap();
        peer.shutdown(Shutdown::Write).unwrap();

        let mut events = Events::with_capacity(4);
        let mut is_open = false;
        while !(is_open && transport.ended) {
            poll.poll(&mut events, Some(Duration::from_secs(30))).unwrap();
            assert!(!events.is_empty(), "the end is not announced");
            for event in &events {
                transport.set_readable(event.is_read_closed());
            }
            is_open = transport.finish_connect().unwrap();
        }
        transport.start_tls(&TlsConfig::new(&[]).unwrap(), "exchange.test").unwrap();
        assert_eq!(transport.handshake().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
