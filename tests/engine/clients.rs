//! Components with names and leases: what they hold, and what becomes of it when they are gone, leaked or dead.

use std::time::Duration;

use crate::common::{PATIENCE, builder, eventually};
use hoga::error::Error;
use hoga::plan::ConflictKind;
use hoga::prelude::*;
use hoga_exchange::{Server, ServerConfig};

fn start(server: &Server) -> Engine {
    builder(server).grace(Duration::ZERO).clean_up_every(Duration::from_millis(50)).start().unwrap()
}

fn exchange() -> Server {
    Server::start(ServerConfig { plain: true, ..ServerConfig::default() }).unwrap()
}

#[test]
fn a_second_type_never_replaces_the_first_and_a_name_is_taken_once() {
    let server = exchange();
    let engine = start(&server);
    let chart = engine.client("chart").unwrap();
    let (_tickers, _books) =
        (chart.subscribe(ticker("KRW-BTC")).unwrap(), chart.subscribe(orderbook("KRW-BTC")).unwrap());
    engine.wait_ready(PATIENCE).unwrap();
    let wanted = engine.revisions().desired;
    assert!(engine.wait_revisions(PATIENCE, |revisions| revisions.confirmed >= wanted));
    assert!(engine.pool().ticker("KRW-BTC").is_ok() && engine.pool().orderbook("KRW-BTC").is_ok());

    let refused = engine.client("chart").unwrap_err();
    assert!(matches!(&refused, Error::NameTaken(name) if **name == *"chart"), "{refused}");
    let stats = engine.subscriptions();
    assert_eq!((stats.clients.len(), stats.clients[0].subscriptions), (1, 2));
    assert!(stats.conflicts.contains(&(ConflictKind::Identity, 1)));
    assert_eq!(engine.conflicts().len(), 1);

    // The component goes: so does what it held, although somebody keeps the handles.
    drop(chart);
    eventually("nothing is wanted", || engine.subscriptions().wire_streams == 0);
    assert!(engine.client("chart").is_ok());
}

#[test]
fn a_leaked_handle_and_a_dead_thread_are_reaped_and_the_living_are_not() {
    let server = exchange();
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

    eventually("only the living hold", || {
        living.renew();
        engine.subscriptions().wire_streams == 1
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
