//! What the messages of a connection show about the exchange's clock, to find times that cannot be true. Pure: knows no
//! stream and reads no clock.
//!
//! The *lead* of a message is its exchange time minus its receive time. The exchange sends a change at once, so the
//! leads of a connection's changes are nearly equal, however the two clocks are set. The timeline remembers this *usual
//! lead*. It never compares a time with the time of day, so a recording that is years old is judged like live data.
//!
//! * A time is *ahead* if its lead is above the usual one by more than [`TOLERANCE`]. Only such times are doubted: a
//!   snapshot of a quiet market is old by nature, and an old time does not bar later ones.
//! * [`MISSES_MAX`] messages in a row that are not near the usual lead replace it: a clock was set, or a recording is
//!   replayed at another pace. A snapshot that is behind does not count among them.
//! * A new usual lead is *unconfirmed* until a change near it arrives. Until then, any other change replaces it, so a
//!   wrong first message does no harm. Snapshots can only raise it, and do not confirm it.

use std::time::Duration;

use crate::model::Nanos;

/// The largest difference between the leads of two changes that is not suspicious. Changes were observed to arrive
/// within 0.7 s of their time.
pub(super) const TOLERANCE: Duration = Duration::from_secs(10);

/// The number of messages in a row, none near the usual lead, that replace it. More would lose more values after a clock
/// was set back. Fewer would let a wrong time that is sent twice become the usual one.
const MISSES_MAX: u8 = 3;

const TOLERANCE_NS: i64 = TOLERANCE.as_nanos() as i64;
/// Leads up to this far above the usual one are near it. Less than the tolerance, so that leads that rise in small steps
/// replace the usual one before they are ahead.
const NEAR_NS: i64 = TOLERANCE_NS / 2;

/// The usual lead of a connection.
#[derive(Debug, Clone)]
pub struct Timeline {
    /// The usual lead plus [`NEAR_NS`], in ns. Added to a receive time, it is the end of the usual range of exchange
    /// times.
    reach: i64,
    /// The number of messages in a row that were not near the usual lead; [`MISSES_MAX`] if that is unconfirmed.
    misses: u8,
}

impl Timeline {
    /// Creates a timeline without history. The first message sets the usual lead.
    pub fn new() -> Self {
        // Far from every lead that occurs, so that the first message is not near it.
        Self { reach: i64::MIN / 2, misses: MISSES_MAX }
    }

    /// Records a change with this time, in Unix ms. Returns true if the time is in doubt: ahead, and not accepted as the
    /// new usual lead.
    #[inline]
    pub fn doubts_change(&mut self, exchange_ms: u64, received: Nanos) -> bool {
        // One comparison for both ends of the range. Wraps if the time cannot be true; it would have to wrap into these
        // 15 s out of 584 years to go unnoticed.
        let end = received.0.wrapping_add(self.reach.cast_unsigned());
        if end.wrapping_sub(exchange_ms.wrapping_mul(1_000_000)) <= (NEAR_NS + TOLERANCE_NS) as u64 {
            self.misses = 0;
            return false;
        }
        self.doubts_unusual(lead(exchange_ms, received))
    }

    /// Records a snapshot. Same as [`doubts_change`](Self::doubts_change), except that an old time says nothing.
    pub fn doubts_snapshot(&mut self, exchange_ms: u64, received: Nanos) -> bool {
        let lead = lead(exchange_ms, received);
        if self.is_confirmed() {
            return lead > self.usual() + TOLERANCE_NS && self.doubts_unusual(lead);
        }
        if lead > self.usual() {
            self.replace_usual(lead);
        }
        false
    }

    /// Returns true if a value with this time, which may have arrived earlier, is known to be possible at `now`.
    pub(super) fn is_possible(&self, exchange_ms: u64, now: Nanos) -> bool {
        self.is_confirmed() && lead(exchange_ms, now) <= self.usual() + TOLERANCE_NS
    }

    /// Records a message that is not in the usual range.
    #[cold]
    fn doubts_unusual(&mut self, lead: i64) -> bool {
        let above = lead.saturating_sub(self.usual());
        self.misses = self.misses.saturating_add(1);
        if self.misses >= MISSES_MAX {
            self.replace_usual(lead);
            return false;
        }
        above > TOLERANCE_NS
    }

    fn is_confirmed(&self) -> bool {
        self.misses < MISSES_MAX
    }

    fn usual(&self) -> i64 {
        self.reach - NEAR_NS
    }

    fn replace_usual(&mut self, lead: i64) {
        (self.reach, self.misses) = (lead + NEAR_NS, MISSES_MAX);
    }
}

impl Default for Timeline {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns an exchange time minus a receive time, in ns. Limited to 146 years in either direction, so that it can be
/// added to and subtracted from without overflow.
fn lead(exchange_ms: u64, received: Nanos) -> i64 {
    let ns = |nanos: Nanos| i64::try_from(nanos.0).unwrap_or(i64::MAX);
    ns(Nanos::from_millis(exchange_ms)).saturating_sub(ns(received)).clamp(i64::MIN / 2, i64::MAX / 2)
}
