//! What the readers of a connection's streams may know of it: whether it is up, on which socket, when it was heard.
//!
//! # Synchronization
//!
//! All fields have one writer, the connection's thread; so each change is a plain store.
//! * `state` holds epoch and up in one word, so they are never seen apart. It is stored after `lost` (LOST-THEN-STATE,
//!   Release) and loaded before it (Acquire): whoever sees a link down or replaced sees the time of that loss, or of a
//!   later one.
//! * `heard` stands alone (Relaxed): a reader that sees an older time finds the link a little more silent than it is.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crossbeam_utils::CachePadded;

use crate::model::{Epoch, Nanos};

/// The shared state of one connection, written by its thread and read by everybody who asks for health.
#[derive(Debug)]
pub struct Link {
    // Alone on its line: stored at every read batch.
    heard: CachePadded<AtomicU64>,
    state: AtomicU64,
    lost: AtomicU64,
}

/// A link at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LinkState {
    pub up: bool,
    pub epoch: Epoch,
    /// When the last socket was lost; the link's creation before there was one.
    pub lost: Nanos,
    /// When data was heard last, on any of its streams. Zero: never.
    pub heard: Nanos,
}

impl Link {
    /// A link that has been down since `now` and had no socket yet.
    pub fn new(now: Nanos) -> Self {
        Self {
            heard: CachePadded::new(AtomicU64::new(0)),
            state: AtomicU64::new(pack(Epoch::default(), false)),
            lost: AtomicU64::new(now.0),
        }
    }

    /// The socket of `epoch` is ready to carry data. If another was still up, it is lost as of `now`.
    pub fn up(&self, epoch: Epoch, now: Nanos) {
        if self.is_up() {
            self.lost.store(now.0, Relaxed);
        }
        // LOST-THEN-STATE: Release, pairs with the Acquire in `state`.
        self.state.store(pack(epoch, true), Release);
    }

    /// The socket was lost. Down twice is down since the first time.
    pub fn down(&self, now: Nanos) {
        if self.is_up() {
            self.lost.store(now.0, Relaxed);
            // LOST-THEN-STATE: Release, pairs with the Acquire in `state`.
            self.state.store(pack(self.epoch(), false), Release);
        }
    }

    /// A frame with data arrived. Once for each batch that is read is enough.
    #[inline]
    pub fn heard_data(&self, now: Nanos) {
        self.heard.store(now.0, Relaxed);
    }

    /// A socket is ready to carry data.
    pub fn is_up(&self) -> bool {
        unpack(self.state.load(Relaxed)).1
    }

    /// The epoch of the newest socket that was up; 0 before the first.
    pub fn epoch(&self) -> Epoch {
        unpack(self.state.load(Relaxed)).0
    }

    pub(super) fn state(&self) -> LinkState {
        // Acquire, pairs with LOST-THEN-STATE in `up` and `down`.
        let (epoch, up) = unpack(self.state.load(Acquire));
        LinkState { up, epoch, lost: Nanos(self.lost.load(Relaxed)), heard: Nanos(self.heard.load(Relaxed)) }
    }
}

fn pack(epoch: Epoch, up: bool) -> u64 {
    u64::from(epoch.0) << 1 | u64::from(up)
}

fn unpack(state: u64) -> (Epoch, bool) {
    (Epoch((state >> 1) as u32), state & 1 == 1)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_link_remembers_its_last_loss_through_the_next_socket() {
        let link = Link::new(Nanos(5));
        let state = |up, epoch, lost| LinkState { up, epoch: Epoch(epoch), lost: Nanos(lost), heard: Nanos(0) };
        assert_eq!(link.state(), state(false, 0, 5));
        link.down(Nanos(6));
        assert_eq!(link.state(), state(false, 0, 5), "it was down already");
        link.up(Epoch(1), Nanos(7));
        assert_eq!(link.state(), state(true, 1, 5));
        link.down(Nanos(8));
        link.down(Nanos(9));
        assert_eq!(link.state(), state(false, 1, 8));
        link.up(Epoch(u32::MAX), Nanos(10));
        assert_eq!(link.state(), state(true, u32::MAX, 8));
    }

    #[test]
    fn a_socket_replaced_while_up_is_lost_at_that_moment() {
        let link = Link::new(Nanos(0));
        link.up(Epoch(1), Nanos(1));
        link.up(Epoch(2), Nanos(20));
        assert_eq!((link.state().epoch, link.state().lost), (Epoch(2), Nanos(20)));
    }
}
