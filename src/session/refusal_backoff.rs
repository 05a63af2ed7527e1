//! Backs off after the exchange refused a request in band: it sends TOO_MANY_REQUEST and then ends the socket.

use std::time::Duration;

use crate::model::Nanos;

/// The first block, 1 s: the shortest window in which the exchange counts requests.
const BLOCK: Duration = Duration::from_secs(1);
/// The longest block, 60 s: the longest such window.
const BLOCK_MAX: Duration = Duration::from_secs(60);

/// Data that arrives this long after a request counts as its answer. Earlier data may belong to the subscription that
/// the request replaces.
const ANSWER_AFTER: Duration = Duration::from_secs(1);

/// Holds requests back after refusals. It outlives the socket: otherwise a new socket would repeat the refused request
/// at once.
#[derive(Debug)]
pub(super) struct RefusalBackoff {
    until: Nanos,
    /// The number of refusals since a request was last answered.
    refusals: u32,
    /// When the first request after the newest block was sent.
    asked_at: Option<Nanos>,
    /// Added to each block, because the network may delay requests unequally.
    margin: Duration,
}

impl RefusalBackoff {
    /// Creates a backoff without refusals.
    pub fn new(margin: Duration) -> Self {
        Self { until: Nanos::default(), refusals: 0, asked_at: None, margin }
    }

    /// Sets what is added to each block from now on.
    pub fn set_margin(&mut self, margin: Duration) {
        self.margin = margin;
    }

    /// Records that the exchange refused a request. Each refusal in a row doubles the block. A refusal during a block
    /// answers a request that was sent before it, and changes nothing.
    pub fn refused(&mut self, now: Nanos) {
        if now < self.until {
            return;
        }
        let block = BLOCK.saturating_mul(1 << self.refusals.min(6)).min(BLOCK_MAX);
        self.refusals += 1;
        self.asked_at = None;
        self.until = now + block + self.margin;
    }

    /// Records that a request was sent.
    pub fn requested(&mut self, now: Nanos) {
        if self.has_refusals() {
            self.asked_at.get_or_insert(now);
        }
    }

    /// Returns true if a request was refused and none was answered since.
    #[inline]
    pub fn has_refusals(&self) -> bool {
        self.refusals > 0
    }

    /// Records that data arrived. If it answers a request that was sent after the block, the refusals are forgotten.
    pub fn data(&mut self, now: Nanos) {
        if self.asked_at.is_some_and(|at| now.since(at) >= ANSWER_AFTER) {
            (self.refusals, self.asked_at) = (0, None);
        }
    }

    /// Returns the time before which no request may be sent.
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
    fn blocks_double_up_to_a_minute_and_an_answer_resets_them() {
        let mut refusal_backoff = RefusalBackoff::new(Duration::ZERO);
        let mut now = at(0);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            refusal_backoff.refused(now);
            assert_eq!(refusal_backoff.until(), now + Duration::from_secs(seconds));
            now = refusal_backoff.until();
        }
        refusal_backoff.data(now + ANSWER_AFTER);
        assert!(refusal_backoff.has_refusals(), "no request was sent since, so the data answers none");
        refusal_backoff.requested(now);
        refusal_backoff.requested(now + ANSWER_AFTER / 2);
        refusal_backoff.data(now + ANSWER_AFTER - Duration::from_nanos(1));
        assert!(refusal_backoff.has_refusals(), "the data may belong to the replaced subscription");
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
