//! The pool: which streams there are. Finding one is the control path; reading one is the handle's.
//!
//! # Synchronization
//!
//! `streams` is locked to find, add or list streams, never to read or publish a value. Streams are never removed, so a
//! handle cannot outlive what it reads.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use super::gate::Gate;
use super::publisher::WriterState;
use super::slot::Slot;
use super::{AsMarket, Batch, Handle, PoolError, Publisher, StreamStatus};
use crate::model::{
    AnyNoun, Candle, Clock, DataType, Epoch, Family, Grouping, Interval, Market, Nanos, Noun, Orderbook, StreamKey,
    Ticker, Trade,
};
use crate::sync::connection::ConnectionState;
use crate::sync::latest;
use crate::sync::waiters::Waiters;

/// The newest value of every stream. Cheap to clone; all clones are one pool.
#[derive(Clone)]
pub struct DataPool {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    stale_after: Duration,
    waiters: Arc<Waiters>,
    streams: RwLock<HashMap<StreamKey, Stream>>,
}

/// The handle of a stream of any type.
type Stream = AnyNoun<Handles>;

/// Of each type, a handle.
struct Handles;

impl Family for Handles {
    type Of<T: Noun> = Handle<T>;
}

impl DataPool {
    /// Default silence of a connection after which its values count as stale: the 10 s after which a quiet connection is
    /// asked for snapshots, and 2 s for the answer. So a market where nobody trades stays live.
    pub const STALE_AFTER: Duration = Duration::from_secs(12);

    /// The ticker of a market.
    pub fn ticker(&self, market: impl AsMarket) -> Result<Handle<Ticker>, PoolError> {
        self.handle(DataType::Ticker, market)
    }

    /// The newest trade of a market.
    pub fn trade(&self, market: impl AsMarket) -> Result<Handle<Trade>, PoolError> {
        self.handle(DataType::Trade, market)
    }

    /// The order book of a market.
    pub fn orderbook(&self, market: impl AsMarket) -> Result<Handle<Orderbook>, PoolError> {
        self.handle(DataType::Orderbook, market)
    }

    /// The order book of a market with prices grouped by a step.
    pub fn grouped_orderbook(&self, step: Grouping, market: impl AsMarket) -> Result<Handle<Orderbook>, PoolError> {
        self.handle(DataType::GroupedOrderbook(step), market)
    }

    /// The current candle of a market.
    pub fn candle(&self, interval: Interval, market: impl AsMarket) -> Result<Handle<Candle>, PoolError> {
        self.handle(DataType::Candle(interval), market)
    }

    /// A stream by its key. One that carries another type than `T` is not found.
    pub fn stream<T: Noun>(&self, key: StreamKey) -> Result<Handle<T>, PoolError> {
        find(&self.read(), key)
    }

    /// The tickers of many markets, to be read in one call. The first market without a stream is the error.
    pub fn tickers<M: AsMarket>(&self, markets: impl IntoIterator<Item = M>) -> Result<Batch<Ticker>, PoolError> {
        self.batch(DataType::Ticker, markets)
    }

    /// The newest trades of many markets, see [`tickers`](Self::tickers).
    pub fn trades<M: AsMarket>(&self, markets: impl IntoIterator<Item = M>) -> Result<Batch<Trade>, PoolError> {
        self.batch(DataType::Trade, markets)
    }

    /// The order books of many markets, see [`tickers`](Self::tickers).
    pub fn orderbooks<M: AsMarket>(&self, markets: impl IntoIterator<Item = M>) -> Result<Batch<Orderbook>, PoolError> {
        self.batch(DataType::Orderbook, markets)
    }

    /// The current candles of many markets, see [`tickers`](Self::tickers).
    pub fn candles<M: AsMarket>(
        &self,
        interval: Interval,
        markets: impl IntoIterator<Item = M>,
    ) -> Result<Batch<Candle>, PoolError> {
        self.batch(DataType::Candle(interval), markets)
    }

    /// Whether the newest value of a stream is live.
    pub(crate) fn is_live(&self, key: StreamKey) -> bool {
        self.read().get(&key).is_some_and(|stream| status(stream).health.is_live())
    }

    /// When a stream's data last came, and on which socket of its connection.
    pub(crate) fn heard(&self, key: StreamKey) -> Option<(Epoch, Nanos)> {
        let status = self.read().get(&key).map(status)?;
        status.epoch.zip(status.stamps.map(|stamps| stamps.received))
    }

