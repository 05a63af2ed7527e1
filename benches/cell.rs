//! What do publishing and reading a newest value cost, alone and while other threads use the same value?
//!
//! `cargo bench -p hoga --bench cell` prints a table for hoga's cell and what could take its place, and one for the
//! operations of the pool. All candidates of a row alternate in short turns; `ns` is the median of the turns, and
//! `ratio` the median of the ratios to arc-swap in the same round. At most two threads are busy, except in the rows with
//! 4 and 8 readers, which share the cores. The rows behind 64 threads come last: arc-swap remembers these threads for the
//! life of the process, which slows all later stores.

#[path = "cell/candidates.rs"]
mod candidates;
#[path = "../tests/common/samples.rs"]
mod samples;

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use candidates::*;
use hoga::model::*;
use hoga::net::SystemClock;
use hoga::pool::{self, DataPool, Handle, Publisher, Timeline};
use hoga::sync::connection::ConnectionState;
use samples::*;

/// Operations between two looks at the clock.
const OPERATIONS: u64 = 256;
/// Values that are read one after another in the rows "changed".
const VALUES: usize = 64;

/// A row's measurement of one candidate: ns per operation. `None` if the candidate cannot do it.
type Measure<T> = fn(&T) -> Option<f64>;

/// Returns a row's measurement of each candidate.
macro_rules! each_candidate {
    ($row:ident) => {
        each_candidate!($row; Swap Hoga Recycled Versioned TriedLocks LeftRight TripleBuffer Locked)
    };
    ($row:ident; $($candidate:ident)*) => {
        vec![$((<$candidate as Candidate<T>>::NAME, $row::<T, $candidate> as Measure<T>)),*]
    };
}

/// Whether this is `cargo bench`. `cargo test` runs each measurement once.
fn is_measuring() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

#[allow(clippy::disallowed_methods, reason = "this measures")]
fn now() -> Instant {
    Instant::now()
}

/// Returns the ns that `operation` takes, measured for about 3 ms.
fn time(mut operation: impl FnMut()) -> f64 {
    let slice = if is_measuring() { Duration::from_millis(3) } else { Duration::ZERO };
    let (start, mut count) = (now(), 0);
    loop {
        (0..OPERATIONS).for_each(|_| operation());
        count += OPERATIONS;
        let elapsed = start.elapsed();
        if elapsed >= slice {
            return elapsed.as_nanos() as f64 / count as f64;
        }
    }
}

/// Prevents the compiler from leaving out a read.
fn consume<R>(read: R) {
    black_box(read);
}

/// Runs `rivals` in a loop on other threads while `measured` runs on this one.
fn against(rivals: Vec<impl FnMut() + Send>, measured: impl FnOnce() -> f64) -> Option<f64> {
    let (stop, started) = (AtomicBool::new(false), Barrier::new(rivals.len() + 1));
    thread::scope(|scope| {
        for mut rival in rivals {
            let (stop, started) = (&stop, &started);
            scope.spawn(move || {
                started.wait();
                while !stop.load(Relaxed) {
                    rival();
                }
            });
        }
        started.wait();
        let measured = measured();
        stop.store(true, Relaxed);
        Some(measured)
    })
}

fn publish_alone<T: Value, C: Candidate<T>>(value: &T) -> Option<f64> {
    let (mut writer, _reader) = C::cell(value);
    Some(time(|| C::publish(&mut writer, black_box(value))))
}

fn publish_against_a_reader<T: Value, C: Candidate<T>>(value: &T) -> Option<f64> {
    let (mut writer, mut reader) = C::cell(value);
    let rival = move || consume(C::load(&mut reader));
    against(vec![rival], || time(|| C::publish(&mut writer, black_box(value))))
}

