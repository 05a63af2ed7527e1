//! A million subscriptions come and go on one engine and leave nothing behind: memory, threads and descriptors of this
//! process are counted around them.

use std::time::Duration;

use crate::{PATIENCE, resources};
use hoga::config::ConnectLedger;
use hoga::prelude::*;
use hoga_exchange::{Exchange, Server, ServerConfig};
use hoga_testing::allocations;

const CYCLES: usize = 1_000_000;
/// What may be in flight at one moment and not at another: a few messages and requests. A leak of a single byte in every
/// eighth cycle is more.
const GROWTH_MAX: i64 = 128 << 10;

/// The least of what is allocated within half a second: what is in flight comes and goes.
fn allocated() -> i64 {
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
    config.exchange.markets = 61;
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
    for i in 0..6 { eprintln!("TMP {i} {}", allocated()); if i < 4 { churn(&engine, &markets, CYCLES / 10); } else { std::thread::sleep(Duration::from_secs(5)); } }
    let (before, memory) = (resources(), allocated());
    churn(&engine, &markets, CYCLES);
    let grown = allocated() - memory;
    assert_eq!(resources(), before);
    assert!(grown < GROWTH_MAX, "{grown} bytes more");
    assert_eq!(server.stats().violations(), 0, "{:?}", server.stats());
    assert_eq!(server.stats().connections, 1);
    engine.shutdown(PATIENCE).into_result().unwrap();
}
