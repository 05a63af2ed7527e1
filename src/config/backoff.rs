//! The pauses between attempts to connect.

use std::time::Duration;

use super::problems::Problems;

/// How often to try again after a connection was lost or could not be made. Tries never end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Upper bound of the first random delay. Default 250 ms. (After a connection that worked, the first try is at once.)
    pub base: Duration,
    /// Upper bound of all delays: the bound doubles until here. Default 30 s.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_millis(250), cap: Duration::from_secs(30) }
    }
}

impl Backoff {
    pub(super) fn check(&self, problems: &mut Problems) {
        let Self { base, cap } = self;
        problems.require(!base.is_zero(), "backoff.base", base, "to more than zero");
        problems.require(cap >= base, "backoff.cap", cap, format_args!("to backoff.base ({base:?}) or more"));
    }
}
