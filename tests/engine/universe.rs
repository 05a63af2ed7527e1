//! Patterns over the listed markets. The list is configured or fetched, and changes while the engine runs, without a
//! reconnect.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{Record, TIMEOUT, builder, eventually, finish};
use hoga::config::Limits;
use hoga::error::{Error, NotReadyReason};
use hoga::feed::Payload;
use hoga::model::{Market, StreamType};
use hoga::net::{MarketSource, SourceError, SourceFailure};
use hoga::prelude::*;
use hoga_exchange::{Server, ServerConfig};

fn exchange() -> Server {
    let mut config = ServerConfig { plain: true, ..ServerConfig::default() };
    config.exchange.markets = 12;
    Server::start(config).unwrap()
}

fn markets(server: &Server) -> Vec<Market> {
    server.markets().iter().map(|code| code.parse().unwrap()).collect()
}

#[test]
fn a_pattern_without_a_universe_is_refused_with_advice() {
    let server = exchange();
    let engine = builder(&server).start().unwrap();
    let refused = engine.subscribe(ticker("KRW-*")).unwrap_err();
    assert!(matches!(refused, Error::NoUniverse), "{refused}");
    for pattern in ["KRW-*", "KR*"] {
        let refused = builder(&server).ticker(pattern).start();
        assert!(matches!(refused, Err(Error::Configuration(_))), "{refused:?}");
    }
    assert_eq!(engine.subscriptions().holders, 0);
}

#[test]
fn listed_markets_join_delisted_ones_leave_and_the_others_stay_untouched() {
    let server = exchange();
    let all = markets(&server);
    let (new, rest) = all.split_last().unwrap();
    let engine = builder(&server).connections(2).universe(rest.iter().copied()).start().unwrap();
    let mut feed = engine.feed(orderbook("*"), Overflow::DROP_NEWEST).unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    assert_eq!(feed.subscribed().unwrap().keys().len(), rest.len());
    let connects = server.stats().connections;

    engine.set_universe(all.iter().copied());
    assert_eq!(feed.subscribed().unwrap().keys().len(), all.len());
    engine.wait_ready(TIMEOUT).unwrap();
    let mut seen = BTreeSet::new();
    eventually("the feed delivers the new market", || {
        while let Some(item) = feed.pop() {
            if let Item::Data(update) = item {
                seen.insert(update.value.market);
            }
        }
        seen.contains(new)
    });
    assert_eq!(seen.len(), all.len());

    engine.set_universe(rest.iter().copied());
    eventually("the delisted market leaves", || engine.pool().orderbook(*new).is_err());
    assert!(engine.pool().orderbook(rest[0]).unwrap().load().health().is_live());
    assert_eq!(server.stats().connections, connects, "nothing reconnects");
    assert_eq!(server.stats().violations(), 0);
}

/// A source that fails once, and then returns the test's list.
struct FlakySource(Arc<Mutex<Vec<Market>>>, bool);

impl MarketSource for FlakySource {
    fn markets(&mut self) -> Result<Vec<Market>, SourceError> {
        if !std::mem::replace(&mut self.1, true) {
            return Err(SourceError { url: "nowhere".to_owned(), failure: SourceFailure::Status(503) });
        }
        Ok(self.0.lock().unwrap().clone())
    }
}

#[test]
fn a_source_is_polled_and_its_failure_changes_nothing() {
    let server = exchange();
    let all = markets(&server);
    let listed = Arc::new(Mutex::new(all[..2].to_vec()));
    let source = FlakySource(listed.clone(), false);
    let engine = builder(&server).market_source(source, Duration::from_millis(50)).ticker("*").start().unwrap();
    eventually("the source has answered", || engine.universe().len() == 2);
    engine.wait_ready(TIMEOUT).unwrap();
    *listed.lock().unwrap() = all[..3].to_vec();
    eventually("the third market is live", || {
        engine.pool().ticker(all[2]).is_ok_and(|ticker| ticker.load().health().is_live())
    });
    let report = engine.shutdown(TIMEOUT);
    assert_eq!(report.joined, ["hoga-control", "hoga-conn-0", "hoga-markets", "hoga-log"]);
}

/// A source that returns the list once the test has set it.
struct LateSource(Arc<Mutex<Option<Vec<Market>>>>);

impl MarketSource for LateSource {
    fn markets(&mut self) -> Result<Vec<Market>, SourceError> {
        let listed = self.0.lock().unwrap().clone();
        listed.ok_or(SourceError { url: "nowhere".to_owned(), failure: SourceFailure::Status(503) })
    }
}

