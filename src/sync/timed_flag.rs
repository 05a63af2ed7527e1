//! A flag with the times of its last changes.
//!
//! # Synchronization
//!
//! There is one writer at a time. It stores `is_set` after the time of the change (TIME-THEN-FLAG, Release), and
//! readers load it before the times (Acquire): a reader that sees the flag set or cleared sees the time of that change,
//! or of a later one. [`TimedFlag::interrupt`] stores only times. Its caller must make sure that readers see them when
//! they matter.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::prim::{AtomicBool, AtomicU64};
use crate::model::Nanos;

/// A flag with the times of its last changes.
#[derive(Debug)]
pub struct TimedFlag {
    is_set: AtomicBool,
    set_at: AtomicU64,
    cleared_at: AtomicU64,
}

/// The state of a flag at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedFlagState {
    /// Whether the flag is set.
    pub is_set: bool,
    /// When the flag was last set.
    pub set_at: Nanos,
    /// When the flag was last cleared; zero if never.
    pub cleared_at: Nanos,
}

impl TimedFlag {
    /// Returns a flag that has been set since `now` and was never cleared.
    pub fn new_set(now: Nanos) -> Self {
        Self { is_set: AtomicBool::new(true), set_at: AtomicU64::new(now.0), cleared_at: AtomicU64::new(0) }
    }

    /// Returns true if the flag is set. For the writer, and for threads that do not need the times.
    pub fn is_set(&self) -> bool {
        self.is_set.load(Relaxed)
    }

    /// Sets the flag.
    pub fn set(&self, now: Nanos) {
        self.set_at.store(now.0, Relaxed);
        // TIME-THEN-FLAG: Release, pairs with the Acquire in `read`.
        self.is_set.store(true, Release);
    }

    /// Clears the flag.
    pub fn clear(&self, now: Nanos) {
        self.cleared_at.store(now.0, Relaxed);
        // TIME-THEN-FLAG: Release, pairs with the Acquire in `read`.
        self.is_set.store(false, Release);
    }

    /// Records an interruption of a flag that is set: cleared at `off` and set again at `on`. Readers never see the
    /// flag cleared. If the flag is not set, only records the time `on`.
    pub fn interrupt(&self, off: Nanos, on: Nanos) {
        if self.is_set() {
            self.cleared_at.store(off.0, Relaxed);
        }
        self.set_at.store(on.0, Relaxed);
    }

    /// Returns the state of the flag.
    pub fn read(&self) -> TimedFlagState {
        // Acquire, pairs with TIME-THEN-FLAG.
        let is_set = self.is_set.load(Acquire);
        TimedFlagState {
            is_set,
            set_at: Nanos(self.set_at.load(Relaxed)),
            cleared_at: Nanos(self.cleared_at.load(Relaxed)),
        }
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;
    use std::sync::atomic::Ordering;

    /// Clears a flag at 10 and sets it again at 20.
    fn a_change_is_seen_with_its_time(stored: Ordering) {
        loom::model(move || {
            let flag = Arc::new(TimedFlag::new_set(Nanos(0)));
            let writer = thread::spawn({
                let flag = flag.clone();
                move || match stored {
                    Release => {
                        flag.clear(Nanos(10));
                        flag.set(Nanos(20));
                    }
                    other => {
                        flag.cleared_at.store(10, Relaxed);
                        flag.is_set.store(false, other);
                        flag.set_at.store(20, Relaxed);
                        flag.is_set.store(true, other);
                    }
                }
            });
            let was_off = !flag.read().is_set;
            let TimedFlagState { is_set, set_at, cleared_at } = flag.read();
            assert!(is_set || cleared_at == Nanos(10), "time not seen");
            assert!(!is_set || !was_off || set_at == Nanos(20), "time not seen");
            writer.join().unwrap();
        });
    }

    #[test]
    fn a_reader_that_sees_a_change_sees_its_time() {
        a_change_is_seen_with_its_time(Release);
    }

    #[test]
    #[should_panic(expected = "time not seen")]
    fn planted_without_release_a_change_is_seen_without_its_time() {
        a_change_is_seen_with_its_time(Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_flag_remembers_when_it_changed() {
        let flag = TimedFlag::new_set(Nanos(0));
        let at = |is_set, set_at, cleared_at| TimedFlagState {
            is_set,
            set_at: Nanos(set_at),
            cleared_at: Nanos(cleared_at),
        };
        assert_eq!(flag.read(), at(true, 0, 0));
        flag.clear(Nanos(5));
        assert_eq!((flag.read(), flag.is_set()), (at(false, 0, 5), false));
        flag.set(Nanos(7));
        assert_eq!(flag.read(), at(true, 7, 5));
        flag.interrupt(Nanos(8), Nanos(9));
        assert_eq!(flag.read(), at(true, 9, 8));
    }
}
