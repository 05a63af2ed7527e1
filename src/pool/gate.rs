//! The order gate: decides for each arrival whether it becomes the newest value. Pure: no cell, no clock.
//!
//! The rules, in order:
//! 1. An arrival of an older epoch is refused (`OldEpoch`): it comes from a closed socket's buffers.
//! 2. An event that is among the last 256 is refused (`Duplicate`), across epochs: after a reconnect the exchange
//!    repeats the most recent trade as a snapshot. If the duplicate has the same order as the newest value, it proves
//!    that this value still holds: the publisher renews the value's epoch and stamps and keeps its version. A duplicate
//!    also opens a new epoch, with its order. An event is known by its id and its contents: an id that was seen with
//!    other contents is another event, judged by its order, and counted as a clash.
//! 3. The first arrival of a newer epoch wins, even with an older order: an exchange whose clock was set back must not
//!    freeze the stream.
//! 4. Inside an epoch an arrival with an older order is refused (`Late`). An equal order wins, because states change
//!    within a millisecond.
//! 5. A newest time that cannot be true does not bar later values. If an arrival is older than the newest value by more
//!    than [`TOLERANCE`], and the connection's [`Timeline`] does not confirm the newest time, the order goes back to
//!    what it was before times were in doubt, and the arrival is judged by that. The value with the impossible time was
//!    published, because nothing showed yet who is wrong, and is replaced by the next one. If the connection's clock is
//!    right, an arrival with a time far in the past stays `Late`: a state that old says nothing new, and feeds deliver
//!    late trades.
//! 6. The [`LATE_MAX`]th late arrival in a row wins anyway, so that no mistake in the order freezes the stream. A
//!    duplicate carries no new information, so it neither counts as late nor interrupts the row.

use super::publisher::Verdict;
use super::timeline::{TOLERANCE, Timeline};
use crate::model::{Epoch, Fingerprint, Nanos, Nature, Noun, Receipt};

/// The number of late arrivals in a row at which the last one wins. The exchange was observed to send at most two late
/// frames, and never two in a row.
const LATE_MAX: u32 = 8;

/// The order gate of one stream.
pub(super) struct Gate<T: Noun> {
    epoch: Epoch,
    // The newest order of this epoch.
    newest: Option<T::Order>,
    // The newest order whose time was not in doubt, and its epoch. Only kept up to date when a time is in doubt.
    trusted: Option<(Epoch, T::Order)>,
    late_in_a_row: u32,
    // Boxed because streams of states have none, and it is larger than the other fields together.
    seen: Option<Box<Seen>>,
}

impl<T: Noun> Gate<T> {
    pub fn new() -> Self {
        Self {
            epoch: Epoch::default(),
            newest: None,
            trusted: None,
            late_in_a_row: 0,
            seen: (T::NATURE == Nature::Occurrence).then(Box::default),
        }
    }

