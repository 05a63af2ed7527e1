//! Clients with names and leases: their subscriptions, which end when the client is dropped, when its lease expires, or
//! when the thread that holds them dies.

use std::time::Duration;

use crate::common::{self, RequestMode, TIMEOUT, builder, eventually, eventually_wire, names};
use hoga::config::Limits;
use hoga::error::Error;
use hoga::plan::{ConflictKind, ConflictSubject};
use hoga::prelude::*;
use hoga_exchange::Server;

fn start(server: &Server) -> Engine {
    builder(server).grace(Duration::ZERO).clean_up_every(Duration::from_millis(50)).start().unwrap()
}

fn ticker_of(market: &str) -> ConflictSubject {
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
    engine.wait_ready(TIMEOUT).unwrap();
    let wanted = engine.revisions().desired;
    assert!(engine.wait_revisions(TIMEOUT, |revisions| revisions.confirmed >= wanted).unwrap());
    assert!(engine.pool().ticker("KRW-BTC").is_ok() && engine.pool().orderbook("KRW-BTC").is_ok());
    assert_eq!(record.wire(), names(["ticker", "orderbook"], &["KRW-BTC"]));

    let refused = engine.client("chart").unwrap_err();
    assert!(matches!(&refused, Error::NameTaken(name) if **name == *"chart"), "{refused}");
    let stats = engine.subscriptions();
    assert_eq!((stats.clients.len(), stats.clients[0].subscriptions), (1, 2));
    assert!(stats.conflicts.contains(&(ConflictKind::Identity, 1)));
    assert_eq!(engine.conflicts().len(), 1);

    // Dropping the client releases its subscriptions, although the handles still exist.
    drop(chart);
    // A request cannot be empty, so the engine closes the socket instead.
    eventually("nothing is desired", || engine.state() == EngineState::Idle);
    let sent = record.sent_count();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(record.sent_count(), sent, "the exchange sends nothing more");
    assert!(engine.client("chart").is_ok());
}

#[test]
fn clients_of_a_leaked_handle_and_a_dead_thread_are_reaped_and_live_ones_are_not() {
    let (server, record) = common::exchange(50.0, 40);
    let engine = start(&server);
    // On a busy machine, this thread may be paused for longer than the lease of the client to be reaped.
    let living = engine.client_with_lease("living", Duration::from_secs(30)).unwrap();
    let kept = living.subscribe(ticker("KRW-BTC")).unwrap();

    let leaky = engine.client_with_lease("leaky", Duration::from_millis(300)).unwrap();
    // The lease may have expired already.
    std::mem::forget(leaky.subscribe(ticker("KRW-ETH")));
    std::thread::scope(|scope| {
        let dies = scope.spawn(|| {
            let _held = engine.subscribe(ticker("KRW-XRP")).unwrap();
            panic!("a strategy fails");
        });
        assert!(dies.join().is_err());
    });

    eventually("the request has exactly the streams of live clients", || {
        living.renew();
        engine.subscriptions().clients.len() == 1 && record.wire() == names(["ticker"], &["KRW-BTC"])
    });
    // A few messages of the other streams may have been in flight.
    eventually("only streams of live clients are sent", || {
        living.renew();
        let before = record.sent_count();
        eventually("streams of live clients are sent", || record.sent_count() > before + 3);
        record.streams_after(before) == names(["ticker"], &["KRW-BTC"])
    });
    assert_eq!(kept.keys().len(), 1);
    let refused = leaky.subscribe(ticker("KRW-ETH")).unwrap_err();
    assert!(matches!(refused, Error::LeaseExpired), "{refused}");
    let names: Vec<_> = engine.subscriptions().clients.into_iter().map(|client| client.name).collect();
    assert_eq!(names, ["living".into()]);
}

