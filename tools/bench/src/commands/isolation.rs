//! `hoga bench isolation`: measures how readers that stop reading, block, fail or panic affect other readers.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::panic_any;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hoga::call::{Callback, CallbackStatus};
use hoga::config::{ConnectLedger, Endpoint};
use hoga::engine::{Engine, Feed};
use hoga::feed::{CallbackState, Item, Latency, Overflow};
use hoga::model::{Clock, Nanos, Trade};
use hoga::net::SystemClock;
use hoga::plan::{Subscription, trade};
use hoga_bench::process::resident;
use hoga_cli::exit::Failure;
use hoga_cli::rounds::{self, Candidate, Column, Line, Schedule, Spread};
use hoga_cli::signals::Interrupt;
use hoga_exchange::{Config, Exchange, Server, ServerConfig};

use super::outcome;
use crate::args::BenchArgs;
use crate::report::{Report, Target};

const MARKETS: usize = 50;
/// Multiplies the activity of the markets, for several thousand trades per second.
const SPEED: f64 = 300.0;
/// The length of each turn.
const TURN: Duration = Duration::from_secs(1);
/// The length of one call of the blocking callback.
const BLOCKED: Duration = Duration::from_secs(1);
/// The overflow policies of the other readers' feeds.
const OTHERS: [Overflow; 4] =
    [Overflow::DropOldest, Overflow::DropOldest, Overflow::DROP_NEWEST, Overflow::DROP_NEWEST];
/// Maximum ratio of the other readers' p99 beside offenders to their p99 alone.
const MOST: f64 = 1.1;

const ALONE: &str = "alone";
const BESIDE: &str = "beside offenders";
const COLUMNS: [Column; 4] = [
    Column::cost("pop p50", "µs"),
    Column::cost("pop p99", "µs"),
    Column::output("trades", "/s"),
    Column::cost("memory", "MB"),
];
/// The index of the p99 in [`COLUMNS`]: the time from when an update is in its queue until it is popped.
const P99: usize = 1;

/// Runs the benchmark and prints and checks the report.
pub fn run(args: &BenchArgs) -> Result<(), Failure> {
    silence_planted_panics();
    let interrupt = Interrupt::catch()?;
    let bed = Rc::new(RefCell::new(Bed::start()?));
    let is_over = || interrupt.is_asked();
    let schedule = Schedule::new(args.time(), &is_over).warm_up();
    let lines = rounds::run([ALONE, BESIDE].map(|name| candidate(name, &bed)).into(), schedule)?;
    let bed = Rc::into_inner(bed).map(RefCell::into_inner);
    let offenders = bed.map(Bed::finish).unwrap_or_default();
    let settings = BTreeMap::from([
        ("seconds".to_owned(), args.time().as_secs_f64().into()),
        ("readers".to_owned(), OTHERS.len().into()),
        ("markets".to_owned(), MARKETS.into()),
    ]);
    let mut report = Report::new("hoga bench isolation", settings, &lines, targets(&lines, &offenders));
    report.notes.extend(offenders.iter().map(note));
    outcome(&report, &args.report, None)
}

/// Suppresses the messages of the panics that one of the callbacks causes on purpose.
fn silence_planted_panics() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref::<&str>() != Some(&PLANTED) {
            tell(panic);
        }
    }));
}

const PLANTED: &str = "planted by hoga bench isolation";

fn candidate(name: &str, bed: &Rc<RefCell<Bed>>) -> Candidate<'static> {
    let (bed, with_offenders) = (bed.clone(), name == BESIDE);
    let line = Line::new("the others", name, &COLUMNS);
    Candidate::new(vec![line], move || Ok(vec![bed.borrow_mut().turn(with_offenders)]))
}

/// The exchange, the engine and its readers.
struct Bed {
    server: Server,
    engine: Engine,
    trades: Subscription<Trade>,
    others: Vec<Other>,
    /// The status of the offenders of the last turn.
    offenders: Vec<CallbackStatus>,
}

impl Bed {
    fn start() -> Result<Self, Failure> {
        let failed =
            |e: &dyn std::fmt::Display| Failure::Failed(format!("the simulated exchange could not start: {e}"));
        let config = Config { markets: MARKETS, speed: SPEED, ..Config::default() };
        let markets: Vec<_> = Exchange::new(config.clone(), 0).markets().map(str::to_owned).collect();
        let server = Server::start(ServerConfig { exchange: config, plain: true, ..ServerConfig::default() })
            .map_err(|e| failed(&e))?;
        let endpoint = Endpoint::custom(&server.url()).map_err(|e| failed(&e))?;
        let engine = Engine::builder().endpoint(endpoint).connect_ledger(ConnectLedger::Process).start()?;
        let trades = trade(&markets);
        let feeds = OTHERS.map(|overflow| engine.feed(trades.clone(), overflow));
        let others = feeds.into_iter().map(|feed| feed.map(Other::start)).collect::<Result<_, _>>()?;
        engine.wait_ready(Duration::from_secs(20))?;
        Ok(Self { server, engine, trades, others, offenders: Vec::new() })
    }

