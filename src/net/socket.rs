//! One TCP socket, which may also say when the kernel had received what was read.
//!
//! With several segments in one read there is one stamp, that of the segment whose bytes are the last: what came before
//! it has waited longer.

use std::io::{self, Read, Write};

use mio::net::TcpStream;

use crate::model::Nanos;
use arrivals::Arrivals;

/// One read in so many asks for the stamp, which takes longer.
const STAMPED: u32 = 8;

/// A socket. Without stamps, reading it is reading the stream.
pub(super) struct Socket {
    pub stream: TcpStream,
    arrivals: Option<Arrivals>,
    /// The stamp of the newest read, if nobody has taken it.
    arrived: Option<Nanos>,
    /// Reads since stamps were asked for.
    reads: u32,
}

impl Socket {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, arrivals: None, arrived: None, reads: 0 }
    }

    /// From now on, some reads learn when the kernel had received the bytes, where it says so.
    pub fn stamp_arrivals(&mut self) {
        self.arrivals = Arrivals::of(&self.stream);
    }

    /// When the kernel had received the last of the newest bytes, by the wall clock ([`wall`](super::clock::wall)). Told
    /// once.
    #[inline]
    pub fn take_arrived(&mut self) -> Option<Nanos> {
        self.arrived.take()
    }
}

impl Read for Socket {
    #[inline]
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.arrivals {
            Some(arrivals) if self.reads.is_multiple_of(STAMPED) => {
                let (n, arrived) = arrivals.read(&self.stream, into)?;
                self.arrived = arrived;
                self.reads += 1;
                Ok(n)
            }
            Some(_) => {
                self.reads += 1;
                self.stream.read(into)
            }
            None => self.stream.read(into),
        }
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

/// Linux stamps packets as they leave the network device's queue, and hands the stamp out beside the bytes.
#[cfg(target_os = "linux")]
mod arrivals {
    use std::io::{self, IoSliceMut};
    use std::os::fd::AsRawFd;

    use mio::net::TcpStream;
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt::ReceiveTimestampns};
    use nix::sys::time::TimeSpec;

    use crate::model::Nanos;

    /// Room for what comes beside the bytes.
    pub(super) struct Arrivals(Vec<u8>);

    impl Arrivals {
        /// Nothing if the system refuses.
        pub fn of(stream: &TcpStream) -> Option<Self> {
            setsockopt(stream, ReceiveTimestampns, &true).ok()?;
            Some(Self(nix::cmsg_space!(TimeSpec)))
        }

        pub fn read(&mut self, stream: &TcpStream, into: &mut [u8]) -> io::Result<(usize, Option<Nanos>)> {
            stream.try_io(|| {
                let mut parts = [IoSliceMut::new(into)];
                let read = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut self.0), MsgFlags::empty())?;
                // The first packets after the first socket that asks may come without.
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

/// Other systems do not say it of TCP.
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
