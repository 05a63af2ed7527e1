//! A bounded queue whose writers never wait: items that do not fit are dropped and counted. For reports, where losing
//! some is better than blocking the thread that reports.
//!
//! # Synchronization
//!
//! * Each writer has its own ring: rtrb's, single producer, single consumer. Only readers take the lock on the reading
//!   ends.
//! * `lost` is a counter and orders nothing (Relaxed).
//! * Each writer decrements `writers` after its last push (`count::Tally`), and a reader loads it before it looks into
//!   the rings: a queue found closed and then empty stays empty.
//! * A sleeping reader and the writers synchronize through `signal`. The data that it announces are the rings and
//!   `writers`.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rtrb::{Consumer, Producer, RingBuffer};

use super::count::Tally;
use super::prim::AtomicU64;
use super::signal::Signal;

/// The state shared by both ends.
#[derive(Debug)]
struct Shared {
    signal: Signal,
    lost: AtomicU64,
    writers: Tally,
}

/// Returns the ends of a queue with one writer for each capacity. The room for that many items is allocated here.
pub fn queue<T>(capacities: impl ExactSizeIterator<Item = usize>) -> (Vec<Writer<T>>, Reader<T>) {
    let (signal, lost, count) = (Signal::new(), AtomicU64::new(0), Tally::new(capacities.len() as u64));
    let shared = Arc::new(Shared { signal, lost, writers: count });
    let ends = capacities.map(RingBuffer::new);
    let (writers, rings) = ends.map(|(ring, end)| (Writer { ring, shared: shared.clone() }, end)).unzip();
    (writers, Reader { rings: Mutex::new(Rings { rings, next: 0 }), shared })
}

/// A writing end. Belongs to one thread at a time.
#[derive(Debug)]
pub struct Writer<T> {
    ring: Producer<T>,
    shared: Arc<Shared>,
}

impl<T> Writer<T> {
    /// Appends an item and wakes the reader if it sleeps. If there is no room, drops and counts the item. Never waits.
    pub fn push(&mut self, item: T) {
        match self.ring.push(item) {
            Ok(()) => self.shared.signal.notify(),
            Err(_) => _ = self.shared.lost.fetch_add(1, Relaxed),
        }
    }

    /// Returns true if the reader was dropped.
    pub fn is_abandoned(&self) -> bool {
        self.ring.is_abandoned()
    }
}

impl<T> Drop for Writer<T> {
    fn drop(&mut self) {
        self.shared.writers.take_one();
        self.shared.signal.notify();
    }
}

/// The reading end. Threads that share it take turns; each item goes to one of them.
#[derive(Debug)]
pub struct Reader<T> {
    rings: Mutex<Rings<T>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Rings<T> {
    rings: Vec<Consumer<T>>,
    /// The ring to look into first. It advances, so that a busy writer does not starve the others.
    next: usize,
}

impl<T> Reader<T> {
    /// Returns the next item, if there is one. Items of one writer arrive in order.
    pub fn pop(&self) -> Option<T> {
        self.lock().pop()
    }

    /// Waits for the next item, at most for `timeout`. Returns `None` after the timeout, and at once if all writers
    /// were dropped and no item is left.
    pub fn pop_within(&self, timeout: Duration) -> Option<T> {
        let mut item = None;
        self.shared.signal.wait_until(timeout, || {
            let closed = self.is_closed();
            item = self.pop();
            item.is_some() || closed
        });
        item
    }

    /// Returns the number of items dropped so far because there was no room.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Relaxed)
    }

    /// Returns true if no more items will be pushed. Some may be left.
    fn is_closed(&self) -> bool {
        self.shared.writers.get() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Rings<T>> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Rings<T> {
    fn pop(&mut self) -> Option<T> {
        let count = self.rings.len();
        let (at, item) =
            (self.next..self.next + count).find_map(|at| Some((at, self.rings[at % count].pop().ok()?)))?;
        self.next = (at + 1) % count;
        Some(item)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::thread;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn items_that_do_not_fit_are_dropped_and_counted() {
        let (mut writers, reader) = queue([4].into_iter());
        (0..10).for_each(|n| writers[0].push(n));
        assert_eq!((reader.lost(), reader.pop(), reader.pop()), (6, Some(0), Some(1)));
        writers[0].push(10);
        assert_eq!(std::iter::from_fn(|| reader.pop()).collect::<Vec<_>>(), [2, 3, 10]);
        assert_eq!(reader.lost(), 6);
    }

    #[test]
    fn a_busy_writer_does_not_starve_the_others() {
        let (mut writers, reader) = queue([100; 3].into_iter());
        (0..100).for_each(|_| writers[0].push("busy"));
        writers[1].push("rare");
        writers[2].push("rarer");
        let first: Vec<_> = (0..4).filter_map(|_| reader.pop()).collect();
        assert_eq!(first, ["busy", "rare", "rarer", "busy"]);
    }

    #[test]
    fn a_sleeping_reader_is_woken_by_an_item_and_by_the_end() {
        let (mut writers, reader) = queue([4; 2].into_iter());
        thread::scope(|scope| {
            let reads = scope.spawn(|| (reader.pop_within(LONG), reader.pop_within(LONG), reader.pop_within(LONG)));
            let mut last = writers.pop().unwrap();
            drop(writers);
            last.push(1);
            last.push(2);
            drop(last);
            assert_eq!(reads.join().unwrap(), (Some(1), Some(2), None), "the remaining items come before the end");
        });
        assert_eq!(reader.pop_within(Duration::ZERO), None);
    }

    #[test]
    fn a_writer_learns_that_its_reader_is_gone() {
        let (mut writers, reader) = queue([1].into_iter());
        assert!(!writers[0].is_abandoned());
        drop(reader);
        assert!(writers[0].is_abandoned());
        writers[0].push(1);
    }
}
