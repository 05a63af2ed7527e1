//! The sockets of one connection, as the event loop keeps them.

use std::io;

use mio::Token;

use super::transport::{Transport, is_temporary};
use crate::session::{Closed, SocketId};

/// One socket, and how far it is.
pub(super) struct Link {
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
    Ending(Closed),
}

/// A socket has come further.
pub(super) enum Progress {
    Connected,
    Secured,
}

impl Link {
    /// Takes an opening socket on as far as it goes at once. `None` if there is nothing to tell the session.
    pub fn progress(&mut self) -> Result<Option<Progress>, Closed> {
        let progress = match self.stage {
            Stage::Connecting => self.transport.finish_connect().map(|open| open.then_some(Progress::Connected)),
            Stage::Securing => self.transport.handshake().map(|()| Some(Progress::Secured)),
            Stage::Open | Stage::Ending(_) => return Ok(None),
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
            Err(e) => Err(how_it_ended(&e)),
        }
    }

    /// Whether a read may bring something.
    pub fn is_readable(&self) -> bool {
        matches!(self.stage, Stage::Open | Stage::Ending(_)) && self.transport.is_readable()
    }

    /// Nothing more can be sent. The next read goes on to the end of what was received.
    #[cold]
    pub fn stop_writing(&mut self, why: Closed) {
        self.transport.set_readable(false);
        self.stage = Stage::Ending(why);
    }
}

/// The sockets of one connection, each under its id, in the order in which they were dialed.
#[derive(Default)]
pub(super) struct Links(Vec<Link>);

impl Links {
    pub fn add(&mut self, link: Link) {
        self.0.push(link);
    }

    #[inline]
    pub fn find(&mut self, socket: SocketId) -> Option<&mut Link> {
        self.0.iter_mut().find(|link| link.socket == socket)
    }

    /// The socket that the event loop knows by this token.
    pub fn of(&mut self, token: Token) -> Option<&mut Link> {
        self.0.iter_mut().find(|link| token_of(link.socket) == token)
    }

    /// The first socket that was dialed after `last`. So a walk over all of them bears that some go and come meanwhile.
    pub fn after(&mut self, last: SocketId) -> Option<&mut Link> {
        self.0.iter_mut().find(|link| link.socket > last)
    }

    pub fn remove(&mut self, socket: SocketId) -> Option<Link> {
        let at = self.0.iter().position(|link| link.socket == socket)?;
        Some(self.0.remove(at))
    }

    /// A read may bring something.
    pub fn is_any_readable(&self) -> bool {
        self.0.iter().any(Link::is_readable)
    }
}

/// The token of the event loop for a socket.
pub(super) fn token_of(socket: SocketId) -> Token {
    Token(socket.0 as usize)
}

/// What TLS refuses is reported as invalid data; all else is the network's.
pub(super) fn how_it_ended(error: &io::Error) -> Closed {
    match error.kind() {
        io::ErrorKind::InvalidData => Closed::Tls(error.to_string()),
        kind => Closed::Io(kind),
    }
}
