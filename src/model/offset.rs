//! How far the exchange's clock is from ours: what can be known of it, and no more.

use std::time::Duration;

use super::Nanos;

/// Not known.
const LOWEST: i64 = i64::MIN;
const HIGHEST: i64 = i64::MAX;
/// What an HTTP `Date` leaves open.
const SECOND: i64 = 1_000_000_000;

/// How far the exchange's clock is ahead of ours, between two bounds, in ns.
///
/// Stamps that go one way cannot tell a slow network from a clock that is set differently. Two things bound the
/// difference. A message is not received before it is sent, so the clock is not ahead by more than the fastest message
/// seems to take: that is [`low`](Self::low). And an answer is written after it was asked for and before it came: its
/// date, cut to whole seconds, bounds the difference from both sides, to a second and the round trip. Each further answer
/// bounds it by other fractions of a second, and what remains is what all allow.
///
/// This takes the two clocks to run at one pace, the exchange's servers to share a clock, and its stamps to be cut, not
/// rounded. Where what is learnt contradicts what was known, one of the clocks has been set: only what was learnt last
/// counts from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockOffset {
    low: i64,
    high: i64,
}

impl ClockOffset {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self { low: LOWEST, high: HIGHEST };

    /// Between these, in ns; `i64::MIN` and `i64::MAX` are not known. Bounds that exclude each other say nothing.
    pub(crate) fn between(low: i64, high: i64) -> Self {
        if low <= high { Self { low, high } } else { Self::UNKNOWN }
    }

    /// A message with this stamp of the exchange, in Unix ms, was received. True if that says something new.
    #[inline]
    pub fn received(&mut self, exchange_ms: u64, received: Nanos) -> bool {
        let low = ahead(Nanos::from_millis(exchange_ms), received);
        low > self.low && self.learn(low, HIGHEST)
    }

    /// Something was asked at `asked`, at the earliest, and its answer, dated in whole seconds, was there at `answered`, at
    /// the latest. True if that says something new.
    pub fn answered(&mut self, asked: Nanos, answered: Nanos, date: Nanos) -> bool {
        self.learn(ahead(date, answered), ahead(date, asked).saturating_add(SECOND))
    }

    /// At least so many ns ahead; negative: behind.
    pub fn low(&self) -> Option<i64> {
        (self.low != LOWEST).then_some(self.low)
    }

    /// At most so many ns ahead; negative: behind.
    pub fn high(&self) -> Option<i64> {
        (self.high != HIGHEST).then_some(self.high)
    }

    /// The middle, in ns, once there are both bounds.
    pub fn estimate(&self) -> Option<i64> {
        Some(self.low()? + self.width()? / 2)
    }

    /// By how much the estimate may be wrong, either way.
    pub fn error(&self) -> Option<Duration> {
        Some(Duration::from_nanos((self.width()? as u64).div_ceil(2)))
    }

    /// What both allow, and all between: of two clocks, one of which is meant.
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

/// How far one time is ahead of the other, in ns.
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

    /// The exchange's clock, `offset` ns ahead, when ours says `ours`.
    fn theirs(ours: i64, offset: i64) -> u64 {
        (ours + offset) as u64
    }

    /// One thing that is learnt: at this time of ours, after so long on the way there and back.
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
                prop_assert!(known.low >= before.low && known.high <= before.high, "what was known is not forgotten");
                if let (Some(estimate), Some(error)) = (known.estimate(), known.error()) {
                    prop_assert!(estimate.abs_diff(offset) <= error.as_nanos() as u64);
                }
            }
        }

        #[test]
        fn a_clock_that_is_set_is_found_again(
            offset in -1000 * SECOND..1000 * SECOND,
            step in prop_oneof![-1000 * SECOND..-4 * SECOND, 4 * SECOND..1000 * SECOND],
            first in proptest::collection::vec(evidence(), 1..20),
            at in 0..1000 * SECOND,
        ) {
            let mut known = ClockOffset::UNKNOWN;
            first.iter().for_each(|evidence| learn(&mut known, offset, evidence));
            // An answer that took two seconds at most cannot agree with both.
            learn(&mut known, offset + step, &Evidence::Answer { at: START + at, there: SECOND, back: SECOND });
            prop_assert!(known.low <= offset + step && offset + step <= known.high, "{known:?}");
        }
    }

    #[test]
    fn a_message_alone_bounds_one_side_only() {
        let mut known = ClockOffset::UNKNOWN;
        assert!(known.received(1_000, Nanos::from_millis(1_030)));
        assert_eq!((known.low(), known.high(), known.estimate(), known.error()), (Some(-30_000_000), None, None, None));
        assert!(!known.received(2_000, Nanos::from_millis(2_031)), "a slower one says nothing new");
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
        assert_eq!((known.low(), known.high()), (Some(-300_000_000), Some(100_000_000)), "what both allow");
    }

    #[test]
    fn one_of_two_clocks_is_somewhere_between_the_outer_bounds() {
        let one = ClockOffset::between(-5, 10);
        assert_eq!(one.or(ClockOffset::between(0, 30)), ClockOffset::between(-5, 30));
        assert_eq!(one.or(ClockOffset::UNKNOWN), ClockOffset::UNKNOWN);
        assert_eq!(ClockOffset::between(3, 2), ClockOffset::UNKNOWN);
    }
}