/// Regression: no stream was left to wait for, so everything counted as confirmed.
#[test]
fn a_reaped_clients_streams_are_never_confirmed() {
    let server = exchange();
    let engine = start(&server);
    let client = engine.client_with_lease("late", Duration::from_millis(100)).unwrap();
    let held = client.subscribe(ticker("KRW-BTC")).unwrap();
    eventually("the client is reaped", || engine.subscriptions().clients.is_empty());
    let lost = held.wait_confirmed(TIMEOUT).unwrap_err();
    assert!(matches!(lost, Error::LeaseExpired), "{lost}");
}

#[test]
fn handles_may_be_dropped_after_the_engine_has_stopped() {
    let server = exchange();
    let engine = start(&server);
    let client = engine.client("late").unwrap();
    let held = client.subscribe(ticker("KRW-BTC")).unwrap();
    let feed = client.feed(trade("KRW-BTC"), Overflow::DROP_NEWEST).unwrap();
    engine.shutdown(TIMEOUT).into_result().unwrap();
    assert!(matches!(client.subscribe(ticker("KRW-ETH")), Err(Error::Stopped)));
    assert!(matches!(engine.client("new"), Err(Error::Stopped)));
    drop((engine, feed, held, client));
}

#[test]
fn streams_beyond_the_capacity_of_connections_are_refused_and_recorded() {
    let (server, record) = common::exchange(1.0, 40);
    let limits = Limits { streams_per_connection: 2, ..Limits::default() };
    let engine = builder(&server).limits(limits).start().unwrap();
    let _held = engine.subscribe(ticker(["KRW-BTC", "KRW-ETH"])).unwrap();
    let refused = engine.subscribe(ticker(["KRW-ETH", "KRW-XRP"])).unwrap_err();
    assert!(matches!(refused, Error::TooManyStreams { streams: 3, limit: 2 }), "{refused}");
    assert!(engine.subscriptions().conflicts.contains(&(ConflictKind::Limit, 1)));
    let conflict = &engine.conflicts()[0];
    assert_eq!((conflict.kind, &conflict.about), (ConflictKind::Limit, &ticker_of("KRW-XRP")));
    // A stream that is carried already needs no capacity.
    let _again = engine.subscribe(ticker("KRW-ETH")).unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    assert_eq!(record.wire(), names(["ticker"], &["KRW-BTC", "KRW-ETH"]));
    common::finish(engine, &server);
}

#[test]
fn two_modes_of_a_stream_are_recorded_and_both_are_served() {
    let (server, record) = common::exchange(1.0, 40);
    let engine = start(&server);
    let _changes = engine.subscribe(ticker("KRW-BTC").only_realtime()).unwrap();
    let _state = engine.subscribe(ticker("KRW-BTC").only_snapshot()).unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    assert!(engine.subscriptions().conflicts.contains(&(ConflictKind::Mode, 1)));
    let conflict = &engine.conflicts()[0];
    assert_eq!((conflict.kind, &conflict.about), (ConflictKind::Mode, &ticker_of("KRW-BTC")));
    eventually("the request serves both", || record.last_request().get("ticker KRW-BTC") == Some(&RequestMode::All));
    common::finish(engine, &server);
}

#[test]
fn requests_saved_by_sharing_are_counted() {
    let (server, record) = common::exchange(1.0, 40);
    let engine = start(&server);
    let mut held: Vec<_> = (0..8).map(|_| engine.subscribe(ticker("KRW-BTC")).unwrap()).collect();
    held.push(engine.subscribe(ticker("KRW-ETH")).unwrap());
    engine.wait_ready(TIMEOUT).unwrap();
    eventually_wire(&record, &names(["ticker"], &["KRW-BTC", "KRW-ETH"]));
    let stats = engine.subscriptions();
    assert_eq!((stats.holders, stats.stream_demands, stats.wire_streams), (9, 9, 2));
    assert_eq!((stats.dedupe_ratio(), stats.changes), (4.5, 9));
    // Each change would have been a request. The exchange counted the requests that arrived.
    assert_eq!(stats.requests, record.requests() as u64);
    assert_eq!(stats.requests_saved(), 9 - record.requests() as u64);
    assert!((stats.changes_per_second - 9.0 / 60.0).abs() < 1e-9, "{}", stats.changes_per_second);
    common::finish(engine, &server);
}
