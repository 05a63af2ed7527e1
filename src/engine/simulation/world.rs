//! The simulated world: an engine, an exchange, and virtual time for both.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hoga_exchange::{ConnId, Exchange, Fault};

use super::interference::Interference;
use super::judge::{Arrivals, Judge, is_same};
use super::peer::Peer;
use super::{Network, Random};
use crate::config::Endpoint;
use crate::engine::Builder;
use crate::engine::assembly::Assembly;
use crate::engine::hub::{FeedRequest, Hub, Outcome};
use crate::engine::lifecycle::{Lifecycle, lifecycle};
use crate::engine::log::Log;
use crate::feed::{self, AnyWriter, Item, Opening, Overflow, Payload};
use crate::model::{Clock, Event, Market, Nanos, Noun, StreamKey};
use crate::monitor::{GapLog, StreamGap};
use crate::plan::{CheckedSubscription, DemandId, Subscription, Universe};
use crate::pool::{DataPool, Handle, Health, PoolError};
use crate::session::{Budget, DialBudget, Rate};

/// The time at which every scenario begins.
pub(super) const START: Nanos = Nanos::from_millis(1_790_000_000_000);
/// Longer than the recovery from any fault here. After repeated refusals, the pause doubles each time.
const RECOVERY_MAX: Duration = Duration::from_secs(7200);
/// The maximum delay of a thread that was woken.
const WAKE_MAX: Duration = Duration::from_millis(2);

/// A clock with the time that the world sets.
pub(super) struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Nanos {
        Nanos(self.0.load(Relaxed))
    }
}

/// The budget of connection attempts that all connections share.
#[derive(Clone)]
struct SharedBudget(Arc<std::sync::Mutex<Budget>>);

impl DialBudget for SharedBudget {
    fn try_acquire(&mut self, now: Nanos) -> Result<(), Nanos> {
        self.0.lock().unwrap().try_acquire(now)
    }

    fn hold(&mut self, now: Nanos, until: Nanos) {
        DialBudget::hold(&mut *self.0.lock().unwrap(), now, until);
    }
}

/// Identifies a feed of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FeedId(DemandId);

/// A whole engine and its exchange.
pub(super) struct World {
    pub random: Random,
    pub arrivals: Arrivals,
    pub interference: Interference,
    clock: Arc<TestClock>,
    exchange: Exchange,
    hub: Hub,
    peers: Vec<Peer>,
    /// The time of the next poll of the control plane.
    next_poll: Nanos,
    feeds: Vec<OpenFeed>,
    /// The log, which is not read.
    _log: Log,
}

/// A feed and its reader.
struct OpenFeed {
    id: DemandId,
    feed: Box<dyn Reader>,
    judge: Judge,
}

/// A feed of any type.
trait Reader {
    fn pop(&mut self) -> Option<Item<Event>>;
    fn counts(&self) -> feed::FeedCounts;
}

impl<T: Payload + Into<Event>> Reader for feed::Feed<T> {
    fn pop(&mut self) -> Option<Item<Event>> {
        Some(match feed::Feed::pop(self)? {
            Item::Data(update) => Item::Data(update.map(Into::into)),
            Item::Gap { missed } => Item::Gap { missed },
            Item::Epoch { connection, old, new, reason, since } => Item::Epoch { connection, old, new, reason, since },
        })
    }

    fn counts(&self) -> feed::FeedCounts {
        feed::Feed::counts(self)
    }
}

