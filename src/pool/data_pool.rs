//! The pool: a map from stream keys to handles.
//!
//! # Synchronization
//!
//! `streams` is locked to find, add or list streams, never to read or publish a value. Streams are never removed, so a
//! handle never outlives its stream.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use super::gate::Gate;
use super::publisher::{WriterPlace, WriterState};
use super::stream_state::StreamState;
use super::{AsMarket, Batch, Glance, Handle, HealthReason, PoolError, Publisher, StreamStatus};
use crate::model::{
    AnyNoun, Candle, Clock, DataType, Epoch, Family, Grouping, Interval, IntoMarkets, Nanos, Noun, Orderbook,
    StreamKey, Ticker, Trade, saturating_ns,
};
use crate::sync::connection::ConnectionState;
use crate::sync::flag::Flag;
use crate::sync::latest;
use crate::sync::waiters::Waiters;

/// The newest value of every stream. Cheap to clone; all clones share one pool.
#[derive(Clone)]
pub struct DataPool {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    /// In ns.
    stale_after: AtomicU64,
    waiters: Arc<Waiters>,
    /// Raised when the engine stops.
    stopped: Arc<Flag>,
    /// The number of streams.
    opened: AtomicU64,
    streams: RwLock<HashMap<StreamKey, AnyStream>>,
}

/// A stream of any type.
type AnyStream = AnyNoun<Streams>;

/// The family of stream types.
struct Streams;

impl Family for Streams {
    type Of<T: Noun> = Stream<T>;
}

/// A stream: its reading end, and the place of its writing end.
struct Stream<T: Noun> {
    handle: Handle<T>,
    place: Arc<WriterPlace<T>>,
}

impl DataPool {
    /// Default time without data on a connection after which its values are stale: 12 s. After 10 s of silence the
    /// connection requests snapshots, and the exchange gets 2 s to answer. So a market without trades stays live.
    pub const STALE_AFTER: Duration = Duration::from_secs(12);

    /// Returns a handle to the ticker of a market.
    ///
    /// # Errors
    ///
    /// If the market is not a valid code, or its ticker is not subscribed.
    pub fn ticker(&self, market: impl AsMarket) -> Result<Handle<Ticker>, PoolError> {
        self.handle(DataType::Ticker, market)
    }

    /// Returns a handle to the newest trade of a market. Fails like [`ticker`](Self::ticker).
    pub fn trade(&self, market: impl AsMarket) -> Result<Handle<Trade>, PoolError> {
        self.handle(DataType::Trade, market)
    }

    /// Returns a handle to the order book of a market. Fails like [`ticker`](Self::ticker).
    pub fn orderbook(&self, market: impl AsMarket) -> Result<Handle<Orderbook>, PoolError> {
        self.handle(DataType::Orderbook, market)
    }

    /// Returns a handle to the order book of a market with prices grouped by `step`. Fails like
    /// [`ticker`](Self::ticker).
    pub fn grouped_orderbook(&self, step: Grouping, market: impl AsMarket) -> Result<Handle<Orderbook>, PoolError> {
        self.handle(DataType::GroupedOrderbook(step), market)
    }

    /// Returns a handle to the current candle of a market. Fails like [`ticker`](Self::ticker).
    pub fn candle(&self, interval: Interval, market: impl AsMarket) -> Result<Handle<Candle>, PoolError> {
        self.handle(DataType::Candle(interval), market)
    }

    /// Returns a handle to a stream by its key.
    ///
    /// # Errors
    ///
    /// If the stream is not subscribed, or does not carry `T`.
    pub fn stream<T: Noun>(&self, key: StreamKey) -> Result<Handle<T>, PoolError> {
        find(&self.read(), key)
    }

    /// Returns a batch of the tickers of many markets, given by code or by pattern such as `KRW-*`. Never fails: the batch
    /// reports invalid codes and streams that are not subscribed, each by name.
    pub fn tickers(&self, markets: impl IntoMarkets) -> Batch<Ticker> {
        self.batch(DataType::Ticker, markets)
    }

    /// Returns a batch of the newest trades of many markets, see [`tickers`](Self::tickers).
    pub fn trades(&self, markets: impl IntoMarkets) -> Batch<Trade> {
        self.batch(DataType::Trade, markets)
    }

    /// Returns a batch of the order books of many markets, see [`tickers`](Self::tickers).
    pub fn orderbooks(&self, markets: impl IntoMarkets) -> Batch<Orderbook> {
        self.batch(DataType::Orderbook, markets)
    }

