//! Components with names and leases: what they hold, and what becomes of it when they are gone, leaked or dead.

use std::time::Duration;

use crate::common::{self, PATIENCE, Way, builder, eventually, eventually_wire, names};
use hoga::config::Limits;
use hoga::error::Error;
use hoga::plan::{ConflictKind, ConflictSubject};
use hoga::prelude::*;
use hoga_exchange::Server;

fn start(server: &Server) -> Engine {
    builder(server).grace(Duration::ZERO).clean_up_every(Duration::from_millis(50)).start().unwrap()
}

fn about(market: &str) -> ConflictSubject {
    ConflictSubject::Stream(StreamKey::of(DataType::Ticker, market.parse().unwrap()))
}

fn exchange() -> Server {
    common::exchange(1.0, 40).0
}

#[test]
fn a_second_type_never_replaces_the_first_and_a_name_is_taken_once() {
    let (server, record) = common::exchange(50.0, 40);
    let engine = start(&server);
    let chart = engine.client("chart").unwrap();
    let (_tickers, _books) =
        (chart.subscribe(ticker("KRW-BTC")).unwrap(), chart.subscribe(orderbook("KRW-BTC")).unwrap());
    engine.wait_ready(PATIENCE).unwrap();
    let wanted = engine.revisions().desired;
    assert!(engine.wait_revisions(PATIENCE, |revisions| revisions.confirmed >= wanted));
    assert!(engine.pool().ticker("KRW-BTC").is_ok() && engine.pool().orderbook("KRW-BTC").is_ok());
    assert_eq!(record.wire(), names(["ticker", "orderbook"], &["KRW-BTC"]));

    let refused = engine.client("chart").unwrap_err();
    assert!(matches!(&refused, Error::NameTaken(name) if **name == *"chart"), "{refused}");
    let stats = engine.subscriptions();
    assert_eq!((stats.clients.len(), stats.clients[0].subscriptions), (1, 2));
    assert!(stats.conflicts.contains(&(ConflictKind::Identity, 1)));
    assert_eq!(engine.conflicts().len(), 1);

    // The component goes: so does what it held, although somebody keeps the handles.
    drop(chart);
    // No request asks for nothing: the socket is closed instead.
    eventually("nothing is wanted", || engine.state() == EngineState::Idle);
    let sent = record.sent_count();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(record.sent_count(), sent, "the exchange has nobody to send to");
    assert!(engine.client("chart").is_ok());
}

#[test]
fn a_leaked_handle_and_a_dead_thread_are_reaped_and_the_living_are_not() {
    let (server, record) = common::exchange(50.0, 40);
    let engine = start(&server);
    // On a busy machine this thread may stand still for longer than the lease of the one that is to be reaped.
    let living = engine.client_with_lease("living", Duration::from_secs(30)).unwrap();
    let kept = living.subscribe(ticker("KRW-BTC")).unwrap();

    let leaky = engine.client_with_lease("leaky", Duration::from_millis(300)).unwrap();
    // It may be late already.
    std::mem::forget(leaky.subscribe(ticker("KRW-ETH")));
    std::thread::scope(|scope| {
        let dies = scope.spawn(|| {
            let _held = engine.subscribe(ticker("KRW-XRP")).unwrap();
            panic!("a strategy fails");
        });
        assert!(dies.join().is_err());
    });

    eventually("the exchange is asked for what the living hold, and for nothing else", || {
        living.renew();
        engine.subscriptions().clients.len() == 1 && record.wire() == names(["ticker"], &["KRW-BTC"])
    });
    // A few messages of the others may have been under way.
    eventually("the living alone are sent something", || {
        living.renew();
        let before = record.sent_count();
        eventually("the living are sent what they hold", || record.sent_count() > before + 3);
        record.streams_after(before) == names(["ticker"], &["KRW-BTC"])
    });
    assert_eq!(kept.keys().len(), 1);
    let refused = leaky.subscribe(ticker("KRW-ETH")).unwrap_err();
    assert!(matches!(refused, Error::LeaseExpired), "{refused}");
    let names: Vec<_> = engine.subscriptions().clients.into_iter().map(|client| client.name).collect();
    assert_eq!(names, ["living".into()]);
}

