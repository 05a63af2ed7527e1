//! Feeds without an engine: each test takes the place of the connection and the clock.
#![allow(dead_code, reason = "each test uses its part")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hoga::feed::{
    Arrival, BroadcastStream, Broadcaster, Feed, FeedCounts, FeedWriter, Filter, Item, Mark, Opening, Overflow,
    Payload, Update, broadcast, open,
};
use hoga::model::{Clock, ConnectionId, DataType, Epoch, Nanos, Noun, Receipt, Stamps, StreamType, Trade};
use hoga::pool::{Publisher, Timeline, Verdict};
use hoga::sync::latest;
use hoga::sync::waiters::Waiters;

use crate::samples::trade;
use hoga::sync::connection::ConnectionState;

/// Publishes an arrival as a route does: the connection's timeline records its time first.
pub fn arrive<T: Noun>(timeline: &mut Timeline, publisher: &mut Publisher<T>, receipt: Receipt, value: &T) -> Verdict {
    let exchange_ms = T::latest_ms(value.order());
    let is_doubted = match value.stream_type() {
        StreamType::Realtime => timeline.doubts_change(exchange_ms, receipt.received),
        StreamType::Snapshot => timeline.doubts_snapshot(exchange_ms, receipt.received),
    };
    if is_doubted {
        publisher.doubt(receipt.received, timeline);
    }
    publisher.publish(&receipt, value, timeline, || receipt.received)
}

/// A clock that the test sets.
#[derive(Default)]
pub struct TestClock(AtomicU64);

impl TestClock {
    pub fn set(&self, now: Nanos) {
        self.0.store(now.0, Relaxed);
    }

    pub fn advance(&self, time: Duration) {
        self.set(self.now() + time);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Nanos {
        Nanos(self.0.load(Relaxed))
    }
}

/// A feed, the state and the writer of each of its connections, and its clock.
pub struct Rig<T: Payload> {
    pub writers: Vec<FeedWriter<T>>,
    pub feed: Feed<T>,
    pub sockets: Vec<Arc<ConnectionState>>,
    pub clock: Arc<TestClock>,
}

/// Opens a feed of one data type on the given number of connections.
pub fn rig<T: Payload>(data_type: DataType, overflow: Overflow, connections: u16) -> Rig<T> {
    let clock = Arc::<TestClock>::default();
    let sockets: Vec<_> =
        (0..connections).map(|id| Arc::new(ConnectionState::new(ConnectionId(id), Nanos(0)))).collect();
    let opening = Opening {
        overflow,
        data_types: &[data_type],
        connections: &sockets,
        clock: clock.clone(),
        signal: Arc::default(),
    };
    let (writers, feed) = open(opening);
    Rig { writers, feed, sockets, clock }
}

/// Opens a feed on one connection with a private ring for `capacity` trades.
pub fn queue(capacity: usize) -> (FeedWriter<Trade>, Feed<Trade>) {
    let Rig { mut writers, feed, .. } = rig(DataType::Trade, Overflow::DropNewest { capacity }, 1);
    (writers.remove(0), feed)
}

/// Returns the first connection's trade with this number, on its first socket.
pub fn update(version: u64) -> Update<Trade> {
    on_socket(version, 1)
}

/// Same as [`update`], on the socket of this epoch.
pub fn on_socket(version: u64, epoch: u32) -> Update<Trade> {
    let (connection, epoch) = (ConnectionId(0), Epoch(epoch));
    Update { value: trade(version, version), stamps: Stamps::default(), connection, epoch, version }
}

/// A popped item, shortened to its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    Data(u64),
    Gap(u64),
    Socket(u32, u32),
}

pub fn short<T>(item: Item<T>) -> Seen {
    match item {
        Item::Data(update) => Seen::Data(update.version),
        Item::Gap { missed } => Seen::Gap(missed),
        Item::Epoch { old, new, .. } => Seen::Socket(old.0, new.0),
    }
}

pub fn drain<T: Payload>(feed: &mut Feed<T>) -> Vec<Seen> {
    feed.map(short).collect()
}

pub fn push(writer: &mut FeedWriter<Trade>, versions: impl IntoIterator<Item = u64>) {
    for version in versions {
        writer.push(update(version));
    }
}

/// Returns an update whose every field follows from its number, so that a torn update shows.
pub fn derived(version: u64) -> Update<Trade> {
    let mix = version.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let price = (mix >> 16) as f64;
    let value = Trade {
        trade_price: price,
        trade_volume: (price / 3.0).into(),
        prev_closing_price: (price + 1.0).into(),
        change_price: (-price).into(),
        best_ask_price: version.is_multiple_of(2).then_some(price * 2.0).into(),
        best_bid_size: version.is_multiple_of(3).then_some(price * 3.0).into(),
        ..trade(version, mix)
    };
    let stamps = Stamps { exchange_ms: mix, received: Nanos(version), published: Nanos(!version) };
    Update { value, stamps, ..update(version) }
}

