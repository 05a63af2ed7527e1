//! Bounds the difference between the exchange's clock and ours.

use std::time::Duration;

use super::Nanos;

/// Unknown bounds.
const LOWEST: i64 = i64::MIN;
const HIGHEST: i64 = i64::MAX;
/// The resolution of an HTTP `Date`, in ns.
const SECOND: i64 = 1_000_000_000;

/// The lead of the exchange's clock over ours, in ns, as a lower and an upper bound.
///
/// One-way timestamps cannot tell a slow network from a clock that is set differently. Two observations bound the
/// difference:
///
/// * A message is received after it is sent, so the exchange's clock is ahead by at least its timestamp minus the time
///   of receipt. The fastest message gives the best [`low`](Self::low) bound.
/// * The server writes the `Date` of an HTTP response after we send the request and before the response arrives. `Date`
///   is cut to whole seconds, so each response bounds the difference from both sides, to within a second plus the round
///   trip. Responses at different fractions of a second narrow the bounds.
///
/// This assumes that the two clocks run at the same speed, that the exchange's servers share a clock, and that its
/// stamps are truncated, not rounded. If an observation contradicts the bounds, one of the clocks was set: the bounds
/// then start over from that observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockOffset {
    low: i64,
    high: i64,
}

impl ClockOffset {
    /// No bounds yet.
    pub const UNKNOWN: Self = Self { low: LOWEST, high: HIGHEST };

    /// Returns the offset between two bounds in ns. `i64::MIN` and `i64::MAX` mean unknown. Returns
    /// [`UNKNOWN`](Self::UNKNOWN) if `low` is above `high`.
    pub(crate) fn between(low: i64, high: i64) -> Self {
        if low <= high { Self { low, high } } else { Self::UNKNOWN }
    }

    /// Records the receipt of a message with this exchange timestamp, in Unix ms. Returns true if the bounds changed.
    #[inline]
    pub fn received(&mut self, exchange_ms: u64, received: Nanos) -> bool {
        let low = ahead(Nanos::from_millis(exchange_ms), received);
        low > self.low && self.learn(low, HIGHEST)
    }

    /// Records a response dated `date`, in whole seconds. The request was sent at `asked` or later, and the response
    /// had arrived by `answered`. Returns true if the bounds changed.
    pub fn answered(&mut self, asked: Nanos, answered: Nanos, date: Nanos) -> bool {
        self.learn(ahead(date, answered), ahead(date, asked).saturating_add(SECOND))
    }

    /// The lower bound of the lead, in ns, if it is known. A negative lead means that the exchange's clock is behind.
    pub fn low(&self) -> Option<i64> {
        (self.low != LOWEST).then_some(self.low)
    }

    /// The upper bound of the lead, in ns, if it is known. A negative lead means that the exchange's clock is behind.
    pub fn high(&self) -> Option<i64> {
        (self.high != HIGHEST).then_some(self.high)
    }

    /// The middle of the bounds, in ns, if both are known.
    pub fn estimate(&self) -> Option<i64> {
        Some(self.low()? + self.width()? / 2)
    }

    /// The maximum error of the estimate, in either direction, if both bounds are known.
    pub fn error(&self) -> Option<Duration> {
        Some(Duration::from_nanos((self.width()? as u64).div_ceil(2)))
    }

    /// Returns bounds that contain both offsets, for a time that belongs to either of two clocks.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    fn width(&self) -> Option<i64> {
        self.high()?.checked_sub(self.low()?)
    }

    fn learn(&mut self, low: i64, high: i64) -> bool {
        let before = *self;
        let both = Self { low: self.low.max(low), high: self.high.min(high) };
        *self = if both.low <= both.high { both } else { Self { low, high } };
        *self != before
    }
}

