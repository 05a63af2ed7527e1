//! The counters of a feed: updates by outcome. Its writers and its reader count; any thread may load the sums.
//!
//! # Synchronization
//!
//! Every count is a [`Count`]: it has one writer, and a thread that sees a count also sees everything that its writer
//! did before raising it.
//! * A writer counts an arrival before the update can be read. The reader first counts the outcome of an update, then
//!   that the update was taken from its queue. `FeedCounters::try_counts` loads in the opposite order: taken updates,
//!   outcomes, arrivals. So the parts never add up to less than the arrivals, and they exceed the arrivals at most by
//!   the updates that the reader is handling.
//! * The writer of a shared ring counts an arrival after the event can be read. So `try_counts` counts an event that
//!   was taken from a shared ring as an arrival, even if the writer has not counted it yet.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_utils::CachePadded;

use crate::sync::count::Count;

/// The number of updates that entered a feed, by outcome.
///
/// `received = delivered + dropped + conflated + filtered + queued`. The connections' threads and the reader count each
/// part separately, so the sum is a check. It is exact while no update is being handed over. An update that is being
/// handed over may be in two of the parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FeedCounts {
    /// Updates of the feed's streams.
    pub received: u64,
    /// Updates that the reader popped.
    pub delivered: u64,
    /// Updates that were lost because the reader did not keep up. Each is reported in band, as part of a gap.
    pub dropped: u64,
    /// Updates that were replaced by a newer update of the same stream.
    pub conflated: u64,
    /// Snapshots and changes that this reader did not ask for, and snapshots that repeat what it already has.
    pub filtered: u64,
    /// Updates that wait to be read, to be reported as dropped, or to be merged with newer ones.
    pub queued: u64,
}

impl FeedCounts {
    /// Returns true if the other counts add up to `received`.
    fn adds_up(&self) -> bool {
        let Self { received, delivered, dropped, conflated, filtered, queued } = *self;
        received == delivered + dropped + conflated + filtered + queued
    }
}

/// The counters that the reader writes.
#[derive(Debug, Default)]
pub(super) struct ReaderCounters {
    pub delivered: Count,
    pub dropped: Count,
    pub conflated: Count,
    pub filtered: Count,
    /// Updates that left their queue, with any outcome. Raised after the outcome is counted.
    pub taken: Count,
    pub depth_max: Count,
}

/// The number of times that [`FeedCounters::counts`] retries while an update is being handed over.
const ATTEMPTS_MAX: usize = 100;

/// The counters that one connection's writing end writes.
#[derive(Debug, Default)]
pub(super) struct WriterCounters {
    /// Updates that were pushed, marked, dropped or filtered. On another cache line than `dropped`, which a polling
    /// reader loads.
    pub received: CachePadded<Count>,
    pub dropped: CachePadded<Count>,
    pub filtered: Count,
    pub depth_max: Count,
}

/// The number of events of one stream in a shared ring. Written by the connection's thread, read by the feeds that
/// follow the stream.
#[derive(Debug, Clone, Default)]
pub(super) struct StreamCount(pub Arc<Count>);

/// A source of arrivals: a writing end, or one stream of a shared ring.
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

/// The counters of one feed, shared by its reader, its writers and observers.
#[derive(Debug, Default)]
pub struct FeedCounters {
    pub(super) reader: CachePadded<ReaderCounters>,
    /// Locked when a stream is added and when the counts are read, never for an update.
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

    /// Adds streams of a shared ring, each with the number of its first event.
    pub(super) fn add_streams(&self, streams: impl Iterator<Item = (StreamCount, u64)>) {
        let mut all = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(streams.map(|(count, from)| Arrivals::Stream { count, from }));
    }

    fn add(&self, arrivals: Arrivals) {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).push(arrivals);
    }

    /// Returns the counts. Updates that are being handled at this moment may be missing.
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

    /// The order of the loads matters; see the module documentation.
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

    /// Returns the largest number of updates seen waiting. Sampled after each batch that is written, and during reads.
    pub fn depth_max(&self) -> u64 {
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let writer = arrivals.iter().filter_map(Arrivals::writer).map(|writer| writer.depth_max.get());
        writer.max().unwrap_or_default().max(self.reader.depth_max.get())
    }

    /// Returns the memory that only this feed uses, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Returns the memory of the rings that the feed shares with other feeds, in bytes.
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
    fn an_event_taken_from_a_shared_ring_counts_as_received_before_its_writer_counts_it() {
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
    fn the_sum_reveals_a_missing_count() {
        let counters = FeedCounters::default();
        let writer = counters.add_writer();
        writer.received.add(3);
        counters.reader.delivered.add(1);
        counters.reader.taken.add(1);
        let counts = counters.counts();
        assert_eq!((counts.received, counts.delivered, counts.queued), (3, 1, 2));
        assert!(counts.adds_up());
        // One update has left its queue, but its outcome is not counted.
        counters.reader.taken.add(1);
        assert!(!counters.counts().adds_up());
        counters.reader.conflated.add(1);
        assert!(counters.counts().adds_up());
        // One update was delivered, but not counted as received.
        writer.filtered.add(1);
        counters.reader.delivered.add(1);
        counters.reader.taken.add(1);
        assert!(!counters.counts().adds_up());
    }
}
