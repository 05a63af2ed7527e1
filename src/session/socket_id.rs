//! What tells the sockets of one connection apart.

/// One socket of a connection, from the try to open it to its end. A connection never uses one twice, so news that comes
/// late cannot be taken for that of another socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SocketId(pub u32);

impl SocketId {
    /// The next one of the same connection.
    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
