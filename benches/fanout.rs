//! What does it cost to deliver an update to one reader, and to a thousand?
//!
//! `cargo bench -p hoga --bench fanout`. `hoga bench fanout` measures the same in interleaved rounds, which suits a
//! noisy machine better. At most two threads are busy. `rtrb` is a bare ring of the same updates, the lower bound.
//! `array_queue` (of crossbeam), `std_mpsc` and `tokio` (its broadcast channel) are alternatives. `push` and `pop`
//! measure both ends of a channel on one thread, `one_way` the time from one thread to another. Every row writes in
//! batches of 16.

#[path = "../tests/common/samples.rs"]
mod samples;

use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use hoga::feed::{Payload, Update};
use hoga::model::Words;
use hoga_bench::channels::*;
use samples::{orderbook, ticker, trade};
use tokio::sync::broadcast::{Receiver, Sender, channel};

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// The sender of tokio's broadcast channel, whose readers share each update.
struct Broadcast<T>(Sender<Update<T>>);

/// A reader of tokio's broadcast channel.
struct Subscriber<T>(Receiver<Update<T>>);

impl<T: Payload> Write<T> for Broadcast<T> {
    #[inline]
    fn put(&mut self, update: &Update<T>) {
        assert!(self.0.send(*update).is_ok(), "the channel has readers");
    }
}

impl<T: Payload> Read for Subscriber<T> {
    #[inline]
    fn next_version(&mut self) -> Option<u64> {
        std::hint::black_box(&self.0.try_recv()).as_ref().ok().map(|update| update.version)
    }
}

fn tokio<T: Payload>() -> Channel<Broadcast<T>, Subscriber<T>> {
    let (writer, reader) = channel(CAPACITY);
    Channel { writer: Broadcast(writer), reader: Subscriber(reader) }
}

fn pin_here(core: usize) {
    core_affinity::set_for_current(core_affinity::CoreId { id: core });
}

/// Asserts that the last update that the reader finds is the last one written.
fn assert_newest(reader: &mut impl Read, written: u64) {
    let newest = std::iter::from_fn(|| reader.next_version()).last();
    assert_eq!(newest, Some(written));
}

fn publish_to<T: Payload + Words>(group: &mut Group, value: T, name: &str) {
    for readers in [1, 10, 100, 1000] {
        let mut shared = Shared::default();
        let mut feeds: Vec<_> = (0..readers).map(|_| shared.follow()).collect();
        let mut first = update(value);
        write(&mut shared, &mut first, BATCH);
        feeds.iter_mut().for_each(|feed| assert_newest(feed, first.version));
        group.bench_function(format!("{name}/{readers}"), |b| {
            b.iter_custom(|updates| time_writing(&mut shared, &mut first, updates))
        });
        let counts = feeds[readers - 1].counts();
        assert_eq!((counts.received, counts.delivered), (first.version, BATCH));
    }
}

/// Measures the writer of a shared ring while its readers are idle.
fn publish(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish");
    publish_to(&mut group, trade(1, 1), "trade");
    publish_to(&mut group, ticker(1, 1.0), "ticker");
    publish_to(&mut group, orderbook(1, 100.0), "orderbook");
    for readers in [1, 1000] {
        let Channel { mut writer, reader } = tokio();
        let _readers: Vec<_> = (1..readers).map(|_| writer.0.subscribe()).chain([reader.0]).collect();
        let mut first = update(trade(1, 1));
        group.bench_function(format!("tokio/trade/{readers}"), |b| {
            b.iter_custom(|updates| time_writing(&mut writer, &mut first, updates))
        });
    }
    group.finish();
}

