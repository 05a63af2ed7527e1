//! A non-blocking socket, with or without TLS.

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
    /// Whether a read of the socket may return bytes or the end.
    readable: bool,
    /// Whether the peer has closed its side, so that the end follows the last bytes.
    ended: bool,
}

impl Transport {
    /// Starts to open a TCP connection. The socket becomes writable when it is open or has failed.
    pub fn connect(address: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { socket: Socket::new(stream), tls: None, readable: false, ended: false })
    }

    /// Asks the kernel to stamp received bytes, see [`take_arrived`](Self::take_arrived). The kernel then reads its
    /// clock for each packet that the machine receives.
    pub fn stamp_arrivals(&mut self) {
        self.socket.stamp_arrivals();
    }

    /// Takes the time at which the kernel received the last bytes of the newest read, by the wall clock, if it is
    /// known.
    #[inline]
    pub fn take_arrived(&mut self) -> Option<Nanos> {
        self.socket.take_arrived()
    }

    /// Returns true if the TCP connection is open, and false if it is still opening.
    pub fn finish_connect(&mut self) -> io::Result<bool> {
        if let Some(error) = self.socket.stream.take_error()? {
            return Err(error);
        }
        match self.socket.stream.peer_addr() {
            Ok(_) => {
                // Requests and pongs are small and must not be delayed by Nagle's algorithm.
                self.socket.stream.set_nodelay(true)?;
                Ok(true)
            }
            Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Starts TLS. All later bytes are encrypted. The peer has already sent the `received` bytes.
    pub fn start_tls(&mut self, config: &TlsConfig, host: &str, received: &[u8]) -> Result<(), String> {
        let mut tls = Tls::new(config, host, received)?;
        // The event loop does not report an end again that it reported before.
        tls.readable(self.ended);
        self.tls = Some(tls);
        Ok(())
    }

    /// Advances the TLS handshake as far as the socket allows; `WouldBlock` if it is not done.
    pub fn handshake(&mut self) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.handshake(&mut self.socket),
            None => Ok(()),
        }
    }

    /// Explains why [`handshake`](Self::handshake) failed.
    #[cold]
    pub fn explain(&self, error: &io::Error) -> String {
        self.tls.as_ref().map_or_else(|| error.to_string(), |tls| tls.explain(error))
    }

    /// Records that the socket became readable, and with `ended` that the peer has closed its side.
    pub fn set_readable(&mut self, ended: bool) {
        self.readable = true;
        self.ended |= ended;
        if let Some(tls) = &mut self.tls {
            tls.readable(ended);
        }
    }

    /// Returns true if a [`read`](Self::read) may return bytes.
    pub fn is_readable(&self) -> bool {
        self.readable
    }

    /// Reads received bytes, decrypted. `Ok(0)` is the end. After `WouldBlock`, wait for the next readable event.
    #[inline]
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let result = match &mut self.tls {
            Some(tls) => {
                let result = tls.read(&mut self.socket, into);
                // Sends the rare answer to a key update. If the socket is broken, the next flush reports it.
                let _ = tls.flush(&mut self.socket);
                result
            }
            None => {
                let room = into.len();
                let result = self.socket.read(into);
                // A short read means that the socket is empty; reading again would only cost a system call. But the end
                // that follows the bytes is not reported again, so with `ended` reading must continue.
                self.readable = self.ended || !matches!(&result, Ok(n) if *n < room);
                result
            }
        };
        if matches!(&result, Err(e) if e.kind() == io::ErrorKind::WouldBlock) {
            self.readable = false;
        }
        result
    }

    /// Sends some of `bytes` and returns the number taken. `WouldBlock` if the socket takes none.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.socket.write(bytes) };
        tls.flush(&mut self.socket)?;
        let taken = tls.write(bytes)?;
        match tls.flush(&mut self.socket) {
            // The taken bytes are encrypted and go out with the next call.
            Err(e) if is_temporary(&e) => Ok(taken),
            other => other.map(|()| taken),
        }
    }

    /// Sends the encrypted bytes that TLS still holds.
    pub fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.flush(&mut self.socket),
            None => Ok(()),
        }
    }

    /// Closes the socket. Sends TLS's close notification if that is possible at once.
    pub fn close(mut self, registry: &Registry) {
        if let Some(tls) = &mut self.tls {
            tls.close();
            let _ = tls.flush(&mut self.socket);
        }
        let _ = registry.deregister(&mut self.socket.stream);
    }
}

/// Returns true if the same call may succeed later.
pub(super) fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::net::{Shutdown, TcpListener};
    use std::time::Duration;

    use mio::{Events, Poll};

    use super::*;
    use crate::config::Roots;

    /// A past bug: if the end arrived before TLS was started, the handshake waited for it until its deadline.
    #[test]
    fn an_end_before_tls_is_started_ends_the_handshake() {
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
            assert!(!events.is_empty(), "the end is not reported");
            for event in &events {
                transport.set_readable(event.is_read_closed());
            }
            is_open = transport.finish_connect().unwrap();
        }
        transport.start_tls(&TlsConfig::new(&Roots::bundled()).unwrap(), "exchange.test", &[]).unwrap();
        let error = transport.handshake().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(transport.explain(&error).contains("in the middle of the TLS handshake"));
    }
}
