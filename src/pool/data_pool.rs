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
    AnyNoun, Candle, Clock, DataType, Epoch, Family, Grouping, Interval, Market, Nanos, Noun, Orderbook, StreamKey,
    Ticker, Trade, saturating_ns,
};
use crate::sync::connection::ConnectionState;
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

    /// Returns a batch of the tickers of many markets.
    ///
    /// # Errors
    ///
    /// The error of the first market that has no handle.
    pub fn tickers<M: AsMarket>(&self, markets: impl IntoIterator<Item = M>) -> Result<Batch<Ticker>, PoolError> {
        self.batch(DataType::Ticker, markets)
    }

    /// Returns a batch of the newest trades of many markets, see [`tickers`](Self::tickers).
    pub fn trades<M: AsMarket>(&self, markets: impl IntoIterator<Item = M>) -> Result<Batch<Trade>, PoolError> {
        self.batch(DataType::Trade, markets)
    }

    /// Returns a batch of the order books of many markets, see [`tickers`](Self::tickers).
    pub fn orderbooks<M: AsMarket>(&self, markets: impl IntoIterator<Item = M>) -> Result<Batch<Orderbook>, PoolError> {
        self.batch(DataType::Orderbook, markets)
    }

    /// Returns a batch of the current candles of many markets, see [`tickers`](Self::tickers).
    pub fn candles<M: AsMarket>(
        &self,
        interval: Interval,
        markets: impl IntoIterator<Item = M>,
    ) -> Result<Batch<Candle>, PoolError> {
        self.batch(DataType::Candle(interval), markets)
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

    fn batch<T: Noun, M: AsMarket>(
        &self,
        data_type: DataType,
        markets: impl IntoIterator<Item = M>,
    ) -> Result<Batch<T>, PoolError> {
        // Runs before the lock is taken, because the iterator and `as_market` are code of the program, which may be
        // slow or call the pool.
        let markets: Vec<_> = markets.into_iter().map(|market| market.as_market()).collect();
        let streams = self.read();
        let found = markets.into_iter().map(|market| {
            let market: Market = market?;
            Ok((market, find(&streams, StreamKey::of(data_type, market))?))
        });
        let (markets, handles) = found.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        Ok(Batch::new(markets, handles, self.shared.clock.clone()))
    }

    fn new_stream<T: Noun>(&self, key: StreamKey, connection: Arc<ConnectionState>) -> Stream<T> {
        let (writer, latest) = latest::cell();
        let writer_state = WriterState { writer, latest: latest.clone(), gate: Gate::new() };
        let Shared { clock, waiters, stale_after, .. } = &*self.shared;
        let stale_after = Duration::from_nanos(stale_after.load(Relaxed));
        let state = StreamState::new(key, connection, clock.clone(), waiters.clone(), stale_after);
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
    DataPool { shared: Arc::new(Shared { clock, stale_after, waiters: Arc::default(), streams: RwLock::default() }) }
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

/// Marks the newest value of a stream as suspect until another one arrives. A stream without a value is ignored.
pub fn doubt(pool: &DataPool, key: StreamKey, reason: HealthReason) {
    if let Some(stream) = pool.read().get(&key) {
        match_any!(stream, stream => {
            if let Some((_, received)) = stream.handle.newest() {
                stream.handle.state.doubt(pool.shared.clock.now(), reason, Some(received));
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
