//! Tracks the epoch that one reader has reached on a connection, and reports each change in order with the data.

use std::sync::Arc;

use super::Item;
use crate::model::{ConnectionId, Epoch};
use crate::sync::connection::{ConnectionState, Ending};

/// The epoch that one reader has reached on a connection.
pub(super) struct EpochTracker {
    connection: Arc<ConnectionState>,
    seen: Epoch,
}

impl EpochTracker {
    /// Starts at the connection's current socket if it is open. Otherwise starts without a socket, so that the next one
    /// is not reported as a change.
    pub fn new(connection: Arc<ConnectionState>) -> Self {
        let newest = connection.snapshot();
        let seen = if newest.up { newest.epoch } else { Epoch::default() };
        Self { connection, seen }
    }

    /// Restarts at a socket that the reader knows.
    pub fn begin_at(&mut self, socket: Epoch) {
        self.seen = socket;
    }

    /// Returns true if `epoch` is newer than the reader's socket. If the reader has no socket yet, it takes this one.
    #[inline]
    pub fn is_new(&mut self, epoch: Epoch) -> bool {
        if self.seen == Epoch::default() {
            self.seen = epoch;
        }
        epoch > self.seen
    }

    /// Returns the connection, and the newest socket that was reported to the reader or brought it data.
    pub fn seen(&self) -> (ConnectionId, Epoch) {
        (self.connection.id(), self.seen)
    }

    /// Returns the newest socket, if the reader has an older one.
    pub fn unseen(&self) -> Option<Epoch> {
        let newest = self.connection.newest();
        (newest > self.seen && self.seen != Epoch::default()).then_some(newest)
    }

    /// Moves to a socket. Returns the change that the reader must see before the socket's data, if there is one.
    #[inline]
    pub fn advance<T>(&mut self, new: Epoch) -> Option<Item<T>> {
        if new <= self.seen { None } else { self.change(new) }
    }

    #[cold]
    fn change<T>(&mut self, new: Epoch) -> Option<Item<T>> {
        let old = std::mem::replace(&mut self.seen, new);
        let (connection, ending) = (self.connection.id(), self.connection.ended_before(new));
        let Ending { reason, heard: since } = ending;
        // The first socket is not a change.
        (old != Epoch::default()).then_some(Item::Epoch { connection, old, new, reason, since })
    }
}
