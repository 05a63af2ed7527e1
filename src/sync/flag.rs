//! A flag that many threads raise to leave work for one.
//!
//! # Synchronization
//!
//! A caller stores its work and then raises the flag (RAISED, Release). The taker lowers the flag (Acquire) and then
//! looks for work. So it sees the work of every call that it takes, and later calls raise the flag again. Raising is a
//! read-modify-write: a call that finds the flag up joins the release sequence of the previous call.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::prim::AtomicBool;

/// A flag raised by many threads and taken by one.
#[derive(Debug)]
pub struct Flag(AtomicBool);

impl Flag {
    /// Returns a flag that is down.
    pub fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Raises the flag. Returns true if it was down.
    pub fn raise(&self) -> bool {
        // RAISED: Release, pairs with the Acquire in `take`.
        !self.0.swap(true, Release)
    }

    /// Returns true if the flag is up. A plain load, so that a polling thread does not take the cache line from the
    /// callers.
    #[inline]
    pub fn is_raised(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// Lowers the flag. Returns true if it was up.
    #[inline]
    pub fn take(&self) -> bool {
        // Acquire, pairs with RAISED in `raise`.
        self.is_raised() && self.0.swap(false, Acquire)
    }
}

impl Default for Flag {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::sync::prim::AtomicU64;
    use loom::sync::Arc;
    use loom::thread;
    use std::sync::atomic::Ordering;

    /// Two threads leave work and raise the flag; it is taken until the work of both was seen.
    fn every_call_is_seen(raised: Ordering) {
        loom::model(move || {
            let (flag, left) = (Arc::new(Flag::new()), Arc::new([AtomicU64::new(0), AtomicU64::new(0)]));
            let callers = [0, 1].map(|caller| {
                let (flag, left) = (flag.clone(), left.clone());
                thread::spawn(move || {
                    left[caller].store(1, Relaxed);
                    match raised {
                        Release => _ = flag.raise(),
                        other => _ = flag.0.swap(true, other),
                    }
                })
            });
            let look = || left.iter().map(|left| left.load(Relaxed)).sum::<u64>();
            let mut seen = if flag.take() { look() } else { 0 };
            callers.into_iter().for_each(|caller| caller.join().unwrap());
            // Looks again only if there is a call that it has not taken.
            if flag.take() {
                seen = look();
            }
            assert_eq!(seen, 2, "a call was missed");
        });
    }

    #[test]
    fn work_left_before_a_call_is_seen() {
        every_call_is_seen(Release);
    }

    #[test]
    #[should_panic(expected = "a call was missed")]
    fn planted_without_release_work_left_before_a_call_is_missed() {
        every_call_is_seen(Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn calls_before_a_take_count_as_one_call() {
        let flag = Flag::new();
        assert!(!flag.take());
        assert_eq!((flag.raise(), flag.raise(), flag.is_raised()), (true, false, true));
        assert_eq!((flag.take(), flag.take(), flag.raise()), (true, false, true));
    }
}
