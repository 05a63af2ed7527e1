//! The interface that receives decoded messages. Lower rooms call it; the engine and its router implement it.

use super::{ConnectionId, Epoch, Nanos, Noun, StreamKey};

/// What is known about a frame before it is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The connection that received it.
    pub connection: ConnectionId,
    /// The epoch of that connection's socket.
    pub epoch: Epoch,
    /// When the bytes were read from the socket.
    pub received: Nanos,
}

/// Receives decoded messages on the connection's thread. Implementations must not block, log, or allocate in steady
/// state.
///
/// An implementation that treats one message type differently checks [`Noun::KIND`] or uses [`Any`](std::any::Any). The
/// compiler resolves both.
pub trait Sink {
    /// Handles one message.
    fn deliver<T: Noun>(&mut self, receipt: Receipt, message: &T);

    /// Handles a message that could not be read. `stream` is its stream, if its type and its code could be read. A list
    /// causes one call for each element that could not be read.
    fn refuse(&mut self, receipt: Receipt, stream: Option<StreamKey>) {
        let _ = (receipt, stream);
    }
}
