//! When to dial again: exponential backoff with full jitter, and at least the wait that the exchange asked for.

use std::time::Duration;

use super::Disconnect;
use super::entropy::{Entropy, EntropyExt};
use crate::config::Backoff;
use crate::model::Nanos;
use crate::ws::RejectionKind;

/// The wait after a ban if the exchange states none.
const BAN_DEFAULT: Duration = Duration::from_secs(60);
/// The least wait after HTTP 429 if the exchange states none.
const TOO_MANY_DEFAULT: Duration = Duration::from_secs(1);

/// The longest wait after a refusal that states none.
const DEFAULT_WAIT_MAX: Duration = Duration::from_secs(3600);
/// The longest wait that a server may ask for, one day. A longer one is taken for a mistake, which must not stop the
/// engine forever: it tries once a day.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// Counts failed attempts in a row. Never stops trying.
#[derive(Debug, Clone)]
pub struct Retry {
    backoff: Backoff,
    attempt: u32,
    /// The number of these that were refused with HTTP 429 or 418, which limit the rate of connects.
    refusals: u32,
}

impl Retry {
    /// Creates a counter without failures.
    pub fn new(backoff: Backoff) -> Self {
        Self { backoff, attempt: 0, refusals: 0 }
    }

    /// Returns the number of attempts that failed since a connection last worked.
    pub fn failures(&self) -> u32 {
        self.attempt
    }

    /// Records that a connection has worked, and forgets the failures before it.
    pub fn worked(&mut self) {
        (self.attempt, self.refusals) = (0, 0);
    }

    /// Returns the time to wait after a `disconnect` at `now`. Zero if the connection had worked. Otherwise a uniformly
    /// random delay up to a bound that doubles with each failure, added to the wait that the exchange asked for.
    pub fn delay(
        &mut self,
        disconnect: &Disconnect,
        had_worked: bool,
        now: Nanos,
        entropy: &mut dyn Entropy,
    ) -> Duration {
        if had_worked {
            self.worked();
            return Duration::ZERO;
        }
        let requested = self.requested_wait(disconnect, now);
        let bound = self.backoff.base.saturating_mul(1 << self.attempt.min(20)).min(self.backoff.cap);
        self.attempt = self.attempt.saturating_add(1);
        let jitter = Duration::from_nanos(entropy.up_to(u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX)));
        requested + jitter
    }

    /// Returns the least wait that the exchange asked for. If it states none, the wait doubles with each refusal in a
    /// row, as the exchange's own block does.
    fn requested_wait(&mut self, disconnect: &Disconnect, now: Nanos) -> Duration {
        let Disconnect::Rejected(rejection) = disconnect else { return Duration::ZERO };
        let stated = rejection.retry_after.and_then(|retry_after| retry_after.wait(now));
        let default = match rejection.kind {
            RejectionKind::Banned => BAN_DEFAULT,
            RejectionKind::TooManyRequests => TOO_MANY_DEFAULT,
            _ => return stated.unwrap_or_default().min(RETRY_AFTER_MAX),
        };
        let doubled = default.saturating_mul(1 << self.refusals.min(12)).min(DEFAULT_WAIT_MAX);
        self.refusals = self.refusals.saturating_add(1);
        stated.unwrap_or(doubled).min(RETRY_AFTER_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::testing::SeededEntropy;

    #[test]
    fn the_first_attempt_after_a_working_connection_has_no_delay() {
        let mut retry = Retry::new(Backoff::default());
        assert_eq!(retry.delay(&Disconnect::Eof, true, Nanos(0), &mut SeededEntropy::new(1)), Duration::ZERO);
    }

    #[test]
    fn delays_fill_the_whole_range_up_to_a_doubling_bound() {
        let backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(2) };
        let mut entropy = SeededEntropy::new(7);
        for attempt in 0..8 {
            let bound = (backoff.base * (1 << attempt)).min(backoff.cap);
            let delays: Vec<_> = (0..10_000)
                .map(|_| {
                    Retry { backoff, attempt, refusals: 0 }
                        .delay(&Disconnect::Eof, false, Nanos(0), &mut entropy)
                        .as_secs_f64()
                })
                .collect();
            let (mean, max) = (delays.iter().sum::<f64>() / 1e4, delays.iter().copied().fold(0.0, f64::max));
            // Full jitter is uniform, so the mean is half the bound and the maximum is close to it, also at the cap.
            assert!((mean / bound.as_secs_f64() - 0.5).abs() < 0.02, "attempt {attempt}: mean {mean}");
            assert!(max <= bound.as_secs_f64() && max > 0.99 * bound.as_secs_f64(), "attempt {attempt}: max {max}");
        }
    }
}
