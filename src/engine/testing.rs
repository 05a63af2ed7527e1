//! A source of market data that a test controls, for unit tests of strategies. Delivers through the router of a real
//! connection, without its socket and thread.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::Feed;
use super::feed::check;
use crate::config::UPBIT;
use crate::error::{Error, Result};
use crate::feed::{self, AnyWriter, Opening, Overflow, Payload};
use crate::model::{
    Clock, ConnectionId, DisconnectKind, Epoch, Nanos, Noun, NounKind, Placed, Receipt, Sink, StreamKey,
};
use crate::plan::{CheckedSubscription, DemandId, StreamSpec, Subscription};
use crate::pool::{self, DataPool, HealthReason};
use crate::route::{NewFeed, Request, Router, new_ring};
use crate::sync::connection::ConnectionState;

/// A source of market data that a test controls: values, gaps, lost connections and the time. Its [`pool`](Self::pool)
/// and [`feeds`](Self::feed) are those of an engine, and its messages take the way of an engine's messages. Dropping it
/// has the effect of a shutdown.
pub struct Source {
    clock: Arc<TestClock>,
    pool: DataPool,
    router: Router<Arc<TestClock>>,
    connection: Arc<ConnectionState>,
    streams: BTreeMap<StreamKey, StreamSpec>,
    rings: BTreeSet<NounKind>,
    feeds: u64,
    /// The exchange time of the newest message made, in ms.
    last_ms: AtomicU64,
}

/// A clock that stands still until it is advanced.
struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Nanos {
        // Relaxed: no other data depends on the time.
        Nanos(self.0.load(Relaxed))
    }
}

impl Source {
    /// The time at which a source starts, in ms since the Unix epoch.
    pub const START_MS: u64 = 1_700_000_000_000;

    /// Creates a source whose connection is open, and that has no streams yet.
    pub fn new() -> Self {
        let clock = Arc::new(TestClock(AtomicU64::new(Nanos::from_millis(Self::START_MS).0)));
        let pool = pool::empty(clock.clone(), DataPool::STALE_AFTER);
        let connection = Arc::new(ConnectionState::new(ConnectionId(0), clock.now()));
        connection.opened(Epoch(1), clock.now(), None);
        let router = Router::new(clock.clone(), pool::waiters(&pool), &UPBIT, None);
        let (streams, rings) = (BTreeMap::new(), BTreeSet::new());
        Self { clock, pool, router, connection, streams, rings, feeds: 0, last_ms: AtomicU64::new(0) }
    }

    /// Returns the pool that the strategy reads.
    pub fn pool(&self) -> &DataPool {
        &self.pool
    }

    /// Returns the time of the source's clock, which stands still until [`advance`](Self::advance) is called.
    pub fn now(&self) -> Nanos {
        self.clock.now()
    }

    /// Moves the clock. Values that are not followed by others grow stale after [`DataPool::STALE_AFTER`].
    pub fn advance(&mut self, time: Duration) {
        self.clock.0.store((self.now() + time).0, Relaxed);
    }

    /// Subscribes to streams of markets given by code. Their values are missing until they are pushed.
    ///
    /// # Errors
    /// [`Error::Subscription`] as on an engine; [`Error::NoUniverse`] for a pattern, because no markets are listed.
    pub fn subscribe<T>(&mut self, subscription: Subscription<T>) -> Result<()> {
        self.add(subscription).map(drop)
    }

    /// Ends the subscription of a stream: its value is [`NotSubscribed`](crate::Health::NotSubscribed) from now on.
    pub fn unsubscribe(&mut self, key: StreamKey) {
        self.streams.remove(&key);
        self.request();
        pool::set_subscribed(&self.pool, key, false);
    }

