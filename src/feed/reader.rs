//! The reading end of a feed, which merges the sources of its connections.
//!
//! # Synchronization
//!
//! * Each source has its own synchronization; see `queue`, `conflate` and `broadcast`.
//! * A writer raises `joined` after it has sent a [`Join`] through the channel `joins`. The reader loads `joined`
//!   before it receives from the channel.
//! * Each writer lowers `writers` after its last write. The reader loads `writers` before it checks that nothing is
//!   left.
//! * A sleeping reader and its writers synchronize through `sync::signal`, whose data is all of the above. A sleeping
//!   reader of a shared ring is also counted in `sync::waiters`, so that the writer need not check each reader.

use std::any::TypeId;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::broadcast::Joining;
use super::counters::FeedCounters;
use super::epoch_tracker::EpochTracker;
use super::latency::Latencies;
use super::merge::Merge;
use super::queue::queue;
use super::source::Source;
use super::{FeedCounts, FeedWriter, Item, Overflow, Payload};
use crate::model::{Clock, ConnectionId, DataType, Nanos};
use crate::sync::connection::ConnectionState;
use crate::sync::count::Tally;
use crate::sync::signal::Signal;

/// The state that the ends of a feed share, in addition to the sources.
pub(super) struct Shared {
    pub signal: Arc<Signal>,
    pub joined: Tally,
    /// The number of joins that the reader has received.
    pub taken: AtomicU64,
    pub writers: Tally,
    pub counters: Arc<FeedCounters>,
}

/// An addition to a feed, sent by a writer to the reader.
pub(super) enum Join<T> {
    Source(Box<dyn Source<T>>),
    /// More streams for a source that reads a shared ring.
    Streams {
        connection: ConnectionId,
        carries: TypeId,
        joining: Joining<T>,
    },
}

/// The parameters of a new feed.
pub struct Opening<'a> {
    /// The policy for updates that are not read in time.
    pub overflow: Overflow,
    /// The types of the feed's streams.
    pub data_types: &'a [DataType],
    /// The connections that may carry the feed's streams. Each gets a writing end.
    pub connections: &'a [Arc<ConnectionState>],
    /// The clock for latencies and intervals.
    pub clock: Arc<dyn Clock>,
    /// The signal that the reader sleeps on. Several feeds of one thread may share it.
    pub signal: Arc<Signal>,
}

/// Creates a feed and its writing ends. The feed's own rings are allocated here and never later.
///
/// # Panics
///
/// If there is no connection, or if [`Overflow::problem`] reports a problem.
pub fn open<T: Payload>(opening: Opening<'_>) -> (Vec<FeedWriter<T>>, Feed<T>) {
    open_with(opening, None)
}

/// Same as [`open`], but the reader notifies `room` each time it frees a slot of its ring, and when it is dropped.
pub(super) fn open_with<T: Payload>(opening: Opening<'_>, room: Option<Arc<Signal>>) -> (Vec<FeedWriter<T>>, Feed<T>) {
    let Opening { overflow, data_types, connections, clock, signal } = opening;
    assert!(!connections.is_empty(), "a feed needs at least one connection");
    let problem = overflow.problem();
    assert!(problem.is_none(), "{}", problem.unwrap_or_default());
    let counters = Arc::<FeedCounters>::default();
    let writers = Tally::new(connections.len() as u64);
    let shared = Arc::new(Shared {
        signal,
        joined: Tally::new(0),
        taken: AtomicU64::new(0),
        writers,
        counters: counters.clone(),
    });
    let capacity = overflow.own_ring::<T>(data_types.iter().copied());
    let (joins, joining) = channel();
    let mut sources: Vec<Box<dyn Source<T>>> = Vec::new();
    let mut writer = |connection: &Arc<ConnectionState>| {
        let writer_counters = counters.add_writer();
        let queue = capacity.map(|capacity| {
            let epochs = EpochTracker::new(connection.clone());
            let (writer, queue) = queue(capacity, &counters, writer_counters.clone(), epochs, room.clone());
            sources.push(Box::new(queue));
            writer
        });
        FeedWriter {
            queue,
            segments: Vec::new(),
            conflated_capacity: 0,
            broadcast_types: Vec::new(),
            joins: joins.clone(),
            shared: shared.clone(),
            writer_counters,
            connection: connection.clone(),
            clock: clock.clone(),
            overflow,
            unflushed: false,
        }
    };
    let writers = connections.iter().map(&mut writer).collect();
    let sources = Merge::new(sources);
    (writers, Feed { sources, joining, joined: 0, shared, clock, latencies: None, waiting: false })
}