    /// Runs one turn and returns the other readers' figures.
    fn turn(&mut self, with_offenders: bool) -> Vec<f64> {
        let offenders = with_offenders.then(|| Offenders::start(&self.engine, &self.trades));
        self.others.iter().for_each(|other| drop(other.take()));
        let began = self.engine.now();
        thread::sleep(TURN);
        let mut seen = Latency::new();
        self.others.iter().for_each(|other| seen.add(&other.take()));
        let time = self.engine.now().since(began);
        if offenders.is_some() {
            self.offenders = self.engine.callbacks();
        }
        let per_second = seen.count() as f64 / OTHERS.len() as f64 / time.as_secs_f64();
        let us = |part| seen.quantile(part).as_nanos() as f64 / 1e3;
        vec![us(0.5), us(0.99), per_second, resident().unwrap_or_default() as f64 / 1e6]
    }

    fn finish(self) -> Vec<CallbackStatus> {
        self.others.into_iter().for_each(Other::stop);
        drop(self.engine);
        self.server.shutdown();
        self.offenders
    }
}

/// A well-behaved reader.
struct Other {
    seen: Arc<Mutex<Latency>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Other {
    fn start(mut feed: Feed<Trade>) -> Self {
        let (seen, stop) = (Arc::<Mutex<Latency>>::default(), Arc::<AtomicBool>::default());
        let (record, ended, clock) = (seen.clone(), stop.clone(), SystemClock::new());
        let thread = thread::spawn(move || {
            while !ended.load(Relaxed) {
                let _ = feed.wait(Duration::from_millis(50));
                let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
                while let Some(item) = feed.pop() {
                    record_one(&mut record, &item, clock.now());
                }
            }
        });
        Self { seen, stop, thread }
    }

    /// Takes the latencies since the last call.
    fn take(&self) -> Latency {
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn stop(self) {
        self.stop.store(true, Relaxed);
        // If the thread panicked, the panic was printed.
        let _ = self.thread.join();
    }
}

fn record_one(seen: &mut Latency, item: &Item<Trade>, now: Nanos) {
    if let Item::Data(update) = item {
        seen.record(now.since(update.stamps.published));
    }
}

/// Badly behaved readers.
struct Offenders {
    _callbacks: Vec<Callback>,
    _unread: Vec<Feed<Trade>>,
}

impl Offenders {
    fn start(engine: &Engine, trades: &Subscription<Trade>) -> Self {
        let overflow = Overflow::DropNewest { capacity: 64 };
        let callback = |name| engine.callback(name);
        let callbacks = [
            callback("panics").run(trades.clone(), overflow, |_| -> () { panic_any(PLANTED) }),
            callback("fails").run(trades.clone(), overflow, |_| Err::<(), _>("always")),
            callback("blocks").run(trades.clone(), overflow, |_| thread::sleep(BLOCKED)),
        ];
        let unread = [overflow, Overflow::DropOldest].map(|overflow| engine.feed(trades.clone(), overflow));
        Self { _callbacks: callbacks.into_iter().flatten().collect(), _unread: unread.into_iter().flatten().collect() }
    }
}

fn find<'a>(lines: &'a [Line], name: &str) -> Option<&'a Line> {
    lines.iter().find(|line| line.name == name)
}

fn targets(lines: &[Line], offenders: &[CallbackStatus]) -> Vec<Target> {
    let slower = find(lines, BESIDE).zip(find(lines, ALONE)).map(|(beside, alone)| beside.ratio(alone, P99));
    let slower = slower.map(|Spread { median, min, max }| Target {
        name: "the others' p99, beside offenders to alone".to_owned(),
        unit: "x".to_owned(),
        value: median,
        range: Some((min, max)),
        most: MOST,
    });
    let is_held = |callback: &CallbackStatus| callback.state == CallbackState::Quarantined;
    let at_large = ["panics", "fails"]
        .iter()
        .filter(|name| !offenders.iter().any(|callback| &*callback.name == **name && is_held(callback)));
    let at_large = Target {
        name: "callbacks that panic or fail and were not quarantined".to_owned(),
        unit: String::new(),
        value: at_large.count() as f64,
        range: None,
        most: 0.0,
    };
    slower.into_iter().chain([at_large]).collect()
}

fn note(callback: &CallbackStatus) -> String {
    let CallbackStatus { name, state, calls, failures, counts, .. } = callback;
    let (state, dropped) = (state.as_str(), counts.dropped);
    format!("offender {name}: {state}, {calls} calls, {failures} failures, {dropped} trades dropped by its own ring")
}
