//! `hoga bench models`: compares the ways in which a strategy can get its data, at the same rates from the same sender.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hdrhistogram::Histogram;
use hoga::call::Callback;
use hoga::engine::{Engine, Feed, Subscribed};
use hoga::feed::{Item, Overflow};
use hoga::model::{Clock, Market, Nanos, Stamps, Ticker};
use hoga::net::SystemClock;
use hoga::plan::ticker;
use hoga::pool::CachedHandle;
use hoga_cli::exit::Failure;
use hoga_cli::rounds::{self, Candidate, Column, Error, Figures, Line, Schedule};
use hoga_cli::signals::Interrupt;

use super::crowd::{settle, start};
use super::growing::Growing;
use super::outcome;
use crate::args::BenchArgs;
use crate::cpu::{pin_here, process_cpu, thread_cpu};
use crate::report::{Report, Target};
use crate::serving::multi_server::MultiServer;
use crate::serving::traffic::{FIRST_STAMP, Recording};

const MARKETS: usize = 100;
const MESSAGES: usize = 4096;
/// The sender and the strategy share the first core; the engine has the other.
const CORES: [usize; 2] = [0, 1];
/// Messages per second.
const RATES: [u64; 2] = [1_000, 10_000];
const MODELS: [Model; 6] = [
    Model::Pull(Duration::from_millis(1)),
    Model::Pull(Duration::from_micros(100)),
    Model::Ring(Some(Duration::from_millis(1))),
    Model::Ring(Some(Duration::from_micros(100))),
    Model::Ring(None),
    Model::Callback,
];
/// Maximum time that a strategy waits for a wake-up.
const SLEEP: Duration = Duration::from_millis(20);
/// How long to wait at the end of a turn for messages that are under way.
const REST: Duration = Duration::from_millis(50);
const DEADLINE: Duration = Duration::from_secs(2);
/// The highest recorded age, in ns.
const LONGEST: u64 = 60_000_000_000;
/// The numbers of streams for which memory is measured.
const STREAMS: [usize; 2] = [1000, 4200];

const FIGURES: [Column; 8] = [
    Column::cost("to use p50", "µs"),
    Column::cost("p99", "µs"),
    Column::cost("age p50", "µs"),
    Column::cost("age p99", "µs"),
    Column::cost("engine CPU", "%"),
    Column::cost("strategy CPU", "%"),
    Column::output("seen", "%"),
    Column::cost("its rings", "MB"),
];
const SEEN: usize = 6;
const MEMORY: [Column; 1] = [Column::cost("more RSS", "MB")];

/// How the strategy gets its data.
#[derive(Debug, Clone, Copy)]
enum Model {
    /// Loads the newest values at this interval.
    Pull(Duration),
    /// Reads a feed at this interval, or when woken.
    Ring(Option<Duration>),
    Callback,
}

impl Model {
    fn name(self) -> String {
        match self {
            Self::Pull(every) => format!("pull, every {every:?}"),
            Self::Ring(Some(every)) => format!("ring, every {every:?}"),
            Self::Ring(None) => "ring, when woken".to_owned(),
            Self::Callback => "callback".to_owned(),
        }
    }

    /// Returns whether the strategy gets every change.
    fn sees_all(self) -> bool {
        !matches!(self, Self::Pull(_))
    }
}

/// Runs the benchmark and prints and checks the report.
pub fn run(args: &BenchArgs) -> Result<(), Failure> {
    let interrupt = Interrupt::catch()?;
    if !pin_here(CORES[0]) {
        tracing::warn!("the sender could not be pinned to core {}", CORES[0]);
    }
    // This must come first, see `memory`.
    let memory = memory()?;
    interrupt.check()?;
    let recording = Recording { markets: MARKETS, data_types: vec!["ticker"], depth: None, frames: MESSAGES };
    let server = RefCell::new(MultiServer::bind(false, recording.run()?)?);
    let time = (args.time() / 60).clamp(Duration::from_millis(20), Duration::from_secs(1));
    let mut candidates: Vec<_> = MODELS.iter().map(|model| candidate(*model, &server, time, &interrupt)).collect();
    candidates.extend(memory.into_iter().map(|line| line.candidate()));
    let is_over = || interrupt.is_asked();
    let schedule = Schedule::new(args.time(), &is_over);
    let lines = rounds::run(candidates, schedule)?;
    let settings = BTreeMap::from([
        ("seconds".to_owned(), args.time().as_secs_f64().into()),
        ("markets".to_owned(), MARKETS.into()),
        ("wait".to_owned(), "park".into()),
    ]);
    let report = Report::new("hoga bench models", settings, &lines, targets(&lines));
    outcome(&report, &args.report, None)
}