/// The reading end of a feed: updates of some streams, of one type or, in a `Feed<Event>`, of any type. A feed has one
/// reader: it may be sent to another thread, but not shared. Its [`Overflow`] policy applies to updates that are not
/// read in time.
///
/// Items of one stream are in order. Streams of different connections, types or policies are merged round robin.
///
/// ```compile_fail
/// fn cloned<T: Clone>() {}
/// cloned::<hoga::offline::Feed<hoga::Trade>>(); // one reader: open another feed
/// ```
///
/// ```
/// fn sent<T: Send>() {}
/// sent::<hoga::offline::Feed<hoga::Trade>>();
/// ```
pub struct Feed<T> {
    sources: Merge<T>,
    joining: Receiver<Join<T>>,
    joined: u64,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    latencies: Option<Box<Latencies>>,
    // Whether the sources have been informed that the reader sleeps and must be woken.
    waiting: bool,
}

impl<T: Payload> Feed<T> {
    /// Pops the next item, if there is one. Never waits.
    #[inline]
    pub fn pop(&mut self) -> Option<Item<T>> {
        if self.has_joining() {
            self.join();
        }
        let item = self.sources.pop();
        if let (Some(latencies), Some(Item::Data(update))) = (&mut self.latencies, &item) {
            latencies.record(&update.stamps, self.clock.now());
        }
        item
    }

    /// Fills `items` from the front with waiting items. Returns the number of items written.
    pub fn pop_batch(&mut self, items: &mut [Item<T>]) -> usize {
        for (popped, place) in items.iter_mut().enumerate() {
            match self.pop() {
                Some(item) => *place = item,
                None => return popped,
            }
        }
        items.len()
    }

    /// Returns the number of waiting updates. More may arrive before this returns.
    pub fn peek_len(&mut self) -> usize {
        if self.has_joining() {
            self.join();
        }
        self.sources.len()
    }

    /// Sleeps until there is an item to pop or the feed is closed, for at most `timeout`. Returns false on timeout.
    /// After `true`, [`pop`](Self::pop) may still return `None`: the reader's filter may refuse the new updates, or an
    /// update popped earlier may already contain them. Never spins.
    pub fn wait(&mut self, timeout: Duration) -> bool {
        if self.is_ready() || timeout.is_zero() {
            return self.is_ready();
        }
        let deadline = self.clock.now() + timeout;
        self.set_waiting(true);
        let ready = self.sleep_until(deadline);
        self.set_waiting(false);
        ready
    }

