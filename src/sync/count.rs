//! Counters of what has been done: a thread that sees the count also sees what was counted.
//!
//! # Synchronization
//!
//! Each count is changed after what it counts (COUNTED, Release), and loaded before a reader looks at that (Acquire): what
//! is in the count is seen. What is not may be seen as well.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::prim::AtomicU64;

/// A counter with one writer.
#[derive(Debug)]
pub struct Count(AtomicU64);

impl Count {
    /// Zero.
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds, on the writer's thread: no read-modify-write is needed.
    #[inline]
    pub fn add(&self, more: u64) {
        // COUNTED: Release, pairs with the Acquire in `get`.
        self.0.store(self.0.load(Relaxed) + more, Release);
    }

    /// Raises to a new maximum, on the writer's thread.
    #[inline]
    pub fn raise(&self, value: u64) {
        if value > self.0.load(Relaxed) {
            self.0.store(value, Relaxed);
        }
    }

    /// The count.
    #[inline]
    pub fn get(&self) -> u64 {
        // Acquire, pairs with COUNTED in `add`.
        self.0.load(Acquire)
    }
}

impl Default for Count {
    fn default() -> Self {
        Self::new()
    }
}

/// A counter with many writers, which may go down as well.
#[derive(Debug)]
pub struct Tally(AtomicU64);

impl Tally {
    /// A count of `n`.
    pub fn new(n: u64) -> Self {
        Self(AtomicU64::new(n))
    }

    /// One more.
    pub fn add_one(&self) {
        // COUNTED: Release, pairs with the Acquire in `get`.
        self.0.fetch_add(1, Release);
    }

    /// One less.
    pub fn take_one(&self) {
        // COUNTED: Release, pairs with the Acquire in `get`.
        self.0.fetch_sub(1, Release);
    }

    /// The count.
    #[inline]
    pub fn get(&self) -> u64 {
        // Acquire, pairs with COUNTED in `add_one` and `take_one`.
        self.0.load(Acquire)
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;
    use std::sync::atomic::Ordering;

    /// Something is done twice, and counted each time.
    fn what_is_counted_is_seen(counted: Ordering) {
        loom::model(move || {
            let (count, done) = (Arc::new(Count::new()), Arc::new(AtomicU64::new(0)));
            let writer = thread::spawn({
                let (count, done) = (count.clone(), done.clone());
                move || {
                    for n in 1..=2 {
                        done.store(n, Relaxed);
                        match counted {
                            Release => count.add(1),
                            other => count.0.store(n, other),
                        }
                    }
                }
            });
            let counted = count.get();
            assert!(done.load(Relaxed) >= counted, "not seen");
            writer.join().unwrap();
        });
    }

    #[test]
    fn a_reader_of_the_count_sees_what_is_counted() {
        what_is_counted_is_seen(Release);
    }

    #[test]
    #[should_panic(expected = "not seen")]
    fn planted_without_release_something_counted_is_not_seen() {
        what_is_counted_is_seen(Relaxed);
    }

    /// Two writers do their last work and leave.
    fn a_reader_that_sees_them_gone_sees_their_work(left: Ordering) {
        loom::model(move || {
            let (writers, done) = (Arc::new(Tally::new(2)), Arc::new([AtomicU64::new(0), AtomicU64::new(0)]));
            let threads = [0, 1].map(|writer| {
                let (writers, done) = (writers.clone(), done.clone());
                thread::spawn(move || {
                    done[writer].store(1, Relaxed);
                    match left {
                        Release => writers.take_one(),
                        other => _ = writers.0.fetch_sub(1, other),
                    }
                })
            });
            if writers.get() == 0 {
                assert!(done.iter().all(|done| done.load(Relaxed) == 1), "not seen");
            }
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }

    #[test]
    fn a_reader_that_sees_that_all_writers_left_sees_all_they_wrote() {
        a_reader_that_sees_them_gone_sees_their_work(Release);
    }

    #[test]
    #[should_panic(expected = "not seen")]
    fn planted_without_release_the_last_work_of_a_writer_is_not_seen() {
        a_reader_that_sees_them_gone_sees_their_work(Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn counts_go_up_and_a_maximum_stays() {
        let count = Count::new();
        count.add(2);
        count.raise(1);
        assert_eq!(count.get(), 2);
        count.raise(7);
        assert_eq!(count.get(), 7);
        let tally = Tally::new(1);
        tally.add_one();
        tally.take_one();
        tally.take_one();
        assert_eq!(tally.get(), 0);
    }
}