    /// Returns a batch of the order books of many markets with prices grouped by `step`, see
    /// [`tickers`](Self::tickers).
    pub fn grouped_orderbooks(&self, step: Grouping, markets: impl IntoMarkets) -> Batch<Orderbook> {
        self.batch(DataType::GroupedOrderbook(step), markets)
    }

    /// Returns a batch of the current candles of many markets, see [`tickers`](Self::tickers).
    pub fn candles(&self, interval: Interval, markets: impl IntoMarkets) -> Batch<Candle> {
        self.batch(DataType::Candle(interval), markets)
    }

    /// Returns the number of streams that were ever opened.
    pub(super) fn streams_opened(&self) -> u64 {
        // Relaxed: a reader that sees an older number finds the stream at its next look.
        self.shared.opened.load(Relaxed)
    }

    /// Returns the handle of a stream that was ever opened, subscribed or not.
    pub(super) fn find<T: Noun>(&self, key: StreamKey) -> Option<Handle<T>> {
        self.read().get(&key).and_then(T::from_any).map(|stream| stream.handle.clone())
    }

    /// Returns the keys that `is` selects of the streams that were ever opened, sorted.
    pub(super) fn keys(&self, is: impl Fn(&StreamKey) -> bool) -> Vec<StreamKey> {
        let mut keys: Vec<_> = self.read().keys().filter(|key| is(key)).copied().collect();
        keys.sort_unstable();
        keys
    }

    /// Returns the time of the pool's clock.
    pub(super) fn now(&self) -> Nanos {
        self.shared.clock.now()
    }

    /// Returns true if nothing speaks against the newest value of a stream.
    pub(crate) fn is_undisputed(&self, key: StreamKey) -> bool {
        self.read().get(&key).is_some_and(|stream| status(stream).health.is_undisputed())
    }

    /// Returns the epoch and the receive time of a stream's newest value, or of its last confirmation.
    pub(crate) fn heard(&self, key: StreamKey) -> Option<(Epoch, Nanos)> {
        let status = self.read().get(&key).map(status)?;
        status.epoch.zip(status.stamps.map(|stamps| stamps.received))
    }

    /// Returns the current status of every stream that was ever opened, sorted by key. Not for a busy loop: locks,
    /// allocates and sorts.
    pub fn streams(&self) -> Vec<StreamStatus> {
        let mut all: Vec<_> = self.read().values().map(status).collect();
        all.sort_unstable_by_key(|status| status.key);
        all
    }

    fn handle<T: Noun>(&self, data_type: DataType, market: impl AsMarket) -> Result<Handle<T>, PoolError> {
        self.stream(StreamKey::of(data_type, market.as_market()?))
    }

    fn batch<T: Noun>(&self, data_type: DataType, markets: impl IntoMarkets) -> Batch<T> {
        Batch::new(self.clone(), data_type, markets.into_markets())
    }

