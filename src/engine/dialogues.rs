//! Tests of what feeds receive, as dialogues between a planner, a router and feeds. The test acts as the exchange, the
//! clock, and the threads in between: it decides when a desired set is sent, and what arrives before and after.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::config::{Config, Pacing, UPBIT};
use crate::feed::{self, AnyWriter, Feed, Item, Opening, Overflow, Payload};
use crate::model::{
    Clock, ConnectionId, DataType, Epoch, Event, Market, Nanos, NounKind, Placed, Receipt, Sink, StreamKey, StreamType,
    Ticker, Trade, Words,
};
use crate::plan::{
    CheckedSubscription, Confirmation, DemandId, DesiredSet, Planner, StreamSpec, Subscription, Universe, orderbook,
    ticker, trade,
};
use crate::pool::{self, DataPool};
use crate::route::{NewFeed, Request, Router, new_ring};
use crate::sync::connection::ConnectionState;

const POLICIES: [Overflow; 4] =
    [Overflow::DROP_NEWEST, Overflow::DropOldest, Overflow::Conflate, Overflow::Throttle(Duration::from_nanos(1))];

const SNAPSHOT: StreamType = StreamType::Snapshot;
const CHANGE: StreamType = StreamType::Realtime;

/// A clock with the time that the test sets.
struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Nanos {
        Nanos(self.0.load(Relaxed))
    }
}

/// One connection without a socket.
struct Fixture {
    clock: Arc<TestClock>,
    pool: DataPool,
    state: Arc<ConnectionState>,
    planner: Planner,
    router: Router<Arc<TestClock>>,
    /// The newest desired set, if it was not sent yet.
    issued: Option<DesiredSet>,
    sent: DesiredSet,
    /// The streams that the sent desired set requested without a snapshot.
    running: Arc<BTreeSet<StreamKey>>,
    /// The revision of the desired set that this socket carries.
    on_socket: Option<u64>,
    /// The old socket whose messages arrive now.
    late_of: Option<Epoch>,
}

impl Fixture {
    /// Creates a connection whose first socket is open and carries nothing.
    fn new() -> Self {
        let clock = Arc::new(TestClock(AtomicU64::new(1_000_000_000)));
        let pool = pool::empty(clock.clone(), DataPool::STALE_AFTER);
        let (grace, confirm_within) = (Duration::ZERO, Duration::from_secs(3600));
        let config = Config { pacing: Pacing::Aggressive, grace, confirm_within, ..Config::default() };
        let planner = Planner::new(Arc::new(config), true);
        let mut router = Router::new(clock.clone(), pool::waiters(&pool), &UPBIT, None);
        for kind in NounKind::ALL {
            router.add_ring(new_ring(kind, 64));
        }
        let state = Arc::new(ConnectionState::new(ConnectionId(0), clock.now()));
        let (issued, sent, running, on_socket) = (None, DesiredSet::default(), Arc::default(), None);
        let late_of = None;
        let mut fixture = Self { clock, pool, state, planner, router, issued, sent, running, on_socket, late_of };
        fixture.connect();
        fixture
    }

    /// Advances the clock and returns the time. Each event has a time of its own.
    fn advance(&self, time: Duration) -> Nanos {
        self.clock.0.fetch_add(time.as_nanos() as u64, Relaxed);
        self.clock.now()
    }

    /// Advances the clock by more than the planner's interval between two polls.
    fn now(&self) -> Nanos {
        self.advance(Duration::from_millis(30))
    }

    /// Opens the next socket. The last issued desired set is sent again.
    fn connect(&mut self) {
        let (now, epoch) = (self.now(), self.state.epoch().next());
        self.state.opened(epoch, now, None);
        self.planner.opened(0, epoch);
        self.on_socket = None;
        if self.issued.is_some() || self.sent != DesiredSet::default() {
            self.issued.get_or_insert(self.sent.clone());
            self.send();
        }
    }

    fn disconnect(&mut self) {
        self.state.disconnected(self.now());
        self.planner.disconnected(0);
    }