/// Nothing was left to wait for, so all of it counted as confirmed.
#[test]
fn what_a_client_has_lost_is_never_confirmed() {
    let server = exchange();
    let engine = start(&server);
    let client = engine.client_with_lease("late", Duration::from_millis(100)).unwrap();
    let held = client.subscribe(ticker("KRW-BTC")).unwrap();
    eventually("it is reaped", || engine.subscriptions().clients.is_empty());
    let lost = held.wait_confirmed(PATIENCE).unwrap_err();
    assert!(matches!(lost, Error::LeaseExpired), "{lost}");
}

#[test]
fn handles_may_be_dropped_after_the_engine_has_stopped() {
    let server = exchange();
    let engine = start(&server);
    let client = engine.client("late").unwrap();
    let held = client.subscribe(ticker("KRW-BTC")).unwrap();
    let feed = client.feed(trade("KRW-BTC"), Overflow::DROP_NEWEST).unwrap();
    engine.shutdown(PATIENCE).into_result().unwrap();
    assert!(matches!(client.subscribe(ticker("KRW-ETH")), Err(Error::Stopped)));
    assert!(matches!(engine.client("new"), Err(Error::Stopped)));
    drop((engine, feed, held, client));
}

#[test]
fn what_the_connections_cannot_carry_is_refused_and_noted() {
    let (server, record) = common::exchange(1.0, 40);
    let limits = Limits { streams_per_connection: 2, ..Limits::default() };
    let engine = builder(&server).limits(limits).start().unwrap();
    let _held = engine.subscribe(ticker(["KRW-BTC", "KRW-ETH"])).unwrap();
    let refused = engine.subscribe(ticker(["KRW-ETH", "KRW-XRP"])).unwrap_err();
    assert!(matches!(refused, Error::TooManyStreams { streams: 3, limit: 2 }), "{refused}");
    assert!(engine.subscriptions().conflicts.contains(&(ConflictKind::Limit, 1)));
    let conflict = &engine.conflicts()[0];
    assert_eq!((conflict.kind, &conflict.about), (ConflictKind::Limit, &about("KRW-XRP")));
    // What is carried already costs nothing.
    let _again = engine.subscribe(ticker("KRW-ETH")).unwrap();
    engine.wait_ready(PATIENCE).unwrap();
    assert_eq!(record.wire(), names(["ticker"], &["KRW-BTC", "KRW-ETH"]));
    common::finish(engine, &server);
}

#[test]
fn two_modes_of_a_stream_are_noted_and_both_are_served() {
    let (server, record) = common::exchange(1.0, 40);
    let engine = start(&server);
    let _changes = engine.subscribe(ticker("KRW-BTC").only_realtime()).unwrap();
    let _state = engine.subscribe(ticker("KRW-BTC").only_snapshot()).unwrap();
    engine.wait_ready(PATIENCE).unwrap();
    assert!(engine.subscriptions().conflicts.contains(&(ConflictKind::Mode, 1)));
    let conflict = &engine.conflicts()[0];
    assert_eq!((conflict.kind, &conflict.about), (ConflictKind::Mode, &about("KRW-BTC")));
    eventually("asked for both", || record.last().get("ticker KRW-BTC") == Some(&Way::All));
    common::finish(engine, &server);
}

#[test]
fn what_sharing_saves_is_counted() {
    let (server, record) = common::exchange(1.0, 40);
    let engine = start(&server);
    let mut held: Vec<_> = (0..8).map(|_| engine.subscribe(ticker("KRW-BTC")).unwrap()).collect();
    held.push(engine.subscribe(ticker("KRW-ETH")).unwrap());
    engine.wait_ready(PATIENCE).unwrap();
    eventually_wire(&record, &names(["ticker"], &["KRW-BTC", "KRW-ETH"]));
    let stats = engine.subscriptions();
    assert_eq!((stats.holders, stats.stream_demands, stats.wire_streams), (9, 9, 2));
    assert_eq!((stats.dedupe_ratio(), stats.changes), (4.5, 9));
    // Each change would have been a request; the exchange has counted those that came.
    assert_eq!(stats.requests, record.requests() as u64);
    assert_eq!(stats.requests_saved(), 9 - record.requests() as u64);
    assert!((stats.changes_per_second - 9.0 / 60.0).abs() < 1e-9, "{}", stats.changes_per_second);
    common::finish(engine, &server);
}
