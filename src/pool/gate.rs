//! Decides which arrival is newest and which is refused. Pure: no cell, no clock.
//!
//! The rules, in order:
//! 1. An older epoch is refused (`OldEpoch`): its socket is gone, whatever the kernel or TLS still had buffered.
//! 2. An event whose id is among the last 256 is refused (`Duplicate`), across epochs: after a reconnect the exchange
//!    repeats the most recent trade as a snapshot. It is no news. If it is in the place of the value that is there, it
//!    proves that this one still holds: the publisher renews its epoch and stamps, and its version stays. The duplicate's
//!    place in the order opens the new epoch.
//! 3. The first arrival of a newer epoch wins, whatever its place in the order: an exchange whose clock was set back
//!    must not freeze the stream.
//! 4. Inside an epoch an older place in the order is refused (`Late`); an equal one wins, because states change within
//!    a millisecond.
//! 5. The [`LATE_MAX`]th late arrival in a row wins all the same: one wrong time stamp from the future must not freeze
//!    the stream. Duplicates neither count towards it nor interrupt the row: they say nothing that was not known before.

use super::publisher::Verdict;
use crate::model::{Epoch, Nature, Noun};

/// The exchange was seen to send two frames late at most, and never twice in a row.
const LATE_MAX: u32 = 8;

/// The order gate of one stream.
pub(super) struct Gate<T: Noun> {
    epoch: Epoch,
    // The newest place in the order of this epoch.
    newest: Option<T::Order>,
    late_in_a_row: u32,
    // Boxed: streams of states have none, and it is larger than the rest together.
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

    /// Judges an arrival and remembers it.
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

    /// What an arrival that was judged [`Verdict::Late`] or [`Verdict::Duplicate`] came too late for.
    #[inline]
    pub fn newest(&self) -> Option<T::Order> {
        self.newest
    }

    /// The stream moves to another connection, whose epochs count anew. Ids that were seen stay seen.
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
/// Ids nearly always rise, and one above all before is new at once; only others are searched for.
struct Seen {
    ids: [u64; Seen::LEN],
    // How many were inserted; the next one goes to `count % LEN`.
    count: usize,
    highest: u64,
}

impl Seen {
    /// Enough to span what a reconnect can repeat (one snapshot) and what an exchange delivers twice in a burst.
    const LEN: usize = 256;

    /// False if the id is among the last ones.
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
