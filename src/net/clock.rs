//! The one file that reads a clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::model::{Clock, Nanos};

/// Wall time at the moment of its making, plus monotonic time since. A change of the wall clock moves nothing here.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    anchor: Instant,
    /// What the wall clock said at `anchor`, in ns since the Unix epoch.
    anchor_ns: u64,
}

impl SystemClock {
    /// A clock that starts now.
    #[allow(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
    pub fn new() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { anchor: Instant::now(), anchor_ns: u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX) }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[inline]
    fn now(&self) -> Nanos {
        Nanos(self.anchor_ns) + self.anchor.elapsed()
    }
}

/// What the system's wall clock shows, which may be set at any time. Only for comparing with the kernel's own stamps.
pub(super) fn wall() -> Nanos {
    let time = clock_gettime(ClockId::Realtime);
    Nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Time since the machine was started, sleep included. Every process sees the same, nobody can set it, and it starts
/// over with the machine: what processes tell each other about the last seconds is told in this.
pub(super) fn since_boot() -> Nanos {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: ClockId = ClockId::Boottime;
    // Stands still while the machine sleeps, which makes waits longer and never shorter.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: ClockId = ClockId::Monotonic;
    let time = clock_gettime(CLOCK);
    Nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_goes_backwards_and_starts_near_the_wall_clock() {
        let clock = SystemClock::new();
        let mut last = clock.now();
        for _ in 0..1000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
        assert!(last.as_millis() > 1_700_000_000_000, "after November 2023");
    }
}
