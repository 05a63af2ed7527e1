//! Creates and drops a million subscriptions on one engine, and checks that this process keeps no memory, threads or
//! descriptors.

use std::time::Duration;

use crate::{TIMEOUT, resources};
use hoga::config::ConnectLedger;
use hoga::prelude::*;
use hoga_exchange::{Exchange, Server, ServerConfig};
use hoga_testing::allocations;

const CYCLES: usize = 1_000_000;
/// The cycles run in this many parts. The live bytes are read after each part.
const PARTS: usize = 8;
/// Maximum growth in bytes from the largest reading of the first half to the smallest of the second. The current
/// request and data in flight vary by more than this, but not in one direction. A leak of one byte per cycle exceeds
/// it.
const GROWTH_MAX: i64 = (CYCLES / PARTS / 2) as i64;

/// Returns the live bytes once only the first stream is subscribed: the minimum of half a second, because data in
/// flight varies.
fn allocated(engine: &Engine) -> i64 {
    for _ in 0..TIMEOUT.as_millis() / 10 {
        if engine.subscriptions().wire_streams == 1 {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(engine.subscriptions().wire_streams, 1);
    let sample = |_| {
        std::thread::sleep(Duration::from_millis(10));
        allocations::live_bytes()
    };
    (0..50).map(sample).min().unwrap()
}

/// Subscribes to one or two streams in all modes. Each subscription is dropped at once or when the next one is made.
fn churn(engine: &Engine, markets: &[String], cycles: usize) {
    let mut last = None;
    for cycle in 0..cycles {
        let market = &markets[cycle % markets.len()];
        let subscription = match cycle % 4 {
            0 => ticker(market).mixed(),
            1 => trade(market).only_realtime().mixed(),
            2 => orderbook(market).levels([1, 5, 15][cycle % 3]).mixed(),
            _ => ticker(market).and(orderbook(market)),
        };
        let subscribed = engine.subscribe(subscription).unwrap();
        // Half of the subscriptions overlap the next one.
        last = (cycle % 2 == 0).then_some(subscribed);
    }
    drop(last);
}

pub fn a_million_subscriptions_leave_no_memory_no_thread_and_no_descriptor_behind() {
    let mut config = ServerConfig { plain: true, ..ServerConfig::default() };
    // Requests that the exchange keeps would count too.
    (config.exchange.markets, config.exchange.received_kept) = (61, 0);
    let markets: Vec<String> = Exchange::new(config.exchange.clone(), 0).markets().map(str::to_owned).collect();
    let server = Server::start(config).unwrap();
    let engine = Engine::builder()
        .endpoint(Endpoint::custom(&server.url()).unwrap())
        .connect_ledger(ConnectLedger::Process)
        .grace(Duration::from_millis(20))
        .ticker("KRW-BTC")
        .start()
        .unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    // Warm up: cells of all streams, and buffers of the exchange, which is in this process.
    churn(&engine, &markets, CYCLES / 10);
    let before = resources();
    let mut part = |_| {
        churn(&engine, &markets, CYCLES / PARTS);
        allocated(&engine)
    };
    let first = (0..PARTS / 2).map(&mut part).max().unwrap();
    let second = (0..PARTS / 2).map(part).min().unwrap();
    assert_eq!(resources(), before);
    assert!(second - first < GROWTH_MAX, "from {first} to {second} bytes");
    assert_eq!(server.stats().violations(), 0, "{:?}", server.stats());
    assert_eq!(server.stats().connections, 1);
    engine.shutdown(TIMEOUT).into_result().unwrap();
}
