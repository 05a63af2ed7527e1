//! What came into a feed and what became of it: counted by those who know, added up by whoever asks.
//!
//! # Synchronization
//!
//! Every count has one writer, which stores it plainly. A writer counts an arrival before it can be read; the reader
//! counts what it did with one after that (READ-AFTER-ARRIVAL, Release), and whoever adds up loads the reader's counts
//! first (Acquire): so what was read is among what has arrived. Only the ring that all share counts its arrivals
//! afterwards; there the sum may be an event behind for a moment, and is never ahead.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_utils::CachePadded;

/// What came into a feed and what became of it: `received = delivered + dropped + conflated + filtered + queued`, always
/// and exactly.
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
    /// Snapshots and changes that this reader did not ask for.
    pub filtered: u64,
    /// Updates that wait to be read, to be told of as dropped, or to be merged with newer ones.
    pub queued: u64,
}

/// A count with one writer, on nobody else's behalf.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    /// Adds, on the writer's thread: no read-modify-write is needed.
    #[inline]
    pub fn add(&self, more: u64) {
        // READ-AFTER-ARRIVAL: Release, pairs with the Acquire in `get`.
        self.0.store(self.0.load(Relaxed) + more, Release);
    }

    /// Raises to a new maximum, on the writer's thread.
    #[inline]
    pub fn raise(&self, value: u64) {
        if value > self.0.load(Relaxed) {
            self.0.store(value, Relaxed);
        }
    }

    #[inline]
    pub fn get(&self) -> u64 {
        // Acquire, pairs with READ-AFTER-ARRIVAL in `add`.
        self.0.load(Acquire)
    }
}

/// What the reader counts.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub delivered: Count,
    pub dropped: Count,
    pub conflated: Count,
    pub filtered: Count,
    pub depth_max: Count,
}

/// What the writing end of one connection counts.
#[derive(Debug, Default)]
pub(super) struct Written {
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
    Written(Arc<Written>),
    Stream { count: StreamCount, from: u64 },
}

impl Arrivals {
    fn received(&self) -> u64 {
        match self {
            Self::Written(written) => written.received.get(),
            Self::Stream { count, from } => count.0.get() - from,
        }
    }

    fn written(&self) -> Option<&Written> {
        match self {
            Self::Written(written) => Some(written),
            Self::Stream { .. } => None,
        }
    }
}

/// The account of one feed: shared by its reader, its writers and whoever wants to know.
#[derive(Debug, Default)]
pub struct Account {
    pub(super) read: CachePadded<Read>,
    /// Locked when a stream is added and when somebody asks, never on the way of an event.
    arrivals: Mutex<Vec<Arrivals>>,
    pub(super) bytes: AtomicU64,
    pub(super) shared_bytes: AtomicU64,
    pub(super) reader_gone: AtomicBool,
}

impl Account {
    pub(super) fn add_writer(&self) -> Arc<Written> {
        let written = Arc::<Written>::default();
        self.add(Arrivals::Written(written.clone()));
        written
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
        // The reader's side first: what it has read has arrived.
        let read = &self.read;
        let (delivered, conflated) = (read.delivered.get(), read.conflated.get());
        let (mut dropped, mut filtered) = (read.dropped.get(), read.filtered.get());
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        for written in arrivals.iter().filter_map(Arrivals::written) {
            dropped += written.dropped.get();
            filtered += written.filtered.get();
        }
        let settled = delivered + dropped + conflated + filtered;
        let received = arrivals.iter().map(Arrivals::received).sum::<u64>().max(settled);
        FeedCounts { received, delivered, dropped, conflated, filtered, queued: received - settled }
    }

    /// The most updates that were seen waiting: looked at after each batch that was written, and as they are read.
    pub fn depth_max(&self) -> u64 {
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let written = arrivals.iter().filter_map(Arrivals::written).map(|written| written.depth_max.get());
        written.max().unwrap_or_default().max(self.read.depth_max.get())
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