    /// Returns the verdict on an arrival, and remembers the arrival.
    #[inline]
    pub fn judge(&mut self, receipt: &Receipt, value: &T, timeline: &Timeline) -> Verdict {
        let epoch = receipt.epoch;
        if epoch < self.epoch {
            return Verdict::OldEpoch;
        }
        let order = value.order();
        let duplicate = self.has_seen(value);
        let opens = epoch > self.epoch;
        let in_order = self.newest.is_none_or(|newest| order >= newest)
            || (!opens && !duplicate && self.goes_back(order, receipt.received, timeline));
        if !duplicate {
            self.late_in_a_row = if in_order { 0 } else { self.late_in_a_row + 1 };
        }
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

    /// Prepares for an arrival whose time is in doubt: keeps the newest order until it is known which of the two is
    /// wrong.
    #[cold]
    pub fn doubt(&mut self, received: Nanos, timeline: &Timeline) {
        let is_trusted = |newest: &T::Order| timeline.is_possible(T::latest_ms(*newest), received);
        if let Some(newest) = self.newest.filter(is_trusted) {
            self.trusted = Some((self.epoch, newest));
        }
    }

    /// Handles an arrival that is older than the newest value: goes back to the trusted order if the newest time cannot
    /// be true. Returns true if the arrival is then in order.
    #[cold]
    fn goes_back(&mut self, order: T::Order, received: Nanos, timeline: &Timeline) -> bool {
        let Some(newest) = self.newest else { return true };
        let newest_ms = T::latest_ms(newest);
        let is_near = newest_ms.saturating_sub(T::latest_ms(order)) <= TOLERANCE.as_millis() as u64;
        if is_near || timeline.is_possible(newest_ms, received) {
            return false;
        }
        let is_trusted = |(epoch, trusted): &(Epoch, T::Order)| {
            *epoch == self.epoch && timeline.is_possible(T::latest_ms(*trusted), received)
        };
        self.newest = self.trusted.filter(is_trusted).map(|(_, trusted)| trusted);
        self.newest.is_none_or(|newest| order >= newest)
    }

    /// Returns the newest order of the epoch. A [`Verdict::Late`] arrival is older than this.
    #[inline]
    pub fn newest(&self) -> Option<T::Order> {
        self.newest
    }

    /// Returns the number of arrivals whose id was seen before with other contents.
    #[inline]
    pub fn id_clashes(&self) -> u64 {
        self.seen.as_ref().map_or(0, |seen| seen.clashes)
    }

    /// Prepares for another connection, whose epochs start again. Known ids stay known.
    pub fn reopen(&mut self) {
        (self.epoch, self.newest, self.trusted) = (Epoch::default(), None, None);
    }

    #[inline]
    fn has_seen(&mut self, value: &T) -> bool {
        match (value.id(), &mut self.seen) {
            (Some(id), Some(seen)) => !seen.insert(id, value.contents()),
            _ => false,
        }
    }
}

/// The last [`Seen::LEN`] different events of a stream, to find duplicates.
///
/// Ids nearly always rise. An id above `highest` is new without a search.
struct Seen {
    ids: [u64; Seen::LEN],
    contents: [Fingerprint; Seen::LEN],
    // The number of inserted events; the next one goes to `count % LEN`.
    count: usize,
    // The highest of `ids`.
    highest: u64,
    clashes: u64,
}

impl Seen {
    /// Enough for the snapshot that a reconnect repeats, and for events that the exchange delivers twice in a burst.
    const LEN: usize = 256;

    /// Adds an event. Returns false if it is among the last ones.
    #[inline]
    fn insert(&mut self, id: u64, contents: Fingerprint) -> bool {
        if self.count > 0 && id <= self.highest && self.holds(id, contents) {
            return false;
        }
        let place = self.count % Self::LEN;
        let forgotten = self.ids[place];
        (self.ids[place], self.contents[place]) = (id, contents);
        self.count += 1;
        self.highest = self.highest.max(id);
        // An id that was too high makes every later one a search, until it is forgotten.
        if forgotten == self.highest && id < forgotten {
            self.highest = self.ids.into_iter().max().unwrap_or(id);
        }
        true
    }

    /// Returns true if the event is among the last ones. Counts a clash if its id is, but only with other contents.
    #[cold]
    fn holds(&mut self, id: u64, contents: Fingerprint) -> bool {
        let len = self.count.min(Self::LEN);
        let mut same_id = self.ids[..len].iter().zip(self.contents).filter(|(known, _)| **known == id).peekable();
        let is_known = same_id.peek().is_some();
        let is_repeated = same_id.any(|(_, known)| known.agrees_with(contents));
        self.clashes += u64::from(is_known && !is_repeated);
        is_repeated
    }
}

impl Default for Seen {
    fn default() -> Self {
        Self { ids: [0; Self::LEN], contents: [Fingerprint::default(); Self::LEN], count: 0, highest: 0, clashes: 0 }
    }
}
