//! The sockets of one connection, as the event loop keeps them.

use std::io;

use mio::Token;

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
    /// A write failed, for this reason. The received bytes are read before the failure is reported, because they
    /// contain the peer's last messages and may say why it closed.
    Draining(Closed),
}

/// A stage that a socket completed.
pub(super) enum Progress {
    Connected,
    Secured,
}

impl SocketEntry {
    /// Advances an opening socket as far as possible without waiting. Returns `None` if the session need not know.
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
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(Closed::Eof),
            Err(e) => Err(close_reason(&e)),
        }
    }

    /// Returns true if a read may return bytes.
    pub fn is_readable(&self) -> bool {
        matches!(self.stage, Stage::Open | Stage::Draining(_)) && self.transport.is_readable()
    }

    /// Ends writing. The next reads continue to the end of the received bytes.
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

    /// Returns the first socket that was dialed after `last`. A walk with this stays valid while sockets are added and
    /// removed.
    pub fn after(&mut self, last: SocketId) -> Option<&mut SocketEntry> {
        self.0.iter_mut().find(|entry| entry.socket > last)
    }

    pub fn remove(&mut self, socket: SocketId) -> Option<SocketEntry> {
        let at = self.0.iter().position(|entry| entry.socket == socket)?;
        Some(self.0.remove(at))
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

/// Converts an error. TLS failures are reported as invalid data; all others come from the network.
pub(super) fn close_reason(error: &io::Error) -> Closed {
    match error.kind() {
        io::ErrorKind::InvalidData => Closed::Tls(error.to_string()),
        kind => Closed::Io(kind),
    }
}
