//! The frame path allocates nothing after warm-up. Allocations are counted on the connection's thread of a running
//! engine, from the socket through frames and decoding to pool and feeds.

use std::time::Duration;

use crate::TIMEOUT;
use hoga::config::ConnectLedger;
use hoga::engine::Builder;
use hoga::prelude::*;
use hoga_exchange::{Server, ServerConfig};
use hoga_testing::allocations;

const MARKETS: [&str; 4] = ["KRW-BTC", "KRW-ETH", "KRW-XRP", "KRW-SOL"];
const POLICIES: [Overflow; 4] =
    [Overflow::DROP_NEWEST, Overflow::DropOldest, Overflow::Conflate, Overflow::Throttle(Duration::from_millis(50))];
const PAUSE: Duration = Duration::from_millis(20);
const WARM_UP: u64 = 3_000;
const MEASURED: u64 = 10_000;

/// Starts an exchange that sends as fast as it can.
fn exchange(plain: bool) -> Server {
    let mut config = ServerConfig { plain, ..ServerConfig::default() };
    config.exchange.speed = 400.0;
    Server::start(config).unwrap()
}

/// Returns the builder of an engine that subscribes to every type.
fn builder(server: &Server) -> Builder {
    let endpoint = Endpoint::custom(&server.url()).unwrap();
    let builder = Engine::builder().endpoint(endpoint).connect_ledger(ConnectLedger::Process);
    let builder = if server.url().starts_with("wss") { builder.root_certificates(server.ca_pem()) } else { builder };
    builder.ticker(MARKETS).trade(MARKETS).orderbook(MARKETS).candle(Interval::Second1, MARKETS)
}

/// Returns the number of allocations on the connection's thread.
fn allocated() -> u64 {
    let count = allocations::on_threads("hoga-conn");
    assert!(count > 0, "startup allocates, so zero means that the count is broken");
    count
}

/// Calls `wait`, which takes some ms, until the engine has received `more` messages.
fn receive(engine: &Engine, more: u64, mut wait: impl FnMut()) {
    let received = || engine.connections()[0].counters.data;
    let target = received() + more;
    for _ in 0..5_000 {
        if received() >= target {
            return;
        }
        wait();
    }
    panic!("only {} of {target} messages arrived", received());
}

fn pause() {
    std::thread::sleep(PAUSE);
}

pub fn from_socket_to_pool_and_feed_nothing_is_allocated_after_warm_up() {
    for plain in [true, false] {
        for format in [Format::Default, Format::SimpleList] {
            allocates_nothing(plain, format);
        }
    }
}

fn allocates_nothing(plain: bool, format: Format) {
    let server = exchange(plain);
    // Latency measurement selects how the socket is read. Cover both.
    let engine = builder(&server).format(format).measure_latencies(format == Format::SimpleList).start().unwrap();
    let streams = || trade(MARKETS).and(ticker(MARKETS)).and(orderbook(MARKETS));
    let mut feeds = POLICIES.map(|overflow| engine.feed(streams(), overflow).unwrap());
    let mut read = || {
        feeds[0].wait(PAUSE).unwrap();
        feeds.iter_mut().for_each(|feed| while feed.pop().is_some() {});
    };
    engine.wait_ready(TIMEOUT).unwrap();
    receive(&engine, WARM_UP, &mut read);
    let before = allocated();
    receive(&engine, MEASURED, &mut read);
    assert_eq!(allocated() - before, 0, "{MEASURED} messages in {format:?}, plain: {plain}");
    engine.shutdown(TIMEOUT).into_result().unwrap();
}

/// Unread messages take no memory, no matter how many arrive, from the first unread message on.
pub fn unread_messages_take_no_memory() {
    const RING: usize = 64;
    let server = exchange(true);
    let engine = builder(&server).broadcast_capacity(RING).start().unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    receive(&engine, WARM_UP, pause);
    let policies = [Overflow::DropNewest { capacity: RING }, POLICIES[1], POLICIES[2], POLICIES[3]];
    let mut feeds = policies.map(|overflow| engine.feed(trade(MARKETS).and(ticker(MARKETS)), overflow).unwrap());
    // Joining allocates. A feed that has received a message has joined.
    receive(&engine, 100, pause);
    for (feed, policy) in feeds.iter_mut().zip(policies) {
        assert!(feed.wait(TIMEOUT).unwrap(), "{policy}: no message arrived");
    }
    let before = allocated();
    receive(&engine, MEASURED, pause);
    assert_eq!(allocated() - before, 0, "{MEASURED} messages for unread feeds");
    for (feed, policy) in feeds.iter().zip(policies) {
        let counts = feed.counts();
        assert!(counts.received > 20 * RING as u64 && counts.delivered == 0, "{policy}: {counts:?}");
    }
    engine.shutdown(TIMEOUT).into_result().unwrap();
}