    /// Every stream there ever was, sorted by key, as of now. For the control path: locks, allocates and sorts.
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
        // The program's own code, which may take its time or subscribe, does not run under the lock.
        let markets: Vec<_> = markets.into_iter().map(|market| market.as_market()).collect();
        let streams = self.read();
        let found = markets.into_iter().map(|market| {
            let market: Market = market?;
            Ok((market, find(&streams, StreamKey::of(data_type, market))?))
        });
        let (markets, handles) = found.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        Ok(Batch::new(markets, handles, self.shared.clock.clone()))
    }

    fn new_handle<T: Noun>(&self, key: StreamKey, connection: Arc<ConnectionState>) -> Handle<T> {
        let (writer, latest) = latest::cell();
        let writer_state = WriterState { writer, latest: latest.clone(), gate: Gate::new() };
        let Shared { clock, waiters, stale_after, .. } = &*self.shared;
        let slot = Slot::new(key, connection, clock.clone(), waiters.clone(), *stale_after, writer_state);
        Handle { latest, slot: Arc::new(slot) }
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<StreamKey, Stream>> {
        self.shared.streams.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<StreamKey, Stream>> {
        self.shared.streams.write().unwrap_or_else(PoisonError::into_inner)
    }
}

// What follows fills a pool. These are functions and no methods: a user of the crate has pools, but not the rooms.

/// An empty pool. Ages and health are judged by `clock`.
///
/// `stale_after` is the longest time without data on a connection during which its values count as live. Default:
/// [`DataPool::STALE_AFTER`]. A shorter time notices a mute connection sooner; below the pause that a connection's
/// quietest hour has by itself, live values are called stale.
pub fn empty(clock: Arc<dyn Clock>, stale_after: Duration) -> DataPool {
    DataPool { shared: Arc::new(Shared { clock, stale_after, waiters: Arc::default(), streams: RwLock::default() }) }
}

/// Opens the writing side of a stream for the thread that owns `connection`, and marks the stream subscribed.
///
/// A stream whose publisher was dropped may be opened again, also on another connection: handles stay valid,
/// versions go on, trades seen stay seen, and the old value is stale until the new subscription brings one.
///
/// # Panics
///
/// If `key` is not of type `T`, or if the stream's publisher is still alive: a cell has one writer.
#[track_caller]
pub fn open<T: Noun>(pool: &DataPool, key: StreamKey, connection: Arc<ConnectionState>) -> Publisher<T> {
    assert!(key.data_type.kind() == T::KIND, "{key} does not carry this type of value");
    let mut streams = pool.write();
    let stream = streams.entry(key).or_insert_with(|| T::into_any(pool.new_handle(key, connection.clone())));
    let slot = T::from_any(stream).expect("the key settles the type").slot.clone();
    drop(streams);

    let writer_state = slot.writer_state().take();
    let Some(mut writer_state) = writer_state else { panic!("{key} has a publisher already: a cell has one writer") };
    if !Arc::ptr_eq(&connection, &slot.connection.load()) {
        writer_state.gate.reopen();
        slot.move_to(connection);
    }
    slot.set_subscribed(true);
    Publisher::new(slot, writer_state)
}

/// The number of readers of any stream that sleep in `wait_newer`. The connection's thread asks once after each batch,
/// and calls [`Publisher::wake`] for what it published if there are any.
pub fn waiters(pool: &DataPool) -> Arc<Waiters> {
    pool.shared.waiters.clone()
}

/// Says whether a stream is asked for. False makes its readings `NotSubscribed` at once; true again makes them
/// `Stale` until data arrives. Unknown streams are not subscribed and stay so.
pub fn set_subscribed(pool: &DataPool, key: StreamKey, subscribed: bool) {
    if let Some(stream) = pool.read().get(&key) {
        match_any!(stream, handle => handle.slot.set_subscribed(subscribed));
    }
}

impl fmt::Debug for DataPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataPool({} streams)", self.read().len())
    }
}

fn status(stream: &Stream) -> StreamStatus {
    match_any!(stream, handle => handle.status())
}

fn find<T: Noun>(streams: &HashMap<StreamKey, Stream>, key: StreamKey) -> Result<Handle<T>, PoolError> {
    let handle = streams.get(&key).and_then(T::from_any).filter(|handle| handle.slot.is_subscribed());
    handle.cloned().ok_or(PoolError::NotSubscribed(key))
}
