//! A million subscriptions come and go on one engine and leave nothing behind: memory, threads and descriptors of this
//! process are counted around them.

use std::time::Duration;

use hoga::config::ConnectLedger;
use hoga::prelude::*;
use hoga_exchange::{Exchange, Server, ServerConfig};

const PATIENCE: Duration = Duration::from_secs(20);
const CYCLES: usize = 1_000_000;
const GROWTH_MAX: u64 = 8 << 20;

fn entries(directory: &str) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

/// Threads and open files of this process.
fn resources() -> (usize, usize) {
    (entries("/proc/self/task"), entries("/proc/self/fd"))
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
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

// One test in this file: another one's threads and memory would be counted too.
#[test]
fn a_million_subscriptions_leave_no_memory_no_thread_and_no_descriptor_behind() {
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
    // Cells of all streams, buffers of the exchange in this process, pages of the allocator.
    churn(&engine, &markets, CYCLES / 10);
    let (before, memory) = (resources(), resident());
    churn(&engine, &markets, CYCLES);
    let grown = resident().saturating_sub(memory);
    assert_eq!(resources(), before);
    assert!(grown < GROWTH_MAX, "{grown} bytes more");
    assert_eq!(server.stats().violations(), 0, "{:?}", server.stats());
    assert_eq!(server.stats().connections, 1);
    engine.shutdown(PATIENCE).into_result().unwrap();
}
