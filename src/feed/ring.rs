//! A feed: own rings from the connections' threads to one reader, one from each. When a ring is full the newest are
//! dropped, counted, and seen by the reader as a gap in the place where they are missing.
//!
//! # Synchronization
//!
//! * Each ring is rtrb's: single producer, single consumer, Release and Acquire on its own indices.
//! * `dropped` is written by the [`FeedWriter`] alone, after every push before that drop (DROP-AFTER-PUSH, Release), and
//!   loaded before the reader looks into the ring (Acquire): a ring found empty after that load held nothing that came
//!   before the drop, so the gap is at its end.
//! * Each slot carries the number of drops before it, so a gap in the middle needs no slot and no message of its own.
//! * Counts are not shared, but for what was filtered. Each end knows what it did itself and asks the ring, the only
//!   judge, how much is in it.
//! * `closed` is stored after the writer's last push (LAST-PUSH, Release) and loaded before the reader looks whether the
//!   ring is empty (Acquire).
//! * Sleeping readers and the writers meet in `sync::signal`: rings, `dropped` and `closed` are the data, `flush`
//!   notifies.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use rtrb::{Consumer, Producer, RingBuffer};

use super::{Item, Update};
use crate::sync::signal::Signal;

/// A feed and its writing end. The ring holds `capacity` updates of about 1.1 KB each, allocated here and never after.
///
/// # Panics
///
/// If `capacity` is 0.
pub fn feed(capacity: usize) -> (FeedWriter, Feed) {
    let (mut writers, feed) = feed_of(1, capacity);
    (writers.remove(0), feed)
}

/// A feed with so many writing ends, each with a ring of `capacity` updates. Updates of one writer stay in order.
///
/// # Panics
///
/// If either number is 0.
pub fn feed_of(writers: usize, capacity: usize) -> (Vec<FeedWriter>, Feed) {
    assert!(capacity > 0, "a feed without room for an update would drop everything");
    assert!(writers > 0, "a feed without a writer brings nothing");
    let signal = Arc::new(CachePadded::new(Signal::new()));
    let (writers, rings) = (0..writers)
        .map(|_| {
            let (ring, queued) = RingBuffer::new(capacity);
            let written = Arc::new(CachePadded::new(Written::default()));
            let (shared, signal) = (written.clone(), signal.clone());
            let writer = FeedWriter { ring, written, signal, pushed: 0, dropped: 0, unflushed: false };
            (writer, Ring { ring: queued, written: shared, delivered: 0, reported: 0 })
        })
        .unzip();
    (writers, Feed { rings, signal, next: 0 })
}

/// The writer's side, on a line of its own.
#[derive(Default)]
struct Written {
    dropped: AtomicU64,
    filtered: AtomicU64,
    closed: AtomicBool,
}

struct Slot {
    update: Update,
    // All updates dropped before this one.
    dropped_before: u64,
}

/// A writing end of a feed, on a connection's thread.
pub struct FeedWriter {
    ring: Producer<Slot>,
    written: Arc<CachePadded<Written>>,
    signal: Arc<CachePadded<Signal>>,
    // What went into the ring.
    pushed: u64,
    // The writer's own copy of `Written::dropped`.
    dropped: u64,
    // Something happened since the last flush that a sleeping reader waits for.
    unflushed: bool,
}

impl FeedWriter {
    /// Appends an update, or counts it as dropped if the reader has not kept up. Never blocks and wakes nobody: call
    /// [`flush`](Self::flush) after each batch.
    #[inline]
    pub fn push(&mut self, update: Update) {
        self.unflushed = true;
        if self.ring.is_full() {
            return self.drop_newest();
        }
        let pushed = self.ring.push(Slot { update, dropped_before: self.dropped });
        debug_assert!(pushed.is_ok(), "only this end fills the ring");
        self.pushed += 1;
    }

    /// Counts an update that the reader did not ask for.
    pub fn filter(&mut self) {
        // The only writer: no read-modify-write is needed.
        self.written.filtered.store(self.written.filtered.load(Relaxed) + 1, Relaxed);
    }

    /// Wakes the reader if it sleeps and anything was pushed since the last flush. A fence and a load otherwise.
    #[inline]
    pub fn flush(&mut self) {
        if std::mem::take(&mut self.unflushed) {
            self.signal.notify();
        }
    }

    /// The reader is gone; nothing pushed will be seen.
    pub fn is_abandoned(&self) -> bool {
        self.ring.is_abandoned()
    }

    /// What came in here and what became of it.
    pub fn counts(&self) -> FeedCounts {
        let queued = (self.ring.buffer().capacity() - self.ring.slots()) as u64;
        let (delivered, dropped) = (self.pushed - queued, self.dropped);
        let filtered = self.written.filtered.load(Relaxed);
        FeedCounts { received: self.pushed + dropped + filtered, delivered, dropped, filtered, queued }
    }

