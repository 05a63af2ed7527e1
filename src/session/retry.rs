//! When to dial again: exponential backoff with full jitter, and at least the wait that the exchange asked for.

use std::time::Duration;

use super::entropy::{Entropy, EntropyExt};
use super::{Cadence, Disconnect, FailureCause, block_time};
use crate::config::{Backoff, Config};
use crate::model::{Nanos, saturating_ns};
use crate::ws::{Rejection, RejectionKind};

/// The least wait after HTTP 429 or 418. It doubles with each refusal in a row, also if the exchange states less.
const REFUSED_MIN: Duration = Duration::from_secs(1);
/// The longest wait after a refusal that states none.
const DEFAULT_WAIT_MAX: Duration = Duration::from_secs(3600);
/// The longest wait that a server may ask for, one day. A longer one is taken for a mistake, which must not stop the
/// engine forever: it tries once a day.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// The number of attempts with short pauses while the streams that the exchange refuses are searched for. Halving finds
/// one of 10,000 streams in 14.
const SEARCH_ATTEMPTS: u32 = 16;

/// What a socket has carried until its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// No data, or there was no socket.
    Nothing,
    /// Data, but not for long.
    Little,
    /// Data for a while, or it was open for long enough without data.
    Enough,
}

/// Counts failed attempts in a row. Never stops trying.
#[derive(Debug, Clone)]
pub struct Retry {
    backoff: Backoff,
    /// How long the exchange blocks an address if it states no time.
    block: Duration,
    attempt: u32,
    /// The number of these that were refused with HTTP 429 or 418, which limit the rate of connects.
    refusals: u32,
}

impl Retry {
    /// Creates a counter without failures.
    pub fn new(config: &Config) -> Self {
        Self { backoff: config.backoff, block: config.endpoint.dialect().block, attempt: 0, refusals: 0 }
    }

    /// Sets the pauses from now on.
    pub fn set_backoff(&mut self, backoff: Backoff) {
        self.backoff = backoff;
    }

    /// Records that a connection has worked, and forgets the failures before it.
    pub fn worked(&mut self) {
        (self.attempt, self.refusals) = (0, 0);
    }

    /// Returns the time to wait after a `disconnect` at `now` with this cause. Zero if the socket has carried enough, or if it has
    /// carried a little and is the first in a row. Otherwise a uniformly random delay up to a bound that doubles with
    /// each failure, added to the wait that the exchange asked for.
    pub fn delay(
        &mut self,
        disconnect: &Disconnect,
        cause: FailureCause,
        carried: Carried,
        now: Nanos,
        entropy: &mut dyn Entropy,
    ) -> Duration {
        match carried {
            Carried::Enough => {
                self.worked();
                return Duration::ZERO;
            }
            Carried::Little if self.attempt == 0 => {
                self.attempt = 1;
                return Duration::ZERO;
            }
            Carried::Little | Carried::Nothing => {}
        }
        let requested = self.requested_wait(disconnect, now);
        let cap = match cause.rule().cadence {
            Cadence::Short => self.backoff.network_cap,
            Cadence::Search if self.attempt < SEARCH_ATTEMPTS => self.backoff.network_cap,
            Cadence::Search | Cadence::Long | Cadence::Stated | Cadence::Never => self.backoff.cap,
            Cadence::Slow => self.backoff.slow_cap,
        };
        let bound = self.backoff.base.saturating_mul(1 << self.attempt.min(20)).min(cap);
        self.attempt = self.attempt.saturating_add(1);
        let jitter = Duration::from_nanos(entropy.up_to(saturating_ns(bound)));
        requested + jitter
    }

    /// Returns the least wait that the exchange asked for. After 429 and 418 it doubles with each refusal in a row, as
    /// the exchange's own block does. So a server that always states a short wait is not asked at that pace forever.
    fn requested_wait(&mut self, disconnect: &Disconnect, now: Nanos) -> Duration {
        let Disconnect::Rejected(rejection) = disconnect else { return Duration::ZERO };
        let stated = stated_wait(rejection, now);
        let unstated = match rejection.kind {
            RejectionKind::Banned => self.block,
            RejectionKind::TooManyRequests => REFUSED_MIN,
            _ => return stated.unwrap_or_default().min(RETRY_AFTER_MAX),
        };
        let doublings = self.refusals.min(12);
        self.refusals = self.refusals.saturating_add(1);
        let own = |wait: Duration| wait.saturating_mul(1 << doublings).min(DEFAULT_WAIT_MAX);
        stated.map_or(own(unstated), |stated| stated.max(own(REFUSED_MIN))).min(RETRY_AFTER_MAX)
    }
}

/// Returns the wait that a refusal states, in its header or its body. A wait of zero states nothing.
fn stated_wait(rejection: &Rejection, now: Nanos) -> Option<Duration> {
    let in_header = rejection.retry_after.and_then(|retry_after| retry_after.wait(now));
    let in_body = || {
        // Other refusals may come from a proxy, whose pages mention many times.
        let is_rate_limit = matches!(rejection.kind, RejectionKind::Banned | RejectionKind::TooManyRequests);
        let is_own = is_rate_limit || rejection.body.trim_start().starts_with('{');
        is_own.then(|| block_time::stated(&rejection.body)).flatten()
    };
    in_header.filter(|wait| !wait.is_zero()).or_else(in_body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::testing::SeededEntropy;

    #[test]
    fn the_first_attempt_after_a_working_connection_has_no_delay() {
        let (mut retry, mut entropy) = (Retry::new(&Config::default()), SeededEntropy::new(1));
        let (eof, cause) = (Disconnect::Eof, FailureCause::of(&Disconnect::Eof));
        let mut delay = |carried| retry.delay(&eof, cause, carried, Nanos(0), &mut entropy);
        assert_eq!(delay(Carried::Enough), Duration::ZERO);
        assert_eq!(delay(Carried::Little), Duration::ZERO, "the first in a row");
        assert_ne!(delay(Carried::Little), Duration::ZERO);
        assert_ne!(delay(Carried::Nothing), Duration::ZERO);
        assert_eq!(delay(Carried::Enough), Duration::ZERO);
        assert_ne!(delay(Carried::Nothing), Duration::ZERO);
        assert_ne!(delay(Carried::Little), Duration::ZERO);
    }

    #[test]
    fn delays_fill_the_whole_range_up_to_a_doubling_bound() {
        let seconds = Duration::from_secs;
        let base = Duration::from_millis(100);
        let backoff = Backoff { base, network_cap: seconds(1), cap: seconds(2), slow_cap: seconds(5) };
        let (config, mut entropy) = (Config { backoff, ..Config::default() }, SeededEntropy::new(7));
        let refused = Disconnect::Connect(std::io::ErrorKind::ConnectionRefused);
        let untrusted = Disconnect::Tls("the certificate has expired".into());
        let causes = [(refused, backoff.network_cap), (Disconnect::Eof, backoff.cap), (untrusted, backoff.slow_cap)];
        for (attempt, (disconnect, cap)) in (0..8).flat_map(|attempt| causes.iter().map(move |cause| (attempt, cause)))
        {
            let bound = (backoff.base * (1 << attempt)).min(*cap);
            let delays: Vec<_> = (0..10_000)
                .map(|_| {
                    Retry { attempt, ..Retry::new(&config) }
                        .delay(disconnect, FailureCause::of(disconnect), Carried::Nothing, Nanos(0), &mut entropy)
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
