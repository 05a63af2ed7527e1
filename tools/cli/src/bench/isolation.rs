//! `hoga bench isolation`: readers that stand still, block, fail or panic, and what the others notice of them.

use std::cell::RefCell;
use std::fs;
use std::io::{self, Write as _};
use std::panic::panic_any;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hoga::config::{ConnectLedger, Endpoint};
use hoga::engine::{Callback, CallbackStatus, Engine, Feed};
use hoga::feed::{CallbackState, Item, Latency, Overflow};
use hoga::model::{Clock, Nanos, Trade};
use hoga::net::SystemClock;
use hoga::plan::{Subscription, trade};
use hoga_exchange::{Config, Exchange, Server, ServerConfig};

use super::machine::Machine;
use super::rounds::{self, Contestant, Row};
use crate::args::BenchArgs;
use crate::exit::Failure;
use crate::latency::short;
use crate::object::Object;

const MARKETS: usize = 50;
/// Multiplies the activity of the markets: some thousand trades per second.
const SPEED: f64 = 300.0;
/// How long each turn takes.
const TURN: Duration = Duration::from_secs(1);
/// How long one call of the blocking callback takes.
const BLOCKED: Duration = Duration::from_secs(1);
/// How each of the others keeps what it does not read at once.
const OTHERS: [Overflow; 4] =
    [Overflow::DropOldest, Overflow::DropOldest, Overflow::DROP_NEWEST, Overflow::DROP_NEWEST];
/// The others may wait so much longer.
const MOST: f64 = 1.1;

const ALONE: &str = "alone";
const BESIDE: &str = "beside offenders";
const TASKS: [&str; 4] = ["enqueue→pop p50, µs", "enqueue→pop p99, µs", "trades read per second", "memory, MB"];

/// Measures, prints, and says what was not as it should be.
pub fn run(args: &BenchArgs) -> Result<(), Failure> {
    be_quiet_about_planted_panics();
    let bed = Rc::new(RefCell::new(Bed::start()?));
    let time = args.time();
    let rows = rounds::run([ALONE, BESIDE].map(|name| contestant(name, &bed)).into(), time)?;
    let bed = Rc::into_inner(bed).map(RefCell::into_inner);
    let offenders = bed.map(Bed::finish).unwrap_or_default();
    let report = Report { machine: Machine::this(), rows, offenders };
    let text = if args.json { report.json() } else { report.text() };
    io::stdout().write_all(text.as_bytes())?;
    let wrong = report.wrong();
    if args.check && !wrong.is_empty() {
        return Err(Failure::Failed(wrong.join("; ")));
    }
    Ok(())
}

/// One of the callbacks panics on purpose, many times.
fn be_quiet_about_planted_panics() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref::<&str>() != Some(&PLANTED) {
            tell(panic);
        }
    }));
}

const PLANTED: &str = "planted by hoga bench isolation";

fn contestant(name: &str, bed: &Rc<RefCell<Bed>>) -> Contestant {
    let (bed, with_offenders) = (bed.clone(), name == BESIDE);
    Contestant::new(name, &TASKS, move || bed.borrow_mut().turn(with_offenders))
}

/// The exchange, the engine and its readers.
struct Bed {
    server: Server,
    engine: Engine,
    trades: Subscription<Trade>,
    others: Vec<Other>,
    /// What became of the offenders of the last turn.
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

    /// One turn: what the others saw during it.
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
        vec![us(0.5), us(0.99), per_second, memory() as f64 / 1e6]
    }

    fn finish(self) -> Vec<CallbackStatus> {
        self.others.into_iter().for_each(Other::stop);
        drop(self.engine);
        self.server.shutdown();
        self.offenders
    }
}

/// Memory of this process that is in use, in bytes; 0 where the system does not say.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default() * 1024
}

