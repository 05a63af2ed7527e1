//! Waiters: how many readers of something shared wait, so that its writer need not ask each of them.
//!
//! # Synchronization
//!
//! `count` is raised by a reader before it waits for its own signal, and read by the writer after it stored the data.
//! The reader's fence is the one in [`Signal::wait_until`](super::signal::Signal::wait_until), between raising and
//! looking at the data; the writer's is in [`Waiters::any`] (DATA-THEN-WAITERS). As in `signal`, the two fences forbid
//! that both miss the other's store: either the writer sees that somebody sleeps and notifies, or the reader sees the
//! data.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use super::prim::{AtomicUsize, fence};

/// How many readers sleep.
#[derive(Debug, Default)]
pub struct Waiters {
    count: AtomicUsize,
}

impl Waiters {
    /// Nobody sleeps.
    pub fn new() -> Self {
        Self { count: AtomicUsize::new(0) }
    }

    /// One more is about to wait for its signal, and is counted until what this gives is dropped.
    pub fn guard(&self) -> WaitGuard<'_> {
        self.enter();
        WaitGuard(self)
    }

    /// The same for who cannot hold on to that: [`leave`](Self::leave) ends it.
    pub fn enter(&self) {
        // Relaxed: ordered by the fence in `Signal::wait_until` that follows.
        self.count.fetch_add(1, Relaxed);
    }

    /// One has woken.
    pub fn leave(&self) {
        // Relaxed: a writer that still sees it notifies in vain.
        self.count.fetch_sub(1, Relaxed);
    }

    /// Somebody sleeps and must be notified of what was stored before this call. A fence, which
    /// [`notify_fenced`](super::signal::Signal::notify_fenced) relies on, and a load.
    #[inline]
    pub fn any(&self) -> bool {
        // DATA-THEN-WAITERS, see above.
        fence(SeqCst);
        self.count.load(Relaxed) > 0
    }
}

/// See [`Waiters::guard`].
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

    /// Two readers sleep on signals of their own; the writer asks once whether anybody does.
    #[test]
    fn a_reader_that_sleeps_is_woken_and_one_that_does_not_is_not_asked() {
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
