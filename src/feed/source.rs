//! What a feed reads from: one source for each connection and way of keeping.

use std::any::TypeId;

use super::Item;
use super::broadcast::Joining;
use crate::model::{ConnectionId, Epoch, Nanos};

/// Where items come from.
pub(super) trait Source<T>: Send {
    /// The next item, if there is one. Never waits.
    fn pop(&mut self) -> Option<Item<T>>;

    /// There is something to pop. May skip what is not for this reader.
    fn is_ready(&mut self) -> bool;

    /// Its connection, and the socket of which it has given something or told.
    fn epoch(&self) -> (ConnectionId, Epoch);

    /// Starts over at the socket that the reader knows. A later socket is reported before anything that it brought.
    fn begin_at(&mut self, socket: Epoch);

    /// How many updates wait.
    fn len(&self) -> usize;

    /// When something can be popped that cannot be popped yet.
    fn next_due(&self) -> Option<Nanos> {
        None
    }

    /// The reader falls asleep, or has woken, and wants to be woken by the writer of a ring that it shares.
    fn set_waiting(&self, _waiting: bool) {}

    /// Takes more streams of this connection and type; gives them back if it is not of that kind.
    fn add_streams(&mut self, _connection: ConnectionId, _carries: TypeId, joining: Joining<T>) -> Joining<T> {
        joining
    }
}