    fn new_stream<T: Noun>(&self, key: StreamKey, connection: Arc<ConnectionState>) -> Stream<T> {
        let (writer, latest) = latest::cell();
        let writer_state = WriterState { writer, latest: latest.clone(), gate: Gate::new() };
        let Shared { clock, waiters, stopped, stale_after, .. } = &*self.shared;
        let stale_after = Duration::from_nanos(stale_after.load(Relaxed));
        let state = StreamState::new(key, connection, clock.clone(), waiters.clone(), stopped.clone(), stale_after);
        Stream { handle: Handle { latest, state: Arc::new(state) }, place: Arc::new(WriterPlace::new(writer_state)) }
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<StreamKey, AnyStream>> {
        self.shared.streams.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<StreamKey, AnyStream>> {
        self.shared.streams.write().unwrap_or_else(PoisonError::into_inner)
    }
}

// The functions below fill a pool. They are not methods, because a user of the crate must not call them.

/// Returns an empty pool that computes ages and health with `clock`.
///
/// `stale_after` is the longest time without data on a connection during which its values count as live. Default:
/// [`DataPool::STALE_AFTER`]. A shorter time detects a silent connection sooner, but a time that is shorter than the
/// normal pauses of a quiet connection makes live values stale.
pub fn empty(clock: Arc<dyn Clock>, stale_after: Duration) -> DataPool {
    let stale_after = AtomicU64::new(saturating_ns(stale_after));
    let (waiters, stopped, opened) = (Arc::default(), Arc::default(), AtomicU64::new(0));
    DataPool { shared: Arc::new(Shared { clock, stale_after, waiters, stopped, opened, streams: RwLock::default() }) }
}

/// Opens the writing side of a stream for the thread that owns `connection`, and marks the stream subscribed.
///
/// After a publisher is dropped, its stream may be opened again, also on another connection. Handles stay valid,
/// versions continue, trade ids stay known, and the old value is stale until a new one arrives.
///
/// # Panics
///
/// If `key` is not of type `T`, or if the stream's publisher still exists: a cell has one writer.
#[track_caller]
pub fn open<T: Noun>(pool: &DataPool, key: StreamKey, connection: Arc<ConnectionState>) -> Publisher<T> {
    assert!(key.data_type.kind() == T::KIND, "{key} does not carry this type of value");
    let mut streams = pool.write();
    let stream = streams.entry(key).or_insert_with(|| T::into_any(pool.new_stream(key, connection.clone())));
    let Stream { handle, place } = T::from_any(stream).expect("the key determines the type");
    let (state, place) = (handle.state.clone(), place.clone());
    pool.shared.opened.store(streams.len() as u64, Relaxed);
    drop(streams);

    let writer_state = place.lock().take();
    let Some(mut writer_state) = writer_state else { panic!("{key} has a publisher already: a cell has one writer") };
    if !Arc::ptr_eq(&connection, &state.connection.load()) {
        writer_state.gate.reopen();
        state.move_to(connection);
    }
    state.set_subscribed(true);
    Publisher::new(state, place, writer_state)
}

/// Returns the count of readers that sleep in `wait_newer` on any stream. The connection's thread checks it once after
/// each batch and, if it is not zero, calls [`Publisher::wake`] for each stream it published.
pub fn waiters(pool: &DataPool) -> Arc<Waiters> {
    pool.shared.waiters.clone()
}

/// Ends all waits for newer values: no more will be published.
pub fn stop(pool: &DataPool) {
    pool.shared.stopped.raise();
    for stream in pool.read().values() {
        match_any!(stream, stream => stream.handle.state.signal.notify());
    }
}

/// Sets the longest time without data on a connection during which its values count as live.
pub fn set_stale_after(pool: &DataPool, stale_after: Duration) {
    pool.shared.stale_after.store(saturating_ns(stale_after), Relaxed);
    for stream in pool.read().values() {
        match_any!(stream, stream => stream.handle.state.set_stale_after(stale_after));
    }
}

/// Marks a stream as subscribed or not. Readings of a stream that is not subscribed are `NotSubscribed` at once. After
/// it is subscribed again, they are `Stale` until data arrives. A stream that was never opened is ignored.
pub fn set_subscribed(pool: &DataPool, key: StreamKey, subscribed: bool) {
    if let Some(stream) = pool.read().get(&key) {
        match_any!(stream, stream => stream.handle.state.set_subscribed(subscribed));
    }
}

/// Marks a stream as not subscribed, because its market has left the list of markets. A stream that was never opened is
/// ignored.
pub fn delist(pool: &DataPool, key: StreamKey) {
    if let Some(stream) = pool.read().get(&key) {
        match_any!(stream, stream => stream.handle.state.delist());
    }
}

/// Marks the newest value of a stream as suspect until another one arrives. Of a stream without a value, only this is
/// stored: whether the exchange was asked for it repeatedly, without an answer.
pub fn doubt(pool: &DataPool, key: StreamKey, reason: HealthReason) {
    if let Some(stream) = pool.read().get(&key) {
        match_any!(stream, stream => {
            let received = stream.handle.newest().map(|(_, received)| received);
            match received {
                Some(_) => stream.handle.state.doubt(pool.shared.clock.now(), reason, received),
                None if reason == HealthReason::Unanswered => stream.handle.state.set_unanswered(true),
                None => {}
            }
        });
    }
}

/// Sets the longest silence that is usual for a stream. After a longer one its value is `Quiet`. `None`: silence tells
/// nothing about the stream.
pub fn set_usual_silence(pool: &DataPool, key: StreamKey, silence: Option<Duration>) {
    if let Some(stream) = pool.read().get(&key) {
        match_any!(stream, stream => stream.handle.state.set_usual_silence(silence));
    }
}

/// Returns a glance at every stream that was ever opened, in any order.
pub fn glances(pool: &DataPool) -> Vec<Glance> {
    pool.read().values().map(|stream| match_any!(stream, stream => stream.handle.glance())).collect()
}

impl fmt::Debug for DataPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataPool({} streams)", self.read().len())
    }
}

fn status(stream: &AnyStream) -> StreamStatus {
    match_any!(stream, stream => stream.handle.status())
}

fn find<T: Noun>(streams: &HashMap<StreamKey, AnyStream>, key: StreamKey) -> Result<Handle<T>, PoolError> {
    let handle = streams.get(&key).and_then(T::from_any).map(|stream| &stream.handle);
    handle.filter(|handle| handle.state.is_subscribed()).cloned().ok_or(PoolError::NotSubscribed(key))
}