impl World {
    /// Creates an engine from the settings of `builder`, except its endpoint.
    pub fn new(seed: u64, builder: Builder, exchange: hoga_exchange::Config) -> Self {
        let random = Random::new(seed);
        let network = Network {
            delay: Duration::from_millis(random.pick(&[0, 1, 20, 200])),
            piece: random.pick(&[40, 300, 1500, 65_536]),
            random: random.clone(),
            is_down: false,
        };
        let clock = Arc::new(TestClock(AtomicU64::new(START.0)));
        let mut config = builder.config;
        config.endpoint = Endpoint::custom("ws://127.0.0.1:9/websocket/v1").unwrap();
        let (log, logs, _) = Log::new(config.connections);
        let rate = Rate { count: config.limits.connects_per_second, window: Duration::from_secs(1) };
        let budget = SharedBudget(Arc::new(std::sync::Mutex::new(Budget::new([rate]))));
        let outside = || (Box::new(budget.clone()) as Box<dyn DialBudget>, Box::new(random.clone()) as _);
        let Assembly { hub, connections } = Assembly::new(&Arc::new(config), &clock, true, logs, outside);
        let arrivals = Arrivals::default();
        let interference = Interference::default();
        let peer = |parts| Peer::new(parts, arrivals.clone(), interference.clone(), network.clone());
        let peers = connections.into_iter().map(peer).collect();
        let exchange = Exchange::new(hoga_exchange::Config { seed, ..exchange }, START.0);
        Self {
            random,
            arrivals,
            interference,
            clock,
            exchange,
            hub,
            peers,
            next_poll: START,
            feeds: Vec::new(),
            _log: log,
        }
    }

    pub fn now(&self) -> Nanos {
        self.clock.now()
    }

    pub fn pool(&self) -> &DataPool {
        self.hub.pool()
    }

    /// Returns the markets that the exchange lists.
    pub fn markets(&self) -> Vec<Market> {
        self.exchange.markets().map(|code| code.parse().unwrap()).collect()
    }

    pub fn stats(&self) -> &hoga_exchange::Stats {
        self.exchange.stats()
    }

    /// Returns the gaps of all streams, which are all kept.
    pub fn gaps(&self) -> Vec<StreamGap> {
        let GapLog { gaps, cut } = self.hub.gaps();
        assert_eq!(cut, 0);
        gaps
    }

    /// Returns a watcher of the streams.
    pub fn watch(&mut self) -> Lifecycle {
        let (writers, lifecycle) = lifecycle(0);
        writers.into_iter().for_each(|writer| self.hub.watch_streams(writer));
        lifecycle
    }

    /// Returns the markets that a connection carries.
    pub fn carried(&mut self, connection: usize) -> BTreeSet<Market> {
        let homes = self.hub.planner().homes();
        let own = homes.iter().filter(|(_, home)| *home == connection);
        own.filter_map(|(key, _)| key.market()).collect()
    }

    /// Returns the sockets of a connection.
    pub fn conns(&self, connection: usize) -> Vec<ConnId> {
        self.peers[connection].conns().collect()
    }

    /// Returns the pauses of a connection before its attempts to connect.
    pub fn pauses(&self, connection: usize) -> &[Duration] {
        self.peers[connection].pauses()
    }

    /// Returns the number of requests that the exchange received on a socket.
    pub fn requests(&self, conn: ConnId) -> usize {
        self.exchange.received().filter(|received| received.conn == conn).count()
    }

    pub fn inject(&mut self, fault: Fault) {
        self.exchange.inject(self.now().0, fault);
    }

    /// Drops the sockets of one connection without a close frame.
    pub fn cut(&mut self, connection: usize) {
        for conn in self.conns(connection) {
            self.inject(Fault::Drop(conn));
        }
    }

    /// Refuses all connects from now on, or ends that.
    pub fn set_down(&mut self, is_down: bool) {
        self.peers.iter_mut().for_each(|peer| peer.set_down(is_down));
    }

    /// Sets the maximum delay of what is sent from now on.
    pub fn set_delay(&mut self, delay: Duration) {
        self.peers.iter_mut().for_each(|peer| peer.set_delay(delay));
    }

    // ---- a program's calls ----

    /// Subscribes to streams until they are released.
    pub fn subscribe<T>(&mut self, subscription: Subscription<T>) -> DemandId {
        self.add(subscription, None)
    }