fn candidate<'a>(
    model: Model,
    server: &'a RefCell<MultiServer>,
    time: Duration,
    interrupt: &'a Interrupt,
) -> Candidate<'a> {
    let line = |rate: &u64| Line::new(format!("{} k/s", rate / 1000), model.name(), &FIGURES);
    Candidate::new(RATES.iter().map(line).collect(), move || {
        let mut server = server.borrow_mut();
        let figures = measure(model, &mut server, time, interrupt);
        server.hang_up();
        figures
    })
}

fn measure(model: Model, server: &mut MultiServer, time: Duration, interrupt: &Interrupt) -> Figures {
    let before = server.sent();
    let engine = start(server, 1, CORES[1])?;
    let codes = server.traffic().wants[0].codes.iter();
    let parse = |code: &String| code.parse::<Market>().map_err(|e| Error::failed(code, e));
    let markets = codes.map(parse).collect::<Result<Vec<_>, _>>()?;
    let failed = |e| Error::failed("the engine", e);
    let _held = engine.subscribe(ticker(markets.as_slice())).map_err(failed)?;
    settle(server, &engine, before)?;
    let seen = Arc::new(Seen::new(server.sent(), (RATES.iter().sum::<u64>() as f64 * time.as_secs_f64()) as usize)?);
    let strategy = Strategy::start(model, &engine, &markets, &seen).map_err(failed)?;
    let mut figures = Vec::new();
    for rate in RATES {
        interrupt.check()?;
        figures.push(turn(server, &engine, &seen, rate, time)?);
    }
    drop(strategy);
    let _ = engine.shutdown(DEADLINE);
    Ok(figures)
}

/// Sends at one rate, and returns the strategy's figures.
fn turn(server: &mut MultiServer, engine: &Engine, seen: &Seen, rate: u64, time: Duration) -> Result<Vec<f64>, Error> {
    let clock = SystemClock::new();
    seen.begin()?;
    let strategy_cpu = seen.strategy_cpu();
    let (started, cpu, mut sent) = (clock.now(), process_cpu().saturating_sub(thread_cpu()), 0);
    loop {
        let elapsed = clock.now().since(started);
        if elapsed >= time {
            break;
        }
        let due = elapsed.as_nanos() as u64 * rate / 1_000_000_000;
        while sent < due {
            if let Some(message) = server.push()? {
                seen.sent(message.number, clock.now());
            }
            server.flush()?;
            sent += 1;
        }
        server.look()?;
        // Between two messages the core belongs to the strategy.
        thread::sleep(Duration::from_nanos(500_000_000 / rate));
    }
    let others = process_cpu().saturating_sub(thread_cpu()).saturating_sub(cpu);
    let elapsed = clock.now().since(started).as_secs_f64();
    let strategy_cpu = seen.strategy_cpu().saturating_sub(strategy_cpu);
    thread::sleep(REST);
    server.look()?;
    let uses = seen.lock();
    let part = |times: &Histogram<u64>, part| times.value_at_quantile(part) as f64 / 1e3;
    let percent = |time: Duration| 100.0 * time.as_secs_f64() / elapsed;
    let rings = engine.feeds().iter().map(|feed| feed.bytes + feed.shared_bytes).sum::<u64>();
    Ok(vec![
        part(&uses.since_sent, 0.5),
        part(&uses.since_sent, 0.99),
        part(&uses.age, 0.5),
        part(&uses.age, 0.99),
        percent(others.saturating_sub(strategy_cpu)),
        percent(strategy_cpu),
        100.0 * uses.age.len() as f64 / sent.max(1) as f64,
        rings as f64 / 1e6,
    ])
}

