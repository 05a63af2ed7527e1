//! The order gate: decides for each arrival whether it becomes the newest value. Pure: no cell, no clock.
//!
//! The rules, in order:
//! 1. An arrival of an older epoch is refused (`OldEpoch`): it comes from a closed socket's buffers.
//! 2. An event whose id is among the last 256 is refused (`Duplicate`), across epochs: after a reconnect the exchange
//!    repeats the most recent trade as a snapshot. If the duplicate has the same order as the newest value, it proves
//!    that this value still holds: the publisher renews the value's epoch and stamps and keeps its version. A duplicate
//!    also opens a new epoch, with its order.
//! 3. The first arrival of a newer epoch wins, even with an older order: an exchange whose clock was set back must not
//!    freeze the stream.
//! 4. Inside an epoch an arrival with an older order is refused (`Late`). An equal order wins, because states change
//!    within a millisecond.
//! 5. The [`LATE_MAX`]th late arrival in a row wins anyway: one wrong time stamp from the future must not freeze the
//!    stream. A duplicate carries no new information, so it neither counts as late nor interrupts the row.

use super::publisher::Verdict;
use crate::model::{Epoch, Nature, Noun};

/// The exchange was observed to send at most two late frames, and never two in a row.
const LATE_MAX: u32 = 8;

/// The order gate of one stream.
pub(super) struct Gate<T: Noun> {
    epoch: Epoch,
    // The newest order of this epoch.
    newest: Option<T::Order>,
    late_in_a_row: u32,
    // Boxed because streams of states have none, and it is larger than the other fields together.
    seen: Option<Box<Seen>>,
}

impl<T: Noun> Gate<T> {
    pub fn new() -> Self {
        Self {
            epoch: Epoch::default(),
            newest: None,
            late_in_a_row: 0,
            seen: (T::NATURE == Nature::Occurrence).then(Box::default),
        }
    }

    /// Returns the verdict on an arrival, and remembers the arrival.
    #[inline]
    pub fn judge(&mut self, epoch: Epoch, value: &T) -> Verdict {
        if epoch < self.epoch {
            return Verdict::OldEpoch;
        }
        let order = value.order();
        let duplicate = self.has_seen(value);
        let in_order = self.newest.is_none_or(|newest| order >= newest);
        if !duplicate {
            self.late_in_a_row = if in_order { 0 } else { self.late_in_a_row + 1 };
        }
        let opens = epoch > self.epoch;
        let newer = in_order || self.late_in_a_row >= LATE_MAX;
        if opens || (newer && !duplicate) {
            (self.epoch, self.newest, self.late_in_a_row) = (epoch, Some(order), 0);
        }
        match (duplicate, opens || newer) {
            (true, _) => Verdict::Duplicate,
            (false, true) => Verdict::Published,
            (false, false) => Verdict::Late,
        }
    }

    /// Returns the newest order of the epoch. A [`Verdict::Late`] arrival is older than this.
    #[inline]
    pub fn newest(&self) -> Option<T::Order> {
        self.newest
    }

    /// Moves the stream to another connection, whose epochs start again. Known ids stay known.
    pub fn reopen(&mut self) {
        (self.epoch, self.newest) = (Epoch::default(), None);
    }

    #[inline]
    fn has_seen(&mut self, value: &T) -> bool {
        match (value.id(), &mut self.seen) {
            (Some(id), Some(seen)) => !seen.insert(id),
            _ => false,
        }
    }
}

/// The last [`Seen::LEN`] different ids of a stream.
///
/// Ids nearly always rise. An id above `highest` is new without a search.
struct Seen {
    ids: [u64; Seen::LEN],
    // The number of inserted ids; the next one goes to `count % LEN`.
    count: usize,
    highest: u64,
}

impl Seen {
    /// Covers what a reconnect can repeat (one snapshot) and what the exchange delivers twice in a burst.
    const LEN: usize = 256;

    /// Adds an id. Returns false if it is among the last ones.
    #[inline]
    fn insert(&mut self, id: u64) -> bool {
        if self.count > 0 && id <= self.highest && self.holds(id) {
            return false;
        }
        self.ids[self.count % Self::LEN] = id;
        self.count += 1;
        self.highest = self.highest.max(id);
        true
    }

    #[cold]
    fn holds(&self, id: u64) -> bool {
        self.ids[..self.count.min(Self::LEN)].contains(&id)
    }
}

impl Default for Seen {
    fn default() -> Self {
        Self { ids: [0; Self::LEN], count: 0, highest: 0 }
    }
}
