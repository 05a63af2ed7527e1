//! The number of a socket within its connection.

/// Identifies one socket of a connection, from the attempt to open it to its end. A connection never uses an id twice,
/// so late news is never taken for news of another socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SocketId(pub u32);

impl SocketId {
    /// Returns the next id of the same connection.
    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