    fn drop_newest(&mut self) {
        self.dropped += 1;
        // DROP-AFTER-PUSH: Release, pairs with the Acquire in `Ring::gap_at_the_end` and `Ring::counts`.
        self.written.dropped.store(self.dropped, Release);
    }
}

impl Drop for FeedWriter {
    fn drop(&mut self) {
        // LAST-PUSH: Release, pairs with the Acquire in `Ring::is_closed` and `Ring::is_ready`.
        self.written.closed.store(true, Release);
        self.signal.notify();
    }
}

/// The reading end of a feed. Belongs to one thread at a time.
pub struct Feed {
    rings: Vec<Ring>,
    signal: Arc<CachePadded<Signal>>,
    // Where to look first: each ring has its turn.
    next: usize,
}

/// What comes from one writer.
struct Ring {
    ring: Consumer<Slot>,
    written: Arc<CachePadded<Written>>,
    // What came out of the ring.
    delivered: u64,
    // Drops that the reader has been told of.
    reported: u64,
}

impl Feed {
    /// The next item, if there is one. Never waits.
    #[inline]
    pub fn pop(&mut self) -> Option<Item> {
        for _ in 0..self.rings.len() {
            let turn = self.next;
            self.next = if turn + 1 == self.rings.len() { 0 } else { turn + 1 };
            if let Some(item) = self.rings[turn].pop() {
                return Some(item);
            }
        }
        None
    }

    /// Sleeps until there is something to pop or the feed is closed, at most `timeout`; true if so. Never spins.
    pub fn wait(&self, timeout: Duration) -> bool {
        self.signal.wait_until(timeout, || self.rings.iter().any(Ring::is_ready) || self.is_closed())
    }

    /// Nothing will come any more: the writers are gone and everything was popped.
    pub fn is_closed(&self) -> bool {
        self.rings.iter().all(Ring::is_closed)
    }

    /// What came in and what became of it.
    pub fn counts(&self) -> FeedCounts {
        self.rings.iter().map(Ring::counts).fold(FeedCounts::default(), FeedCounts::plus)
    }
}

impl Ring {
    #[inline]
    fn pop(&mut self) -> Option<Item> {
        let Ok(next) = self.ring.peek() else { return self.gap_at_the_end() };
        let dropped = next.dropped_before;
        if dropped > self.reported {
            return Some(self.gap(dropped));
        }
        let update = self.ring.pop().ok()?.update;
        self.delivered += 1;
        Some(Item::Data(update))
    }

    #[cold]
    fn gap_at_the_end(&mut self) -> Option<Item> {
        // Acquire, pairs with DROP-AFTER-PUSH in `FeedWriter::drop_newest`: pushes before these drops are visible below.
        let dropped = self.written.dropped.load(Acquire);
        if dropped == self.reported {
            return None;
        }
        // An update that came in meanwhile may belong before the gap: let it go first, it knows.
        if self.ring.is_empty() { Some(self.gap(dropped)) } else { self.pop() }
    }

    fn gap(&mut self, dropped: u64) -> Item {
        let missed = dropped - self.reported;
        self.reported = dropped;
        Item::Gap { missed }
    }

    /// There is something to pop.
    fn is_ready(&self) -> bool {
        !self.ring.is_empty() || self.written.dropped.load(Relaxed) > self.reported
    }

    fn is_closed(&self) -> bool {
        // Acquire, pairs with LAST-PUSH in `FeedWriter::drop`: then the ring and `dropped` are final.
        self.written.closed.load(Acquire) && !self.is_ready()
    }

    fn counts(&self) -> FeedCounts {
        let filtered = self.written.filtered.load(Relaxed);
        // Acquire, pairs with DROP-AFTER-PUSH in `FeedWriter::drop_newest`: pushes before these drops are counted below.
        let dropped = self.written.dropped.load(Acquire);
        let (delivered, queued) = (self.delivered, self.ring.slots() as u64);
        FeedCounts { received: delivered + queued + dropped + filtered, delivered, dropped, filtered, queued }
    }
}

/// What came into a feed and what became of it. `received = delivered + dropped + filtered + queued`, always and exactly;
/// what the other end does at this moment may not be in it yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FeedCounts {
    /// Updates of the feed's streams.
    pub received: u64,
    /// Updates that the reader popped.
    pub delivered: u64,
    /// Updates that found the ring full.
    pub dropped: u64,
    /// Snapshots and changes that this reader did not ask for.
    pub filtered: u64,
    /// Updates in the ring.
    pub queued: u64,
}

impl FeedCounts {
    fn plus(self, other: Self) -> Self {
        Self {
            received: self.received + other.received,
            delivered: self.delivered + other.delivered,
            dropped: self.dropped + other.dropped,
            filtered: self.filtered + other.filtered,
            queued: self.queued + other.queued,
        }
    }
}
