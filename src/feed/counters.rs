//! What came into a feed and what became of it: counted by those who know, added up by whoever asks.
//!
//! # Synchronization
//!
//! Every count is a [`Count`]: it has one writer, and whoever sees it sees what was done before it was raised.
//! * A writer counts an arrival before it can be read. The reader first counts what became of an update, then that the
//!   update has left its queue. `FeedCounters::try_counts` loads in the opposite order: updates that left the queues,
//!   what became of them, arrivals. So the parts are never less than the whole, and exceed it by no more than the reader
//!   has in hand.
//! * The shared ring counts an arrival after it can be read. An event that was taken from it has arrived, counted or not.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_utils::CachePadded;

use crate::sync::count::Count;

/// What came into a feed and what became of it.
///
/// `received = delivered + dropped + conflated + filtered + queued`. Each is counted where it happens, by the connections'
/// threads and by the reader, so the sum is a check. It is exact whenever no update is being handed over. An update that
/// is handed over at this moment may be in two of the parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FeedCounts {
    /// Updates of the feed's streams.
    pub received: u64,
    /// Updates that the reader popped.
    pub delivered: u64,
    /// Updates that were lost because the reader did not keep up. Each is told in band, as part of a gap.
    pub dropped: u64,
    /// Updates that a newer one of their stream took the place of.
    pub conflated: u64,
    /// Snapshots and changes that this reader did not ask for, and snapshots that repeat what it has had.
    pub filtered: u64,
    /// Updates that wait to be read, to be told of as dropped, or to be merged with newer ones.
    pub queued: u64,
}

impl FeedCounts {
    /// Everything received is in one of the other counts.
    fn adds_up(&self) -> bool {
        let Self { received, delivered, dropped, conflated, filtered, queued } = *self;
        received == delivered + dropped + conflated + filtered + queued
    }
}

/// What the reader counts.
#[derive(Debug, Default)]
pub(super) struct ReaderCounters {
    pub delivered: Count,
    pub dropped: Count,
    pub conflated: Count,
    pub filtered: Count,
    /// Updates that left their queue, whatever became of them. Counted after that.
    pub taken: Count,
    pub depth_max: Count,
}

/// How often [`FeedCounters::counts`] retries while an update is being handed over.
const ATTEMPTS_MAX: usize = 100;

/// What the writing end of one connection counts.
#[derive(Debug, Default)]
pub(super) struct WriterCounters {
    /// What was pushed, marked, dropped or filtered. Apart from `dropped`, which a reader that polls looks at.
    pub received: CachePadded<Count>,
    pub dropped: CachePadded<Count>,
    pub filtered: Count,
    pub depth_max: Count,
}

/// Counts the events of one stream in the ring that all readers share. Written by the connection's thread, read by the
/// feeds that follow the stream.
#[derive(Debug, Clone, Default)]
pub(super) struct StreamCount(pub Arc<Count>);

/// Where a feed's updates come from.
#[derive(Debug)]
enum Arrivals {
    Writer(Arc<WriterCounters>),
    Stream { count: StreamCount, from: u64 },
}

impl Arrivals {
    fn received(&self) -> u64 {
        match self {
            Self::Writer(writer) => writer.received.get(),
            Self::Stream { count, from } => count.0.get() - from,
        }
    }

    fn writer(&self) -> Option<&WriterCounters> {
        match self {
            Self::Writer(writer) => Some(writer),
            Self::Stream { .. } => None,
        }
    }
}

/// The counters of one feed: shared by its reader, its writers and whoever wants to know.
#[derive(Debug, Default)]
pub struct FeedCounters {
    pub(super) reader: CachePadded<ReaderCounters>,
    /// Locked when a stream is added and when somebody asks, never on the way of an event.
    arrivals: Mutex<Vec<Arrivals>>,
    pub(super) bytes: AtomicU64,
    pub(super) shared_bytes: AtomicU64,
    pub(super) reader_gone: AtomicBool,
}

impl FeedCounters {
    pub(super) fn add_writer(&self) -> Arc<WriterCounters> {
        let writer = Arc::<WriterCounters>::default();
        self.add(Arrivals::Writer(writer.clone()));
        writer
    }

