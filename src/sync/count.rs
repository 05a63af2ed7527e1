//! Counters of completed work: a thread that sees the count also sees the work.
//!
//! # Synchronization
//!
//! The writer stores a count after the work it counts (COUNTED, Release), and a reader loads it before the work
//! (Acquire). So the reader sees all work in the count, and perhaps more.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::prim::AtomicU64;

/// A counter with one writer.
#[derive(Debug)]
pub struct Count(AtomicU64);

impl Count {
    /// Returns a counter at zero.
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds to the count. For the writer's thread only, so it needs no read-modify-write.
    #[inline]
    pub fn add(&self, more: u64) {
        // COUNTED: Release, pairs with the Acquire in `get`.
        self.0.store(self.0.load(Relaxed) + more, Release);
    }

    /// Raises the count to a new maximum. For the writer's thread only.
    #[inline]
    pub fn raise(&self, value: u64) {
        if value > self.0.load(Relaxed) {
            self.0.store(value, Relaxed);
        }
    }

    /// Returns the count.
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

/// A counter with many writers that can also go down.
#[derive(Debug)]
pub struct Tally(AtomicU64);

impl Tally {
    /// Returns a counter at `n`.
    pub fn new(n: u64) -> Self {
        Self(AtomicU64::new(n))
    }

    /// Adds one.
    pub fn add_one(&self) {
        // COUNTED: Release, pairs with the Acquire in `get`.
        self.0.fetch_add(1, Release);
    }

    /// Subtracts one.
    pub fn take_one(&self) {
        // COUNTED: Release, pairs with the Acquire in `get`.
        self.0.fetch_sub(1, Release);
    }

    /// Returns the count.
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

    /// Does something twice and counts it each time.
    fn counted_work_is_seen(counted: Ordering) {
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
    fn a_reader_of_the_count_sees_the_counted_work() {
        counted_work_is_seen(Release);
    }

    #[test]
    #[should_panic(expected = "not seen")]
    fn planted_without_release_counted_work_is_not_seen() {
        counted_work_is_seen(Relaxed);
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
    fn a_reader_that_sees_that_all_writers_left_sees_all_their_work() {
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
    fn counts_rise_and_a_maximum_stays() {
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
