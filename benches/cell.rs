//! What do storing and loading a newest value cost, alone and while another thread uses the same value?
//!
//! `cargo bench -p hoga --bench cell`. At most two threads are busy. For comparison, `arc_swap` allocates an `Arc` for
//! each store, and `rwlock` is std's lock around a copy. `baseline` measures the harness and one copy.
//! `store_behind_readers` runs last: it loads from an `ArcSwap` on many threads, and arc-swap remembers them for the
//! life of the process, which slows all later stores.

#[path = "../tests/common/samples.rs"]
mod samples;

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Barrier, RwLock};
use std::thread;

use arc_swap::ArcSwap;
use criterion::{Criterion, criterion_group, criterion_main};
use hoga::model::*;
use hoga::pool::{self, DataPool, Handle, Publisher, Timeline, Verdict};
use hoga::sync::connection::ConnectionState;
use hoga::sync::latest;
use samples::*;

/// Calls `rival` in a loop on another thread while `measured` runs on this one.
fn against<R>(mut rival: impl FnMut() -> R + Send, measured: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    thread::scope(|s| {
        s.spawn(|| {
            while !stop.load(Relaxed) {
                black_box(rival());
                spin_loop();
            }
        });
        measured();
        stop.store(true, Relaxed);
    });
}

/// Calls `load` once on each of `threads` threads, which stay alive and idle while `measured` runs on this one.
fn behind<R>(threads: usize, load: impl Fn() -> R + Sync, measured: impl FnOnce()) {
    let (loaded, done) = (Barrier::new(threads + 1), Barrier::new(threads + 1));
    thread::scope(|s| {
        for _ in 0..threads {
            s.spawn(|| {
                black_box(load());
                loaded.wait();
                done.wait();
            });
        }
        loaded.wait();
        measured();
        done.wait();
    });
}

/// A stream and its next value. The pool's gate accepts each value as newer.
struct Source {
    pool: DataPool,
    publisher: Publisher<Ticker>,
    handle: Handle<Ticker>,
    ticker: Ticker,
    timeline: Timeline,
}

impl Source {
    fn new() -> Self {
        let (_clock, pool, _connection, publisher) = open(DataType::Ticker);
        let handle = pool.ticker("KRW-BTC").unwrap();
        let mut source = Self { pool, publisher, handle, ticker: ticker(1, 1.0), timeline: Timeline::new() };
        source.publish();
        assert_eq!((source.handle.version(), source.handle.load().timestamp), (1, 2));
        source
    }

    fn publish(&mut self) {
        self.ticker.timestamp += 1;
        let verdict =
            self.publisher.publish(&receipt(1, self.ticker.timestamp), &self.ticker, &self.timeline, || Nanos(1));
        assert_eq!(verdict, Verdict::Published);
    }
}

fn store(c: &mut Criterion) {
    let mut group = c.benchmark_group("store");
    let value = ticker(1, 1.0);
    let mut target = value;
    group.bench_function("baseline/ticker", |b| b.iter(|| target = black_box(value)));

    let (mut writer, _reader) = latest::cell();
    group.bench_function("cell/ticker", |b| b.iter(|| writer.publish(black_box(&value), 1, &receipt(1, 1), Nanos(1))));
    let (mut books, _reader) = latest::cell();
    let book = orderbook(1, 100.0);
    group.bench_function("cell/orderbook", |b| b.iter(|| books.publish(black_box(&book), 1, &receipt(1, 1), Nanos(1))));

    let mut source = Source::new();
    group.bench_function("publisher/ticker", |b| b.iter(|| source.publish()));
    let (_clock, _pool, _connection, mut trades) = open(DataType::Trade);
    let (mut next, mut id, timeline) = (trade(1, 1), 1, Timeline::new());
    group.bench_function("publisher/trade", |b| {
        b.iter(|| {
            id += 1;
            next.sequential_id = id.into();
            trades.publish(&receipt(1, 1), &next, &timeline, || Nanos(1))
        })
    });

    let swap = ArcSwap::from_pointee(value);
    group.bench_function("arc_swap/ticker", |b| b.iter(|| swap.store(Arc::new(black_box(value)))));
    let lock = RwLock::new(value);
    group.bench_function("rwlock/ticker", |b| b.iter(|| *lock.write().unwrap() = black_box(value)));
    group.finish();
}

