//! Reads of many markets at one instant, and of the markets that changed since the last read.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::{hint, iter};

use crate::samples::{ManualClock, market, receipt, ticker};
use hoga::model::{Clock, ConnectionId, DataType, Epoch, Nanos, StreamKey, Ticker};
use hoga::net::SystemClock;
use hoga::pool::{self, BatchCursor, DataPool, Publisher, Timeline};
use hoga::sync::connection::ConnectionState;

const CODES: [&str; 4] = ["KRW-BTC", "KRW-ETH", "KRW-XRP", "KRW-SOL"];

fn open(clock: Arc<dyn Clock>) -> (DataPool, Vec<Publisher<Ticker>>) {
    let pool = pool::empty(clock, DataPool::STALE_AFTER);
    let connection = Arc::new(ConnectionState::new(ConnectionId(0), Nanos(0)));
    connection.opened(Epoch(1), Nanos(0), None);
    let key = |code| StreamKey::of(DataType::Ticker, market(code));
    let publishers = CODES.map(|code| pool::open(&pool, key(code), connection.clone())).into();
    (pool, publishers)
}

/// Publishes a ticker whose timestamp and price are `count`, so that tests can tell updates apart.
fn put(publisher: &mut Publisher<Ticker>, count: u64, published: Nanos) {
    publisher.publish(&receipt(1, published.0), &ticker(count, count as f64), &Timeline::new(), || published);
}

#[test]
fn each_changed_market_is_reported_once() {
    let (pool, mut publishers) = open(ManualClock::at(0));
    let (mut batch, mut cursor) = (pool.tickers(CODES), BatchCursor::default());
    let mut changed = || -> Vec<_> {
        let changed = batch.changed_since(&mut cursor);
        changed.map(|reading| (reading.key().scope.to_string(), reading.value().unwrap().trade_price)).collect()
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
fn markets_that_an_iterator_did_not_reach_are_reported_next_time() {
    let (pool, mut publishers) = open(ManualClock::at(0));
    let (mut batch, mut cursor) = (pool.tickers(CODES), BatchCursor::default());
    publishers.iter_mut().for_each(|publisher| put(publisher, 1, Nanos(1)));
    assert_eq!(batch.changed_since(&mut cursor).take(1).count(), 1);
    assert_eq!(batch.changed_since(&mut cursor).count(), CODES.len() - 1);
    assert_eq!(batch.changed_since(&mut cursor).count(), 0);
}

#[test]
fn no_reading_is_newer_than_the_instant() {
    let clock = ManualClock::at(10);
    let (pool, mut publishers) = open(clock.clone());
    let (batch, mut readings) = (pool.tickers(CODES), Vec::new());
    assert_eq!(batch.load_at_once(&mut readings), Some(Nanos(10)), "a market without data is included");
    assert!(readings.len() == CODES.len() && readings.iter().all(|reading| reading.value().is_none()));
    put(&mut publishers[1], 1, Nanos(11));
    assert_eq!(batch.load_at_once(&mut readings), None, "published later than the clock's time");
    assert!(readings.is_empty());
    clock.set(11);
    assert_eq!(batch.load_at_once(&mut readings), Some(Nanos(11)));
    assert_eq!(readings[1].value().unwrap().trade_price, 1.0);
}

#[test]
fn a_batch_without_markets_is_never_disturbed() {
    let (pool, _publishers) = open(ManualClock::at(10));
    let (nothing, mut readings) = (pool.tickers([""; 0]), Vec::new());
    assert_eq!(nothing.load_at_once(&mut readings), Some(Nanos(10)));
    assert!(readings.is_empty());
}

/// An update gets its stamp before it becomes visible. So the instant of a read may be later than the stamp of an
/// update that the read did not see. The versions show that the update is newer.
#[test]
fn an_update_that_is_being_published_is_newer_by_its_version() {
    let clock = ManualClock::at(10);
    let (pool, mut publishers) = open(clock.clone());
    let (batch, mut readings) = (pool.tickers(CODES), Vec::new());
    publishers.iter_mut().for_each(|publisher| put(publisher, 1, Nanos(10)));
    publishers[0].publish(&receipt(1, 20), &ticker(2, 2.0), &Timeline::new(), || {
        clock.set(30);
        assert_eq!(batch.load_at_once(&mut readings), Some(Nanos(30)), "only visible updates count");
        Nanos(20)
    });
    assert_eq!(readings[0].value().unwrap().trade_price, 1.0);
    let newer = |place: usize| batch.handles()[place].load_if_newer(readings[place].version());
    assert_eq!(newer(0).map(|reading| reading.value().unwrap().trade_price), Some(2.0));
    assert!(newer(1).is_none());
}

/// A clock that publishes an update at each of the next `left` calls.
#[derive(Default)]
struct BusyClock {
    left: AtomicU64,
    published: AtomicU64,
    publisher: Mutex<Option<Publisher<Ticker>>>,
}

impl Clock for BusyClock {
    fn now(&self) -> Nanos {
        if self.left.load(Relaxed) > 0 {
            self.left.fetch_sub(1, Relaxed);
            let newer = 2 + self.published.fetch_add(1, Relaxed);
            let mut publisher = self.publisher.lock().unwrap();
            // The stamp does not show that the read was disturbed.
            put(publisher.as_mut().unwrap(), newer, Nanos(2));
        }
        Nanos(100)
    }
}

#[test]
fn an_update_between_the_two_loads_of_a_market_restarts_the_read() {
    let clock = Arc::new(BusyClock::default());
    let (pool, mut publishers) = open(clock.clone());
    publishers.iter_mut().for_each(|publisher| put(publisher, 1, Nanos(1)));
    *clock.publisher.lock().unwrap() = Some(publishers.remove(0));
    let (batch, mut readings) = (pool.tickers(CODES), Vec::new());
    let mut read_behind = |updates: u64| {
        clock.left.store(updates, Relaxed);
        let instant = batch.load_at_once(&mut readings);
        (instant, readings.iter().map(|reading| reading.version()).collect::<Vec<_>>())
    };
    assert_eq!(read_behind(0), (Some(Nanos(100)), vec![1, 1, 1, 1]));
    assert_eq!(read_behind(1), (Some(Nanos(100)), vec![2, 1, 1, 1]));
    assert_eq!(read_behind(15), (Some(Nanos(100)), vec![17, 1, 1, 1]));
    assert_eq!(read_behind(16), (None, vec![]), "sixteen attempts were disturbed");
    assert_eq!(read_behind(0), (Some(Nanos(100)), vec![33, 1, 1, 1]));
}

/// Regression: two values may be in publication at once. A read returned the second together with the value that the
/// first had replaced.
#[test]
fn values_that_were_never_visible_together_are_not_returned_together() {
    const ROUNDS: u64 = 30;
    let clock = SystemClock::new();
    let (pool, mut publishers) = open(Arc::new(clock));
    let [first, idle, last] = [CODES[0], CODES[1], CODES[2]];
    // The idle market repeats so often that both updates fall into one read.
    let codes: Vec<_> = iter::once(first).chain(iter::repeat_n(idle, 200_000)).chain(iter::once(last)).collect();
    let batch = pool.tickers(codes);
    let (reads, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=ROUNDS {
                let (stamp, begun) = (clock.now(), reads.load(Relaxed));
                while reads.load(Relaxed) == begun {
                    thread::yield_now();
                }
                (0..1_000).for_each(|_| hint::spin_loop());
                put(&mut publishers[0], round, stamp);
                put(&mut publishers[2], round, stamp);
            }
            is_over.store(true, Relaxed);
        });
        let (mut readings, mut failed, mut apart) = (Vec::new(), 0, None);
        while !is_over.load(Relaxed) {
            reads.fetch_add(1, Relaxed);
            if batch.load_at_once(&mut readings).is_some() {
                let (ahead, behind) = (readings[0].version(), readings[readings.len() - 1].version());
                apart = apart.or((behind > ahead).then_some((ahead, behind)));
                readings.clear();
            } else {
                failed += 1;
            }
        }
        assert_eq!(apart, None, "the second value is never visible before the first");
        // The writer waits for the next read before each round, so a read meets two updates at most.
        assert_eq!(failed, 0, "the third attempt of a read is not disturbed");
    });
}

