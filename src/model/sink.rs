//! Where decoded messages go. The lower rooms hand them up through this trait; the engine implements it.

use super::{ConnectionId, Epoch, Nanos, Noun};

/// What is known about a frame before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// On which connection.
    pub connection: ConnectionId,
    /// On which of its sockets.
    pub epoch: Epoch,
    /// When its bytes were read from the socket.
    pub received: Nanos,
}

/// Takes decoded messages on the connection's thread. Implementations must not block, allocate in steady state or log.
///
/// One that treats some type of message in its own way looks at [`Noun::KIND`], or asks [`Any`](std::any::Any) for it; both
/// are settled when the program is compiled.
pub trait Sink {
    /// A message arrived.
    fn deliver<T: Noun>(&mut self, receipt: Receipt, message: &T);
}