    /// Polls the planner twice, as the control thread does: the first pass ends expired demand, and the second issues
    /// the desired set, because the window for collecting changes is then over.
    fn poll(&mut self) {
        self.pass();
        self.pass();
    }

    fn pass(&mut self) {
        let decisions = self.planner.poll(self.now(), |key| self.pool.heard(key));
        decisions
            .expired
            .iter()
            .chain(&decisions.interrupted)
            .for_each(|key| pool::set_subscribed(&self.pool, *key, false));
        decisions.interrupted.iter().for_each(|key| pool::set_subscribed(&self.pool, *key, true));
        self.issue(decisions.carry);
    }

    fn issue(&mut self, carry: Vec<(usize, DesiredSet)>) {
        self.issued = carry.into_iter().next_back().map(|(_, desired)| desired).or(self.issued.take());
    }

    /// Sends the newest desired set.
    #[track_caller]
    fn send(&mut self) {
        let (at, epoch) = (self.now(), self.state.epoch());
        self.sent = self.issued.take().expect("a desired set that was not sent yet");
        self.running = self.sent.running.on(epoch, self.on_socket);
        self.on_socket = Some(self.sent.revision);
        self.router.requested(&Request { at, epoch, streams: &self.sent.streams, running: &self.running });
        // The control thread does both in one pass.
        self.planner.requested(0, at, self.sent.revision);
        self.poll();
    }

    /// Lets the planner make a desired set, and sends its request.
    #[track_caller]
    fn settle(&mut self) {
        self.poll();
        self.send();
    }

    /// Requests everything again from the start, as after a quiet period.
    fn probe(&mut self) {
        let (at, epoch) = (self.now(), self.state.epoch());
        self.router.requested(&Request { at, epoch, streams: &self.sent.streams, running: &Default::default() });
    }

    fn open_streams(&mut self, new: Vec<(StreamKey, usize)>) {
        for (key, _) in new {
            if self.pool.streams().iter().any(|stream| stream.key == key) {
                pool::set_subscribed(&self.pool, key, true);
                continue;
            }
            let state = self.state.clone();
            let publisher = with_noun!(key.data_type.kind(), T => T::into_any(pool::open::<T>(&self.pool, key, state)));
            self.router.add_stream(publisher);
        }
    }

    fn subscribe<T>(&mut self, subscription: Subscription<T>) -> DemandId {
        let checked = CheckedSubscription::of(subscription.mixed(), &UPBIT).unwrap();
        let admitted = self.planner.add(self.now(), None, checked).unwrap();
        self.open_streams(admitted.new);
        self.issue(admitted.carry);
        admitted.id
    }

    fn feed<T: Payload>(&mut self, subscription: Subscription<T>, overflow: Overflow) -> (DemandId, Feed<T>) {
        let id = self.subscribe(subscription);
        let specs = self.planner.held(id).to_vec();
        let data_types: Vec<_> = specs.iter().map(|spec| spec.key.data_type).collect();
        let connections = [self.state.clone()];
        let (data_types, clock) = (&data_types[..], self.clock.clone());
        let (mut writers, feed) =
            feed::open(Opening { overflow, data_types, connections: &connections, clock, signal: Arc::default() });
        self.router.add_feed(NewFeed { id, specs, writer: AnyWriter::new(writers.remove(0)) });
        (id, feed)
    }

    /// Releases demand and its feed.
    fn release(&mut self, id: DemandId) {
        let now = self.now();
        self.planner.remove(now, id);
        self.router.remove_feed(id);
    }

    fn list(&mut self, codes: &[&str]) {
        let universe: Universe = codes.iter().map(|code| market(code)).collect();
        let now = self.now();
        let relisted = self.planner.set_universe(now, universe);
        self.open_streams(relisted.new);
        self.issue(relisted.carry);
        for change in relisted.changes {
            self.router.change_feed(&change);
        }
    }

    /// Returns the receipt of a message of the newest socket, or of an older one.
    fn receipt(&self) -> Receipt {
        let epoch = self.late_of.unwrap_or(self.state.epoch());
        Receipt { connection: ConnectionId(0), epoch, received: self.now() }
    }

