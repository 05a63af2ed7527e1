//! Counts consecutive failures of a callback. A callback that reaches its quota is no longer called.

use std::num::NonZeroU32;

/// The state of a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallbackState {
    /// The callback is called with each item.
    Running,
    /// The callback reached its quota of consecutive failures, and is not called until it is rearmed. Meanwhile its
    /// feed fills like the feed of any reader that does not read.
    Quarantined,
    /// The callback was dropped, or the engine has ended.
    Ended,
}

impl CallbackState {
    /// Returns a short, stable name for logs and scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Quarantined => "quarantined",
            Self::Ended => "ended",
        }
    }
}

/// The default quota: a callback is quarantined at its fifth consecutive failure.
pub const FAILURE_QUOTA: NonZeroU32 = NonZeroU32::new(5).unwrap();

/// A counter of consecutive failures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FailureQuota {
    quota: NonZeroU32,
    consecutive_failures: u32,
}

impl FailureQuota {
    pub fn new(quota: NonZeroU32) -> Self {
        Self { quota, consecutive_failures: 0 }
    }

    /// Records a call that succeeded.
    pub fn succeeded(&mut self) {
        self.consecutive_failures = 0;
    }

    /// Records a call that failed. Returns true if the quota is reached.
    pub fn failed(&mut self) -> bool {
        self.consecutive_failures += 1;
        self.consecutive_failures >= self.quota.get()
    }

    /// Resets the count, so that the callback may be called again.
    pub fn rearm(&mut self) {
        self.consecutive_failures = 0;
    }

    pub fn consecutive_failures(&self) -> u32 {
        self.consecutive_failures
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_consecutive_failures_reach_the_quota() {
        let mut failure_quota = FailureQuota::new(FAILURE_QUOTA);
        for _ in 0..100 {
            assert!((0..4).all(|_| !failure_quota.failed()));
            failure_quota.succeeded();
        }
        assert_eq!((0..5).map(|_| failure_quota.failed()).collect::<Vec<_>>(), [false, false, false, false, true]);
        failure_quota.rearm();
        assert!(!failure_quota.failed());
        assert!(FailureQuota::new(NonZeroU32::MIN).failed(), "a quota of one allows no failure");
    }
}