/// Each thread loads once, and then lives on.
fn publish_behind<T: Value, C: Candidate<T>>(value: &T, threads: usize) -> Option<f64> {
    let (mut writer, reader) = C::cell(value);
    let (loaded, done) = (Barrier::new(threads + 1), Barrier::new(threads + 1));
    let readers: Vec<_> = (0..threads).map(|_| C::another(&reader)).collect::<Option<_>>()?;
    thread::scope(|scope| {
        for mut reader in readers {
            let (loaded, done) = (&loaded, &done);
            scope.spawn(move || {
                black_box(C::load(&mut reader));
                loaded.wait();
                done.wait();
            });
        }
        loaded.wait();
        let measured = time(|| C::publish(&mut writer, black_box(value)));
        done.wait();
        Some(measured)
    })
}

fn publish_behind_1<T: Value, C: Candidate<T>>(value: &T) -> Option<f64> {
    publish_behind::<T, C>(value, 1)
}

fn publish_behind_64<T: Value, C: Candidate<T>>(value: &T) -> Option<f64> {
    publish_behind::<T, C>(value, 64)
}

fn load_alone<T: Value, C: Candidate<T>>(value: &T) -> Option<f64> {
    let (_writer, mut reader) = C::cell(value);
    Some(time(|| consume(C::load(&mut reader))))
}

fn load_whole<T: Value, C: Candidate<T>>(value: &T) -> Option<f64> {
    let (_writer, mut reader) = C::cell(value);
    Some(time(|| consume(C::whole(&mut reader))))
}

fn load_beside<T: Value, C: Candidate<T>>(value: &T, others: usize) -> Option<f64> {
    let (_writer, mut reader) = C::cell(value);
    let others: Vec<_> = (0..others).map(|_| C::another(&reader)).collect::<Option<_>>()?;
    let rivals = others.into_iter().map(|mut other| move || (0..16).for_each(|_| consume(C::load(&mut other))));
    against(rivals.collect(), || time(|| consume(C::load(&mut reader))))
}

fn load_beside_1<T: Value, C: Candidate<T>>(value: &T) -> Option<f64> {
    load_beside::<T, C>(value, 1)
}

fn load_beside_3<T: Value, C: Candidate<T>>(value: &T) -> Option<f64> {
    load_beside::<T, C>(value, 3)
}

fn load_beside_7<T: Value, C: Candidate<T>>(value: &T) -> Option<f64> {
    load_beside::<T, C>(value, 7)
}

fn load_against_a_writer<T: Value, C: Candidate<T>>(value: &T) -> Option<f64> {
    let (mut writer, mut reader) = C::cell(value);
    let value = *value;
    let rival = move || C::publish(&mut writer, black_box(&value));
    against(vec![rival], || time(|| consume(C::load(&mut reader))))
}

/// The writer publishes ten values a second.
fn load_against_a_slow_writer<T: Value, C: Candidate<T>>(value: &T) -> Option<f64> {
    let (mut writer, mut reader) = C::cell(value);
    let (value, pause) = (*value, Duration::from_millis(if is_measuring() { 100 } else { 1 }));
    let rival = move || {
        C::publish(&mut writer, black_box(&value));
        thread::sleep(pause);
    };
    against(vec![rival], || time(|| consume(C::load(&mut reader))))
}

fn poll_unchanged<T: Value, C: Candidate<T>>(value: &T) -> Option<f64> {
    let (_writer, mut reader) = C::cell(value);
    Some(time(|| consume(C::poll(&mut reader))))
}

/// The ends of many cells, which hold one value each.
type Cells<T, C> = (Vec<<C as Candidate<T>>::Writer>, Vec<<C as Candidate<T>>::Reader>);

fn publish_all<T: Value, C: Candidate<T>>(writers: &mut [C::Writer], value: &T) {
    writers.iter_mut().for_each(|writer| C::publish(writer, black_box(value)));
}

/// Returns the ns per read of reading each of many values once, after `change` has changed all of them.
fn poll_each<T: Value, C: Candidate<T>>(readers: &mut [C::Reader], mut change: impl FnMut()) -> f64 {
    let rounds = if is_measuring() { 100 } else { 1 };
    let mut spent = Duration::ZERO;
    for _ in 0..rounds {
        change();
        let start = now();
        readers.iter_mut().for_each(|reader| consume(C::poll(reader)));
        spent += start.elapsed();
    }
    spent.as_nanos() as f64 / (rounds * readers.len()) as f64
}