    /// Opens a feed and subscribes to its streams, see [`Engine::feed`](super::Engine::feed).
    ///
    /// # Errors
    /// Same as [`subscribe`](Self::subscribe), and [`Error::InvalidArgument`] for a policy that a live engine refuses.
    pub fn feed<T: Payload>(&mut self, subscription: Subscription<T>, overflow: Overflow) -> Result<Feed<T>> {
        check::<T>(overflow, 1)?;
        let specs = self.add(subscription)?;
        let data_types: Vec<_> = specs.iter().map(|spec| spec.key.data_type).collect();
        for data_type in data_types.iter().filter(|data_type| overflow.of(**data_type) == Overflow::DropOldest) {
            if self.rings.insert(data_type.kind()) {
                self.router.add_ring(new_ring(data_type.kind(), Overflow::CAPACITY));
            }
        }
        let (writers, items) = feed::open::<T>(Opening {
            overflow,
            data_types: &data_types,
            connections: std::slice::from_ref(&self.connection),
            clock: self.clock.clone(),
            signal: Arc::default(),
        });
        self.feeds += 1;
        for writer in writers {
            let (id, specs, writer) = (DemandId(self.feeds), specs.clone(), AnyWriter::new(writer));
            self.router.add_feed(NewFeed { id, specs, writer });
        }
        Ok(Feed::without_demand(items))
    }

    /// Delivers a message as if it had arrived now: to the pool, and to each feed of its stream. A message of a stream
    /// that is not subscribed, and any message while the connection is down, is lost. See
    /// [`testing::ticker`](crate::testing::ticker) for messages to start from.
    pub fn push<T: Noun>(&mut self, message: T) {
        if !self.connection.is_up() {
            return;
        }
        let now = self.now();
        self.connection.heard_data(now);
        let receipt = Receipt { connection: self.connection.id(), epoch: self.connection.epoch(), received: now };
        self.router.deliver(receipt, &message);
        self.router.flush_feeds();
    }

    /// Makes each feed that keeps its own updates (`DropNewest`, or trades with the default policy) lose some, as if its
    /// reader had been slow: the feed reports a gap. The others have no gaps, or lose what does not fit.
    pub fn lose(&mut self, updates: u64) {
        self.router.lose(updates);
    }

    /// Marks the newest value of a stream as suspect, until another one is pushed.
    pub fn doubt(&mut self, key: StreamKey) {
        pool::doubt(&self.pool, key, HealthReason::NotCarried);
    }

    /// Ends the connection's socket. All values are [`Disconnected`](crate::Health::Disconnected) until
    /// [`connect`](Self::connect) is called.
    pub fn disconnect(&mut self) {
        self.connection.disconnected(self.now());
    }

    /// Opens the next socket, and requests all streams again. Values are [`Resyncing`](crate::Health::Resyncing) until
    /// newer ones are pushed, and each feed reports the change of the socket.
    pub fn connect(&mut self) {
        self.connection.opened(self.connection.epoch().next(), self.now(), Some(DisconnectKind::Eof));
        self.request();
    }

    /// Returns the exchange time of the next message: the source's time, but later than that of the message before.
    pub(super) fn next_ms(&self) -> u64 {
        let next = self.now().as_millis().max(self.last_ms.load(Relaxed) + 1);
        self.last_ms.store(next, Relaxed);
        next
    }

    fn add<T>(&mut self, subscription: Subscription<T>) -> Result<Vec<StreamSpec>> {
        let CheckedSubscription { specs, patterns } = CheckedSubscription::of(subscription, &UPBIT)?;
        if !patterns.is_empty() {
            return Err(Error::NoUniverse);
        }
        for spec in &specs {
            if self.pool.streams().iter().all(|stream| stream.key != spec.key) {
                let (pool, connection) = (&self.pool, self.connection.clone());
                let publisher = with_noun!(spec.key.data_type.kind(), T => T::into_any(pool::open::<T>(pool, spec.key, connection)));
                self.router.add_stream(publisher);
            } else {
                pool::set_subscribed(&self.pool, spec.key, true);
            }
            self.streams.insert(spec.key, StreamSpec::all(spec.key));
        }
        self.request();
        Ok(specs)
    }

    /// Requests all streams on the current socket.
    fn request(&mut self) {
        let (streams, running) = (self.streams.values().copied().collect(), self.streams.keys().copied().collect());
        let (at, epoch) = (self.now(), self.connection.epoch());
        self.router.requested(&Request { at, epoch, streams: &streams, running: &running });
    }
}

impl Default for Source {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.streams.keys().for_each(|key| pool::set_subscribed(&self.pool, *key, false));
        pool::stop(&self.pool);
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("now", &self.now())
            .field("streams", &self.streams.keys())
            .finish_non_exhaustive()
    }
}
