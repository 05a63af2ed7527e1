//! The sources of a feed: one for each part of a connection's data that is kept in its own way.

use std::any::TypeId;

use super::Item;
use super::broadcast::Joining;
use crate::model::{ConnectionId, Epoch, Nanos};

/// A source of items from one connection.
pub(super) trait Source<T>: Send {
    /// Pops the next item, if there is one. Never waits.
    fn pop(&mut self) -> Option<Item<T>>;

    /// Returns true if there is something to pop. May skip records of other readers' streams.
    fn is_ready(&mut self) -> bool;

    /// Returns the connection, and the newest socket that the source has reported or returned data of.
    fn epoch(&self) -> (ConnectionId, Epoch);

    /// Restarts at the socket that the reader knows. The source reports a later socket before its data.
    fn begin_at(&mut self, socket: Epoch);

    /// Returns the number of waiting updates.
    fn len(&self) -> usize;

    /// Returns the time at which the next throttled update can be popped.
    fn next_due(&self) -> Option<Nanos> {
        None
    }

    /// Informs the writer of a shared ring that the reader sleeps and must be woken, or that it is awake again.
    fn set_waiting(&self, _waiting: bool) {}

    /// Adds streams if the source reads this connection and type from a shared ring. Returns the streams that it did
    /// not add.
    fn add_streams(&mut self, _connection: ConnectionId, _carries: TypeId, joining: Joining<T>) -> Joining<T> {
        joining
    }
}