/// The shared state of the sender and the strategy.
struct Seen {
    clock: SystemClock,
    first: u64,
    /// When each message was sent, in ns.
    sent: Vec<AtomicU64>,
    /// CPU time of the strategy's thread, in ns. The thread updates it with each value and each poll.
    cpu: AtomicU64,
    uses: Mutex<Uses>,
}

/// The age of values when they were first used.
struct Uses {
    since_sent: Histogram<u64>,
    age: Histogram<u64>,
}

impl Uses {
    fn new() -> Result<Self, Error> {
        let histogram = || Histogram::new_with_max(LONGEST, 3).map_err(|e| Error::failed("a histogram", e));
        Ok(Self { since_sent: histogram()?, age: histogram()? })
    }
}

impl Seen {
    fn new(first: u64, messages: usize) -> Result<Self, Error> {
        let sent = (0..messages + RATES.len()).map(|_| AtomicU64::new(0)).collect();
        let (cpu, uses) = (AtomicU64::new(0), Mutex::new(Uses::new()?));
        Ok(Self { clock: SystemClock::new(), first, sent, cpu, uses })
    }

    fn begin(&self) -> Result<(), Error> {
        *self.lock() = Uses::new()?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Uses> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sent(&self, number: u64, now: Nanos) {
        if let Some(at) = self.sent.get((number - self.first) as usize) {
            // Relaxed: the message itself, sent through the kernel, orders the store before any load.
            at.store(now.0, Relaxed);
        }
    }

    /// Records that the strategy has a new value.
    #[inline]
    fn used(&self, stamps: &Stamps) {
        let number = stamps.exchange_ms - FIRST_STAMP;
        let Some(sent) = number.checked_sub(self.first).and_then(|n| self.sent.get(n as usize)) else { return };
        let now = self.clock.now();
        let mut uses = self.lock();
        uses.since_sent.saturating_record(now.since(Nanos(sent.load(Relaxed))).as_nanos() as u64);
        uses.age.saturating_record(now.since(stamps.received).as_nanos() as u64);
        drop(uses);
        self.store_cpu();
    }

    /// Stores the CPU time of the calling thread, which must be the strategy's.
    #[inline]
    fn store_cpu(&self) {
        self.cpu.store(thread_cpu().as_nanos() as u64, Relaxed);
    }

    /// Returns the last stored CPU time of the strategy's thread.
    fn strategy_cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu.load(Relaxed))
    }
}

/// A running strategy. Dropping it stops the strategy.
enum Strategy {
    Thread { over: Arc<AtomicBool>, thread: Option<JoinHandle<()>> },
    Callback { _callback: Callback },
}

impl Strategy {
    fn start(model: Model, engine: &Engine, markets: &[Market], seen: &Arc<Seen>) -> hoga::Result<Self> {
        let seen = seen.clone();
        let wanted = ticker(markets).only_realtime();
        match model {
            Model::Pull(every) => {
                let mut handles = pull(engine, markets)?;
                Ok(Self::thread(move |over| {
                    while !over.load(Relaxed) {
                        look(&mut handles, &seen);
                        seen.store_cpu();
                        thread::sleep(every);
                    }
                }))
            }
            Model::Ring(every) => {
                let mut feed = engine.feed(wanted, Overflow::DropOldest)?;
                Ok(Self::thread(move |over| {
                    while !over.load(Relaxed) {
                        read(&mut feed, &seen);
                        seen.store_cpu();
                        match every {
                            Some(every) => thread::sleep(every),
                            None => {
                                let _ = feed.wait(SLEEP);
                            }
                        }
                    }
                }))
            }
            Model::Callback => {
                let used = move |item: &Item<Ticker>| {
                    if let Item::Data(update) = item {
                        seen.used(&update.stamps);
                    }
                };
                let callback = engine.callback("strategy").run(wanted, Overflow::DropOldest, used)?;
                Ok(Self::Callback { _callback: callback })
            }
        }
    }