/// A connection that writes trades into a ring that all readers share.
pub struct SharedRing {
    pub ring: Broadcaster<Trade>,
    pub streams: Vec<BroadcastStream>,
    pub waiters: Arc<Waiters>,
    /// The epoch of the published updates.
    pub socket: u32,
}

/// Opens a ring for `capacity` trades of `streams` streams.
pub fn shared(capacity: usize, streams: u32) -> SharedRing {
    let mut ring = broadcast(capacity);
    let streams = (0..streams).map(|_| ring.add_stream()).collect();
    SharedRing { ring, streams, waiters: Arc::default(), socket: 1 }
}

impl SharedRing {
    pub fn publish(&mut self, stream: usize, version: u64) {
        self.put(stream, &on_socket(version, self.socket));
    }

    pub fn put(&mut self, stream: usize, update: &Update<Trade>) {
        self.put_as(stream, update, Arrival::first(update.value.stream_type));
    }

    pub fn put_as(&mut self, stream: usize, update: &Update<Trade>, arrival: Arrival) {
        self.ring.publish(&mut self.streams[stream], update, arrival);
    }

    /// Opens a feed that follows these streams from now on.
    pub fn reader(&self, streams: &[usize]) -> (FeedWriter<Trade>, Feed<Trade>) {
        let Rig { mut writers, mut feed, .. } = rig(DataType::Trade, Overflow::DropOldest, 1);
        let mut writer = writers.remove(0);
        self.follow(&mut writer, streams, &[]);
        assert_eq!(feed.pop(), None);
        (writer, feed)
    }

    /// Makes a feed follow more streams. The feed first gets the updates with the numbers in `states`.
    pub fn follow(&self, writer: &mut FeedWriter<Trade>, streams: &[usize], states: &[u64]) {
        let filter = Filter::new(true, true);
        let followed = streams.iter().map(|stream| self.streams[*stream].join(filter, false)).collect();
        writer.join_broadcast(&self.ring, &self.waiters, followed, states.iter().map(|state| update(*state)).collect());
    }

    /// Makes a feed follow one more stream, with this state.
    pub fn follow_from(&self, writer: &mut FeedWriter<Trade>, stream: usize, state: Update<Trade>) {
        let followed = self.streams[stream].join(Filter::new(true, true), false);
        writer.join_broadcast(&self.ring, &self.waiters, vec![followed], vec![state]);
    }

    /// Changes a feed's filter of a stream that it follows.
    pub fn follow_again(&self, writer: &mut FeedWriter<Trade>, stream: usize, filter: Filter) {
        let followed = self.streams[stream].join(filter, true);
        writer.join_broadcast(&self.ring, &self.waiters, vec![followed], Vec::new());
    }

    /// Wakes waiting readers, as the engine does after each batch.
    pub fn wake<'a>(&self, writers: impl IntoIterator<Item = &'a FeedWriter<Trade>>) {
        if self.waiters.any() {
            writers.into_iter().for_each(FeedWriter::wake);
        }
    }
}

/// Streams of trades that keep their newest values, as the pool does.
pub struct Newest {
    pub writer: FeedWriter<Trade>,
    pub cells: Vec<latest::Writer<Trade>>,
    pub marks: Vec<Mark>,
}

/// Opens a conflating feed of the given number of streams on one connection.
pub fn newest(overflow: Overflow, streams: usize) -> (Newest, Feed<Trade>, Arc<TestClock>) {
    let Rig { mut writers, mut feed, clock, .. } = rig(DataType::Trade, overflow, 1);
    let newest = Newest::new(writers.remove(0), streams);
    // A feed learns its streams at its first pop.
    assert_eq!(feed.pop(), None);
    (newest, feed, clock)
}

impl Newest {
    pub fn new(mut writer: FeedWriter<Trade>, streams: usize) -> Self {
        let (cells, readers): (Vec<_>, Vec<_>) = (0..streams).map(|_| latest::cell()).unzip();
        let marks = writer.conflate(readers);
        Self { writer, cells, marks }
    }

    /// Stores a value and marks its stream.
    pub fn publish(&mut self, stream: usize, value: u64) {
        self.put(stream, value, 1);
        self.mark(stream);
    }

    /// Stores a value. Returns its version.
    pub fn put(&mut self, stream: usize, value: u64, epoch: u32) -> u64 {
        let Update { value, stamps, .. } = derived(value);
        let receipt = Receipt { connection: ConnectionId(0), epoch: Epoch(epoch), received: stamps.received };
        self.cells[stream].publish(&value, stamps.exchange_ms, &receipt, stamps.published)
    }

    pub fn mark(&mut self, stream: usize) {
        self.writer.mark(self.marks[stream]);
    }
}

/// Returns the number of a popped trade, or `None` for other items.
pub fn number(item: Item<Trade>) -> Option<u64> {
    if let Item::Data(update) = item { update.value.sequential_id.get() } else { None }
}

#[track_caller]
pub fn assert_identity(counts: FeedCounts) {
    let FeedCounts { received, delivered, dropped, conflated, filtered, queued } = counts;
    assert_eq!(received, delivered + dropped + conflated + filtered + queued, "{counts:?}");
}
