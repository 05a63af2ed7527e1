//! The reading end of a feed: merges what its connections bring.
//!
//! # Synchronization
//!
//! * Sources synchronize for themselves; see `queue`, `conflate` and `broadcast`.
//! * `joined` is raised after something was sent over `joins`, and read before the reader looks there.
//! * `writers` is lowered by each writer after its last write, and read before the reader looks whether anything is left.
//! * A sleeping reader and its writers meet in `sync::signal`; all of the above is the data. A reader of a shared ring
//!   also says that it sleeps in `sync::waiters`, so that the writer need not ask each reader.

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

/// What both ends share, besides their sources.
pub(super) struct Shared {
    pub signal: Arc<Signal>,
    pub joined: Tally,
    /// How many of these the reader has looked at.
    pub taken: AtomicU64,
    pub writers: Tally,
    pub counters: Arc<FeedCounters>,
}

/// What a writer adds to a feed.
pub(super) enum Join<T> {
    Source(Box<dyn Source<T>>),
    /// More streams for the source that reads them from a shared ring.
    Streams {
        connection: ConnectionId,
        carries: TypeId,
        joining: Joining<T>,
    },
}

/// How a feed is made.
pub struct Opening<'a> {
    /// What becomes of updates that are not read in time.
    pub overflow: Overflow,
    /// The types of its streams.
    pub data_types: &'a [DataType],
    /// The connections that may bring something, a writing end for each.
    pub connections: &'a [Arc<ConnectionState>],
    /// Tells the time for latencies and intervals.
    pub clock: Arc<dyn Clock>,
    /// What the reader sleeps on: its own, or that of several feeds that one thread reads.
    pub signal: Arc<Signal>,
}

/// A feed and its writing ends. Rings of its own are allocated here and never after.
///
/// # Panics
///
/// If there is no connection, or if [`Overflow::problem`] has something to say.
pub fn open<T: Payload>(opening: Opening<'_>) -> (Vec<FeedWriter<T>>, Feed<T>) {
    open_with(opening, None)
}

/// The same, and the reader tells when there is room again.
pub(super) fn open_with<T: Payload>(opening: Opening<'_>, room: Option<Arc<Signal>>) -> (Vec<FeedWriter<T>>, Feed<T>) {
    let Opening { overflow, data_types, connections, clock, signal } = opening;
    assert!(!connections.is_empty(), "a feed without a writer brings nothing");
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
    let capacity = overflow.own_ring(data_types.iter().copied());
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

/// Updates of some streams, of one type or, as a `Feed<Event>`, of any. Belongs to one thread at a time: it may be sent,
/// not shared. What becomes of updates that are not read in time is settled by its [`Overflow`].
///
/// Items of one stream come in order. Streams of different connections or types, or of different policies, are merged
/// as they come.
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
    // Its sources have been told to wake it.
    waiting: bool,
}

impl<T: Payload> Feed<T> {
    /// The next item, if there is one. Never waits.
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

    /// Fills `items` from the front with what waits, and gives the number.
    pub fn pop_batch(&mut self, items: &mut [Item<T>]) -> usize {
        for (popped, place) in items.iter_mut().enumerate() {
            match self.pop() {
                Some(item) => *place = item,
                None => return popped,
            }
        }
        items.len()
    }

    /// How many updates wait. More may come in as this returns.
    pub fn peek_len(&mut self) -> usize {
        if self.has_joining() {
            self.join();
        }
        self.sources.len()
    }

    /// Sleeps until there is something to pop or the feed is closed, at most `timeout`; true if so. Now and then nothing
    /// is popped then, because what came was not for this reader or had been merged already. Never spins.
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

    /// Nothing will come any more: the writers are gone and everything was popped.
    pub fn is_closed(&mut self) -> bool {
        self.has_ended() && !self.has_item() && self.next_due().is_none()
    }

    /// Nothing more will come in.
    pub(crate) fn has_ended(&self) -> bool {
        self.shared.writers.get() == 0
    }

    /// What came in and what became of it.
    pub fn counts(&self) -> FeedCounts {
        self.shared.counters.counts()
    }

    /// What came in and what became of it, for others than the reader.
    pub fn counters(&self) -> Arc<FeedCounters> {
        self.shared.counters.clone()
    }

    /// From now on, each update that is popped is recorded. Costs a look at the clock for each.
    pub fn measure_latencies(&mut self) {
        let now = self.clock.now();
        self.latencies.get_or_insert_with(|| Box::new(Latencies::since(now)));
    }

    /// How long updates took, since [`measure_latencies`](Self::measure_latencies) was called.
    pub fn latencies(&self) -> Option<&Latencies> {
        self.latencies.as_deref()
    }

    /// A writer has added something.
    #[inline]
    fn has_joining(&self) -> bool {
        self.shared.joined.get() != self.joined
    }

    /// How many joins the reader has not looked at.
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
        // Relaxed: a writer that sees an older count sends a little less.
        self.shared.taken.store(self.joined, Relaxed);
    }

    fn sleep_until(&mut self, deadline: Nanos) -> bool {
        let signal = self.shared.signal.clone();
        loop {
            let (now, due, joined) = (self.clock.now(), self.next_due(), self.joined);
            let until = due.map_or(deadline, |due| due.min(deadline));
            // Also awake when there is something new to wait for.
            let changed = signal
                .wait_until(until.since(now), || self.is_ready() || self.joined != joined || self.next_due() != due);
            if self.is_ready() || (!changed && until == deadline) {
                return self.is_ready();
            }
        }
    }

    /// Its thread falls asleep, or has woken: writers of shared rings are told. Twice is once.
    pub(crate) fn set_waiting(&mut self, waiting: bool) {
        if std::mem::replace(&mut self.waiting, waiting) != waiting {
            self.sources.set_waiting(waiting);
        }
    }

    /// There is something to pop, or nothing will ever be.
    pub(crate) fn is_ready(&mut self) -> bool {
        // What rests is still to come.
        self.has_item() || (self.has_ended() && self.next_due().is_none())
    }

    fn has_item(&mut self) -> bool {
        if self.has_joining() {
            self.join();
        }
        self.sources.is_ready()
    }

    /// When something can be popped that cannot be popped yet.
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

/// Takes what waits, as [`Feed::pop`] does. Its end is not for good: more may come later.
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