    fn ticker(&mut self, code: &str, price: u32, stream_type: StreamType) {
        let (trade_price, timestamp) = (f64::from(price), u64::from(price));
        let value = Ticker { market: market(code), trade_price, timestamp, stream_type, ..Words::take(&mut || 0) };
        self.router.deliver(self.receipt(), &value);
        self.router.flush_feeds();
    }

    /// Delivers a trade. Each price identifies one trade.
    fn trade(&mut self, code: &str, price: u32, stream_type: StreamType) {
        let (trade_price, timestamp) = (f64::from(price), u64::from(price));
        let sequential_id = timestamp.into();
        let blank = Words::take(&mut || 0);
        let value = Trade { market: market(code), trade_price, timestamp, sequential_id, stream_type, ..blank };
        self.router.deliver(self.receipt(), &value);
        self.router.flush_feeds();
    }

    fn is_live(&self, code: &str) -> bool {
        self.pool.ticker(code).unwrap().load().health().is_live()
    }
}

fn market(code: &str) -> Market {
    code.parse().unwrap()
}

fn eth(data_type: DataType) -> StreamKey {
    StreamKey::of(data_type, market("KRW-ETH"))
}

/// Reads a feed and returns its items in short form: prices, with an S for a snapshot, and changes of the epoch.
fn read<T: Payload + Into<Event>>(feed: &mut Feed<T>) -> String {
    let text = |item| match item {
        Item::Data(update) => {
            let event: Event = feed::Update::map(update, Into::into).value;
            let price = match event {
                Event::Ticker(value) => value.trade_price,
                Event::Trade(value) => value.trade_price,
                _ => unreachable!("no others are sent"),
            };
            format!("{}{price}", if event.stream_type() == SNAPSHOT { "S" } else { "" })
        }
        Item::Gap { missed } => format!("gap of {missed}"),
        Item::Epoch { old, new, .. } => format!("{}->{}", old.0, new.0),
    };
    feed.map(text).collect::<Vec<_>>().join(" ")
}

/// Asserts that everything was read and every update is accounted for.
#[track_caller]
fn assert_settled<T: Payload>(feed: &mut Feed<T>, received: u64) {
    let counts = feed.counts();
    let parts = counts.delivered + counts.dropped + counts.conflated + counts.filtered;
    assert_eq!((counts.received, parts, counts.queued, feed.peek_len()), (received, received, 0, 0), "{counts:?}");
}

// ---- a dropped stream is wanted again ----

#[test]
fn a_dropped_stream_continues_without_loss_until_the_request_without_it_is_sent() {
    for policy in POLICIES {
        let mut fixture = Fixture::new();
        fixture.subscribe(ticker("KRW-BTC"));
        let held = fixture.subscribe(ticker("KRW-ETH"));
        fixture.settle();
        fixture.ticker("KRW-ETH", 1, SNAPSHOT);
        fixture.poll();
        fixture.release(held);
        // The grace period ends. The connection has the desired set but cannot send requests now.
        fixture.poll();
        assert!(fixture.issued.is_some());
        fixture.ticker("KRW-ETH", 2, CHANGE);
        let (_, mut feed) = fixture.feed(ticker("KRW-ETH"), policy);
        fixture.poll();
        // A conflating feed reads the value from the pool, which holds it as it arrived: as a change.
        let is_conflating = matches!(policy, Overflow::Conflate | Overflow::Throttle(_));
        let state = if is_conflating { "2" } else { "S2" };
        assert_eq!(read(&mut feed), state, "{policy}: the stream never left the wire");
        assert!(fixture.is_live("KRW-ETH"));
        fixture.ticker("KRW-ETH", 3, CHANGE);
        assert_eq!(read(&mut feed), "3", "{policy}");
        let (_, mut newcomer) = fixture.feed(ticker("KRW-ETH").only_snapshot(), policy);
        assert_eq!(read(&mut newcomer), "S3", "{policy}");
        fixture.poll();
        fixture.send();
        assert!(fixture.running.contains(&eth(DataType::Ticker)), "the stream continues, so no snapshot is requested");
        fixture.ticker("KRW-ETH", 4, CHANGE);
        fixture.ticker("KRW-ETH", 5, CHANGE);
        let expected = if is_conflating { "5" } else { "4 5" };
        assert_eq!((read(&mut feed).as_str(), read(&mut newcomer).as_str()), (expected, ""), "{policy}");
        let verdicts = fixture.pool.streams().into_iter().find(|s| s.key == eth(DataType::Ticker)).unwrap().verdicts;
        assert_eq!((verdicts.total(), fixture.router.unrouted()), (5, 0), "no message was discarded");
        assert_settled(&mut feed, 4);
    }
}

