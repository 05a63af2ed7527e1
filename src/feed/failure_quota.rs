//! Counts the failures of a callback in a row, up to the quota at which it is not called any more. Pure.

use std::num::NonZeroU32;

/// Whether a callback is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallbackState {
    /// Items are handed to it as they come.
    Running,
    /// It failed as often in a row as its quota allows, and is not called until somebody rearms it. Meanwhile its feed
    /// fills, as that of any reader that stands still.
    Quarantined,
    /// It was dropped, or the engine has ended.
    Ended,
}

impl CallbackState {
    /// A short, stable word for logs and scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Quarantined => "quarantined",
            Self::Ended => "ended",
        }
    }
}

/// Failures in a row that are forgiven, unless said otherwise, less one.
pub const FAILURE_QUOTA: NonZeroU32 = NonZeroU32::new(5).unwrap();

/// Counts failures in a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FailureQuota {
    quota: NonZeroU32,
    consecutive_failures: u32,
}

impl FailureQuota {
    pub fn new(quota: NonZeroU32) -> Self {
        Self { quota, consecutive_failures: 0 }
    }

    /// A call ended well.
    pub fn succeeded(&mut self) {
        self.consecutive_failures = 0;
    }

    /// A call failed; true if that was one too many.
    pub fn failed(&mut self) -> bool {
        self.consecutive_failures += 1;
        self.consecutive_failures >= self.quota.get()
    }

    /// It gets another chance.
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
    fn only_failures_in_a_row_use_the_quota_up() {
        let mut failure_quota = FailureQuota::new(FAILURE_QUOTA);
        for _ in 0..100 {
            assert!((0..4).all(|_| !failure_quota.failed()));
            failure_quota.succeeded();
        }
        assert_eq!((0..5).map(|_| failure_quota.failed()).collect::<Vec<_>>(), [false, false, false, false, true]);
        failure_quota.rearm();
        assert!(!failure_quota.failed());
        assert!(FailureQuota::new(NonZeroU32::MIN).failed(), "a quota of one forgives nothing");
    }
}