/// The writer publishes the markets in order, round after round, so the first is at most one ahead of the last.
#[test]
fn readings_of_one_instant_are_consistent_while_a_writer_cycles_through_the_markets() {
    const ROUNDS: u64 = 20_000;
    let clock = SystemClock::new();
    let (pool, mut publishers) = open(Arc::new(clock));
    let batch = pool.tickers(CODES);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=ROUNDS {
                publishers.iter_mut().for_each(|publisher| put(publisher, round, clock.now()));
                // Without a pause of the writer, no read of one instant succeeds.
                if round % 8 == 0 {
                    thread::yield_now();
                }
            }
            is_over.store(true, Relaxed);
        });
        let (mut readings, mut last) = (Vec::new(), 0);
        loop {
            let is_last = is_over.load(Relaxed);
            if let Some(cut) = batch.load_at_once(&mut readings) {
                let counts: Vec<_> = readings.iter().map(|reading| reading.version()).collect();
                assert!(readings.iter().all(|reading| reading.stamps().is_none_or(|s| s.published <= cut)));
                assert!(counts.windows(2).all(|pair| pair[0] >= pair[1]), "{counts:?}");
                assert!(counts[0] - counts[CODES.len() - 1] <= 1, "{counts:?}");
                assert!(counts[0] >= last, "the readings are older than those of the previous instant");
                last = counts[0];
            }
            if is_last {
                break;
            }
        }
        assert_eq!(last, ROUNDS);
    });
}
