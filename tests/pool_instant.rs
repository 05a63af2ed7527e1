//! Many markets at one instant, and what changed since the last look.

mod pool_samples;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use hoga::model::{Clock, DataType, Epoch, Nanos, StreamKey, Ticker};
use hoga::net::SystemClock;
use hoga::pool::{BatchCursor, DataPool, Link, Publisher};
use pool_samples::{ManualClock, market, receipt, ticker};

const CODES: [&str; 4] = ["KRW-BTC", "KRW-ETH", "KRW-XRP", "KRW-SOL"];

fn open(clock: Arc<dyn Clock>) -> (DataPool, Vec<Publisher<Ticker>>) {
    let pool = DataPool::new(clock);
    let link = Arc::new(Link::new(Nanos(0)));
    link.up(Epoch(1), Nanos(0));
    let key = |code| StreamKey { data_type: DataType::Ticker, market: market(code) };
    let publishers = CODES.map(|code| pool.open(key(code), link.clone())).into();
    (pool, publishers)
}

/// The value counts, so that a reader can tell how old it is.
fn put(publisher: &mut Publisher<Ticker>, count: u64, published: Nanos) {
    publisher.publish(&receipt(1, published.0), &ticker(count, count as f64), || published);
}

#[test]
fn each_market_that_changed_is_told_once() {
    let (pool, mut publishers) = open(ManualClock::at(0));
    let (batch, mut cursor) = (pool.tickers(CODES).unwrap(), BatchCursor::default());
    let mut changed = || -> Vec<_> {
        let changed = batch.changed_since(&mut cursor);
        changed.map(|(market, reading)| (market.to_string(), reading.trade_price)).collect()
    };
    let pair = |place: usize, price: f64| (CODES[place].to_owned(), price);
    assert_eq!(changed(), []);
    put(&mut publishers[2], 1, Nanos(1));
    put(&mut publishers[0], 1, Nanos(1));
    assert_eq!(changed(), [pair(0, 1.0), pair(2, 1.0)]);
    assert_eq!(changed(), [], "nothing since");
    put(&mut publishers[2], 2, Nanos(2));
    put(&mut publishers[2], 3, Nanos(3));
    assert_eq!(changed(), [pair(2, 3.0)], "the newest, once");
}

#[test]
fn what_an_iterator_did_not_come_to_is_told_next_time() {
    let (pool, mut publishers) = open(ManualClock::at(0));
    let (batch, mut cursor) = (pool.tickers(CODES).unwrap(), BatchCursor::default());
    publishers.iter_mut().for_each(|publisher| put(publisher, 1, Nanos(1)));
    assert_eq!(batch.changed_since(&mut cursor).take(1).count(), 1);
    assert_eq!(batch.changed_since(&mut cursor).count(), CODES.len() - 1);
    assert_eq!(batch.changed_since(&mut cursor).count(), 0);
}

#[test]
fn no_reading_is_newer_than_the_instant() {
    let clock = ManualClock::at(10);
    let (pool, mut publishers) = open(clock.clone());
    let (batch, mut readings) = (pool.tickers(CODES).unwrap(), Vec::new());
    assert_eq!(batch.load_at_once(&mut readings), Some(Nanos(10)), "no data is an answer too");
    assert!(readings.len() == CODES.len() && readings.iter().all(|reading| reading.value().is_none()));
    put(&mut publishers[1], 1, Nanos(11));
    assert_eq!(batch.load_at_once(&mut readings), None, "published after any instant there is");
    assert!(readings.is_empty());
    clock.set(11);
    assert_eq!(batch.load_at_once(&mut readings), Some(Nanos(11)));
    assert_eq!(readings[1].trade_price, 1.0);
}

/// One after the other, round after round: at any instant the first market is at most one ahead of the last.
#[test]
fn readings_of_one_instant_fit_together_while_a_writer_goes_round() {
    const ROUNDS: u64 = 20_000;
    let clock = SystemClock::new();
    let (pool, mut publishers) = open(Arc::new(clock));
    let batch = pool.tickers(CODES).unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=ROUNDS {
                publishers.iter_mut().for_each(|publisher| put(publisher, round, clock.now()));
                // Room for a reader: whoever publishes without pause is never seen at one instant.
                if round % 8 == 0 {
                    thread::yield_now();
                }
            }
            over.store(true, Relaxed);
        });
        let (mut readings, mut last) = (Vec::new(), 0);
        loop {
            let is_last = over.load(Relaxed);
            if let Some(cut) = batch.load_at_once(&mut readings) {
                let counts: Vec<_> = readings.iter().map(|reading| reading.version()).collect();
                assert!(readings.iter().all(|reading| reading.stamps().is_none_or(|s| s.published <= cut)));
                assert!(counts.windows(2).all(|pair| pair[0] >= pair[1]), "{counts:?}");
                assert!(counts[0] - counts[CODES.len() - 1] <= 1, "{counts:?}");
                assert!(counts[0] >= last, "an instant before the one before");
                last = counts[0];
            }
            if is_last {
                break;
            }
        }
        assert_eq!(last, ROUNDS);
    });
}