    fn thread(run: impl FnOnce(&AtomicBool) + Send + 'static) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let theirs = over.clone();
        Self::Thread { over, thread: Some(thread::spawn(move || run(&theirs))) }
    }
}

impl Drop for Strategy {
    fn drop(&mut self) {
        if let Self::Thread { over, thread } = self {
            over.store(true, Relaxed);
            // If the thread panicked, the panic was printed.
            let _ = thread.take().map(JoinHandle::join);
        }
    }
}

/// Returns a handle of each market, with the version that was last seen.
fn pull(engine: &Engine, markets: &[Market]) -> hoga::Result<Vec<(CachedHandle<Ticker>, u64)>> {
    let mut handles = Vec::new();
    for market in markets {
        let mut handle = engine.pool().ticker(*market)?.cached();
        let version = handle.load().version();
        handles.push((handle, version));
    }
    Ok(handles)
}

fn look(handles: &mut [(CachedHandle<Ticker>, u64)], seen: &Seen) {
    for (handle, known) in handles {
        let reading = handle.load();
        if reading.version() != *known {
            *known = reading.version();
            reading.stamps().iter().for_each(|stamps| seen.used(stamps));
        }
    }
}

fn read(feed: &mut Feed<Ticker>, seen: &Seen) {
    while let Some(item) = feed.pop() {
        if let Item::Data(update) = item {
            seen.used(&update.stamps);
        }
    }
}

/// The growth of the process for a number of streams and a reader of all of them.
struct Memory {
    streams: usize,
    name: &'static str,
    bytes: f64,
}

impl Memory {
    fn candidate(self) -> Candidate<'static> {
        let line = Line::new(format!("memory, {} streams", self.streams), self.name, &MEMORY);
        Candidate::new(vec![line], move || Ok(vec![vec![self.bytes / 1e6]]))
    }
}

fn memory() -> Result<Vec<Memory>, Error> {
    let mut growing = Growing::start(STREAMS[1], CORES[1])?;
    // The connection and the first stream exist in every model.
    let (_first, base) = growing.ask(|engine, markets| engine.subscribe(ticker(&markets[..1])))?;
    let (mut held, mut left, mut lines): (Vec<Subscribed>, f64, _) = (Vec::new(), 0.0, Vec::new());
    for streams in STREAMS {
        let (all, pull) = growing.ask(|engine, markets| engine.subscribe(ticker(&markets[..streams])))?;
        held.push(all);
        let wanted = |markets: &[Market]| ticker(&markets[..streams]);
        let (feed, ring) = growing.ask(|engine, markets| engine.feed(wanted(markets), Overflow::DropOldest))?;
        drop(feed);
        let (callback, callback_bytes) = growing.ask(|engine, markets| {
            engine.callback("memory").run(wanted(markets), Overflow::DropOldest, |_: &Item<Ticker>| ())
        })?;
        drop(callback);
        let models = [("pull", pull - left), ("ring", ring), ("callback", callback_bytes)];
        lines.extend(models.map(|(name, bytes)| Memory { streams, name, bytes: (bytes - base).max(0.0) }));
        // The memory that the readers left behind does not belong to the next pool.
        left = ring.max(callback_bytes) - (pull - left);
    }
    Ok(lines)
}

fn targets(lines: &[Line]) -> Vec<Target> {
    let all: Vec<_> = MODELS.iter().filter(|model| model.sees_all()).map(|model| model.name()).collect();
    let rows = lines.iter().filter(|line| line.columns == FIGURES && all.contains(&line.name));
    rows.map(|line| Target {
        name: format!("{}, {}: not seen", line.table, line.name),
        unit: " %".to_owned(),
        value: 100.0 - line.range(SEEN).0,
        range: None,
        most: 0.0,
    })
    .collect()
}
