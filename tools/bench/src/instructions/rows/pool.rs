//! The pool: the cost for the connection's thread to publish a newest value, and for a strategy to load it.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use hoga::model::{Clock, ConnectionId, DataType, Epoch, Market, Nanos, Receipt, StreamKey, Ticker};
use hoga::net::SystemClock;
use hoga::pool::{self, CachedHandle, Handle, Publisher, Timeline, Verdict};
use hoga::sync::connection::ConnectionState;
use hoga_bench::counting::Work;

use super::{RECEIPT, Row, decode};

/// Streams, each published or loaded once per run.
const MARKETS: usize = 256;

pub fn rows() -> Vec<Row> {
    vec![
        Row::new("publish ticker", MARKETS, || {
            let mut source = Source::new();
            move || source.publish()
        }),
        Row::new("load ticker, unchanged, cached handle", MARKETS, || {
            let source = Source::new();
            let mut handles = source.cached();
            move || load_cached(&mut handles)
        }),
        Row::new("load ticker, changed, cached handle", MARKETS, || {
            let source = Source::new();
            Changed { handles: source.cached(), source }
        }),
        Row::new("load ticker, handle", MARKETS, || {
            let source = Source::new();
            move || source.handles.iter().for_each(|handle| _ = black_box(handle.load().value().unwrap().trade_price))
        }),
        Row::new("load ticker with its health, cached handle", MARKETS, || {
            let source = Source::new();
            let mut handles = source.cached();
            move || load_cached_with_health(&mut handles)
        }),
    ]
}

/// The only function of this program that loads cached handles, so that the compiler inlines the load as it does in a
/// strategy.
#[inline(never)]
fn load_cached(handles: &mut [CachedHandle<Ticker>]) {
    for handle in handles {
        black_box(handle.load().value().unwrap().trade_price);
    }
}

/// Each health is that of a live value, so that all of its conditions are checked.
#[inline(never)]
fn load_cached_with_health(handles: &mut [CachedHandle<Ticker>]) {
    for handle in handles {
        let reading = handle.load();
        black_box((reading.value().unwrap().trade_price, reading.health()));
    }
}

/// Returns market names, all different.
pub fn markets() -> impl Iterator<Item = Market> {
    (0..MARKETS).map(|i| format!("KRW-M{i}").parse().expect("a market"))
}

/// A pool of tickers, and the next value of each.
struct Source {
    publishers: Vec<Publisher<Ticker>>,
    handles: Vec<Handle<Ticker>>,
    tickers: Vec<Ticker>,
    receipt: Receipt,
}

impl Source {
    fn new() -> Self {
        let (clock, ticker) = (SystemClock::new(), decode::ticker());
        let (pool, connection) = (
            // Nothing becomes stale, however slow the counting is.
            pool::empty(Arc::new(clock), Duration::MAX),
            Arc::new(ConnectionState::new(ConnectionId(0), clock.now())),
        );
        connection.opened(Epoch(1), clock.now(), None);
        let key = |market| StreamKey::of(DataType::Ticker, market);
        let mut source = Self {
            publishers: markets().map(|market| pool::open(&pool, key(market), connection.clone())).collect(),
            handles: markets().map(|market| pool.ticker(market).expect("an open stream")).collect(),
            tickers: markets().map(|market| Ticker { market, ..ticker }).collect(),
            receipt: Receipt { received: clock.now(), ..RECEIPT },
        };
        source.publish();
        source
    }

    /// Publishes a newer value of every market.
    fn publish(&mut self) {
        let timeline = Timeline::new();
        for (publisher, ticker) in self.publishers.iter_mut().zip(&mut self.tickers) {
            ticker.timestamp += 1;
            let verdict = publisher.publish(&self.receipt, ticker, &timeline, || Nanos(1));
            assert_eq!(verdict, Verdict::Published);
        }
    }

    fn cached(&self) -> Vec<CachedHandle<Ticker>> {
        self.handles.iter().map(Handle::cached).collect()
    }
}

/// Loads of values that have changed since the last load.
struct Changed {
    source: Source,
    handles: Vec<CachedHandle<Ticker>>,
}

impl Work for Changed {
    fn prepare(&mut self) {
        self.source.publish();
    }

    fn run(&mut self) {
        load_cached(&mut self.handles);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The loads have no result, so that nothing else is counted. This checks what they would return.
    #[test]
    fn both_kinds_of_handles_load_the_values_that_were_published() {
        let mut source = Source::new();
        let mut cached = source.cached();
        for _ in 0..2 {
            source.publish();
            for (i, ticker) in source.tickers.iter().enumerate() {
                assert_eq!(source.handles[i].load().value(), Some(ticker));
                assert_eq!(cached[i].load().value(), Some(ticker));
                assert!(cached[i].load().health().is_live());
            }
            load_cached(&mut cached);
        }
    }
}
