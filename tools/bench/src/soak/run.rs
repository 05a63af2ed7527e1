//! `hoga soak`: injects one fault after the other, and waits for the recovery from each.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use hoga::config::Config;
use hoga::model::{Epoch, Nanos, StreamKey};
use hoga_cli::exit::Failure;
use hoga_cli::output;
use hoga_cli::signals::Interrupt;
use hoga_exchange::Fault;
use hoga_testing::Rng;

use crate::args::SoakArgs;
use crate::bed::{Bed, Size};
use crate::fault::{Ends, Kind};
use crate::progress;
use crate::promise;
use crate::reader::{Account, Reader};
use crate::report::{self, Report};
use crate::resources::Samples;
use crate::stall;
use crate::watch::{self, Watch};

const SPEED: f64 = 10.0;
const CONNECTIONS: usize = 2;
/// The number of gaps of streams that the engine keeps. Their memory must not count as growth, so the warm-up fills it.
const GAPS_KEPT: usize = 4096;
/// The time between two looks at all streams.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A fault that takes longer counts as not restored.
const RESTORE_MAX: Duration = Duration::from_secs(120);
/// How much later than promised a value may stop to be live, for the time between two looks and the coarse clock.
const BLIND_SLACK: Duration = Duration::from_millis(100);
/// The longest wait for what was sent before the exchange fell silent.
const SILENT_MAX: Duration = Duration::from_secs(10);

/// A run, with all that it has found so far.
pub struct Run {
    pub bed: Bed,
    pub watch: Watch,
    pub samples: Samples,
    pub outcomes: BTreeMap<Kind, Outcomes>,
    /// Sockets that ended without a fault that ends sockets.
    pub false_alarms: u64,
    interrupt: Interrupt,
    random: Rng,
    is_up: bool,
    /// Whether no fault is active. Only then are resources compared: a fault closes and opens sockets.
    is_quiet: bool,
}

/// What became of the faults of one kind.
#[derive(Debug, Default)]
pub struct Outcomes {
    pub count: u64,
    /// The times to restore, of those that were restored.
    pub restored: Vec<Duration>,
}

/// A fault that has begun.
struct Active {
    kind: Kind,
    /// When it began or, once it has ended, when it ended.
    since: Nanos,
    epochs: Vec<Epoch>,
    stream: Option<StreamKey>,
}

/// Runs the command and prints and checks the report.
pub fn run(args: &SoakArgs) -> Result<(), Failure> {
    let interrupt = Interrupt::catch()?;
    let bed =
        Bed::start(Size { seed: args.seed, markets: args.markets.into(), speed: SPEED, connections: CONNECTIONS })?;
    let mut samples = Samples::default();
    samples.offer(bed.engine.now());
    let reader = Reader::start(&bed)?;
    bed.wait_ready()?;
    let silence_max = Config::default().stale_after + BLIND_SLACK;
    let watch = Watch::new(&bed.engine, &watch::keys(&bed.markets), silence_max)
        .map_err(|e| Failure::Failed(format!("a stream cannot be read: {e}")))?;
    let (random, outcomes) = (Rng::new(args.seed), BTreeMap::new());
    let mut run =
        Run { bed, watch, samples, outcomes, false_alarms: 0, interrupt, random, is_up: true, is_quiet: true };
    let began = run.bed.engine.now();
    progress(&format!("{} streams of {} markets are live; the readers stop for 10 s", run.watch.len(), args.markets));
    let stalled = stall::run(&mut run, &reader)?;
    run.warm_up()?;
    run.faults(began, began + args.duration, args.every)?;
    let time = run.bed.engine.now().since(began);
    let accounts = run.finish(reader)?;
    let report = Report::new(args, &run, time, stalled, &accounts);
    output::print(&if args.json { report.json() } else { report.text() })?;
    run.bed.engine.shutdown(Duration::from_secs(5)).into_result()?;
    promise::check(report.promises.iter())
}

impl Run {
    /// Ends all sockets until as many gaps are kept as can be.
    fn warm_up(&mut self) -> Result<(), Failure> {
        for _ in 0..(GAPS_KEPT / self.watch.len() + 1).min(5) {
            self.fault(Kind::Drop)?;
        }
        Ok(())
    }

