//! Channels from one writer to its readers, hoga's and those of other crates, behind one interface, with the functions
//! that time them. `hoga bench fanout` and the library's benches/fanout.rs use them.

use std::hint::{black_box, spin_loop};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use hoga::feed::{
    Arrival, BroadcastStream, Broadcaster, Feed, FeedWriter, Filter, Item, Mark, Opening, Overflow, Payload, Update,
    broadcast, open,
};
use hoga::model::{Clock, ConnectionId, DataType, Epoch, Nanos, Receipt, Stamps, Words};
use hoga::net::SystemClock;
use hoga::sync::connection::ConnectionState;
use hoga::sync::latest;
use hoga::sync::waiters::Waiters;

/// Updates between two flushes, as if one read of the socket had returned them.
pub const BATCH: u64 = 16;

/// Updates that each channel holds: the default capacity of feeds and broadcast rings.
pub const CAPACITY: usize = Overflow::CAPACITY;

/// Updates written before they are read.
const RUN: u64 = 256;

/// Round trips between two clock reads. The number is small so that most bursts end before a thread loses its core.
pub const BURST: u64 = 16;

/// Polls before a waiting thread yields its core. The other thread may need the core if other load has taken the second
/// one.
const SPINS: u32 = 500;

/// The writing end of a channel.
pub trait Write<T>: Send {
    /// Copies an update into the channel, which must have room.
    fn put(&mut self, update: &Update<T>);

    /// Ends a batch.
    fn flush(&mut self) {}
}

/// The reading end of a channel.
pub trait Read: Send {
    /// Takes an update out and returns its version.
    fn next_version(&mut self) -> Option<u64>;
}

/// Both ends of a channel.
pub struct Channel<W, R> {
    /// The writing end, for one thread.
    pub writer: W,
    /// The reading end, for the same thread or another one.
    pub reader: R,
}

/// Returns an update with this value and version 0. The functions below count updates in `version`.
pub fn update<T>(value: T) -> Update<T> {
    Update { value, stamps: Stamps::default(), connection: ConnectionId(0), epoch: Epoch(1), version: 0 }
}

/// Returns the version. The optimizer must keep the whole update, even if only the version is used.
fn version_of<T>(taken: Option<Update<T>>) -> Option<u64> {
    black_box(&taken).as_ref().map(|update| update.version)
}

fn feed<T: Payload>(data_type: DataType, overflow: Overflow) -> Channel<FeedWriter<T>, Feed<T>> {
    let opening = Opening {
        overflow,
        data_types: &[data_type],
        connections: &[Arc::new(ConnectionState::new(ConnectionId(0), Nanos(0)))],
        clock: Arc::new(SystemClock::new()),
        signal: Arc::default(),
    };
    let (mut writers, reader) = open(opening);
    Channel { writer: writers.remove(0), reader }
}

/// Creates a feed with its own ring.
pub fn drop_newest<T: Payload>() -> Channel<FeedWriter<T>, Feed<T>> {
    feed(DataType::Trade, Overflow::DropNewest { capacity: CAPACITY })
}

impl<T: Payload> Write<T> for FeedWriter<T> {
    #[inline]
    fn put(&mut self, update: &Update<T>) {
        self.push(update);
    }

    #[inline]
    fn flush(&mut self) {
        FeedWriter::flush(self);
    }
}

impl<T: Payload> Read for Feed<T> {
    #[inline]
    fn next_version(&mut self) -> Option<u64> {
        match black_box(&self.pop()) {
            Some(Item::Data(update)) => Some(update.version),
            None => None,
            Some(item) => panic!("expected data, got {item:?}"),
        }
    }
}

/// A broadcast ring, with the parts that the connection's thread uses for its feeds.
pub struct Shared<T> {
    ring: Broadcaster<T>,
    stream: BroadcastStream,
    waiters: Arc<Waiters>,
    writers: Vec<FeedWriter<T>>,
}

impl<T: Payload + Words> Default for Shared<T> {
    /// Creates a ring without readers.
    fn default() -> Self {
        let (mut ring, waiters) = (broadcast(CAPACITY), Arc::new(Waiters::new()));
        let stream = ring.add_stream();
        Self { ring, stream, waiters, writers: Vec::new() }
    }
}