    /// Opens a feed. [`read`](Self::read) reads it.
    pub fn feed<T: Payload + Into<Event>>(&mut self, subscription: Subscription<T>, overflow: Overflow) -> FeedId {
        let (mut feed, clock) = (None, self.clock.clone());
        let open = |data_types: &[_], connections: &[_]| {
            let opening = Opening { overflow, data_types, connections, clock, signal: Arc::default() };
            let (writers, reader) = feed::open::<T>(opening);
            let counters = reader.counters();
            feed = Some(reader);
            (writers.into_iter().map(AnyWriter::new).collect(), counters)
        };
        let id = self.add(subscription, Some(FeedRequest { overflow, open: Box::new(open) }));
        let mut judge = Judge::new(format!("{overflow} feed {}", id.0), overflow, self.arrivals.clone());
        judge.joins(self.now() + WAKE_MAX, self.held(id));
        self.feeds.push(OpenFeed { id, feed: Box::new(feed.unwrap()), judge });
        FeedId(id)
    }

    fn add<T>(&mut self, subscription: Subscription<T>, feed: Option<FeedRequest<'_>>) -> DemandId {
        let checked = CheckedSubscription::of(subscription.mixed(), self.hub.dialect()).unwrap();
        let accepted = self.hub.add(self.now(), None, checked, feed).unwrap();
        self.after_call();
        accepted.id
    }

    /// Returns the streams of a demand.
    pub fn held(&mut self, id: DemandId) -> Vec<StreamKey> {
        self.hub.planner().held(id).iter().map(|spec| spec.key).collect()
    }

    /// Releases demand.
    pub fn release(&mut self, id: DemandId) {
        self.hub.remove(self.now(), id);
        self.after_call();
    }

    /// Reads the rest of a feed, and drops it.
    pub fn drop_feed(&mut self, FeedId(id): FeedId) {
        let place =
            self.feeds.iter().position(|open_feed| open_feed.id == id).expect("a feed that was not dropped yet");
        self.feeds.swap_remove(place).read(self.now(), usize::MAX);
        self.release(id);
    }

    /// Lists or delists a market, and announces it at once.
    pub fn set_listed(&mut self, market: Market, on: bool) {
        self.exchange.set_listed(self.now().0, &market.to_string(), on);
        self.announce();
    }

    /// Sets the engine's universe to the markets that the exchange lists.
    pub fn announce(&mut self) {
        let universe: Universe = self.markets().into_iter().collect();
        let before: Vec<_> = self.feeds.iter().map(|open_feed| open_feed.id).collect();
        let before: Vec<_> = before.into_iter().map(|id| self.held(id)).collect();
        self.hub.set_universe(self.now(), universe);
        for (place, before) in before.into_iter().enumerate() {
            let after = self.held(self.feeds[place].id);
            // If a stream is added or removed, some of its updates may be missing from here on.
            let changed = before.iter().filter(|key| !after.contains(key));
            let changed: Vec<_> = changed.chain(after.iter().filter(|key| !before.contains(key))).copied().collect();
            let by = self.now() + WAKE_MAX;
            self.feeds[place].judge.joins(by, changed);
        }
        self.after_call();
    }

    /// Reads at most `items` items of each feed and judges them.
    pub fn read(&mut self, items: usize) {
        let now = self.now();
        self.feeds.iter_mut().for_each(|open_feed| open_feed.read(now, items));
    }

    /// Returns the number of updates that all feeds have delivered.
    pub fn delivered(&self) -> u64 {
        self.feeds.iter().map(|open_feed| open_feed.judge.delivered).sum()
    }

    // ---- time ----

    /// Advances the clock by `time` and does everything that is due.
    pub fn run(&mut self, time: Duration) {
        let end = self.now() + time;
        loop {
            let due = self.peers.iter().map(Peer::due).min().unwrap_or(Nanos::NEVER);
            let next = due.min(self.next_poll).min(Nanos(self.exchange.poll_timeout()));
            if next > end {
                return self.clock.0.store(end.0, Relaxed);
            }
            self.clock.0.fetch_max(next.0, Relaxed);
            self.step();
        }
    }

    fn step(&mut self) {
        let now = self.now();
        if self.exchange.poll_timeout() <= now.0 {
            self.exchange.handle_timeout(now.0);
        }
        for peer in &mut self.peers {
            peer.step(now, &mut self.exchange);
            if peer.take_reported() {
                self.next_poll = self.next_poll.min(now + self.random.up_to(WAKE_MAX));
            }
        }
        if self.next_poll <= now {
            self.next_poll = self.hub.poll(now).max(now + Duration::from_nanos(1));
            self.deliver();
        }
    }