    /// Injects faults until the time is over. Each round has every kind once, in random order.
    fn faults(&mut self, began: Nanos, end: Nanos, every: Duration) -> Result<(), Failure> {
        let mut round = Vec::new();
        loop {
            self.quiet_time(every)?;
            if round.is_empty() {
                round = Kind::ALL.to_vec();
            }
            let kind = round.swap_remove(self.random.below(round.len()));
            if self.bed.engine.now() + kind.lasts() >= end {
                return Ok(());
            }
            let at = self.bed.engine.now().since(began);
            let outcome = match self.fault(kind)? {
                Some(time) => format!("restored after {:.1} ms", report::ms(time)),
                None => {
                    format!("NOT RESTORED: {}", self.watch.disputed().unwrap_or_else(|| "no new socket".to_owned()))
                }
            };
            progress(&format!("{:7.1} s  {}: {outcome}", at.as_secs_f64(), kind.name()));
        }
    }

    /// Waits for a random time, in which nothing may happen.
    fn quiet_time(&mut self, every: Duration) -> Result<(), Failure> {
        let before = self.bed.sums().disconnects;
        let pause = self.random.up_to(2 * every);
        self.wait(pause)?;
        self.false_alarms += self.bed.sums().disconnects - before;
        Ok(())
    }

    /// Injects a fault. Returns the time to restore, or `None` if that takes too long.
    fn fault(&mut self, kind: Kind) -> Result<Option<Duration>, Failure> {
        self.is_quiet = false;
        let disconnects = self.bed.sums().disconnects;
        let (now, epochs, stream) = (self.bed.engine.now(), self.bed.epochs(), kind.stream(&self.bed));
        let mut active = Active { kind, since: now, epochs, stream };
        kind.begin(&self.bed, &mut self.random);
        if !kind.lasts().is_zero() {
            self.is_up = !kind.is_outage();
            self.wait(kind.lasts())?;
            self.is_up = true;
            kind.end(&self.bed);
            active.since = self.bed.engine.now();
        }
        let restored = self.restored(&active)?;
        self.is_quiet = true;
        let outcomes = self.outcomes.entry(kind).or_default();
        outcomes.count += 1;
        outcomes.restored.extend(restored);
        if kind.ends() == Ends::None {
            self.false_alarms += self.bed.sums().disconnects - disconnects;
        }
        Ok(restored)
    }

    fn restored(&mut self, fault: &Active) -> Result<Option<Duration>, Failure> {
        while !self.is_restored(fault) {
            if self.bed.engine.now().since(fault.since) > RESTORE_MAX {
                return Ok(None);
            }
            self.wait(LOOK_EVERY)?;
        }
        Ok(Some(self.watch.last.at.since(fault.since)))
    }

    /// Returns whether nothing speaks against any stream, as of the last look, and the fault has done its harm.
    fn is_restored(&self, fault: &Active) -> bool {
        let Active { kind, since, epochs, stream } = fault;
        let replaced = self.bed.epochs().iter().zip(epochs).filter(|(now, before)| now > before).count();
        let needed = match kind.ends() {
            Ends::All => CONNECTIONS,
            Ends::One => 1,
            Ends::Any | Ends::None => 0,
        };
        let heard_from = *since + if *kind == Kind::Forget { Duration::from_secs(1) } else { Duration::ZERO };
        let last = &self.watch.last;
        replaced >= needed
            && last.undisputed == self.watch.len()
            && last.heard.iter().all(|heard| heard > since)
            && stream.is_none_or(|stream| self.watch.received(stream).is_some_and(|at| at > heard_from))
    }

    /// Lets time pass, and looks at all streams meanwhile.
    pub fn wait(&mut self, time: Duration) -> Result<(), Failure> {
        let end = self.bed.engine.now() + time;
        loop {
            let now = self.bed.engine.now();
            if self.interrupt.is_asked() {
                return Err(Failure::Interrupted);
            }
            if now.since(self.watch.last.at) >= LOOK_EVERY {
                self.watch.look(now, self.is_up);
                if self.is_quiet {
                    self.samples.offer(now);
                }
            }
            if now >= end {
                return Ok(());
            }
            thread::sleep(LOOK_EVERY.min(end.since(now)));
        }
    }

    /// Mutes the exchange, waits until everything that it sent has arrived, and reads the rest of all feeds.
    fn finish(&mut self, reader: Reader) -> Result<Vec<Account>, Failure> {
        self.bed.inject(Fault::Mute(true));
        self.is_up = false;
        let deadline = self.bed.engine.now() + SILENT_MAX;
        let mut before = u64::MAX;
        while self.bed.sums().data != before && self.bed.engine.now() < deadline {
            before = self.bed.sums().data;
            self.wait(Duration::from_millis(500))?;
        }
        Ok(reader.finish())
    }
}
