//! The phases of a session.

use super::SocketId;
use super::dialer::DialAttempt;
use super::socket::Socket;
use crate::model::Nanos;

/// The phase of a session, with the data that only this phase needs.
pub(super) enum SessionPhase {
    /// No socket, and none is wanted.
    Disconnected,
    /// A socket is wanted, and the pause after the last disconnect is not over.
    Pausing { until: Nanos },
    /// A socket is being opened.
    Dialing(DialAttempt),
    /// TCP is open.
    Online(Box<Socket>),
}

impl SessionPhase {
    /// Returns the socket with this id, if its TCP connection is open.
    #[inline]
    pub fn socket(&mut self, id: SocketId) -> Option<&mut Socket> {
        match self {
            Self::Online(socket) if socket.id() == id => Some(socket),
            _ => None,
        }
    }
}
