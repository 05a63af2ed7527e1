//! Clocks. Only this file reads them, except that `sync::prim` measures how long a wait has lasted.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::model::{Clock, Nanos, saturating_ns};

/// A clock that returns the wall time of its creation plus the monotonic time since. Later changes of the wall clock do
/// not affect it.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    anchor: Instant,
    /// The wall time at `anchor`, in ns since the Unix epoch.
    anchor_ns: u64,
    /// The time of [`COARSE`] at `anchor`, in ns.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    anchor_coarse: u64,
}

/// The same clock as that of [`Instant`], read from the kernel's last tick, 1 to 10 ms ago. A read takes a few ns also on
/// machines whose precise clock takes 50.
#[cfg(any(target_os = "linux", target_os = "android"))]
const COARSE: ClockId = ClockId::MonotonicCoarse;

impl SystemClock {
    /// Returns a clock that starts now.
    #[allow(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
    pub fn new() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            anchor: Instant::now(),
            anchor_ns: saturating_ns(wall),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            anchor_coarse: read(ClockId::Monotonic).0,
        }
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

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[inline]
    fn coarse(&self) -> Nanos {
        Nanos(self.anchor_ns + read(COARSE).0.saturating_sub(self.anchor_coarse))
    }
}

#[inline]
fn read(clock: ClockId) -> Nanos {
    let time = clock_gettime(clock);
    Nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Returns the system's wall time, which may be set at any time. Only for comparison with the kernel's stamps.
pub(super) fn wall() -> Nanos {
    read(ClockId::Realtime)
}

/// Returns the time since the machine started, including sleep. It is the same for all processes, cannot be set, and
/// restarts with the machine. Processes use it to share times of the last seconds.
pub(super) fn since_boot() -> Nanos {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: ClockId = ClockId::Boottime;
    // Stops while the machine sleeps, which makes waits longer, never shorter.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: ClockId = ClockId::Monotonic;
    read(CLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_goes_backwards_and_starts_near_the_wall_clock() {
        let clock = SystemClock::new();
        let mut last = clock.now();
        for _ in 0..1000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
        assert!(last.as_millis() > 1_700_000_000_000, "after November 2023");
    }

    #[test]
    fn the_coarse_clock_never_goes_backwards_and_is_never_ahead() {
        let clock = SystemClock::new();
        let mut last = clock.coarse();
        for _ in 0..100_000 {
            let coarse = clock.coarse();
            assert!(coarse >= last && coarse <= clock.now());
            last = coarse;
        }
    }
}
