//! Which socket a connection is on, for those who read what came over it.
//!
//! # Synchronization
//!
//! * `newest` holds a socket and whether it is open, in one word. It is stored by the connection's thread before anything that comes over the new socket is published, and
//!   after everything of the old one was (OPENED, Release); readers load it before they look whether their ring is empty
//!   (Acquire). So a ring found empty after that load holds nothing of the socket before.
//! * Each entry of `reasons` is one word with the socket it belongs to, stored before `newest`: an entry for another
//!   socket says nothing.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::Item;
use crate::model::{ConnectionId, Epoch, LossKind};

/// In `newest`: the socket is open.
const OPEN: u64 = 1;

/// Sockets of which is known why the one before ended.
const REASONS: usize = 64;

/// Which socket a connection is on, and why the ones before it ended. Written by the connection's thread.
#[derive(Debug)]
pub struct Sockets {
    connection: ConnectionId,
    newest: AtomicU64,
    reasons: [AtomicU64; REASONS],
}

impl Sockets {
    /// A connection that had no socket yet.
    pub fn new(connection: ConnectionId) -> Self {
        Self { connection, newest: AtomicU64::new(0), reasons: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// A socket was opened, after the last one, or the last try to get one, ended like this.
    pub fn opened(&self, epoch: Epoch, after: Option<LossKind>) {
        // 0 stands for no reason.
        let reason = after.map_or(0, |loss| loss as u64 + 1);
        self.reasons[epoch.0 as usize % REASONS].store(u64::from(epoch.0) << 8 | reason, Relaxed);
        // OPENED: Release, pairs with the Acquire in `newest`.
        self.newest.store(u64::from(epoch.0) << 1 | OPEN, Release);
    }

    /// The socket was lost.
    pub fn lost(&self) {
        // The only writer: no read-modify-write is needed.
        self.newest.store(self.newest.load(Relaxed) & !OPEN, Release);
    }

    /// Which connection.
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }

    fn newest(&self) -> Epoch {
        // Acquire, pairs with OPENED in `opened`.
        Epoch((self.newest.load(Acquire) >> 1) as u32)
    }

    fn reason(&self, epoch: Epoch) -> Option<LossKind> {
        let entry = self.reasons[epoch.0 as usize % REASONS].load(Relaxed);
        if entry >> 8 != u64::from(epoch.0) {
            return None;
        }
        LossKind::from_index((entry as u8).checked_sub(1)?)
    }
}

/// What one reader has seen of a connection's sockets.
pub(super) struct SocketsSeen {
    sockets: Arc<Sockets>,
    seen: Epoch,
}

impl SocketsSeen {
    /// From now on. A socket that is open is nothing new, and of one that is lost the reader has missed nothing.
    pub fn new(sockets: Arc<Sockets>) -> Self {
        let is_open = sockets.newest.load(Relaxed) & OPEN != 0;
        let seen = if is_open { sockets.newest() } else { Epoch::default() };
        Self { sockets, seen }
    }

    /// Starts over at a socket that the reader was told of.
    pub fn begin_at(&mut self, socket: Epoch) {
        self.seen = socket;
    }

    /// Data of this socket comes next. True if it turns from another; the first socket ever is taken as it comes.
    #[inline]
    pub fn is_turn(&mut self, epoch: Epoch) -> bool {
        if self.seen == Epoch::default() {
            self.seen = epoch;
        }
        epoch > self.seen
    }

    /// The connection, and the socket that the reader was told of or had data from.
    pub fn seen(&self) -> (ConnectionId, Epoch) {
        (self.sockets.connection, self.seen)
    }

    /// A socket that the reader has not been told of, and before which it had another.
    pub fn unseen(&self) -> Option<Epoch> {
        let newest = self.sockets.newest();
        (newest > self.seen && self.seen != Epoch::default()).then_some(newest)
    }

    /// Data of this socket comes next: what to tell the reader before it.
    #[inline]
    pub fn arrive<T>(&mut self, new: Epoch) -> Option<Item<T>> {
        if new <= self.seen { None } else { self.turn(new) }
    }

    #[cold]
    fn turn<T>(&mut self, new: Epoch) -> Option<Item<T>> {
        let old = std::mem::replace(&mut self.seen, new);
        let (connection, reason) = (self.sockets.connection, self.sockets.reason(new));
        // Before the first socket there was nothing to lose.
        (old != Epoch::default()).then_some(Item::Epoch { connection, old, new, reason })
    }
}
