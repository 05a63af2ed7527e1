//! The primitives under `sync`: std's, or loom's under `cfg(loom)`, where a model checker runs the same source; and a
//! futex, which std does not export. Other code depends on the difference only in tests and in the sizes of two arrays.

#[cfg(loom)]
pub(super) use loom::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, fence},
};
#[cfg(not(loom))]
pub(super) use std::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, fence},
};

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

pub(super) use futex::Futex;

/// The latest time at which a sleeper wakes. Repeated waits share one deadline, and so one clock read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Option<Timespec>);

impl Deadline {
    /// Reads the clock: a wait must know how long it has slept. The time is used for nothing else. A timeout that
    /// overflows the clock means forever.
    pub(super) fn after(timeout: Duration) -> Self {
        let timeout = Timespec::try_from(timeout).ok();
        Self(timeout.and_then(|timeout| clock_gettime(ClockId::Monotonic).checked_add(timeout)))
    }
}

/// The system's futex: it compares and falls asleep in one step, and waking takes no lock that a preempted thread could
/// hold.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(loom)))]
mod futex {
    use std::num::NonZeroU32;

    use rustix::io::Errno;
    use rustix::thread::futex::{Flags, wait_bitset, wake};

    use super::{AtomicU32, Deadline};

    /// Every wake-up matches every wait.
    const ANY_BIT: NonZeroU32 = NonZeroU32::MAX;
    /// The largest number of threads to wake: the system takes it as a signed number.
    const ALL: u32 = i32::MAX as u32;

    /// A word, and the threads that sleep until it changes.
    #[derive(Debug)]
    pub(in super::super) struct Futex {
        pub(in super::super) word: AtomicU32,
    }

    impl Futex {
        pub(in super::super) fn new() -> Self {
            Self { word: AtomicU32::new(0) }
        }

        /// Sleeps while the word is `expected`, until a wake-up or the deadline; may also wake spuriously. Returns
        /// false after the deadline.
        pub(in super::super) fn wait(&self, expected: u32, deadline: &Deadline) -> bool {
            // The bitset variant takes an absolute time; the plain one would restart the timeout with each wait.
            let slept = wait_bitset(&self.word, Flags::PRIVATE, expected, deadline.0.as_ref(), ANY_BIT);
            slept != Err(Errno::TIMEDOUT)
        }

        /// Wakes all threads that sleep here. Call it after the word has changed.
        pub(in super::super) fn wake_all(&self) {
            // The only error is a bad address, and the word's address is valid.
            let _ = wake(&self.word, Flags::PRIVATE, ALL);
        }
    }
}

/// The same for loom models and for systems without a futex: the comparison runs under a lock, which waking takes, too.
#[cfg(any(not(any(target_os = "linux", target_os = "android")), loom))]
mod futex {
    #[cfg(loom)]
    use loom::sync::{Condvar, Mutex, MutexGuard};
    use std::sync::PoisonError;
    use std::sync::atomic::Ordering::Relaxed;
    #[cfg(not(loom))]
    use std::sync::{Condvar, Mutex, MutexGuard};

    use super::{AtomicU32, Deadline};

    /// A word, and the threads that sleep until it changes.
    #[derive(Debug)]
    pub(in super::super) struct Futex {
        pub(in super::super) word: AtomicU32,
        gate: Mutex<()>,
        wake: Condvar,
    }

    impl Futex {
        pub(in super::super) fn new() -> Self {
            Self { word: AtomicU32::new(0), gate: Mutex::new(()), wake: Condvar::new() }
        }

        /// Sleeps while the word is `expected`, until a wake-up or the deadline; may also wake spuriously. Returns
        /// false after the deadline.
        pub(in super::super) fn wait(&self, expected: u32, deadline: &Deadline) -> bool {
            let gate = self.gate();
            self.word.load(Relaxed) != expected || self.sleep(gate, deadline)
        }

        /// Wakes all threads that sleep here. Call it after the word has changed.
        pub(in super::super) fn wake_all(&self) {
            // A thread that compared before the word changed is asleep once this has the lock.
            drop(self.gate());
            self.wake.notify_all();
        }

        #[cfg(not(loom))]
        fn sleep(&self, gate: MutexGuard<'_, ()>, deadline: &Deadline) -> bool {
            let Some(rest) = deadline.rest() else {
                drop(self.wake.wait(gate));
                return true;
            };
            !self.wake.wait_timeout(gate, rest).unwrap_or_else(PoisonError::into_inner).1.timed_out()
        }

        /// Models never time out: a lost wake-up becomes a deadlock, which loom finds.
        #[cfg(loom)]
        fn sleep(&self, gate: MutexGuard<'_, ()>, deadline: &Deadline) -> bool {
            assert!(deadline.0.is_none(), "a model waits forever");
            drop(self.wake.wait(gate));
            true
        }

        /// Ignores poison: the lock protects no data that a panic could leave incomplete.
        fn gate(&self) -> MutexGuard<'_, ()> {
            self.gate.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    #[cfg(not(loom))]
    impl Deadline {
        /// Returns the remaining time; `None` means forever.
        fn rest(&self) -> Option<std::time::Duration> {
            use rustix::time::{ClockId, clock_gettime};
            let rest = self.0?.checked_sub(clock_gettime(ClockId::Monotonic))?;
            Some(rest.try_into().unwrap_or_default())
        }
    }
}