/// A reader that does what a reader should.
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
                feed.wait(Duration::from_millis(50));
                let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
                while let Some(item) = feed.pop() {
                    record_one(&mut record, &item, clock.now());
                }
            }
        });
        Self { seen, stop, thread }
    }

    /// What it saw since the last call.
    fn take(&self) -> Latency {
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn stop(self) {
        self.stop.store(true, Relaxed);
        // Its panic would have been printed.
        let _ = self.thread.join();
    }
}

fn record_one(seen: &mut Latency, item: &Item<Trade>, now: Nanos) {
    if let Item::Data(update) = item {
        seen.record(now.since(update.stamps.published));
    }
}

/// Readers that do what a reader should not.
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

struct Report {
    machine: Machine,
    rows: Vec<Row>,
    offenders: Vec<CallbackStatus>,
}

impl Report {
    fn row(&self, task: &str, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.task == task && row.name == name)
    }

    /// Beside offenders, as many times of alone.
    fn ratio(&self, task: &str) -> f64 {
        let both = self.row(task, BESIDE).zip(self.row(task, ALONE));
        both.map_or(f64::NAN, |(beside, alone)| beside.ratio(alone))
    }

    /// What is not as it should be.
    fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let slower = self.ratio(TASKS[1]);
        if slower.is_nan() || slower > MOST {
            wrong.push(format!("beside offenders the others' p99 was {slower:.2} times as long, at most {MOST}"));
        }
        for name in ["panics", "fails"] {
            let is_held = |callback: &CallbackStatus| callback.state == CallbackState::Quarantined;
            if !self.offenders.iter().any(|callback| &*callback.name == name && is_held(callback)) {
                wrong.push(format!("the callback \"{name}\" was not quarantined"));
            }
        }
        wrong
    }

    fn text(&self) -> String {
        let rounds = self.rows.first().map_or(0, Row::rounds);
        let mut text = format!(
            "hoga {}; {}\n{} readers of every trade of {MARKETS} markets, {rounds} rounds by turns of {}\n\n",
            env!("CARGO_PKG_VERSION"),
            self.machine.line(),
            OTHERS.len(),
            short(TURN),
        );
        text.push_str(&format!("{:<26} {:>24} {:>24} {:>7}\n", "the others, median", ALONE, BESIDE, "ratio"));
        for task in TASKS {
            let cell = |name| {
                self.row(task, name).map_or_else(String::new, |row| {
                    let (min, max) = row.range();
                    format!("{:.1} ({min:.1}..{max:.1})", row.median())
                })
            };
            text.push_str(&format!(
                "  {task:<24} {:>24} {:>24} {:>6.2}x\n",
                cell(ALONE),
                cell(BESIDE),
                self.ratio(task)
            ));
        }
        text.push_str("\noffenders at the end of the last turn\n");
        for callback in &self.offenders {
            let CallbackStatus { name, state, calls, failures, counts, .. } = callback;
            let (state, dropped) = (state.as_str(), counts.dropped);
            text.push_str(&format!(
                "  {name:<10} {state:<12} {calls} calls, {failures} failures, {dropped} trades dropped by its own ring\n"
            ));
        }
        text
    }

    fn json(&self) -> String {
        let mut text = String::new();
        Object::line(&mut text, |object| {
            object.word("version", env!("CARGO_PKG_VERSION")).object("machine", |machine| self.machine.fields(machine));
            object.plain("rounds", self.rows.first().map_or(0, Row::rounds));
            object.objects("rows", self.rows.iter(), |object, row| {
                let (min, max) = row.range();
                object.word("task", &row.task).word("name", &row.name);
                object.plain("median", row.median()).plain("min", min).plain("max", max);
            });
            object.objects("ratios", TASKS.iter(), |object, task| {
                object.word("task", task).plain("ratio", self.ratio(task));
            });
            object.objects("offenders", self.offenders.iter(), |object, callback| {
                object.text("name", &callback.name).word("state", callback.state.as_str());
                object.plain("calls", callback.calls).plain("failures", callback.failures);
                object.plain("panics", callback.panics).plain("dropped", callback.counts.dropped);
            });
        });
        text
    }
}
