//! Bithumb, an exchange with a similar protocol: other option names, levels from 1, and fewer types.

use std::time::Duration;

use hoga::config::BITHUMB;
use hoga::config::ConnectLedger;
use hoga::model::{NounKind, StreamType};
use hoga::prelude::*;
use hoga_exchange::{Config, Dialect, Server, ServerConfig};

const TIMEOUT: Duration = Duration::from_secs(60);

/// Regression: in one of its formats, Bithumb names the date of a trade differently, and such trades were refused.
#[test]
fn bithumb_is_read_in_each_of_its_formats() {
    let exchange = Config { markets: 12, speed: 20.0, ..Config::of(Dialect::Bithumb) };
    let server = Server::start(ServerConfig { plain: true, exchange, ..ServerConfig::default() }).unwrap();
    for format in BITHUMB.formats {
        let endpoint = Endpoint::custom(&server.url()).unwrap().with_dialect(BITHUMB);
        let builder = Engine::builder().endpoint(endpoint).connect_ledger(ConnectLedger::Process).format(*format);
        let engine = builder.ticker("KRW-BTC").trade("KRW-BTC").orderbook("KRW-BTC").start().unwrap();
        engine.wait_ready(TIMEOUT).unwrap();
        let counters = engine.connections()[0].counters;
        assert_eq!((counters.malformed, counters.decode.by_type[NounKind::Trade] > 0), (0, true), "{format:?}");
    }
    assert_eq!(server.stats().violations(), 0);
}

#[test]
fn bithumb_is_requested_with_its_own_option_names() {
    let exchange = Config { markets: 12, ..Config::of(Dialect::Bithumb) };
    let server = Server::start(ServerConfig { plain: true, exchange, ..ServerConfig::default() }).unwrap();
    let endpoint = Endpoint::custom(&server.url()).unwrap().with_dialect(BITHUMB);
    let engine = Engine::builder().endpoint(endpoint).connect_ledger(ConnectLedger::Process).start().unwrap();
    let mut changes = engine.feed(orderbook("KRW-BTC").levels(3).only_realtime(), Overflow::DROP_NEWEST).unwrap();
    let _held = engine.subscribe(ticker("KRW-BTC").and(trade("KRW-BTC"))).unwrap();
    let mut seen = 0;
    while seen < 5 {
        assert!(changes.wait(TIMEOUT).unwrap(), "no books");
        while let Some(item) = changes.pop() {
            let Item::Data(update) = item else { continue };
            let book = update.value;
            assert_eq!((book.stream_type, book.level.get()), (StreamType::Realtime, None));
            assert!(book.asks.len() <= 3 && !book.asks.is_empty());
            // The wire has microseconds, the stamp has ms.
            assert!(update.stamps.exchange_ms < 100_000_000_000_000, "{:?}", update.stamps);
            seen += 1;
        }
    }
    engine.wait_ready(TIMEOUT).unwrap();
    assert!(engine.pool().orderbook("KRW-BTC").unwrap().load().health().is_live());
    assert_eq!(engine.connections()[0].unrouted, 0);
    assert_eq!(server.stats().violations(), 0);
}

/// Regression: Bithumb reports level 1 for ungrouped books, so a book grouped by 1 could not be distinguished, and its
/// stream stayed silent.
#[test]
fn a_step_that_groups_nothing_is_refused() {
    let exchange = Config { markets: 12, speed: 20.0, ..Config::of(Dialect::Bithumb) };
    let server = Server::start(ServerConfig { plain: true, exchange, ..ServerConfig::default() }).unwrap();
    let endpoint = Endpoint::custom(&server.url()).unwrap().with_dialect(BITHUMB);
    let engine = Engine::builder().endpoint(endpoint).connect_ledger(ConnectLedger::Process).start().unwrap();
    let refused = engine.subscribe(orderbook("KRW-BTC").grouped(1.0)).unwrap_err().to_string();
    assert!(refused.contains("a step of 1") && refused.contains("without a step"), "{refused}");

    let grouped = engine.subscribe(orderbook("KRW-BTC").grouped(10_000.0).and(orderbook("KRW-BTC"))).unwrap();
    grouped.wait_confirmed(TIMEOUT).unwrap();
    assert_eq!(engine.connections()[0].unrouted, 0);
    assert_eq!(server.stats().violations(), 0);
}