fn store_against_a_reader(c: &mut Criterion) {
    let mut group = c.benchmark_group("store_against_a_reader");
    let value = ticker(1, 1.0);

    let (mut writer, reader) = latest::cell::<Ticker>();
    let load = || reader.load().get().map(|v| v.value.trade_price);
    against(load, || {
        group.bench_function("cell/ticker", |b| b.iter(|| writer.publish(&value, 1, &receipt(1, 1), Nanos(1))));
    });
    let mut cached = reader.cached();
    let load = || cached.load().map(|v| v.value.trade_price);
    against(load, || {
        group.bench_function("cell/ticker/cached", |b| b.iter(|| writer.publish(&value, 1, &receipt(1, 1), Nanos(1))));
    });
    let mut source = Source::new();
    let handle = source.handle.clone();
    let load = || handle.load().trade_price;
    against(load, || {
        group.bench_function("publisher/ticker", |b| b.iter(|| source.publish()));
    });
    let swap = ArcSwap::from_pointee(value);
    let load = || swap.load().trade_price;
    against(load, || {
        group.bench_function("arc_swap/ticker", |b| b.iter(|| swap.store(Arc::new(value))));
    });
    let lock = RwLock::new(value);
    let load = || lock.read().unwrap().trade_price;
    against(load, || {
        group.bench_function("rwlock/ticker", |b| b.iter(|| *lock.write().unwrap() = value));
    });
    group.finish();
}

fn store_behind_readers(c: &mut Criterion) {
    let mut group = c.benchmark_group("store_behind_readers");
    let (value, book) = (ticker(1, 1.0), orderbook(1, 100.0));
    for threads in [1, 64] {
        let (mut writer, reader) = latest::cell::<Ticker>();
        writer.publish(&value, 1, &receipt(1, 1), Nanos(1));
        let load = || reader.load().get().map(|v| v.value.trade_price);
        behind(threads, load, || {
            let row = format!("cell/ticker/{threads}");
            group.bench_function(row, |b| b.iter(|| writer.publish(&value, 1, &receipt(1, 1), Nanos(1))));
        });
        let (mut writer, reader) = latest::cell::<Orderbook>();
        writer.publish(&book, 1, &receipt(1, 1), Nanos(1));
        let load = || reader.load().get().map(|v| v.value.timestamp);
        behind(threads, load, || {
            let row = format!("cell/orderbook/{threads}");
            group.bench_function(row, |b| b.iter(|| writer.publish(&book, 1, &receipt(1, 1), Nanos(1))));
        });
        let swap = ArcSwap::from_pointee(value);
        let load = || swap.load().trade_price;
        behind(threads, load, || {
            let row = format!("arc_swap/ticker/{threads}");
            group.bench_function(row, |b| b.iter(|| swap.store(Arc::new(value))));
        });
    }
    group.finish();
}

fn load(c: &mut Criterion) {
    let mut group = c.benchmark_group("load");
    let source = Source::new();
    let handle = &source.handle;
    let mut cached = handle.cached();
    group.bench_function("handle", |b| b.iter(|| handle.load().trade_price));
    group.bench_function("handle/health", |b| b.iter(|| handle.load().health()));
    group.bench_function("if_newer/unchanged", |b| b.iter(|| handle.load_if_newer(black_box(1)).is_some()));
    group.bench_function("if_newer/changed", |b| b.iter(|| handle.load_if_newer(black_box(0)).map(|r| r.trade_price)));
    group.bench_function("cached", |b| b.iter(|| cached.load().trade_price));
    group.bench_function("cached/health", |b| b.iter(|| cached.load().health()));

    let swap = ArcSwap::from_pointee(source.ticker);
    group.bench_function("arc_swap", |b| b.iter(|| swap.load().trade_price));
    let lock = RwLock::new(source.ticker);
    group.bench_function("rwlock", |b| b.iter(|| lock.read().unwrap().trade_price));
    group.finish();
}