    /// Returns an iterator that sleeps until there is an item, for as long as that takes, and ends when the feed is
    /// [closed](Self::is_closed): when its engine stops, or its client is gone. Never spins.
    pub fn blocking(&mut self) -> impl Iterator<Item = Item<T>> + use<'_, T> {
        std::iter::from_fn(|| {
            loop {
                let item = self.pop();
                if item.is_some() || self.is_closed() {
                    return item;
                }
                self.wait(Duration::MAX);
            }
        })
    }

    /// Returns true if all writing ends were dropped and everything was popped. No further item will arrive.
    pub fn is_closed(&mut self) -> bool {
        self.has_ended() && !self.has_item() && self.next_due().is_none()
    }

    /// Returns true if all writing ends were dropped.
    pub(crate) fn has_ended(&self) -> bool {
        self.shared.writers.get() == 0
    }

    /// Returns the number of received updates, by outcome.
    pub fn counts(&self) -> FeedCounts {
        self.shared.counters.counts()
    }

    /// Returns the feed's counters, which other threads may read.
    pub fn counters(&self) -> Arc<FeedCounters> {
        self.shared.counters.clone()
    }

    /// Starts to record the latency of each popped update. Costs one clock read per update.
    pub fn measure_latencies(&mut self) {
        let now = self.clock.now();
        self.latencies.get_or_insert_with(|| Box::new(Latencies::since(now)));
    }

    /// Returns the latencies recorded since [`measure_latencies`](Self::measure_latencies) was called.
    pub fn latencies(&self) -> Option<&Latencies> {
        self.latencies.as_deref()
    }

    /// Returns true if a writer has added a source or streams.
    #[inline]
    fn has_joining(&self) -> bool {
        self.shared.joined.get() != self.joined
    }

    /// Returns the number of joins that the reader has not received.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn unread_joins(&self) -> u64 {
        self.shared.joined.get() - self.joined
    }

    #[cold]
    fn join(&mut self) {
        while let Ok(join) = self.joining.try_recv() {
            self.joined += 1;
            match join {
                Join::Source(source) => self.add(source),
                Join::Streams { connection, carries, joining } => {
                    self.sources.add_streams(connection, carries, joining)
                }
            }
        }
        // Relaxed: a writer that sees an older count skips a few more joins.
        self.shared.taken.store(self.joined, Relaxed);
    }

    fn sleep_until(&mut self, deadline: Nanos) -> bool {
        let signal = self.shared.signal.clone();
        loop {
            let (now, due, joined) = (self.clock.now(), self.next_due(), self.joined);
            let until = due.map_or(deadline, |due| due.min(deadline));
            // Also wakes after a source or stream has joined, or the next due time has changed.
            let changed = signal
                .wait_until(until.since(now), || self.is_ready() || self.joined != joined || self.next_due() != due);
            if self.is_ready() || (!changed && until == deadline) {
                return self.is_ready();
            }
        }
    }

    /// Informs the writers of shared rings that the reader's thread sleeps, or that it is awake again. Idempotent.
    pub(crate) fn set_waiting(&mut self, waiting: bool) {
        if std::mem::replace(&mut self.waiting, waiting) != waiting {
            self.sources.set_waiting(waiting);
        }
    }

    /// Returns true if there is an item to pop, or if the feed is closed.
    pub(crate) fn is_ready(&mut self) -> bool {
        // If there is a next due time, a throttled update is still waiting.
        self.has_item() || (self.has_ended() && self.next_due().is_none())
    }

    fn has_item(&mut self) -> bool {
        if self.has_joining() {
            self.join();
        }
        self.sources.is_ready()
    }

    /// Returns the time at which the next throttled update can be popped.
    pub(crate) fn next_due(&self) -> Option<Nanos> {
        self.sources.next_due()
    }

    fn add(&mut self, source: Box<dyn Source<T>>) {
        if self.waiting {
            source.set_waiting(true);
        }
        self.sources.add(source);
    }
}

/// Pops waiting items, like [`Feed::pop`]. After `None`, more items may arrive later; [`Feed::blocking`] waits for them.
impl<T: Payload> Iterator for Feed<T> {
    type Item = Item<T>;

    #[inline]
    fn next(&mut self) -> Option<Item<T>> {
        self.pop()
    }
}

impl<T> fmt::Debug for Feed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Feed").field(&self.shared.counters.counts()).finish()
    }
}

impl<T> Drop for Feed<T> {
    fn drop(&mut self) {
        if self.waiting {
            self.sources.set_waiting(false);
        }
        self.shared.counters.reader_gone.store(true, Relaxed);
    }
}