impl<T: Payload + Words> Shared<T> {
    /// Adds a reader.
    pub fn follow(&mut self) -> Feed<T> {
        let Channel { mut writer, reader } = feed(DataType::Trade, Overflow::DropOldest);
        let streams = vec![self.stream.join(Filter::new(true, true), false)];
        writer.join_broadcast(&self.ring, &self.waiters, streams, Vec::new());
        self.writers.push(writer);
        reader
    }
}

impl<T: Payload + Words> Write<T> for Shared<T> {
    #[inline]
    fn put(&mut self, update: &Update<T>) {
        self.ring.publish(&mut self.stream, update, Arrival::Change);
    }

    /// Checks for waiting readers, as the engine does at the end of a batch before it wakes them.
    #[inline]
    fn flush(&mut self) {
        assert!(!black_box(self.waiters.any()), "no reader should wait here");
    }
}

/// Creates a feed that follows a broadcast ring.
pub fn drop_oldest<T: Payload + Words>() -> Channel<Shared<T>, Feed<T>> {
    let mut writer = Shared::default();
    let reader = writer.follow();
    Channel { writer, reader }
}

/// The writer of a conflating feed: it marks a stream whose value is already stored.
pub struct Marked<T> {
    feed: FeedWriter<T>,
    mark: Mark,
    newest: latest::Writer<T>,
}

/// Creates a feed that conflates one stream.
pub fn conflate<T: Payload + Words>() -> Channel<Marked<T>, Feed<T>> {
    let Channel { writer: mut feed, reader } = feed(DataType::Ticker, Overflow::Conflate);
    let (newest, stored) = latest::cell();
    let mark = feed.conflate(vec![stored])[0];
    Channel { writer: Marked { feed, mark, newest }, reader }
}

impl<T: Payload + Words> Marked<T> {
    /// Stores a newest value.
    pub fn store(&mut self, value: &T) {
        let receipt = Receipt { connection: ConnectionId(0), epoch: Epoch(1), received: Nanos(0) };
        self.newest.publish(value, 0, &receipt, Nanos(0));
    }
}

impl<T: Payload + Words> Write<T> for Marked<T> {
    #[inline]
    fn put(&mut self, _stored: &Update<T>) {
        self.feed.mark(self.mark);
    }

    #[inline]
    fn flush(&mut self) {
        self.feed.flush();
    }
}

/// Creates a bare ring of the kind that feeds are built on.
pub fn rtrb<T>() -> Channel<rtrb::Producer<Update<T>>, rtrb::Consumer<Update<T>>> {
    let (writer, reader) = rtrb::RingBuffer::new(CAPACITY);
    Channel { writer, reader }
}

impl<T: Payload> Write<T> for rtrb::Producer<Update<T>> {
    #[inline]
    fn put(&mut self, update: &Update<T>) {
        assert!(self.push(*update).is_ok(), "the channel is full");
    }
}

impl<T: Payload> Read for rtrb::Consumer<Update<T>> {
    #[inline]
    fn next_version(&mut self) -> Option<u64> {
        version_of(self.pop().ok())
    }
}

type Queue<T> = Arc<ArrayQueue<Update<T>>>;

/// Creates crossbeam's bounded queue for several writers and readers.
pub fn array_queue<T>() -> Channel<Queue<T>, Queue<T>> {
    let queue = Arc::new(ArrayQueue::new(CAPACITY));
    Channel { writer: queue.clone(), reader: queue }
}

impl<T: Payload> Write<T> for Queue<T> {
    #[inline]
    fn put(&mut self, update: &Update<T>) {
        assert!(self.push(*update).is_ok(), "the channel is full");
    }
}

impl<T: Payload> Read for Queue<T> {
    #[inline]
    fn next_version(&mut self) -> Option<u64> {
        version_of(self.pop())
    }
}

/// Creates std's bounded channel.
pub fn std_mpsc<T>() -> Channel<SyncSender<Update<T>>, Receiver<Update<T>>> {
    let (writer, reader) = sync_channel(CAPACITY);
    Channel { writer, reader }
}

impl<T: Payload> Write<T> for SyncSender<Update<T>> {
    #[inline]
    fn put(&mut self, update: &Update<T>) {
        assert!(self.try_send(*update).is_ok(), "the channel is full");
    }
}

impl<T: Payload> Read for Receiver<Update<T>> {
    #[inline]
    fn next_version(&mut self) -> Option<u64> {
        version_of(self.try_recv().ok())
    }
}