    /// Streams of a shared ring, each from an event on.
    pub(super) fn add_streams(&self, streams: impl Iterator<Item = (StreamCount, u64)>) {
        let mut all = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(streams.map(|(count, from)| Arrivals::Stream { count, from }));
    }

    fn add(&self, arrivals: Arrivals) {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).push(arrivals);
    }

    /// What came in and what became of it; what happens at this moment may not be in it yet.
    pub fn counts(&self) -> FeedCounts {
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts = self.try_counts(&arrivals);
        for _ in 0..ATTEMPTS_MAX {
            if counts.adds_up() {
                break;
            }
            counts = self.try_counts(&arrivals);
        }
        counts
    }

    /// The order of the loads matters, see the top of the file.
    fn try_counts(&self, arrivals: &[Arrivals]) -> FeedCounts {
        let reader = &self.reader;
        let taken = reader.taken.get();
        let (delivered, conflated) = (reader.delivered.get(), reader.conflated.get());
        let (mut dropped, mut filtered) = (reader.dropped.get(), reader.filtered.get());
        let (mut received, mut entered) = (0, 0);
        for arrival in arrivals {
            // Updates that the writer kept out of the queues.
            let kept_out = arrival.writer().map_or((0, 0), |w| (w.dropped.get(), w.filtered.get()));
            let arrived = arrival.received();
            (dropped, filtered) = (dropped + kept_out.0, filtered + kept_out.1);
            (received, entered) = (received + arrived, entered + arrived - kept_out.0 - kept_out.1);
        }
        if arrivals.iter().any(|arrival| arrival.writer().is_none()) {
            let uncounted = taken.saturating_sub(entered);
            (received, entered) = (received + uncounted, entered + uncounted);
        }
        FeedCounts { received, delivered, dropped, conflated, filtered, queued: entered.saturating_sub(taken) }
    }

    /// The most updates that were seen waiting: looked at after each batch that was written, and as they are read.
    pub fn depth_max(&self) -> u64 {
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let writer = arrivals.iter().filter_map(Arrivals::writer).map(|writer| writer.depth_max.get());
        writer.max().unwrap_or_default().max(self.reader.depth_max.get())
    }

    /// Memory that belongs to the feed alone, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Memory of the rings that it shares with other feeds, in bytes.
    pub fn shared_bytes(&self) -> u64 {
        self.shared_bytes.load(Relaxed)
    }

    pub(super) fn add_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn add_shared_bytes(&self, bytes: usize) {
        self.shared_bytes.fetch_add(bytes as u64, Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_from_a_shared_ring_has_arrived_before_its_writer_counts_it() {
        let (counters, count) = (FeedCounters::default(), StreamCount::default());
        counters.add_streams([(count.clone(), 0)].into_iter());
        count.0.add(1);
        counters.reader.delivered.add(2);
        counters.reader.taken.add(2);
        assert_eq!(counters.counts(), FeedCounts { received: 2, delivered: 2, ..FeedCounts::default() });
        count.0.add(2);
        assert_eq!(counters.counts(), FeedCounts { received: 3, delivered: 2, queued: 1, ..FeedCounts::default() });
    }

    #[test]
    fn the_sum_shows_what_somebody_forgot_to_count() {
        let counters = FeedCounters::default();
        let writer = counters.add_writer();
        writer.received.add(3);
        counters.reader.delivered.add(1);
        counters.reader.taken.add(1);
        let counts = counters.counts();
        assert_eq!((counts.received, counts.delivered, counts.queued), (3, 1, 2));
        assert!(counts.adds_up());
        // One has left its queue, and its fate was not counted.
        counters.reader.taken.add(1);
        assert!(!counters.counts().adds_up());
        counters.reader.conflated.add(1);
        assert!(counters.counts().adds_up());
        // One was delivered that was not counted as received.
        writer.filtered.add(1);
        counters.reader.delivered.add(1);
        counters.reader.taken.add(1);
        assert!(!counters.counts().adds_up());
    }
}