/// Regression: without a stream to wait for, everything was ready at once.
#[test]
fn a_pattern_is_not_ready_before_the_list_of_markets_has_arrived() {
    let server = exchange();
    let listed = Arc::new(Mutex::new(None));
    let engine = builder(&server)
        .market_source(LateSource(listed.clone()), Duration::from_millis(50))
        .ticker(["*", "KRW-BTC"])
        .start()
        .unwrap();
    let books = engine.subscribe(orderbook("*")).unwrap();
    eventually("only the list is missing", || {
        let not_ready = engine.wait_ready(Duration::from_millis(10)).unwrap_err();
        matches!(&not_ready, Error::NotReady(missing) if missing.streams.is_empty() && missing.awaits_markets)
    });
    let not_ready = books.wait_confirmed(Duration::from_millis(10)).unwrap_err();
    assert!(
        matches!(&not_ready, Error::NotReady(missing) if missing.streams.is_empty() && missing.awaits_markets),
        "{not_ready}"
    );
    assert!(not_ready.to_string().contains("list of markets"), "{not_ready}");

    *listed.lock().unwrap() = Some(markets(&server));
    engine.wait_ready(TIMEOUT).unwrap();
    books.wait_confirmed(TIMEOUT).unwrap();
    for market in markets(&server) {
        assert!(engine.pool().ticker(market).unwrap().load().health().is_live(), "{market}");
    }
}

/// Regression: a stream that was no longer subscribed counted as ready.
#[test]
fn nothing_is_ready_after_a_shutdown() {
    let server = exchange();
    let engine = builder(&server).ticker("KRW-BTC").start().unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    engine.shutdown(TIMEOUT).into_result().unwrap();
    let stopped = engine.wait_ready(TIMEOUT).unwrap_err();
    assert!(matches!(stopped, Error::Stopped), "{stopped}");
}

/// Polls until the exchange has sent messages of `gone`, while readers got messages of `stays` and none of `gone`.
#[track_caller]
fn eventually_only(stays: Market, gone: Market, record: &Record, mut received: impl FnMut() -> Vec<Market>) {
    let sent = || record.sent(record.connections()[0], |message| message.stream.ends_with(gone.as_str())).len();
    // Messages in flight may still arrive at first.
    for _ in 0..20 {
        let (before, mut of_both) = (sent(), [0, 0]);
        eventually("messages of both markets were sent", || {
            for market in received() {
                of_both[0] += usize::from(market == stays);
                of_both[1] += usize::from(market == gone);
            }
            of_both[0] > 10 && sent() > before + 10
        });
        if of_both[1] == 0 {
            return;
        }
    }
    panic!("{gone} is still delivered");
}

fn markets_of<T: Payload + Into<Event>>(feed: &mut Feed<T>) -> Vec<Market> {
    let market =
        |item| if let Item::Data(update) = item { Into::<Event>::into(update.value).key().market() } else { None };
    feed.filter_map(market).collect()
}

/// Regression: the feed delivered a stream that another client, or the stream's grace period, kept on the wire.
#[test]
fn a_feed_of_a_pattern_gets_nothing_of_a_delisted_market_until_it_is_listed_again() {
    let policies =
        [Overflow::DROP_NEWEST, Overflow::DropOldest, Overflow::Conflate, Overflow::Throttle(Duration::from_millis(1))];
    for (overflow, is_held) in policies.into_iter().flat_map(|overflow| [(overflow, true), (overflow, false)]) {
        let (server, record) = crate::common::exchange(50.0, 12);
        let all = markets(&server);
        let [stays, gone] = [all[0], all[1]];
        let engine = builder(&server).grace(TIMEOUT).universe([stays, gone]).start().unwrap();
        let mut feed = engine.feed(ticker("*").and(orderbook("*")), overflow).unwrap();
        let _held = is_held.then(|| engine.subscribe(ticker(gone).and(orderbook(gone))).unwrap());
        feed.subscribed().unwrap().wait_confirmed(TIMEOUT).unwrap();
        eventually("it gets both markets", || markets_of(&mut feed).contains(&gone));

        engine.set_universe([stays]);
        eventually_only(stays, gone, &record, || markets_of(&mut feed));
        engine.set_universe([stays, gone]);
        let mut events = Vec::new();
        eventually("the market is back", || {
            events.extend(of_market(&mut feed, gone));
            events.len() > 10
        });
        if overflow == Overflow::DROP_NEWEST {
            assert_eq!(events[0].stream_type(), StreamType::Snapshot, "the market begins with its state");
        }
        engine.set_universe([stays]);
        eventually_only(stays, gone, &record, || markets_of(&mut feed));
        let counts = feed.counts();
        let settled = counts.delivered + counts.dropped + counts.conflated + counts.filtered;
        assert_eq!(counts.received, settled + counts.queued, "{overflow}: {counts:?}");
        finish(engine, &server);
    }
}

