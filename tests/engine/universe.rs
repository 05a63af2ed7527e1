//! Patterns over the markets that exist: given, asked for, and changed while the engine runs, without a reconnect.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{PATIENCE, Record, builder, eventually, finish};
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
fn a_pattern_without_a_universe_is_refused_with_what_to_do() {
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
fn listed_markets_come_and_delisted_ones_go_and_the_others_are_not_touched() {
    let server = exchange();
    let all = markets(&server);
    let (new, rest) = all.split_last().unwrap();
    let engine = builder(&server).connections(2).universe(rest.iter().copied()).start().unwrap();
    let mut feed = engine.feed(orderbook("*"), Overflow::DROP_NEWEST).unwrap();
    engine.wait_ready(PATIENCE).unwrap();
    assert_eq!(feed.subscribed().keys().len(), rest.len());
    let connects = server.stats().connections;

    engine.set_universe(all.iter().copied());
    assert_eq!(feed.subscribed().keys().len(), all.len());
    engine.wait_ready(PATIENCE).unwrap();
    let mut seen = BTreeSet::new();
    eventually("the feed brings the new market", || {
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

/// Says what it was told to say, and fails at first.
struct Told(Arc<Mutex<Vec<Market>>>, bool);

impl MarketSource for Told {
    fn markets(&mut self) -> Result<Vec<Market>, SourceError> {
        if !std::mem::replace(&mut self.1, true) {
            return Err(SourceError { url: "nowhere".to_owned(), failure: SourceFailure::Status(503) });
        }
        Ok(self.0.lock().unwrap().clone())
    }
}

#[test]
fn a_source_is_asked_again_and_again_and_its_failure_changes_nothing() {
    let server = exchange();
    let all = markets(&server);
    let told = Arc::new(Mutex::new(all[..2].to_vec()));
    let source = Told(told.clone(), false);
    let engine = builder(&server).market_source(source, Duration::from_millis(50)).ticker("*").start().unwrap();
    eventually("the source has answered", || engine.universe().len() == 2);
    engine.wait_ready(PATIENCE).unwrap();
    *told.lock().unwrap() = all[..3].to_vec();
    eventually("the third market has come", || {
        engine.pool().ticker(all[2]).is_ok_and(|ticker| ticker.load().health().is_live())
    });
    let report = engine.shutdown(PATIENCE);
    assert_eq!(report.joined, ["hoga-control", "hoga-conn-0", "hoga-markets", "hoga-log"]);
}

/// Knows the markets as soon as it was told.
struct Late(Arc<Mutex<Option<Vec<Market>>>>);

impl MarketSource for Late {
    fn markets(&mut self) -> Result<Vec<Market>, SourceError> {
        let told = self.0.lock().unwrap().clone();
        told.ok_or(SourceError { url: "nowhere".to_owned(), failure: SourceFailure::Status(503) })
    }
}

/// With nothing to wait for, all was ready at once.
#[test]
fn nothing_of_a_pattern_is_ready_before_the_list_of_markets_has_come() {
    let server = exchange();
    let told = Arc::new(Mutex::new(None));
    let engine = builder(&server)
        .market_source(Late(told.clone()), Duration::from_millis(50))
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

    *told.lock().unwrap() = Some(markets(&server));
    engine.wait_ready(PATIENCE).unwrap();
    books.wait_confirmed(PATIENCE).unwrap();
    for market in markets(&server) {
        assert!(engine.pool().ticker(market).unwrap().load().health().is_live(), "{market}");
    }
}

/// The stream was marked as not subscribed any more, and that was enough.
#[test]
fn nothing_is_ready_after_a_shutdown() {
    let server = exchange();
    let engine = builder(&server).ticker("KRW-BTC").start().unwrap();
    engine.wait_ready(PATIENCE).unwrap();
    engine.shutdown(PATIENCE).into_result().unwrap();
    let not_ready = engine.wait_ready(PATIENCE).unwrap_err();
    let Error::NotReady(missing) = &not_ready else { panic!("{not_ready}") };
    assert!(matches!(missing.streams[..], [(_, NotReadyReason::Stopped)]), "{not_ready}");
}

/// Looks until the exchange has sent some of one market, and readers were given some of another and none of that one.
#[track_caller]
fn eventually_only(stays: Market, gone: Market, record: &Record, mut given: impl FnMut() -> Vec<Market>) {
    let sent = || record.sent(record.connections()[0], |message| message.stream.ends_with(gone.as_str())).len();
    // What was under way may still come at first.
    for _ in 0..20 {
        let (before, mut of_both) = (sent(), [0, 0]);
        eventually("some of both was sent", || {
            for market in given() {
                of_both[0] += usize::from(market == stays);
                of_both[1] += usize::from(market == gone);
            }
            of_both[0] > 10 && sent() > before + 10
        });
        if of_both[1] == 0 {
            return;
        }
    }
    panic!("{gone} is still given");
}

fn markets_of<T: Payload + Into<Event>>(feed: &mut Feed<T>) -> Vec<Market> {
    let market =
        |item| if let Item::Data(update) = item { Into::<Event>::into(update.value).key().market() } else { None };
    feed.filter_map(market).collect()
}

/// The feed was given what somebody else, or its own grace period, kept on the wire.
#[test]
fn a_feed_of_a_pattern_is_given_nothing_of_a_market_that_is_gone_until_it_is_back() {
    let policies =
        [Overflow::DROP_NEWEST, Overflow::DropOldest, Overflow::Conflate, Overflow::Throttle(Duration::from_millis(1))];
    for (overflow, is_held) in policies.into_iter().flat_map(|overflow| [(overflow, true), (overflow, false)]) {
        let (server, record) = crate::common::exchange(50.0, 12);
        let all = markets(&server);
        let [stays, gone] = [all[0], all[1]];
        let engine = builder(&server).grace(PATIENCE).universe([stays, gone]).start().unwrap();
        let mut feed = engine.feed(ticker("*").and(orderbook("*")), overflow).unwrap();
        let _held = is_held.then(|| engine.subscribe(ticker(gone).and(orderbook(gone))).unwrap());
        feed.subscribed().wait_confirmed(PATIENCE).unwrap();
        eventually("it is given both", || markets_of(&mut feed).contains(&gone));

        engine.set_universe([stays]);
        eventually_only(stays, gone, &record, || markets_of(&mut feed));
        engine.set_universe([stays, gone]);
        let mut events = Vec::new();
        eventually("the market is back", || {
            events.extend(of_market(&mut feed, gone));
            events.len() > 10
        });
        if overflow == Overflow::DROP_NEWEST {
            assert_eq!(events[0].stream_type(), StreamType::Snapshot, "it begins with its state");
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
fn a_callback_of_a_pattern_is_given_nothing_of_a_market_that_is_gone() {
    let (server, record) = crate::common::exchange(50.0, 12);
    let all = markets(&server);
    let [stays, gone] = [all[0], all[1]];
    let engine = builder(&server).universe([stays, gone]).start().unwrap();
    let _held = engine.subscribe(ticker(gone)).unwrap();
    let given = Arc::new(Mutex::new(Vec::new()));
    let giving = given.clone();
    let call = move |item: &Item<Ticker>| {
        if let Item::Data(update) = item {
            giving.lock().unwrap().push(update.value.market);
        }
    };
    let _callback = engine.callback("seer").run(ticker("*"), Overflow::default(), call).unwrap();
    eventually("it is given both", || given.lock().unwrap().contains(&gone));
    engine.set_universe([stays]);
    eventually_only(stays, gone, &record, || std::mem::take(&mut *given.lock().unwrap()));
    finish(engine, &server);
}

/// It was asked for again only when another list came.
#[test]
fn a_listed_market_for_which_there_was_no_room_comes_as_soon_as_there_is() {
    let server = exchange();
    let all = markets(&server);
    let limits = Limits { streams_per_connection: 3, ..Limits::default() };
    let engine = builder(&server).limits(limits).universe(all[..2].iter().copied()).start().unwrap();
    let mut feed = engine.feed(ticker("*"), Overflow::DROP_NEWEST).unwrap();
    let other = engine.subscribe(trade(all[0])).unwrap();
    engine.wait_ready(PATIENCE).unwrap();

    engine.set_universe(all[..3].iter().copied());
    assert_eq!(feed.subscribed().keys().len(), 2);
    assert_eq!(engine.conflicts().len(), 1);
    for not_ready in [engine.wait_ready(Duration::ZERO), feed.subscribed().wait_confirmed(Duration::ZERO)] {
        let not_ready = not_ready.unwrap_err();
        let Error::NotReady(missing) = &not_ready else { panic!("{not_ready}") };
        let no_room =
            |(key, reason): &(StreamKey, _)| key.market() == Some(all[2]) && *reason == NotReadyReason::NoRoom;
        assert!(missing.streams.iter().any(no_room), "{not_ready}");
    }
    drop(other);
    eventually("the feed brings it", || !of_market(&mut feed, all[2]).is_empty());
    engine.wait_ready(PATIENCE).unwrap();
    assert_eq!(feed.subscribed().keys().len(), 3);
    finish(engine, &server);
}

/// The events of one market that wait in a feed.
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

/// The feed had had a snapshot of the market on this socket, and took the one of the new listing for somebody else's.
#[test]
fn a_market_that_is_listed_again_brings_its_snapshot_again() {
    let server = exchange();
    let all = markets(&server);
    let (again, rest) = all.split_last().unwrap();
    let engine = builder(&server).universe(all.iter().copied()).start().unwrap();
    let mut feed = engine.feed(orderbook("*").only_snapshot(), Overflow::DROP_NEWEST).unwrap();
    eventually("its first snapshot", || !of_market(&mut feed, *again).is_empty());
    engine.set_universe(rest.iter().copied());
    eventually("the delisted market leaves", || engine.pool().orderbook(*again).is_err());
    engine.set_universe(all.iter().copied());
    feed.subscribed().wait_confirmed(PATIENCE).unwrap();
    eventually("its snapshot after the new listing", || !of_market(&mut feed, *again).is_empty());
}

/// The feed went on to read the market as it had been wanted before.
#[test]
fn a_named_market_that_is_listed_is_read_as_the_pattern_wants_it_too() {
    let server = exchange();
    let all = markets(&server);
    let (new, rest) = all.split_last().unwrap();
    let engine = builder(&server).universe(rest.iter().copied()).start().unwrap();
    let named = orderbook(*new).only_snapshot();
    let mut feed = engine.feed(named.and(orderbook("*").only_realtime()), Overflow::DROP_NEWEST).unwrap();
    feed.subscribed().wait_confirmed(PATIENCE).unwrap();
    engine.set_universe(all.iter().copied());
    eventually("changes of it", || {
        of_market(&mut feed, *new).iter().any(|event| event.stream_type() == StreamType::Realtime)
    });
}

#[test]
fn after_a_shutdown_listings_change_nothing() {
    let server = exchange();
    let all = markets(&server);
    let engine = builder(&server).universe(all[..2].iter().copied()).start().unwrap();
    let held = engine.subscribe(ticker("*")).unwrap();
    engine.shutdown(PATIENCE).into_result().unwrap();
    engine.set_universe(all.iter().copied());
    assert_eq!(held.keys().len(), 2);
    assert!(engine.pool().ticker(all[2]).is_err());
}
