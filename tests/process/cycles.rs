//! A million subscriptions come and go on one engine and leave nothing behind: memory, threads and descriptors of this
//! process are counted around them.

use std::time::Duration;

use crate::{PATIENCE, resources};
use hoga::config::ConnectLedger;
use hoga::prelude::*;
use hoga_exchange::{Exchange, Server, ServerConfig};
use hoga_testing::allocations;

const CYCLES: usize = 1_000_000;
/// Twice what the request of the moment makes a difference of. A leak of a single byte in every fourth cycle is more.
const GROWTH_MAX: i64 = 256 << 10;

/// What is allocated when nothing but the first stream is wanted or carried any more: the least within half a second, for
/// what is in flight comes and goes.
fn allocated(engine: &Engine) -> i64 {
    for _ in 0..PATIENCE.as_millis() / 10 {
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

/// Subscriptions of one stream and of two, in all modes; each is dropped at once or when the next comes.
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
        // Half of them overlap the next.
        last = (cycle % 2 == 0).then_some(subscribed);
    }
    drop(last);
}

pub fn a_million_subscriptions_leave_no_memory_no_thread_and_no_descriptor_behind() {
    let mut config = ServerConfig { plain: true, ..ServerConfig::default() };
    // The record of requests would be counted too.
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
    engine.wait_ready(PATIENCE).unwrap();
    // Cells of all streams, buffers of the exchange in this process.
    churn(&engine, &markets, CYCLES / 10);
    let (before, memory) = (resources(), allocated(&engine));
    churn(&engine, &markets, CYCLES);
    let grown = allocated(&engine) - memory;
    assert_eq!(resources(), before);
    assert!(grown < GROWTH_MAX, "{grown} bytes more");
    assert_eq!(server.stats().violations(), 0, "{:?}", server.stats());
    assert_eq!(server.stats().connections, 1);
    engine.shutdown(PATIENCE).into_result().unwrap();
}