#[test]
fn a_callback_of_a_pattern_gets_nothing_of_a_delisted_market() {
    let (server, record) = crate::common::exchange(50.0, 12);
    let all = markets(&server);
    let [stays, gone] = [all[0], all[1]];
    let engine = builder(&server).universe([stays, gone]).start().unwrap();
    let _held = engine.subscribe(ticker(gone)).unwrap();
    let received = Arc::new(Mutex::new(Vec::new()));
    let collected = received.clone();
    let call = move |item: &Item<Ticker>| {
        if let Item::Data(update) = item {
            collected.lock().unwrap().push(update.value.market);
        }
    };
    let _callback = engine.callback("seer").run(ticker("*"), Overflow::default(), call).unwrap();
    eventually("it gets both markets", || received.lock().unwrap().contains(&gone));
    engine.set_universe([stays]);
    eventually_only(stays, gone, &record, || std::mem::take(&mut *received.lock().unwrap()));
    finish(engine, &server);
}

/// Regression: the market was requested again only when another list arrived.
#[test]
fn a_listed_market_beyond_capacity_is_subscribed_once_there_is_capacity() {
    let server = exchange();
    let all = markets(&server);
    let limits = Limits { streams_per_connection: 3, ..Limits::default() };
    let engine = builder(&server).limits(limits).universe(all[..2].iter().copied()).start().unwrap();
    let mut feed = engine.feed(ticker("*"), Overflow::DROP_NEWEST).unwrap();
    let other = engine.subscribe(trade(all[0])).unwrap();
    engine.wait_ready(TIMEOUT).unwrap();

    engine.set_universe(all[..3].iter().copied());
    assert_eq!(feed.subscribed().unwrap().keys().len(), 2);
    assert_eq!(engine.conflicts().len(), 1);
    for not_ready in [engine.wait_ready(Duration::ZERO), feed.subscribed().unwrap().wait_confirmed(Duration::ZERO)] {
        let not_ready = not_ready.unwrap_err();
        let Error::NotReady(missing) = &not_ready else { panic!("{not_ready}") };
        let no_room =
            |(key, reason): &(StreamKey, _)| key.market() == Some(all[2]) && *reason == NotReadyReason::NoRoom;
        assert!(missing.streams.iter().any(no_room), "{not_ready}");
    }
    drop(other);
    eventually("the feed delivers it", || !of_market(&mut feed, all[2]).is_empty());
    engine.wait_ready(TIMEOUT).unwrap();
    assert_eq!(feed.subscribed().unwrap().keys().len(), 3);
    finish(engine, &server);
}

/// Takes the queued events of a feed and returns those of one market.
fn of_market<T: Payload + Into<Event>>(feed: &mut Feed<T>, market: Market) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(item) = feed.pop() {
        if let Item::Data(update) = item
            && let event = Into::<Event>::into(update.value)
            && event.key().market() == Some(market)
        {
            events.push(event);
        }
    }
    events
}

/// Regression: the feed already had a snapshot of the market on this socket, so it treated the snapshot after the new
/// listing as one for another feed.
#[test]
fn a_market_that_is_listed_again_delivers_its_snapshot_again() {
    let server = exchange();
    let all = markets(&server);
    let (again, rest) = all.split_last().unwrap();
    let engine = builder(&server).universe(all.iter().copied()).start().unwrap();
    let mut feed = engine.feed(orderbook("*").only_snapshot(), Overflow::DROP_NEWEST).unwrap();
    eventually("its first snapshot", || !of_market(&mut feed, *again).is_empty());
    engine.set_universe(rest.iter().copied());
    eventually("the delisted market leaves", || engine.pool().orderbook(*again).is_err());
    engine.set_universe(all.iter().copied());
    feed.subscribed().unwrap().wait_confirmed(TIMEOUT).unwrap();
    eventually("its snapshot after the new listing", || !of_market(&mut feed, *again).is_empty());
}

/// Regression: the feed kept reading the market in its earlier mode.
#[test]
fn a_named_market_that_is_listed_is_also_read_in_the_patterns_mode() {
    let server = exchange();
    let all = markets(&server);
    let (new, rest) = all.split_last().unwrap();
    let engine = builder(&server).universe(rest.iter().copied()).start().unwrap();
    let named = orderbook(*new).only_snapshot();
    let mut feed = engine.feed(named.and(orderbook("*").only_realtime()), Overflow::DROP_NEWEST).unwrap();
    feed.subscribed().unwrap().wait_confirmed(TIMEOUT).unwrap();
    engine.set_universe(all.iter().copied());
    eventually("changes of it arrive", || {
        of_market(&mut feed, *new).iter().any(|event| event.stream_type() == StreamType::Realtime)
    });
}

#[test]
fn after_a_shutdown_listings_change_nothing() {
    let server = exchange();
    let all = markets(&server);
    let engine = builder(&server).universe(all[..2].iter().copied()).start().unwrap();
    let held = engine.subscribe(ticker("*")).unwrap();
    engine.shutdown(TIMEOUT).into_result().unwrap();
    engine.set_universe(all.iter().copied());
    assert_eq!(held.keys().len(), 2);
    assert!(engine.pool().ticker(all[2]).is_err());
}