    /// Wakes the control thread after a change of demand.
    fn after_call(&mut self) {
        self.next_poll = self.next_poll.min(self.now() + self.random.up_to(WAKE_MAX));
        self.deliver();
    }

    fn deliver(&mut self) {
        let Outcome { commanded, .. } = self.hub.take_outcome();
        for connection in commanded {
            let at = self.now() + self.random.up_to(WAKE_MAX);
            self.peers[connection].call(at);
        }
    }

    // ---- checks ----

    /// Waits until every wanted stream is live, then mutes the exchange and checks that nothing is missing or outdated,
    /// neither in the pool nor in any feed.
    pub fn settle(&mut self) {
        let end = self.now() + RECOVERY_MAX;
        while let Some(missing) = self.missing() {
            assert!(self.now() < end, "{missing} never became live");
            self.run(Duration::from_secs(1));
            self.read(usize::MAX);
        }
        self.inject(Fault::Mute(true));
        // Longer than any piece is in flight, and shorter than the time until silence is noticed.
        self.run(Duration::from_secs(1));
        self.read(usize::MAX);
        self.check_pool();
        for place in 0..self.feeds.len() {
            let keys = self.held(self.feeds[place].id);
            self.feeds[place].check_end(&keys);
        }
        self.inject(Fault::Mute(false));
    }

    /// Returns true if nothing speaks against the value of any wanted stream.
    pub fn is_settled(&mut self) -> bool {
        let (expected, _) = self.hub.planner().expected();
        let undisputed = self.keys_of(Health::is_undisputed);
        expected.iter().all(|key| undisputed.contains(key))
    }

    /// Returns a wanted stream that is not live, or whose state a feed still waits for.
    fn missing(&mut self) -> Option<StreamKey> {
        let (expected, _) = self.hub.planner().expected();
        let live = self.keys_of(Health::is_live);
        let missing = expected.into_iter().find(|key| !live.contains(key));
        missing.or_else(|| {
            (0..self.feeds.len()).find_map(|place| {
                let keys = self.held(self.feeds[place].id);
                self.feeds[place].judge.awaited(&keys)
            })
        })
    }

    /// Returns the streams whose health is as wanted.
    fn keys_of(&self, is: impl Fn(Health) -> bool) -> BTreeSet<StreamKey> {
        self.pool().streams().iter().filter(|stream| is(stream.health)).map(|stream| stream.key).collect()
    }

    /// Returns the newest value of a stream in the pool.
    fn value(&self, key: StreamKey) -> Option<Event> {
        let pool = self.pool();
        with_noun!(key.data_type.kind(), T => newest(pool.stream::<T>(key)))
    }

    /// Checks that the pool has the newest message of each wanted stream.
    fn check_pool(&mut self) {
        let (expected, _) = self.hub.planner().expected();
        for key in expected {
            let (epoch, newest) = self.arrivals.newest(key).expect("a message of a stream that was live");
            let held = self.value(key).unwrap_or_else(|| panic!("{key} is not in the pool"));
            assert!(is_same(&held, &newest), "{key}: the pool has {held:?}, and {newest:?} of epoch {epoch} arrived");
        }
    }
}

/// Returns the newest value of a stream, as an event.
fn newest<T: Noun>(handle: Result<Handle<T>, PoolError>) -> Option<Event> {
    let handle = handle.ok()?;
    handle.load().value().map(|value| (*value).into())
}

impl OpenFeed {
    fn read(&mut self, now: Nanos, items: usize) {
        for _ in 0..items {
            let Some(item) = self.feed.pop() else { return };
            self.judge.item(now, &item);
        }
    }

    fn check_end(&self, keys: &[StreamKey]) {
        self.judge.ends(keys);
        let feed::FeedCounts { received, delivered, dropped, conflated, filtered, queued, .. } = self.feed.counts();
        let sum = delivered + dropped + conflated + filtered + queued;
        assert_eq!((received, queued), (sum, 0), "{:?}: {:?}", self.id, self.feed.counts());
    }
}