#[test]
fn leftovers_of_a_dropped_stream_are_ignored() {
    for policy in POLICIES {
        let mut fixture = Fixture::new();
        fixture.subscribe(ticker("KRW-BTC"));
        let held = fixture.subscribe(ticker("KRW-ETH"));
        fixture.settle();
        fixture.ticker("KRW-ETH", 1, SNAPSHOT);
        fixture.release(held);
        fixture.settle();
        fixture.ticker("KRW-ETH", 2, CHANGE);
        let (_, mut feed) = fixture.feed(ticker("KRW-ETH"), policy);
        fixture.ticker("KRW-ETH", 3, CHANGE);
        fixture.poll();
        fixture.ticker("KRW-ETH", 4, CHANGE);
        fixture.send();
        // Belongs to the earlier subscription: the exchange has not seen the new request yet.
        fixture.ticker("KRW-ETH", 5, CHANGE);
        fixture.poll();
        assert_eq!((read(&mut feed).as_str(), fixture.router.unrouted()), ("", 4), "{policy}");
        assert!(
            !fixture.is_live("KRW-ETH")
                && fixture.planner.confirmation(eth(DataType::Ticker)) == Some(Confirmation::Pending)
        );
        let (_, mut newcomer) = fixture.feed(ticker("KRW-ETH").only_snapshot(), policy);
        assert_eq!(read(&mut newcomer), "", "{policy}");
        fixture.ticker("KRW-ETH", 6, SNAPSHOT);
        fixture.poll();
        assert_eq!((read(&mut feed).as_str(), read(&mut newcomer).as_str()), ("S6", "S6"), "{policy}");
        assert!(
            fixture.is_live("KRW-ETH")
                && fixture.planner.confirmation(eth(DataType::Ticker)) == Some(Confirmation::Data)
        );
        fixture.ticker("KRW-ETH", 7, CHANGE);
        assert_eq!(read(&mut feed), "7", "{policy}");
    }
}

/// Bithumb does not always send the snapshot first, and a snapshot may be lost if its request is replaced.
#[test]
fn a_stream_that_is_wanted_again_without_a_snapshot_is_delivered_after_a_second() {
    let mut fixture = Fixture::new();
    fixture.subscribe(ticker("KRW-BTC"));
    let held = fixture.subscribe(ticker("KRW-ETH"));
    fixture.settle();
    fixture.release(held);
    fixture.settle();
    let (_, mut feed) = fixture.feed(ticker("KRW-ETH"), Overflow::DROP_NEWEST);
    fixture.settle();
    fixture.advance(Duration::from_secs(1));
    fixture.ticker("KRW-ETH", 1, CHANGE);
    assert_eq!(read(&mut feed), "1");
}

#[test]
fn a_new_socket_has_no_leftovers() {
    let mut fixture = Fixture::new();
    fixture.subscribe(ticker("KRW-BTC"));
    let held = fixture.subscribe(ticker("KRW-ETH"));
    fixture.settle();
    fixture.release(held);
    fixture.settle();
    let (_, mut feed) = fixture.feed(ticker("KRW-ETH"), Overflow::DROP_NEWEST);
    fixture.poll();
    fixture.disconnect();
    fixture.connect();
    fixture.ticker("KRW-ETH", 1, CHANGE);
    assert_eq!(read(&mut feed), "1->2 1");
}

// ---- no snapshot is on its way ----

