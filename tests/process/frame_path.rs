//! The way of a frame allocates nothing after warm-up: counted on the connection's thread of a running engine, from the
//! socket through frames and decoding to pool and feeds.

use std::time::Duration;

use crate::PATIENCE;
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

/// An exchange that sends all it can.
fn exchange(plain: bool) -> Server {
    let mut config = ServerConfig { plain, ..ServerConfig::default() };
    config.exchange.speed = 400.0;
    Server::start(config).unwrap()
}

/// An engine for it that wants every type.
fn builder(server: &Server) -> Builder {
    let endpoint = Endpoint::custom(&server.url()).unwrap();
    let builder = Engine::builder().endpoint(endpoint).connect_ledger(ConnectLedger::Process);
    let builder = if server.url().starts_with("wss") { builder.root_certificates(server.ca_pem()) } else { builder };
    builder.ticker(MARKETS).trade(MARKETS).orderbook(MARKETS).candle(Interval::Second1, MARKETS)
}

/// How often the thread of the one connection has allocated.
fn allocated() -> u64 {
    let count = allocations::on_threads("hoga-conn");
    assert!(count > 0, "starting up allocates, so the count works");
    count
}

/// Calls `wait`, which takes some milliseconds, until the engine has received `more` messages.
fn receive(engine: &Engine, more: u64, mut wait: impl FnMut()) {
    let received = || engine.connections()[0].counters.data;
    let target = received() + more;
    for _ in 0..5_000 {
        if received() >= target {
            return;
        }
        wait();
    }
    panic!("only {} of {target} messages came", received());
}

fn rest() {
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
    // Both ways of reading the socket.
    let engine = builder(&server).format(format).measure_latencies(format == Format::SimpleList).start().unwrap();
    let streams = || trade(MARKETS).and(ticker(MARKETS)).and(orderbook(MARKETS));
    let mut feeds = POLICIES.map(|overflow| engine.feed(streams(), overflow).unwrap());
    let mut read = || {
        feeds[0].wait(PAUSE);
        feeds.iter_mut().for_each(|feed| while feed.pop().is_some() {});
    };
    engine.wait_ready(PATIENCE).unwrap();
    receive(&engine, WARM_UP, &mut read);
    let before = allocated();
    receive(&engine, MEASURED, &mut read);
    assert_eq!(allocated() - before, 0, "{MEASURED} messages in {format:?}, plain: {plain}");
    engine.shutdown(PATIENCE).into_result().unwrap();
}

/// However much comes, and from the first message on that a feed does not read.
pub fn what_is_not_read_takes_no_memory() {
    const RING: usize = 64;
    let server = exchange(true);
    let engine = builder(&server).broadcast_capacity(RING).start().unwrap();
    engine.wait_ready(PATIENCE).unwrap();
    receive(&engine, WARM_UP, rest);
    let policies = [Overflow::DropNewest { capacity: RING }, POLICIES[1], POLICIES[2], POLICIES[3]];
    let mut feeds = policies.map(|overflow| engine.feed(trade(MARKETS).and(ticker(MARKETS)), overflow).unwrap());
    // Once each has had a message it has joined, which allocates.
    receive(&engine, 100, rest);
    for (feed, policy) in feeds.iter_mut().zip(policies) {
        assert!(feed.wait(PATIENCE), "{policy}: nothing has come");
    }
    let before = allocated();
    receive(&engine, MEASURED, rest);
    assert_eq!(allocated() - before, 0, "{MEASURED} messages for feeds that nobody reads");
    for (feed, policy) in feeds.iter().zip(policies) {
        let counts = feed.counts();
        assert!(counts.received > 20 * RING as u64 && counts.delivered == 0, "{policy}: {counts:?}");
    }
    engine.shutdown(PATIENCE).into_result().unwrap();
}