/// Returns the lead of the exchange's time over ours, in ns.
#[inline]
fn ahead(exchange: Nanos, ours: Nanos) -> i64 {
    let signed = |time: Nanos| i64::try_from(time.0).unwrap_or(i64::MAX);
    signed(exchange) - signed(ours)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: i64 = 1_800_000_000 * SECOND;

    /// The time on the exchange's clock, which is `offset` ns ahead, when ours shows `ours`.
    fn theirs(ours: i64, offset: i64) -> u64 {
        (ours + offset) as u64
    }

    /// One observation, at our time `at`, with the network delays in each direction.
    #[derive(Debug, Clone)]
    enum Evidence {
        Message { at: i64, delay: i64 },
        Answer { at: i64, there: i64, back: i64 },
    }

    fn evidence() -> impl Strategy<Value = Evidence> {
        let (hour, second) = (3600 * SECOND, SECOND);
        prop_oneof![
            (0..hour, 0..second).prop_map(|(at, delay)| Evidence::Message { at: START + at, delay }),
            (0..hour, 0..second, 0..second).prop_map(|(at, there, back)| Evidence::Answer {
                at: START + at,
                there,
                back
            }),
        ]
    }

    fn learn(known: &mut ClockOffset, offset: i64, evidence: &Evidence) {
        match *evidence {
            Evidence::Message { at, delay } => {
                known.received(theirs(at, offset) / 1_000_000, Nanos((at + delay) as u64));
            }
            Evidence::Answer { at, there, back } => {
                let date = theirs(at, offset) / SECOND as u64 * SECOND as u64;
                known.answered(Nanos((at - there) as u64), Nanos((at + back) as u64), Nanos(date));
            }
        }
    }

    proptest! {
        #[test]
        fn the_true_offset_is_always_within_the_bounds(
            offset in -86_400 * SECOND..86_400 * SECOND,
            seen in proptest::collection::vec(evidence(), 1..60),
        ) {
            let mut known = ClockOffset::UNKNOWN;
            for evidence in &seen {
                let before = known;
                learn(&mut known, offset, evidence);
                prop_assert!(known.low <= offset && offset <= known.high, "{known:?} after {evidence:?}");
                prop_assert!(known.low >= before.low && known.high <= before.high, "bounds only narrow");
                if let (Some(estimate), Some(error)) = (known.estimate(), known.error()) {
                    prop_assert!(estimate.abs_diff(offset) <= error.as_nanos() as u64);
                }
            }
        }

        #[test]
        fn bounds_start_over_after_a_clock_is_set(
            offset in -1000 * SECOND..1000 * SECOND,
            step in prop_oneof![-1000 * SECOND..-4 * SECOND, 4 * SECOND..1000 * SECOND],
            first in proptest::collection::vec(evidence(), 1..20),
            at in 0..1000 * SECOND,
        ) {
            let mut known = ClockOffset::UNKNOWN;
            first.iter().for_each(|evidence| learn(&mut known, offset, evidence));
            // The step is at least 4 s, so a response with a round trip of 2 s does not fit both offsets.
            learn(&mut known, offset + step, &Evidence::Answer { at: START + at, there: SECOND, back: SECOND });
            prop_assert!(known.low <= offset + step && offset + step <= known.high, "{known:?}");
        }
    }

    #[test]
    fn a_message_alone_bounds_one_side_only() {
        let mut known = ClockOffset::UNKNOWN;
        assert!(known.received(1_000, Nanos::from_millis(1_030)));
        assert_eq!((known.low(), known.high(), known.estimate(), known.error()), (Some(-30_000_000), None, None, None));
        assert!(!known.received(2_000, Nanos::from_millis(2_031)), "a slower message does not change the bounds");
        assert!(known.received(3_000, Nanos::from_millis(3_010)));
        assert_eq!(known.low(), Some(-10_000_000));
    }

    #[test]
    fn an_answer_bounds_both_sides_by_a_second_and_the_round_trip() {
        let mut known = ClockOffset::UNKNOWN;
        let (asked, answered) = (Nanos::from_millis(10_200), Nanos::from_millis(10_300));
        assert!(known.answered(asked, answered, Nanos::from_millis(10_000)));
        assert_eq!((known.low(), known.high()), (Some(-300_000_000), Some(800_000_000)));
        assert_eq!((known.estimate(), known.error()), (Some(250_000_000), Some(Duration::from_millis(550))));
        let (asked, answered) = (Nanos::from_millis(20_900), Nanos::from_millis(21_000));
        assert!(known.answered(asked, answered, Nanos::from_millis(20_000)));
        assert_eq!((known.low(), known.high()), (Some(-300_000_000), Some(100_000_000)), "the intersection");
    }

    #[test]
    fn or_returns_the_outer_bounds_of_two_offsets() {
        let one = ClockOffset::between(-5, 10);
        assert_eq!(one.or(ClockOffset::between(0, 30)), ClockOffset::between(-5, 30));
        assert_eq!(one.or(ClockOffset::UNKNOWN), ClockOffset::UNKNOWN);
        assert_eq!(ClockOffset::between(3, 2), ClockOffset::UNKNOWN);
    }
}
