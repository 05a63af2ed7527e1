//! Patterns over the markets that exist: given, asked for, and changed while the engine runs, without a reconnect.

mod common;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{PATIENCE, builder, eventually};
use hoga::engine::FeedItem;
use hoga::error::Error;
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

/// The events of one market that wait in a feed.
fn of_market<T: FeedItem + Into<Event>>(feed: &mut Feed<T>, market: Market) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(item) = feed.pop() {
        if let Item::Data(update) = item
            && let event = Into::<Event>::into(update.value)
            && event.key().market == market
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