fn load_against_a_reader(c: &mut Criterion) {
    let mut group = c.benchmark_group("load_against_a_reader");
    let source = Source::new();
    let handle = &source.handle;
    against(
        || handle.load().trade_price,
        || {
            group.bench_function("handle", |b| b.iter(|| handle.load().trade_price));
        },
    );
    let mut version = 0;
    against(
        || handle.load_if_newer(1).is_some(),
        || {
            group.bench_function("if_newer", |b| {
                b.iter(|| {
                    if let Some(reading) = handle.load_if_newer(version) {
                        version = reading.version();
                    }
                })
            });
        },
    );
    let swap = ArcSwap::from_pointee(source.ticker);
    against(
        || swap.load().trade_price,
        || {
            group.bench_function("arc_swap", |b| b.iter(|| swap.load().trade_price));
        },
    );
    group.finish();
}

fn load_against_a_writer(c: &mut Criterion) {
    let mut group = c.benchmark_group("load_against_a_writer");
    let mut source = Source::new();
    let handle = source.handle.clone();
    against(
        || source.publish(),
        || {
            group.bench_function("handle", |b| b.iter(|| handle.load().trade_price));
            let mut version = 0;
            group.bench_function("if_newer", |b| {
                b.iter(|| {
                    if let Some(reading) = handle.load_if_newer(version) {
                        version = reading.version();
                    }
                })
            });
            let mut cached = handle.cached();
            group.bench_function("cached", |b| b.iter(|| cached.load().trade_price));
        },
    );
    let value = ticker(1, 1.0);
    let swap = ArcSwap::from_pointee(value);
    against(
        || swap.store(Arc::new(value)),
        || {
            group.bench_function("arc_swap", |b| b.iter(|| swap.load().trade_price));
        },
    );
    let lock = RwLock::new(value);
    against(
        || *lock.write().unwrap() = value,
        || {
            group.bench_function("rwlock", |b| b.iter(|| lock.read().unwrap().trade_price));
        },
    );
    group.finish();
}

fn batch(c: &mut Criterion) {
    const MARKETS: usize = 1_000;
    let pool = Source::new().pool;
    let connection = Arc::new(ConnectionState::new(ConnectionId(0), Nanos(0)));
    connection.opened(Epoch(1), Nanos(0), None);
    let markets: Vec<_> = (0..MARKETS).map(|i| market(&format!("KRW-M{i}"))).collect();
    let mut publishers: Vec<Publisher<Ticker>> = Vec::new();
    for &market in &markets {
        let mut publisher = pool::open(&pool, StreamKey::of(DataType::Ticker, market), connection.clone());
        publisher.publish(&receipt(1, 1), &Ticker { market, ..ticker(1, 1.0) }, &Timeline::new(), || Nanos(1));
        publishers.push(publisher);
    }
    let batch = pool.tickers(&markets).unwrap();
    let sum = || batch.load().map(|(_, reading)| reading.trade_price).sum::<f64>();
    assert_eq!(sum(), MARKETS as f64);

    let mut group = c.benchmark_group("batch");
    group.throughput(criterion::Throughput::Elements(MARKETS as u64));
    group.bench_function("1000_tickers", |b| b.iter(sum));
    group.finish();
}

criterion_group!(
    benches,
    store,
    store_against_a_reader,
    load,
    load_against_a_reader,
    load_against_a_writer,
    batch,
    store_behind_readers
);
criterion_main!(benches);
