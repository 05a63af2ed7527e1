//! The way of a frame allocates nothing after warm-up: counted on the connection's thread of a running engine, from the
//! socket through frames and decoding to pool and feeds.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hoga::config::ConnectLedger;
use hoga::prelude::*;
use hoga_exchange::{Server, ServerConfig};

/// Counts the allocations of the thread whose name starts like this.
const COUNTED: &[u8] = b"hoga-conn";
const WARM_UP: u64 = 3_000;
const MEASURED: u64 = 10_000;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

fn count() {
    let mut name = [0u8; 16];
    // SAFETY: PR_GET_NAME writes at most 16 bytes, terminator included, to the buffer it is given.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    if name.starts_with(COUNTED) {
        ALLOCATIONS.fetch_add(1, Relaxed);
    }
}

// SAFETY: hands every call on to the system's allocator unchanged; counting touches no memory of the caller.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on; `at` came from `System`.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on; `at` came from `System`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Reads the feeds until the engine has received `more` messages.
fn receive(engine: &Engine, feeds: &mut [Feed], more: u64) {
    let received = || engine.connections()[0].counters.data;
    let target = received() + more;
    for _ in 0..2_000 {
        if received() >= target {
            return;
        }
        feeds[0].wait(Duration::from_millis(20));
        feeds.iter_mut().for_each(|feed| while feed.pop().is_some() {});
    }
    panic!("only {} of {target} messages came", received());
}

// One test in this file: another one's connections would be counted too.
#[test]
fn from_socket_to_pool_and_feed_nothing_is_allocated_after_warm_up() {
    for is_secure in [false, true] {
        for format in [Format::Default, Format::SimpleList] {
            allocates_nothing(is_secure, format);
        }
    }
}

fn allocates_nothing(is_secure: bool, format: Format) {
    let mut config = ServerConfig { plain: !is_secure, ..ServerConfig::default() };
    config.exchange.speed = 400.0;
    let server = Server::start(config).unwrap();
    let markets = ["KRW-BTC", "KRW-ETH", "KRW-XRP", "KRW-SOL"];
    let mut builder = Engine::builder()
        .endpoint(Endpoint::custom(&server.url()).unwrap())
        .connect_ledger(ConnectLedger::Process)
        .format(format)
        // Both ways of reading the socket.
        .measure_latencies(format == Format::SimpleList)
        .ticker(markets)
        .trade(markets)
        .orderbook(markets)
        .candle(Interval::Second1, markets);
    if is_secure {
        builder = builder.root_certificates(server.ca_pem());
    }
    let engine = builder.start().unwrap();
    let throttle = Overflow::Throttle(Duration::from_millis(50));
    let policies = [Overflow::DROP_NEWEST, Overflow::DropOldest, Overflow::Conflate, throttle];
    let streams = || trade(markets).and(ticker(markets)).and(orderbook(markets));
    let mut feeds = policies.map(|overflow| engine.feed(streams(), overflow).unwrap());
    engine.wait_ready(Duration::from_secs(20)).unwrap();
    receive(&engine, &mut feeds, WARM_UP);
    let before = ALLOCATIONS.load(Relaxed);
    assert!(before > 0, "starting up allocates, so the count works");
    receive(&engine, &mut feeds, MEASURED);
    assert_eq!(ALLOCATIONS.load(Relaxed) - before, 0, "{MEASURED} messages in {format:?}, TLS: {is_secure}");
    engine.shutdown(Duration::from_secs(5)).into_result().unwrap();
}
