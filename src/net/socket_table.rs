//! The sockets of one connection, as the event loop keeps them.

use std::io;

use mio::Token;

use super::transport::{Transport, is_temporary};
use crate::session::{Closed, SocketId};

/// One socket, and how far it is.
pub(super) struct SocketEntry {
    pub socket: SocketId,
    pub transport: Transport,
    pub stage: Stage,
}

/// How far a socket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// TCP is being opened.
    Connecting,
    /// TLS is being agreed.
    Securing,
    /// Bytes are read and written.
    Open,
    /// A write has failed, for this reason. What the kernel holds is read before that is reported: the peer's last
    /// messages, and why it closed.
    Draining(Closed),
}

/// A socket has come further.
pub(super) enum Progress {
    Connected,
    Secured,
}

impl SocketEntry {
    /// Takes an opening socket on as far as it goes at once. `None` if there is nothing to tell the session.
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

    /// Whether a read may bring something.
    pub fn is_readable(&self) -> bool {
        matches!(self.stage, Stage::Open | Stage::Draining(_)) && self.transport.is_readable()
    }

    /// Nothing more can be sent. The next read goes on to the end of what was received.
    #[cold]
    pub fn stop_writing(&mut self, why: Closed) {
        self.transport.set_readable(false);
        self.stage = Stage::Draining(why);
    }
}

/// The sockets of one connection, each under its id, in the order in which they were dialed.
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

    /// The socket that the event loop knows by this token.
    pub fn of(&mut self, token: Token) -> Option<&mut SocketEntry> {
        self.0.iter_mut().find(|entry| token_of(entry.socket) == token)
    }

    /// The first socket that was dialed after `last`. So a walk over all of them bears that some go and come meanwhile.
    pub fn after(&mut self, last: SocketId) -> Option<&mut SocketEntry> {
        self.0.iter_mut().find(|entry| entry.socket > last)
    }

    pub fn remove(&mut self, socket: SocketId) -> Option<SocketEntry> {
        let at = self.0.iter().position(|entry| entry.socket == socket)?;
        Some(self.0.remove(at))
    }

    /// A read may bring something.
    pub fn is_any_readable(&self) -> bool {
        self.0.iter().any(SocketEntry::is_readable)
    }
}

/// The token of the event loop for a socket.
pub(super) fn token_of(socket: SocketId) -> Token {
    Token(socket.0 as usize)
}

/// What TLS refuses is reported as invalid data; all else is the network's.
pub(super) fn close_reason(error: &io::Error) -> Closed {
    match error.kind() {
        io::ErrorKind::InvalidData => Closed::Tls(error.to_string()),
        kind => Closed::Io(kind),
    }
}
