//! Panics that are planted in the engine's own threads: mistakes of hoga itself. Each costs at most a socket.

use crate::common::{TIMEOUT, builder, drain, eventually, exchange, markets};
use hoga::model::planted::{Place, arm};
use hoga::prelude::*;

/// The number of markets of the exchanges here. A planted panic hits the first engine of the process that comes across
/// its market, so these tests use only markets from [`OWN`] on. The exchanges of all other tests have fewer markets.
const MARKETS: usize = 450;
const OWN: usize = 400;

/// Returns `count` markets that no other test of this program subscribes to, after the first `skipped` of them.
fn own_markets(skipped: usize, count: usize) -> Vec<String> {
    markets(MARKETS).split_off(OWN + skipped).into_iter().take(count).collect()
}

/// A panic of a connection's thread once ended that thread, and with it the engine: it refused all demand.
#[test]
fn a_panic_of_a_connections_thread_costs_a_socket_and_no_demand() {
    for place in [Place::Decode, Place::Route, Place::Request] {
        let (server, _) = exchange(500.0, MARKETS);
        let all = own_markets(0, 20);
        let engine = builder(&server).connections(2).subscribe(ticker(&all)).start().unwrap();
        let mut feed = engine.feed(trade(&all), Overflow::DropNewest { capacity: 1 << 16 }).unwrap();
        engine.wait_ready(TIMEOUT).unwrap();
        let handle = engine.pool().ticker(&*all[3]).unwrap();
        let key = StreamKey::of(DataType::Ticker, all[3].parse().unwrap());
        let home = engine.pool().streams().into_iter().find(|status| status.key == key).unwrap().connection.unwrap();
        let before = engine.connections();

        let code = all[3].clone();
        arm(place, &code);
        // A change of demand makes the connection send a request.
        let _book = engine.subscribe(orderbook(&*code)).unwrap();
        eventually("the thread has panicked", || {
            engine.connections().iter().map(|connection| connection.counters.panics).sum::<u64>() == 1
        });
        eventually("the next socket works", || {
            let after = engine.connections();
            let hit = after.iter().find(|connection| connection.id == home).unwrap();
            hit.epoch > before[usize::from(home.0)].epoch && handle.load().health().is_live()
        });
        engine.wait_ready(TIMEOUT).unwrap();
        assert!(engine.is_running(), "{place:?}");
        let after = engine.connections();
        for (before, after) in before.iter().zip(&after).filter(|(before, _)| before.id != home) {
            assert_eq!((after.epoch, after.counters.disconnects), (before.epoch, 0), "{place:?}: the other continues");
        }
        let mut delivered = Vec::new();
        drain(&mut feed, &mut delivered);
        assert!(delivered.len() > 20);
        assert!(engine.shutdown(TIMEOUT).into_result().is_ok(), "{place:?}");
    }
}

#[test]
fn a_panic_of_the_control_thread_keeps_all_demand() {
    let (server, record) = exchange(500.0, MARKETS);
    let all = own_markets(20, 20);
    let engine = builder(&server).connections(2).subscribe(ticker(&all[..10])).start().unwrap();
    let client = engine.client("chart").unwrap();
    let held = client.subscribe(trade(&all[..5])).unwrap();
    let dropped = engine.subscribe(orderbook(&all[..5])).unwrap();
    engine.wait_ready(TIMEOUT).unwrap();

    arm(Place::Hub, &all[0]);
    let more = engine.subscribe(ticker(&all[10..])).unwrap();
    eventually("the control thread has panicked", || engine.subscriptions().panics == 1);
    more.wait_confirmed(TIMEOUT).unwrap();
    held.wait_confirmed(TIMEOUT).unwrap();
    drop(dropped);
    engine.wait_ready(TIMEOUT).unwrap();
    eventually("dropped streams leave the wire", || {
        let streams = |conn| record.requested(conn).pop().unwrap();
        let carried: usize = record.connections().into_iter().map(|conn| streams(conn).len()).sum();
        carried == 25
    });
    assert!(engine.is_running());
    assert_eq!(engine.connections().iter().map(|connection| connection.counters.disconnects).sum::<u64>(), 0);
    engine.shutdown(TIMEOUT).into_result().unwrap();
}
