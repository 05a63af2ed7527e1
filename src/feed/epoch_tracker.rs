//! Tracks the epoch that one reader has reached on a connection, and reports each change in order with the data.

use std::sync::Arc;

use super::Item;
use crate::model::{ConnectionId, Epoch};
use crate::sync::connection::ConnectionState;

/// The epoch that one reader has reached on a connection.
pub(super) struct EpochTracker {
    connection: Arc<ConnectionState>,
    seen: Epoch,
}

impl EpochTracker {
    /// From now on. A socket that is open is nothing new, and of one that ended the reader has missed nothing.
    pub fn new(connection: Arc<ConnectionState>) -> Self {
        let newest = connection.snapshot();
        let seen = if newest.up { newest.epoch } else { Epoch::default() };
        Self { connection, seen }
    }

    /// Starts over at a socket that the reader was told of.
    pub fn begin_at(&mut self, socket: Epoch) {
        self.seen = socket;
    }

    /// Data of this socket comes next. True if it turns from another; the first socket ever is taken as it comes.
    #[inline]
    pub fn is_new(&mut self, epoch: Epoch) -> bool {
        if self.seen == Epoch::default() {
            self.seen = epoch;
        }
        epoch > self.seen
    }

    /// The connection, and the socket that the reader was told of or had data from.
    pub fn seen(&self) -> (ConnectionId, Epoch) {
        (self.connection.id(), self.seen)
    }

    /// A socket that the reader has not been told of, and before which it had another.
    pub fn unseen(&self) -> Option<Epoch> {
        let newest = self.connection.newest();
        (newest > self.seen && self.seen != Epoch::default()).then_some(newest)
    }

    /// Data of this socket comes next: what to tell the reader before it.
    #[inline]
    pub fn advance<T>(&mut self, new: Epoch) -> Option<Item<T>> {
        if new <= self.seen { None } else { self.change(new) }
    }

    #[cold]
    fn change<T>(&mut self, new: Epoch) -> Option<Item<T>> {
        let old = std::mem::replace(&mut self.seen, new);
        let (connection, reason) = (self.connection.id(), self.connection.ended_before(new));
        // Before the first socket there was nothing to lose.
        (old != Epoch::default()).then_some(Item::Epoch { connection, old, new, reason })
    }
}
