//! The pool: the cost for a strategy to load a newest value, and for the connection's thread to publish it.

use std::env;
use std::hint::black_box;
use std::process::Command;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use dashmap::DashMap;
use hoga::model::{Clock, ConnectionId, DataType, Epoch, Event, Nanos, Noun, Receipt, Sink, StreamKey, Ticker};
use hoga::net::SystemClock;
use hoga::pool::{self, DataPool, Handle, Publisher, Timeline};
use hoga::sync::connection::ConnectionState;
use hoga::wire::Decoder;
use hoga_cli::exit::Failure;
use hoga_cli::output::print;
use hoga_cli::rounds::{Candidate, Error, Line};

use super::timing::{Measure, repeat, row};
use super::{TIME, find, part};
use crate::cpu::pin_here;
use crate::report::Target;
use crate::serving::traffic::Recording;

/// Loads between two clock reads.
const LOADS: usize = 1024;
/// Markets whose values change between two rounds of loads.
const MARKETS: usize = 64;
const RECEIPT: Receipt = Receipt { connection: ConnectionId(0), epoch: Epoch(1), received: Nanos(0) };

const UNCHANGED: &str = "load, unchanged";
const CHANGED: &str = "load, changed by this core";
const CHANGED_ELSEWHERE: &str = "load, changed by another core";
const PUBLISH: &str = "publish";
const CACHED: &str = "hoga, cached handle";
const HANDLE: &str = "hoga, handle";
/// The writer's core; the other core loads.
const WRITER_CORE: usize = 1;
/// How long a process publishes.
const PUBLISHING: Duration = Duration::from_millis(20);
const FEW: usize = 1;
const MANY: usize = 64;

/// Returns the candidates: loads of unchanged and changed values, and publications.
pub fn candidates(measure: &Measure) -> Result<Vec<Candidate<'static>>, Error> {
    let mut all = if measure.wants(UNCHANGED) { unchanged(measure)? } else { Vec::new() };
    if matches!(measure, Measure::CountOnly { .. }) {
        // The work of other threads and the time between two loads must not be counted.
        return Ok(all);
    }
    all.extend(changed(measure.turn())?);
    all.extend([FEW, MANY].map(publishing));
    Ok(all)
}

/// Returns the targets.
pub fn targets(lines: &[Line]) -> Vec<Target> {
    let loads = [(UNCHANGED, 3.0), (CHANGED, 25.0)].into_iter().filter_map(|(table, most)| {
        let line = find(lines, table, CACHED)?;
        let name = format!("{table}: {CACHED}");
        Some(Target { name, unit: " ns".to_owned(), value: line.median(0), range: Some(line.range(0)), most })
    });
    loads.chain(part(lines, PUBLISH, &readers_name(MANY), &readers_name(FEW), 2.0)).collect()
}

/// A pool of some markets, and the next values for it.
struct Source {
    publishers: Vec<Publisher<Ticker>>,
    handles: Vec<Handle<Ticker>>,
    tickers: Vec<Ticker>,
}

#[derive(Default)]
struct Tickers(Vec<Ticker>);

impl Sink for Tickers {
    fn deliver<T: Noun>(&mut self, _: Receipt, message: &T) {
        if let Event::Ticker(ticker) = (*message).into() {
            self.0.push(ticker);
        }
    }
}

impl Source {
    fn new(markets: usize) -> Result<Self, Error> {
        let traffic = Recording { markets, data_types: vec!["ticker"], depth: None, frames: 1 }.run()?;
        let (mut tickers, mut decoder) = (Tickers::default(), Decoder::new());
        for snapshot in &traffic.snapshots {
            let message = snapshot.payload();
            decoder.decode(message, message.len(), RECEIPT, &mut tickers).map_err(|e| Error::failed("a ticker", e))?;
        }
        let (pool, link) = (
            pool::empty(Arc::new(SystemClock::new()), DataPool::STALE_AFTER),
            Arc::new(ConnectionState::new(ConnectionId(0), Nanos(0))),
        );
        link.opened(Epoch(1), Nanos(0), None);
        let key = |ticker: &Ticker| StreamKey::of(DataType::Ticker, ticker.market);
        let publishers = tickers.0.iter().map(|ticker| pool::open(&pool, key(ticker), link.clone())).collect();
        let handles = tickers.0.iter().map(|ticker| pool.ticker(ticker.market)).collect::<Result<_, _>>();
        let handles = handles.map_err(|e| Error::failed("the pool", e))?;
        let mut source = Self { publishers, handles, tickers: tickers.0 };
        source.publish();
        Ok(source)
    }

    /// Publishes another value of every market.
    fn publish(&mut self) {
        let timeline = Timeline::new();
        for (publisher, ticker) in self.publishers.iter_mut().zip(&mut self.tickers) {
            ticker.timestamp += 1;
            publisher.publish(&RECEIPT, ticker, &timeline, || Nanos(1));
        }
    }
}

