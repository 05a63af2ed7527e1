//! What the exchange taught us by refusing a request in band: TOO_MANY_REQUEST, then the end of the socket.

use std::time::Duration;

use crate::model::Nanos;

/// The first block: the shortest window that the exchange counts requests in.
const BLOCK: Duration = Duration::from_secs(1);
/// The longest block: the longest such window.
const BLOCK_MAX: Duration = Duration::from_secs(60);

/// Data that comes this long after a request answers it. What comes sooner may have been under way before, for the
/// subscription that the request replaces.
const ANSWER_AFTER: Duration = Duration::from_secs(1);

/// Holds requests back after refusals. Lives longer than a socket: a new one must not be the way around a refusal.
#[derive(Debug)]
pub(super) struct RefusalBackoff {
    until: Nanos,
    /// Refusals since a request was last answered.
    refusals: u32,
    /// When the first request after the newest block went out.
    asked_at: Option<Nanos>,
    /// Added to each block, for a request that overtakes.
    margin: Duration,
}

impl RefusalBackoff {
    /// Nothing was refused yet.
    pub fn new(margin: Duration) -> Self {
        Self { until: Nanos::default(), refusals: 0, asked_at: None, margin }
    }

    /// The exchange refused a request. Each refusal in a row doubles the block; one that comes while a block lasts is
    /// about a request that was under way before.
    pub fn refused(&mut self, now: Nanos) {
        if now < self.until {
            return;
        }
        let block = BLOCK.saturating_mul(1 << self.refusals.min(6)).min(BLOCK_MAX);
        self.refusals += 1;
        self.asked_at = None;
        self.until = now + block + self.margin;
    }

    /// A request went out.
    pub fn requested(&mut self, now: Nanos) {
        if self.has_refusals() {
            self.asked_at.get_or_insert(now);
        }
    }

    /// A request was refused, and none was answered since.
    #[inline]
    pub fn has_refusals(&self) -> bool {
        self.refusals > 0
    }

    /// Data came. If it answers a request that was sent after the block, the refusals are forgotten.
    pub fn data(&mut self, now: Nanos) {
        if self.asked_at.is_some_and(|at| now.since(at) >= ANSWER_AFTER) {
            (self.refusals, self.asked_at) = (0, None);
        }
    }

    /// No request goes out before.
    pub fn until(&self) -> Nanos {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Nanos {
        Nanos::from_millis(1_000_000 + s * 1000)
    }

    #[test]
    fn blocks_double_up_to_a_minute_and_success_forgets_them() {
        let mut refusal_backoff = RefusalBackoff::new(Duration::ZERO);
        let mut now = at(0);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            refusal_backoff.refused(now);
            assert_eq!(refusal_backoff.until(), now + Duration::from_secs(seconds));
            now = refusal_backoff.until();
        }
        refusal_backoff.data(now + ANSWER_AFTER);
        assert!(refusal_backoff.has_refusals(), "nothing was asked since: no sign that the exchange answers");
        refusal_backoff.requested(now);
        refusal_backoff.requested(now + ANSWER_AFTER / 2);
        refusal_backoff.data(now + ANSWER_AFTER - Duration::from_nanos(1));
        assert!(refusal_backoff.has_refusals(), "that may be of the subscription before");
        refusal_backoff.data(now + ANSWER_AFTER);
        refusal_backoff.refused(now + ANSWER_AFTER);
        assert_eq!(refusal_backoff.until(), now + ANSWER_AFTER + Duration::from_secs(1));
    }

    #[test]
    fn refusals_during_a_block_do_not_prolong_it() {
        let mut refusal_backoff = RefusalBackoff::new(Duration::ZERO);
        refusal_backoff.refused(at(0));
        refusal_backoff.refused(at(0) + Duration::from_millis(999));
        assert_eq!(refusal_backoff.until(), at(1));
    }
}
