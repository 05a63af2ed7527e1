//! The primitives that `sync` is written over: std's, or loom's under `cfg(loom)`, where a model checker runs the same
//! source; and the futex, which std keeps to itself. Nothing else of the library knows the difference.

#[cfg(loom)]
pub(super) use loom::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, fence},
    sync::{RwLock, RwLockReadGuard, RwLockWriteGuard},
};
#[cfg(not(loom))]
pub(super) use std::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, fence},
    sync::{RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

pub(super) use futex::Futex;

/// Until when a sleeper sleeps at most. Waits that are repeated share one deadline, and so one look at the clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Option<Timespec>);

impl Deadline {
    /// Reads the clock: a sleeper must know how long it slept, and nothing else learns the time from here. A timeout
    /// that the clock cannot count to is for ever.
    pub(super) fn after(timeout: Duration) -> Self {
        let timeout = Timespec::try_from(timeout).ok();
        Self(timeout.and_then(|timeout| clock_gettime(ClockId::Monotonic).checked_add(timeout)))
    }
}

/// The system's own: comparing and falling asleep are one step there, and waking takes no lock that a thread put aside
/// could hold.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(loom)))]
mod futex {
    use std::num::NonZeroU32;

    use rustix::io::Errno;
    use rustix::thread::futex::{Flags, wait_bitset, wake};

    use super::{AtomicU32, Deadline};

    /// Every waiter is woken by every wake.
    const ANYBODY: NonZeroU32 = NonZeroU32::MAX;
    /// What the system counts to: it takes the number of threads to wake for a signed one.
    const EVERYBODY: u32 = i32::MAX as u32;

    /// A word, and those who sleep until it changes.
    #[derive(Debug)]
    pub(in super::super) struct Futex {
        pub(in super::super) word: AtomicU32,
    }

    impl Futex {
        pub(in super::super) fn new() -> Self {
            Self { word: AtomicU32::new(0) }
        }

        /// Sleeps while the word is `expected`, until somebody wakes it or the time is over, or for no reason at all.
        /// False if the time is over.
        pub(in super::super) fn wait(&self, expected: u32, deadline: &Deadline) -> bool {
            // The variant with a bitset takes the time as a moment; the plain one would start over with each wait.
            let slept = wait_bitset(&self.word, Flags::PRIVATE, expected, deadline.0.as_ref(), ANYBODY);
            slept != Err(Errno::TIMEDOUT)
        }

        /// Wakes everybody who sleeps here. Call it after the word has changed.
        pub(in super::super) fn wake_all(&self) {
            // The one error is a bad address, and the word is right here.
            let _ = wake(&self.word, Flags::PRIVATE, EVERYBODY);
        }
    }
}

/// The same, for models and for systems without a futex: a lock is held for the comparison, and waking goes through it.
#[cfg(any(not(any(target_os = "linux", target_os = "android")), loom))]
mod futex {
    #[cfg(loom)]
    use loom::sync::{Condvar, Mutex, MutexGuard};
    use std::sync::PoisonError;
    use std::sync::atomic::Ordering::Relaxed;
    #[cfg(not(loom))]
    use std::sync::{Condvar, Mutex, MutexGuard};

    use super::{AtomicU32, Deadline};

    /// A word, and those who sleep until it changes.
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

        /// Sleeps while the word is `expected`, until somebody wakes it or the time is over, or for no reason at all.
        /// False if the time is over.
        pub(in super::super) fn wait(&self, expected: u32, deadline: &Deadline) -> bool {
            let gate = self.gate();
            self.word.load(Relaxed) != expected || self.sleep(gate, deadline)
        }

        /// Wakes everybody who sleeps here. Call it after the word has changed.
        pub(in super::super) fn wake_all(&self) {
            // Through the gate: whoever compared before the word changed is asleep once we get it.
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

        /// Models never time out: a lost wake-up is a deadlock, and loom finds it.
        #[cfg(loom)]
        fn sleep(&self, gate: MutexGuard<'_, ()>, deadline: &Deadline) -> bool {
            assert!(deadline.0.is_none(), "a model waits for ever");
            drop(self.wake.wait(gate));
            true
        }

        /// Nothing is ever left half done under this lock, so poison says nothing and is ignored.
        fn gate(&self) -> MutexGuard<'_, ()> {
            self.gate.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    #[cfg(not(loom))]
    impl Deadline {
        /// What is left; nothing for ever.
        fn rest(&self) -> Option<std::time::Duration> {
            use rustix::time::{ClockId, clock_gettime};
            let rest = self.0?.checked_sub(clock_gettime(ClockId::Monotonic))?;
            Some(rest.try_into().unwrap_or_default())
        }
    }
}