/// Regression test: the planner considered the stream as running because its data had arrived, so the exchange was not
/// asked for a snapshot. But the feed had joined before the data arrived.
#[test]
fn a_feed_that_waits_for_an_unrequested_snapshot_gets_the_newest_value() {
    for policy in POLICIES {
        let mut fixture = Fixture::new();
        fixture.subscribe(ticker("KRW-ETH").only_realtime());
        fixture.settle();
        let (_, mut once) = fixture.feed(ticker("KRW-ETH").only_snapshot(), policy);
        let (_, mut all) = fixture.feed(ticker("KRW-ETH"), policy);
        fixture.ticker("KRW-ETH", 1, CHANGE);
        assert_eq!((read(&mut once).as_str(), read(&mut all).as_str()), ("", "1"), "{policy}");
        fixture.settle();
        assert!(fixture.running.contains(&eth(DataType::Ticker)));
        assert_eq!((read(&mut once).as_str(), read(&mut all).as_str()), ("S1", ""), "{policy}");
    }
}

#[test]
fn a_feed_that_joins_during_a_probe_waits_for_the_snapshot() {
    for policy in POLICIES {
        let mut fixture = Fixture::new();
        let (_, mut first) = fixture.feed(ticker("KRW-ETH"), policy);
        fixture.settle();
        fixture.ticker("KRW-ETH", 1, SNAPSHOT);
        fixture.poll();
        assert_eq!(read(&mut first), "S1");
        fixture.probe();
        let (_, mut once) = fixture.feed(ticker("KRW-ETH").only_snapshot(), policy);
        let (_, mut all) = fixture.feed(ticker("KRW-ETH"), policy);
        assert_eq!((read(&mut once).as_str(), read(&mut all).as_str()), ("", ""), "{policy}: 1 may be outdated");
        fixture.ticker("KRW-ETH", 2, SNAPSHOT);
        assert_eq!([&mut first, &mut once, &mut all].map(read), ["S2", "S2", "S2"], "{policy}");
        // The next request makes the exchange forget the snapshots that it still owes, and declares the stream as
        // running.
        fixture.probe();
        let (_, mut late) = fixture.feed(ticker("KRW-ETH"), policy);
        let (_, mut late_once) = fixture.feed(ticker("KRW-ETH").only_snapshot(), policy);
        fixture.subscribe(ticker("KRW-BTC"));
        fixture.settle();
        assert!(fixture.running.contains(&eth(DataType::Ticker)));
        let read = [&mut first, &mut once, &mut all, &mut late, &mut late_once].map(read);
        assert_eq!(read, ["", "", "", "S2", "S2"], "{policy}");
    }
}

/// Regression test: the snapshot was discarded because a reader of changes had not asked for snapshots.
#[test]
fn a_reader_of_changes_gets_news_in_a_snapshot_as_a_change() {
    for policy in POLICIES {
        let mut fixture = Fixture::new();
        fixture.subscribe(trade("KRW-ETH"));
        let (_, mut changes) = fixture.feed(trade("KRW-ETH").only_realtime(), policy);
        fixture.settle();
        fixture.trade("KRW-ETH", 1, SNAPSHOT);
        fixture.trade("KRW-ETH", 2, CHANGE);
        assert_eq!(read(&mut changes), "2", "{policy}");
        fixture.probe();
        fixture.trade("KRW-ETH", 2, SNAPSHOT);
        assert_eq!(read(&mut changes), "", "{policy}: a repetition");
        fixture.probe();
        fixture.trade("KRW-ETH", 3, SNAPSHOT);
        assert_eq!(read(&mut changes), "3", "{policy}");
        fixture.disconnect();
        fixture.connect();
        fixture.trade("KRW-ETH", 4, SNAPSHOT);
        assert_eq!(read(&mut changes), "1->2", "{policy}: a new socket begins with a state and reports its epoch");
        assert_settled(&mut changes, 5);
    }
}

// ---- a feed that reads a stream in different ways ----

