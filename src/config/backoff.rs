//! The delays between attempts to connect.

use std::time::Duration;

use super::problems::Problems;

/// The delays between attempts after a socket ended or could not be opened. Each delay is uniformly random, from zero
/// to a bound that doubles with each failure. If the exchange asks for a wait, the delay is added to it. The engine
/// never gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Bound of the first delay. Default 250 ms. After a socket that carried data for at least 2 s, the first attempt
    /// has no delay. The same holds for a single socket that carried data for a shorter time.
    pub base: Duration,
    /// The bound doubles up to this. Default 30 s; at most [`CAP_MAX`](Self::CAP_MAX). Longer puts less load on an
    /// exchange that is down; shorter reconnects sooner when it returns.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_millis(250), cap: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// The maximum of [`cap`](Self::cap): one day. A longer one could keep the engine disconnected for good.
    pub const CAP_MAX: Duration = Duration::from_secs(24 * 3600);

    pub(super) fn check(&self, problems: &mut Problems) {
        let Self { base, cap } = self;
        problems.require(!base.is_zero(), "backoff.base", base, "to more than zero");
        problems.require(cap >= base, "backoff.cap", cap, format_args!("to backoff.base ({base:?}) or more"));
        let is_kept = *cap <= Self::CAP_MAX;
        problems.require(is_kept, "backoff.cap", cap, format_args!("to {:?} at most", Self::CAP_MAX));
    }
}