/// Measures both ends of one channel on one thread, which writes and reads alternately.
fn push_through<T: Payload>(c: &mut Criterion, value: T, name: &str, mut channel: Channel<impl Write<T>, impl Read>) {
    let mut first = update(value);
    let mut row = |end: &str, of: fn(Spent) -> Duration| {
        c.benchmark_group(end).bench_function(name, |b| {
            b.iter_custom(|updates| {
                let spent = time_both(&mut channel, &mut first, updates);
                of(spent).mul_f64(updates as f64 / whole_runs(updates) as f64)
            })
        });
    };
    row("push", |spent| spent.writing);
    row("pop", |spent| spent.reading);
}

fn push(c: &mut Criterion) {
    push_through(c, trade(1, 1), "trade/drop_newest", drop_newest());
    push_through(c, trade(1, 1), "trade/drop_oldest", drop_oldest());
    push_through(c, trade(1, 1), "trade/rtrb", rtrb());
    push_through(c, trade(1, 1), "trade/array_queue", array_queue());
    push_through(c, trade(1, 1), "trade/std_mpsc", std_mpsc());
    push_through(c, trade(1, 1), "trade/tokio", tokio());
    push_through(c, orderbook(1, 100.0), "orderbook/drop_newest", drop_newest());
    push_through(c, orderbook(1, 100.0), "orderbook/drop_oldest", drop_oldest());
    push_through(c, orderbook(1, 100.0), "orderbook/rtrb", rtrb());
    push_through(c, orderbook(1, 100.0), "orderbook/array_queue", array_queue());
    push_through(c, orderbook(1, 100.0), "orderbook/std_mpsc", std_mpsc());
    push_through(c, orderbook(1, 100.0), "orderbook/tokio", tokio());
}

/// Measures how a conflating feed marks a stream as changed, which costs the same for every value. benches/cell.rs
/// measures storing the value.
fn mark(c: &mut Criterion) {
    let Channel { mut writer, mut reader } = conflate();
    let mut first = update(ticker(1, 1.0));
    writer.store(&first.value);
    c.benchmark_group("mark")
        .bench_function("conflate", |b| b.iter_custom(|updates| time_writing(&mut writer, &mut first, updates)));
    assert_eq!((reader.next_version(), reader.next_version()), (Some(1), None), "the newest value, once");
    let counts = reader.counts();
    assert_eq!((counts.received, counts.conflated), (first.version, first.version - 1));
}

fn one_way_through<T: Payload, W: Write<T>, R: Read>(
    group: &mut Group,
    value: T,
    name: &str,
    channel: fn() -> Channel<W, R>,
) {
    let (mut there, mut back, mut first) = (channel(), channel(), update(value));
    group.bench_function(name, |b| {
        b.iter_custom(|updates| {
            // Without pinning, the system puts both threads on one core half of the time.
            pin_here(0);
            let one = time_one_way(&mut there, &mut back, &mut first, updates.div_ceil(BURST), || pin_here(1));
            Duration::from_secs_f64(one * updates as f64 / 1e9)
        })
    });
}

fn one_way(c: &mut Criterion) {
    let mut group = c.benchmark_group("one_way");
    group.sample_size(20);
    one_way_through(&mut group, trade(1, 1), "trade/drop_newest", drop_newest);
    one_way_through(&mut group, trade(1, 1), "trade/drop_oldest", drop_oldest);
    one_way_through(&mut group, trade(1, 1), "trade/rtrb", rtrb);
    one_way_through(&mut group, trade(1, 1), "trade/array_queue", array_queue);
    one_way_through(&mut group, trade(1, 1), "trade/std_mpsc", std_mpsc);
    one_way_through(&mut group, trade(1, 1), "trade/tokio", tokio);
    one_way_through(&mut group, orderbook(1, 100.0), "orderbook/drop_newest", drop_newest);
    one_way_through(&mut group, orderbook(1, 100.0), "orderbook/drop_oldest", drop_oldest);
    one_way_through(&mut group, orderbook(1, 100.0), "orderbook/rtrb", rtrb);
    group.finish();
}

criterion_group!(benches, publish, push, mark, one_way);
criterion_main!(benches);