/// Regression test: the feed also continued to read the stream in its former mode, and counted it twice.
#[test]
fn counts_stay_exact_while_a_market_is_relisted_and_its_mode_changes() {
    for policy in POLICIES {
        let mut fixture = Fixture::new();
        fixture.list(&["KRW-BTC", "KRW-ETH"]);
        let wanted = ticker("KRW-BTC").only_snapshot().and(ticker("KRW-*").only_realtime());
        let (_, mut feed) = fixture.feed(wanted, policy);
        let (_, mut other) = fixture.feed(ticker("KRW-BTC"), policy);
        fixture.settle();
        fixture.ticker("KRW-BTC", 1, SNAPSHOT);
        assert_eq!((read(&mut feed).as_str(), read(&mut other).as_str()), ("S1", "S1"), "{policy}");
        let mut bytes = Vec::new();
        for price in (10..60).step_by(10) {
            fixture.list(&["KRW-ETH"]);
            fixture.ticker("KRW-BTC", price, CHANGE);
            assert_eq!(read(&mut feed), format!("S{}", price - 9), "{policy}: the state without the change");
            fixture.list(&["KRW-BTC", "KRW-ETH"]);
            fixture.ticker("KRW-BTC", price + 1, CHANGE);
            assert!(read(&mut feed).ends_with(&(price + 1).to_string()), "{policy}");
            read(&mut other);
            let received = feed.counts().received;
            assert_settled(&mut feed, received);
            bytes.push(feed.counters().bytes());
        }
        assert_eq!(bytes[1..], vec![bytes[0]; 4], "{policy}: memory must not grow");
        assert_settled(&mut other, 11);
    }
}

/// Regression test: each listing queued a message for the reader, and a feed without a reader kept all of them.
#[test]
fn an_unread_feed_does_not_grow_while_markets_are_listed_and_delisted() {
    for policy in POLICIES {
        let mut fixture = Fixture::new();
        fixture.list(&["KRW-BTC", "KRW-ETH"]);
        let (_, mut feed) = fixture.feed(ticker("KRW-*"), policy);
        fixture.settle();
        fixture.ticker("KRW-ETH", 1, SNAPSHOT);
        for price in 2..500 {
            fixture.list(&["KRW-BTC"]);
            fixture.list(&["KRW-BTC", "KRW-ETH"]);
            fixture.ticker("KRW-ETH", price, CHANGE);
        }
        assert!(feed.unread_joins() <= 66, "{policy}: {}", feed.unread_joins());
        assert!(read(&mut feed).ends_with("499"), "{policy}");
    }
}

/// Regression test: when the feed returned with a new filter, that filter was also applied to updates that were unread
/// from before. So the snapshot that the feed waited for was treated as a repetition.
#[test]
fn a_feed_that_returns_to_a_market_gets_its_state_despite_unread_updates() {
    for policy in [Overflow::DROP_NEWEST, Overflow::DropOldest] {
        let mut fixture = Fixture::new();
        fixture.list(&["KRW-BTC", "KRW-ETH"]);
        let (_, mut feed) = fixture.feed(trade("KRW-*"), policy);
        fixture.settle();
        fixture.trade("KRW-ETH", 1, SNAPSHOT);
        fixture.list(&["KRW-BTC"]);
        fixture.trade("KRW-ETH", 2, CHANGE);
        fixture.settle();
        fixture.list(&["KRW-BTC", "KRW-ETH"]);
        fixture.settle();
        fixture.trade("KRW-ETH", 2, SNAPSHOT);
        fixture.trade("KRW-ETH", 3, CHANGE);
        assert_eq!(read(&mut feed), "S1 S2 3", "{policy}");
        let received = feed.counts().received;
        assert_settled(&mut feed, received);
    }
}

// ---- sockets ----

