//! The sockets of one connection, as the event loop keeps them.

use std::io;

use mio::Token;
use rustix::io::Errno;

use super::tls::explain_broken;
use super::transport::{Transport, is_temporary};
use crate::session::{Closed, SocketId};

/// One socket and its stage.
pub(super) struct SocketEntry {
    pub socket: SocketId,
    pub transport: Transport,
    pub stage: Stage,
}

/// The stage of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// The TCP connection is being opened.
    Connecting,
    /// The TLS handshake is running.
    Securing,
    /// Bytes are read and written.
    Open,
    /// A write failed, for this reason. The bytes that the kernel has received are read before the failure is reported,
    /// because they contain the peer's last messages, which may say why it closed.
    Draining(Closed),
}

/// A stage that a socket completed.
pub(super) enum Progress {
    Connected,
    Secured,
}

impl SocketEntry {
    /// Advances an opening socket as far as possible without waiting. Returns the stage that it completed, if any.
    pub fn progress(&mut self) -> Result<Option<Progress>, Closed> {
        let progress = match self.stage {
            Stage::Connecting => self.transport.finish_connect().map(|open| open.then_some(Progress::Connected)),
            Stage::Securing => self.transport.handshake().map(|()| Some(Progress::Secured)),
            Stage::Open | Stage::Draining(_) => return Ok(None),
        };
        match progress {
            Ok(Some(progress)) => {
                self.stage = Stage::Open;
                Ok(Some(progress))
            }
            Ok(None) => Ok(None),
            Err(e) if self.stage == Stage::Connecting => Err(Closed::Io(e.kind())),
            Err(e) if is_temporary(&e) => Ok(None),
            Err(e) => {
                let why = self.transport.explain(&e);
                Err(if e.kind() == io::ErrorKind::InvalidData { Closed::Tls(why) } else { Closed::TlsEnded(why) })
            }
        }
    }

    /// Returns true if a read may return bytes.
    pub fn is_readable(&self) -> bool {
        matches!(self.stage, Stage::Open | Stage::Draining(_)) && self.transport.is_readable()
    }

    /// Stops writing, for this reason. Reads continue to the end of the received bytes.
    #[cold]
    pub fn stop_writing(&mut self, why: Closed) {
        self.transport.set_readable(false);
        self.stage = Stage::Draining(why);
    }
}

/// The sockets of one connection, in the order in which they were dialed.
#[derive(Default)]
pub(super) struct SocketTable(Vec<SocketEntry>);

impl SocketTable {
    pub fn add(&mut self, entry: SocketEntry) {
        self.0.push(entry);
    }

    #[inline]
    pub fn find(&mut self, socket: SocketId) -> Option<&mut SocketEntry> {
        self.0.iter_mut().find(|entry| entry.socket == socket)
    }

    /// Returns the socket with an event loop token.
    pub fn of(&mut self, token: Token) -> Option<&mut SocketEntry> {
        self.0.iter_mut().find(|entry| token_of(entry.socket) == token)
    }

    /// Returns the first socket that was dialed after `last`. A loop over the sockets with this function stays valid
    /// while sockets are added and removed.
    pub fn after(&mut self, last: SocketId) -> Option<&mut SocketEntry> {
        self.0.iter_mut().find(|entry| entry.socket > last)
    }

    pub fn remove(&mut self, socket: SocketId) -> Option<SocketEntry> {
        let at = self.0.iter().position(|entry| entry.socket == socket)?;
        Some(self.0.remove(at))
    }

    /// Removes all sockets.
    pub fn take_all(&mut self) -> Vec<SocketEntry> {
        std::mem::take(&mut self.0)
    }

    /// Returns true if a read of any socket may return bytes.
    pub fn is_any_readable(&self) -> bool {
        self.0.iter().any(SocketEntry::is_readable)
    }
}

/// Returns the event loop token of a socket.
pub(super) fn token_of(socket: SocketId) -> Token {
    Token(socket.0 as usize)
}

/// Converts an error of the attempt to create a socket.
pub(super) fn create_reason(error: &io::Error) -> Closed {
    // `ErrorKind` has no names for most of them.
    match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => Closed::OutOfResources(error.to_string()),
        _ => Closed::Io(error.kind()),
    }
}

/// Converts an error of a socket. Errors of kind `InvalidData` come from TLS, all others from the network.
pub(super) fn close_reason(error: &io::Error) -> Closed {
    match error.kind() {
        io::ErrorKind::InvalidData => Closed::Tls(explain_broken(error)),
        kind => Closed::Io(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_descriptors_or_memory_is_not_a_fault_of_the_network() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            let error = io::Error::from(errno);
            assert_eq!(create_reason(&error), Closed::OutOfResources(error.to_string()));
        }
        assert!(io::Error::from(Errno::MFILE).to_string().contains("open files"));
        assert_eq!(create_reason(&Errno::CONNREFUSED.into()), Closed::Io(io::ErrorKind::ConnectionRefused));
    }
}
