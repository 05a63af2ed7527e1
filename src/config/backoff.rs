//! The pauses between attempts to connect.

use std::time::Duration;

use super::problems::Problems;

/// How often to try again after a connection was disconnected or could not be made. The engine never gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Upper bound of the first random delay. Default 250 ms. (After a connection that worked, the first try is at once.)
    pub base: Duration,
    /// Upper bound of all delays: the bound doubles up to this. Default 30 s; at most [`CAP_MAX`](Self::CAP_MAX). Longer
    /// spares an exchange that is down; shorter is back sooner when it returns.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_millis(250), cap: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// The longest [`cap`](Self::cap), one day: with a longer one the engine could stay away for good, which it never
    /// does.
    pub const CAP_MAX: Duration = Duration::from_secs(24 * 3600);

    pub(super) fn check(&self, problems: &mut Problems) {
        let Self { base, cap } = self;
        problems.require(!base.is_zero(), "backoff.base", base, "to more than zero");
        problems.require(cap >= base, "backoff.cap", cap, format_args!("to backoff.base ({base:?}) or more"));
        let is_kept = *cap <= Self::CAP_MAX;
        problems.require(is_kept, "backoff.cap", cap, format_args!("to {:?} at most", Self::CAP_MAX));
    }
}