/// Regression test: the first message of a stream that joined with the new socket was delivered before the unread rest
/// of the old socket.
#[test]
fn a_stream_that_joins_after_a_reconnect_comes_after_the_rest_of_the_old_socket() {
    let by_type = Overflow::ByType;
    for policy in POLICIES.into_iter().chain([by_type]) {
        let mut fixture = Fixture::new();
        fixture.list(&["KRW-BTC"]);
        let (_, mut feed) = fixture.feed(ticker("KRW-*").and(trade("KRW-*")), policy);
        let holder = fixture.subscribe(ticker("KRW-ETH").and(trade("KRW-ETH")));
        fixture.settle();
        for code in ["KRW-BTC", "KRW-ETH"] {
            fixture.ticker(code, 1, SNAPSHOT);
            fixture.trade(code, 2, SNAPSHOT);
        }
        assert_eq!(read(&mut feed).len(), "S1 S2".len(), "{policy}");
        fixture.ticker("KRW-BTC", 3, CHANGE);
        fixture.trade("KRW-BTC", 4, CHANGE);
        fixture.disconnect();
        fixture.connect();
        fixture.ticker("KRW-ETH", 51, SNAPSHOT);
        fixture.trade("KRW-ETH", 52, SNAPSHOT);
        fixture.list(&["KRW-BTC", "KRW-ETH"]);
        fixture.ticker("KRW-BTC", 53, SNAPSHOT);
        fixture.trade("KRW-BTC", 54, SNAPSHOT);
        let all = read(&mut feed);
        let (old, new) = all.split_once("1->2").unwrap_or_else(|| panic!("{policy}: {all}"));
        assert!(old.split_whitespace().all(|word| word.len() == 1), "{policy}: {all}");
        assert!(new.split_whitespace().all(|word| word.len() == 3), "{policy}: {all}");
        assert_eq!(new.split_whitespace().count(), 4, "{policy}: {all}");
        assert!(fixture.planner.is_held(holder));
    }
}

// ---- which streams serve which ----

/// A session drops its old socket before it opens the next one, so no message arrives in this way today.
#[test]
fn messages_of_an_old_socket_are_counted_and_reach_neither_the_pool_nor_a_feed() {
    for policy in POLICIES {
        let mut fixture = Fixture::new();
        let (_, mut tickers) = fixture.feed(ticker("KRW-ETH"), policy);
        let (_, mut trades) = fixture.feed(trade("KRW-ETH"), policy);
        fixture.settle();
        fixture.ticker("KRW-ETH", 1, SNAPSHOT);
        fixture.trade("KRW-ETH", 1, SNAPSHOT);
        let old = fixture.state.epoch();
        fixture.disconnect();
        fixture.connect();
        fixture.ticker("KRW-ETH", 10, SNAPSHOT);
        fixture.trade("KRW-ETH", 10, SNAPSHOT);
        read(&mut tickers);
        read(&mut trades);
        fixture.late_of = Some(old);
        // The order of the last one is newer than that of anything else.
        for price in [2, 3, 99] {
            fixture.ticker("KRW-ETH", price, CHANGE);
            fixture.trade("KRW-ETH", price, CHANGE);
        }
        assert_eq!((read(&mut tickers).as_str(), read(&mut trades).as_str()), ("", ""), "{policy}");
        let old_epoch: Vec<_> = fixture.pool.streams().iter().map(|stream| stream.verdicts.old_epoch).collect();
        assert_eq!(old_epoch, [3, 3], "{policy}");
        fixture.late_of = None;
        fixture.ticker("KRW-ETH", 11, CHANGE);
        fixture.trade("KRW-ETH", 11, CHANGE);
        assert_eq!((read(&mut tickers).as_str(), read(&mut trades).as_str()), ("11", "11"), "{policy}");
    }
}

#[test]
fn a_book_that_is_too_shallow_does_not_serve_as_state() {
    let key = StreamKey::of(DataType::Orderbook, market("KRW-BTC"));
    let of = |subscription: Subscription<_>| {
        let specs: Vec<StreamSpec> = CheckedSubscription::of(subscription.mixed(), &UPBIT).unwrap().specs;
        specs[0]
    };
    let (five, all) = (of(orderbook("KRW-BTC").levels(5)), of(orderbook("KRW-BTC")));
    assert!(five.key == key && five.serves(&five) && all.serves(&five) && !five.serves(&all));
    let once = of(orderbook("KRW-BTC").only_snapshot());
    assert!(all.serves(&once) && !once.serves(&once) && !once.serves(&all));
}