fn poll_changed_by_this_core<T: Value, C: Candidate<T>>(value: &T) -> Option<f64> {
    let (mut writers, mut readers): Cells<T, C> = (0..VALUES).map(|_| C::cell(value)).unzip();
    Some(poll_each::<T, C>(&mut readers, || publish_all::<T, C>(&mut writers, value)))
}

fn poll_changed_by_another_core<T: Value, C: Candidate<T>>(value: &T) -> Option<f64> {
    let (mut writers, mut readers): Cells<T, C> = (0..VALUES).map(|_| C::cell(value)).unzip();
    let ((ask, asked), (tell, done)) = (mpsc::channel::<()>(), mpsc::channel());
    let value = *value;
    thread::scope(|scope| {
        scope.spawn(move || {
            while asked.recv().is_ok() {
                publish_all::<T, C>(&mut writers, &value);
                tell.send(()).expect("the other thread waits");
            }
        });
        let change = || {
            ask.send(()).expect("the thread waits");
            // Spins, so that the other thread stays on the other core.
            while done.try_recv().is_err() {
                std::hint::spin_loop();
            }
        };
        let measured = poll_each::<T, C>(&mut readers, change);
        drop(ask);
        Some(measured)
    })
}

/// Measures all candidates in short turns, and prints the row. Ratios are to the first candidate.
fn print_row<T>(name: &str, value: &T, candidates: &[(&str, Measure<T>)]) {
    let rounds = if is_measuring() { 31 } else { 1 };
    let mut turns = vec![Vec::new(); candidates.len()];
    for round in 0..rounds {
        let mut measured: Vec<Option<f64>> = vec![None; candidates.len()];
        for turn in 0..candidates.len() {
            let at = (turn + round) % candidates.len();
            measured[at] = candidates[at].1(value);
        }
        let base = measured[0];
        for (turns, ns) in turns.iter_mut().zip(measured) {
            turns.extend(ns.zip(base).map(|(ns, base)| (ns, ns / base)));
        }
    }
    println!("{name:<44} {:>9} {:>7}    min..max", "ns", "ratio");
    for ((candidate, _), turns) in candidates.iter().zip(turns) {
        if turns.is_empty() {
            continue;
        }
        let (mut ns, mut ratios): (Vec<_>, Vec<_>) = turns.into_iter().unzip();
        ns.sort_by(f64::total_cmp);
        ratios.sort_by(f64::total_cmp);
        let (median, ratio) = (ns[ns.len() / 2], ratios[ratios.len() / 2]);
        println!("  {candidate:<42} {median:>9.1} {ratio:>7.2}    {:.1}..{:.1}", ns[0], ns[ns.len() - 1]);
    }
}

fn cells<T: Value>(noun: &str, value: &T) {
    let (mut writer, mut reader) = Hoga::cell(value);
    Hoga::publish(&mut writer, value);
    assert_eq!((Hoga::load(&mut reader), Hoga::whole(&mut reader)), (value.part(), value.whole()));
    let rows = [
        ("publish, alone", each_candidate!(publish_alone)),
        ("publish, against 1 reader", each_candidate!(publish_against_a_reader)),
        ("load, alone", each_candidate!(load_alone)),
        ("load, 2 readers", each_candidate!(load_beside_1)),
        ("load, 4 readers", each_candidate!(load_beside_3)),
        ("load, 8 readers", each_candidate!(load_beside_7)),
        ("load, against a busy writer", each_candidate!(load_against_a_writer)),
        ("load, against 10 updates a second", each_candidate!(load_against_a_slow_writer)),
        ("load, reading everything", each_candidate!(load_whole)),
        ("poll, unchanged", each_candidate!(poll_unchanged)),
        ("poll, changed by this core", each_candidate!(poll_changed_by_this_core)),
        ("poll, changed by another core", each_candidate!(poll_changed_by_another_core)),
    ];
    for (name, candidates) in rows {
        print_row(&format!("{noun}: {name}"), value, &candidates);
    }
}

