//! The server's clock. Nothing else in this crate reads one.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Wall-clock nanoseconds that never go backwards: the system time at start plus an offset, and monotonic from then on.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    started_ns: u64,
}

impl Clock {
    #[allow(clippy::disallowed_methods, reason = "the server is where time enters; the core takes it as an argument")]
    pub fn start(ahead_ms: i64) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let started_ns = (since_epoch.as_nanos() as u64).saturating_add_signed(ahead_ms.saturating_mul(1_000_000));
        Self { started: Instant::now(), started_ns }
    }

    pub fn now(&self) -> u64 {
        self.started_ns + self.started.elapsed().as_nanos() as u64
    }
}
