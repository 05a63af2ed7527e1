//! A count of the waiting readers of something shared, so that its writer need not check each reader's signal.
//!
//! # Synchronization
//!
//! A reader raises `count` before it waits for its own signal, and the writer loads it after it stored the data. The
//! reader's fence is the one in [`Signal::wait_until`](super::signal::Signal::wait_until), between raising and checking
//! the data; the writer's is in [`Waiters::any`] (DATA-THEN-WAITERS). As in `signal`, the two fences prevent that both
//! sides miss the other's store: either the writer sees the reader and notifies it, or the reader sees the data.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use super::prim::{AtomicUsize, fence};

/// The number of waiting readers.
#[derive(Debug, Default)]
pub struct Waiters {
    count: AtomicUsize,
}

impl Waiters {
    /// Returns a count of zero.
    pub fn new() -> Self {
        Self { count: AtomicUsize::new(0) }
    }

    /// Counts a reader that is about to wait for its signal, until the guard is dropped.
    pub fn guard(&self) -> WaitGuard<'_> {
        self.enter();
        WaitGuard(self)
    }

    /// Same as [`guard`](Self::guard), for a reader that cannot keep a guard: it must call [`leave`](Self::leave).
    pub fn enter(&self) {
        // Relaxed: ordered by the fence in `Signal::wait_until` that follows.
        self.count.fetch_add(1, Relaxed);
    }

    /// Stops counting a reader that called [`enter`](Self::enter).
    pub fn leave(&self) {
        // Relaxed: a writer that still sees the reader notifies in vain.
        self.count.fetch_sub(1, Relaxed);
    }

    /// Returns true if a reader waits and must be notified of the data stored before this call. Consists of a fence,
    /// which [`notify_fenced`](super::signal::Signal::notify_fenced) relies on, and a load.
    #[inline]
    pub fn any(&self) -> bool {
        // DATA-THEN-WAITERS, see above.
        fence(SeqCst);
        self.count.load(Relaxed) > 0
    }
}

/// A counted reader, see [`Waiters::guard`].
pub struct WaitGuard<'a>(&'a Waiters);

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::sync::prim::AtomicU64;
    use crate::sync::signal::Signal;
    use loom::sync::Arc;
    use loom::thread;
    use std::time::Duration;

    /// Two readers sleep on their own signals; the writer checks once whether any reader waits.
    #[test]
    fn a_waiting_reader_is_woken_after_one_check_for_all() {
        // Three threads: without a bound this takes minutes.
        let mut bounded = loom::model::Builder::new();
        bounded.preemption_bound = Some(2);
        bounded.check(|| {
            let data = Arc::new(AtomicU64::new(0));
            let waiters = Arc::new(Waiters::new());
            let signals = [Arc::new(Signal::new()), Arc::new(Signal::new())];
            let readers = signals.clone().map(|signal| {
                let (data, waiters) = (data.clone(), waiters.clone());
                thread::spawn(move || {
                    waiters.enter();
                    assert!(signal.wait_until(Duration::MAX, || data.load(Relaxed) == 1), "lost wake-up");
                    waiters.leave();
                })
            });
            data.store(1, Relaxed);
            if waiters.any() {
                signals.iter().for_each(|signal| signal.notify_fenced());
            }
            for reader in readers {
                reader.join().unwrap();
            }
        });
    }
}