/// The total time that the two ends spent on a number of updates.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spent {
    /// Time for writing and flushing.
    pub writing: Duration,
    /// Time for reading.
    pub reading: Duration,
}

/// Writes whole batches, at least this many updates.
pub fn write<T>(writer: &mut impl Write<T>, update: &mut Update<T>, updates: u64) {
    for _ in 0..updates.div_ceil(BATCH) {
        for _ in 0..BATCH {
            update.version += 1;
            writer.put(black_box(update));
        }
        writer.flush();
    }
}

/// Calls [`write()`] and returns how long it took. For writers that never wait.
pub fn time_writing<T>(writer: &mut impl Write<T>, update: &mut Update<T>, updates: u64) -> Duration {
    let clock = SystemClock::new();
    let start = clock.now();
    write(writer, update, updates);
    clock.now().since(start)
}

/// Writes and reads alternately on this thread, at least this many updates, and checks that each arrives in order.
pub fn time_both<T>(channel: &mut Channel<impl Write<T>, impl Read>, update: &mut Update<T>, updates: u64) -> Spent {
    let (clock, mut spent) = (SystemClock::new(), Spent::default());
    for _ in 0..updates.div_ceil(RUN) {
        let (before, start) = (update.version, clock.now());
        write(&mut channel.writer, update, RUN);
        let written = clock.now();
        for version in before + 1..=update.version {
            assert_eq!(channel.reader.next_version(), Some(version));
        }
        let read = clock.now();
        spent.writing += written.since(start);
        spent.reading += read.since(written);
    }
    spent
}

/// Writes `updates` updates, has every reader take each of them, all on this thread, and returns how long that took.
/// The readers poll after every `at_once` updates.
pub fn time_delivering<T>(
    writer: &mut impl Write<T>,
    readers: &mut [impl Read],
    update: &mut Update<T>,
    updates: u64,
    at_once: u64,
) -> Duration {
    let clock = SystemClock::new();
    let start = clock.now();
    for _ in 0..updates / at_once {
        let first = update.version + 1;
        for version in first..first + at_once {
            update.version = version;
            writer.put(black_box(update));
        }
        writer.flush();
        for reader in readers.iter_mut() {
            (first..first + at_once).for_each(|version| assert_eq!(reader.next_version(), Some(version)));
        }
    }
    clock.now().since(start)
}

/// Returns the number of updates that [`time_both`] writes if asked for this many.
pub fn whole_runs(updates: u64) -> u64 {
    updates.next_multiple_of(RUN)
}

/// Waits for the next update and returns its version.
fn spin<R: Read>(reader: &mut R) -> u64 {
    loop {
        for _ in 0..SPINS {
            if let Some(version) = reader.next_version() {
                return version;
            }
            spin_loop();
        }
        thread::yield_now();
    }
}

/// Returns the time of an update from one thread to another, in ns: half of a round trip. The result is the first
/// quartile of the means of all bursts. Other load does not affect that quartile on a machine that is busy less than
/// three quarters of the time. `far` is called on the other thread before anything is sent.
pub fn time_one_way<T: Payload>(
    there: &mut Channel<impl Write<T>, impl Read>,
    back: &mut Channel<impl Write<T>, impl Read>,
    update: &mut Update<T>,
    bursts: u64,
    far: fn(),
) -> f64 {
    let (first, last) = (update.version + 1, update.version + bursts * BURST);
    let (far_in, far_out, mut echoed) = (&mut there.reader, &mut back.writer, *update);
    let mut means: Vec<_> = thread::scope(|s| {
        s.spawn(move || {
            far();
            for version in first..=last {
                assert_eq!(spin(far_in), version);
                echoed.version = version;
                far_out.put(&echoed);
                far_out.flush();
            }
        });
        (0..bursts).map(|_| burst(&mut there.writer, &mut back.reader, update)).collect()
    });
    means.sort_by(f64::total_cmp);
    means[means.len() / 4]
}

fn burst<T>(out: &mut impl Write<T>, home: &mut impl Read, update: &mut Update<T>) -> f64 {
    let clock = SystemClock::new();
    let start = clock.now();
    for _ in 0..BURST {
        update.version += 1;
        out.put(update);
        out.flush();
        assert_eq!(spin(home), update.version);
    }
    clock.now().since(start).as_nanos() as f64 / (2 * BURST) as f64
}
