//! A TCP socket that can also report when the kernel received the bytes of a read.
//!
//! A read that takes several segments gets one stamp, that of the segment with the last bytes. The bytes before it have
//! waited longer.

use std::io::{self, Read, Write};

use mio::net::TcpStream;

use crate::model::Nanos;
use arrivals::Arrivals;

/// One in this many reads asks for the stamp, because such a read takes longer.
const STAMPED: u32 = 8;

/// A socket. Without stamps, a read is a plain read of the stream.
pub(super) struct Socket {
    pub stream: TcpStream,
    arrivals: Option<Arrivals>,
    /// The stamp of the newest read, until it is taken.
    arrived: Option<Nanos>,
    /// The number of reads since stamps were requested.
    reads: u32,
}

impl Socket {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, arrivals: None, arrived: None, reads: 0 }
    }

    /// Requests stamps: from now on, some reads learn when the kernel received the bytes, if the system supports it.
    pub fn stamp_arrivals(&mut self) {
        self.arrivals = Arrivals::of(&self.stream);
    }

    /// Takes the time at which the kernel received the last bytes of the newest read, by the wall clock
    /// ([`wall`](super::clock::wall)).
    #[inline]
    pub fn take_arrived(&mut self) -> Option<Nanos> {
        self.arrived.take()
    }
}

impl Read for Socket {
    #[inline]
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(arrivals) = &mut self.arrivals else { return self.stream.read(into) };
        // A stamp belongs to the read that brought it, not to a later one.
        self.arrived = None;
        let is_stamped = self.reads.is_multiple_of(STAMPED);
        let n = if is_stamped {
            let (n, arrived) = arrivals.read(&self.stream, into)?;
            self.arrived = arrived;
            n
        } else {
            self.stream.read(into)?
        };
        self.reads = self.reads.wrapping_add(1);
        Ok(n)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Linux stamps packets as they leave the network device's queue, and returns the stamp in a control message.
#[cfg(target_os = "linux")]
mod arrivals {
    use std::io::{self, IoSliceMut};
    use std::os::fd::AsRawFd;

    use mio::net::TcpStream;
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt::ReceiveTimestampns};
    use nix::sys::time::TimeSpec;

    use crate::model::Nanos;

    /// The buffer for control messages.
    pub(super) struct Arrivals(Vec<u8>);

    impl Arrivals {
        /// Returns `None` if the system refuses.
        pub fn of(stream: &TcpStream) -> Option<Self> {
            setsockopt(stream, ReceiveTimestampns, &true).ok()?;
            Some(Self(nix::cmsg_space!(TimeSpec)))
        }

        pub fn read(&mut self, stream: &TcpStream, into: &mut [u8]) -> io::Result<(usize, Option<Nanos>)> {
            stream.try_io(|| {
                let mut parts = [IoSliceMut::new(into)];
                let read = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut self.0), MsgFlags::empty())?;
                // The first packets after the machine's first socket with stamps may have none.
                let mut beside = read.cmsgs().into_iter().flatten();
                Ok((read.bytes, beside.find_map(stamp)))
            })
        }
    }

    fn stamp(beside: ControlMessageOwned) -> Option<Nanos> {
        let ControlMessageOwned::ScmTimestampns(time) = beside else { return None };
        let (seconds, nanos) = (u64::try_from(time.tv_sec()).ok()?, u64::try_from(time.tv_nsec()).ok()?);
        Some(Nanos(seconds * 1_000_000_000 + nanos))
    }
}

/// Other systems do not support stamps for TCP.
#[cfg(not(target_os = "linux"))]
mod arrivals {
    use std::convert::Infallible;
    use std::io;

    use mio::net::TcpStream;

    use crate::model::Nanos;

    pub(super) struct Arrivals(Infallible);

    impl Arrivals {
        pub fn of(_: &TcpStream) -> Option<Self> {
            None
        }

        pub fn read(&mut self, _: &TcpStream, _: &mut [u8]) -> io::Result<(usize, Option<Nanos>)> {
            match self.0 {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream as Peer};
    use std::time::Duration;

    use super::*;

    /// Sends a byte from the peer and reads it.
    fn pass_a_byte(peer: &mut Peer, socket: &mut Socket) {
        peer.write_all(b"x").unwrap();
        while socket.read(&mut [0; 8]).is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// A past bug: the first data, a round trip after the handshake, got the stamp of the handshake.
    #[test]
    fn a_stamp_that_was_not_taken_is_not_used_for_later_bytes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = Peer::connect(listener.local_addr().unwrap()).unwrap();
        stream.set_nonblocking(true).unwrap();
        let (mut peer, mut socket) = (listener.accept().unwrap().0, Socket::new(TcpStream::from_std(stream)));
        socket.stamp_arrivals();
        let mut stamped = 0;
        // The first packets may have no stamp.
        for read in 0..2_000 * STAMPED {
            pass_a_byte(&mut peer, &mut socket);
            stamped += u32::from(socket.arrived.is_some());
            assert!(socket.arrived.is_none() || read % STAMPED == 0, "read {read}");
            if stamped == 3 {
                break;
            }
            // The kernel enables stamping after a delay.
            if cfg!(target_os = "linux") && stamped == 0 && read % STAMPED == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        assert_eq!(stamped > 0, cfg!(target_os = "linux"));
    }
}