fn cells_behind_threads<T: Value>(noun: &str, value: &T) {
    let rows = [
        ("publish, after 1 thread has loaded", each_candidate!(publish_behind_1)),
        ("publish, after 64 threads have loaded", each_candidate!(publish_behind_64)),
    ];
    for (name, candidates) in rows {
        print_row(&format!("{noun}: {name}"), value, &candidates);
    }
}

/// The pool with one ticker, on the system's clock.
fn ticker_handle() -> (Publisher<Ticker>, Handle<Ticker>) {
    let clock = Arc::new(SystemClock::new());
    let pool = pool::empty(clock.clone(), DataPool::STALE_AFTER);
    let connection = Arc::new(ConnectionState::new(ConnectionId(0), clock.now()));
    connection.opened(Epoch(1), clock.now(), None);
    let mut publisher = pool::open(&pool, btc(DataType::Ticker), connection);
    let now = clock.now();
    publisher.publish(&receipt(1, now.0), &ticker(1, 1.0), &Timeline::new(), || now);
    (publisher, pool.ticker("KRW-BTC").unwrap())
}

fn pool_operations() {
    let rows: [(&str, Measure<()>); 5] = [
        ("load", |()| {
            let (_publisher, handle) = ticker_handle();
            Some(time(|| consume(handle.load().value().unwrap().trade_price)))
        }),
        ("load, health", |()| {
            let (_publisher, handle) = ticker_handle();
            assert!(handle.load().health().is_live());
            Some(time(|| {
                let reading = handle.load();
                black_box((reading.value().unwrap().trade_price, reading.health()));
            }))
        }),
        ("cached load", |()| {
            let (_publisher, handle) = ticker_handle();
            let mut cached = handle.cached();
            Some(time(|| consume(cached.load().value().unwrap().trade_price)))
        }),
        ("cached load, health", |()| {
            let (_publisher, handle) = ticker_handle();
            let mut cached = handle.cached();
            Some(time(|| consume(cached.load().health())))
        }),
        ("load if newer, unchanged", |()| {
            let (_publisher, handle) = ticker_handle();
            Some(time(|| consume(handle.load_if_newer(black_box(1)).is_some())))
        }),
    ];
    print_row("pool: operations of a handle", &(), &rows);
    let rows: [(&str, Measure<Batch1000>); 1] = [("load, per ticker", |batch| {
        let mut tickers = batch.pool_batch.clone();
        let mut sum = || tickers.load().filter_map(|(_, quote)| Some(quote.value()?.trade_price)).sum::<f64>();
        Some(time(|| consume(sum())) / batch.pool_batch.len() as f64)
    })];
    print_row("pool: batch of 1000 tickers", &Batch1000::new(), &rows);
}

/// A batch of a thousand tickers.
struct Batch1000 {
    pool_batch: pool::Batch<Ticker>,
}

impl Batch1000 {
    fn new() -> Self {
        let pool = pool::empty(ManualClock::at(0), DataPool::STALE_AFTER);
        let connection = Arc::new(ConnectionState::new(ConnectionId(0), Nanos(0)));
        connection.opened(Epoch(1), Nanos(0), None);
        let markets: Vec<_> = (0..1_000).map(|i| market(&format!("KRW-M{i}"))).collect();
        for &market in &markets {
            let key = StreamKey::of(DataType::Ticker, market);
            let mut publisher: Publisher<Ticker> = pool::open(&pool, key, connection.clone());
            publisher.publish(&receipt(1, 1), &Ticker { market, ..ticker(1, 1.0) }, &Timeline::new(), || Nanos(1));
            // Its stream stays readable until a publisher is dropped.
            std::mem::forget(publisher);
        }
        Self { pool_batch: pool.tickers(&markets) }
    }
}

fn main() {
    let (ticker, book) = (ticker(1, 1.0), orderbook(1, 100.0));
    cells("ticker", &ticker);
    cells("book of 30", &book);
    pool_operations();
    cells_behind_threads("ticker", &ticker);
    cells_behind_threads("book of 30", &book);
}