fn unchanged(measure: &Measure) -> Result<Vec<Candidate<'static>>, Error> {
    let source = Source::new(1)?;
    let (handle, ticker) = (source.handles[0].clone(), source.tickers[0]);
    let (mut cached, swap) = (handle.cached(), ArcSwap::from_pointee(ticker));
    let (map, market) = (DashMap::new(), ticker.market);
    map.insert(market, Arc::new(ticker));
    Ok(vec![
        loads(CACHED, measure, move || cached.load().value().unwrap().trade_price)?,
        loads(HANDLE, measure, move || handle.load().value().unwrap().trade_price)?,
        loads("arc-swap", measure, move || swap.load().trade_price)?,
        loads("DashMap", measure, move || map.get(&market).map_or(0.0, |ticker| ticker.trade_price))?,
    ])
}

fn loads(name: &str, measure: &Measure, mut load: impl FnMut() -> f64 + 'static) -> Result<Candidate<'static>, Error> {
    row(UNCHANGED, name, measure, LOADS, move || (0..LOADS).for_each(|_| _ = black_box(load())))
}

/// Times only the loads: of all markets, after all of them have changed.
fn changed(turn: Duration) -> Result<Vec<Candidate<'static>>, Error> {
    let mut all = Vec::new();
    for table in [CHANGED, CHANGED_ELSEWHERE] {
        let (mut publish, handles) = writer(table)?;
        let mut cached: Vec<_> = handles.iter().map(Handle::cached).collect();
        all.push(Candidate::new(vec![Line::new(table, CACHED, &TIME)], move || {
            Ok(vec![vec![alternate(turn, &mut publish, || {
                cached.iter_mut().map(|one| one.load().value().unwrap().trade_price).sum()
            })]])
        }));
        let (mut publish, handles) = writer(table)?;
        all.push(Candidate::new(vec![Line::new(table, HANDLE, &TIME)], move || {
            Ok(vec![vec![alternate(turn, &mut publish, || {
                handles.iter().map(|one| one.load().value().unwrap().trade_price).sum()
            })]])
        }));
    }
    Ok(all)
}

type Publish = Box<dyn FnMut()>;

/// Returns a function that changes all markets, on this thread or on another.
fn writer(table: &str) -> Result<(Publish, Vec<Handle<Ticker>>), Error> {
    let mut source = Source::new(MARKETS)?;
    let handles = source.handles.clone();
    if table == CHANGED {
        return Ok((Box::new(move || source.publish()), handles));
    }
    let (ask, asked) = sync_channel::<()>(0);
    let (tell, done) = sync_channel::<()>(0);
    thread::spawn(move || {
        pin_here(WRITER_CORE);
        // The loop ends when the other end of the channel is dropped.
        while asked.recv().is_ok() {
            source.publish();
            let _ = tell.send(());
        }
    });
    let publish = move || {
        let _ = ask.send(());
        let _ = done.recv();
    };
    Ok((Box::new(publish), handles))
}

/// Returns the time of one load, in ns.
fn alternate(turn: Duration, publish: &mut Publish, mut load_all: impl FnMut() -> f64) -> f64 {
    let clock = SystemClock::new();
    let end = clock.now() + turn;
    let (mut spent, mut loads) = (Duration::ZERO, 0);
    while clock.now() < end {
        publish();
        let started = clock.now();
        black_box(load_all());
        spent += clock.now().since(started);
        loads += MARKETS;
    }
    spent.as_nanos() as f64 / loads.max(1) as f64
}

/// Publishes in a separate process, because some cells keep state for each thread that has ever read one.
fn publishing(readers: usize) -> Candidate<'static> {
    Candidate::new(vec![Line::new(PUBLISH, readers_name(readers), &TIME)], move || {
        let program = env::current_exe()?;
        let output = Command::new(program).args(["publish", &readers.to_string()]).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let time = text.trim().parse().map_err(|e| Error::failed("a process that publishes", e))?;
        Ok(vec![vec![time]])
    })
}

fn readers_name(readers: usize) -> String {
    format!("hoga, read by {readers}")
}

/// Prints the time of a publication in ns, after this many threads have read the pool; they still exist.
pub fn publish(readers: usize) -> Result<(), Failure> {
    let mut source = Source::new(1)?;
    let handles = source.handles.clone();
    let (have_read, may_leave) = (Barrier::new(readers + 1), Barrier::new(readers + 1));
    let time = thread::scope(|scope| {
        for _ in 0..readers {
            scope.spawn(|| {
                black_box(handles[0].load().value().unwrap().trade_price);
                have_read.wait();
                may_leave.wait();
            });
        }
        have_read.wait();
        let time = repeat(PUBLISHING, LOADS, || (0..LOADS).for_each(|_| source.publish()));
        may_leave.wait();
        time
    });
    Ok(print(&format!("{time}\n"))?)
}
