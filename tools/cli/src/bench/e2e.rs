//! `hoga bench e2e`: from the exchange's write to the strategy's read, through the engine as a user has it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use hoga_lab::feeder::Feeder;
use hoga_lab::load::{Saturated, Session};
use hoga_lab::report::{Report, Target};
use hoga_lab::rounds::{self, Column, Contestant, Course, Figures, Line};
use hoga_lab::stack::Wait;
use hoga_lab::stacks::{Floor, Hoga};
use hoga_lab::traffic::{Recording, Traffic};
use hoga_lab::{Error, Stack, pin_here};

use super::outcome;
use crate::args::E2eArgs;
use crate::exit::Failure;
use crate::signals::Interrupt;

const MARKETS: usize = 256;
const MESSAGES: usize = 4096;
/// This thread feeds and reads on the first; the engine's has the other.
const CORES: [usize; 2] = [0, 1];
const RATES: [u64; 3] = [10_000, 50_000, 100_000];
const BURSTS: [usize; 2] = [64, 256];
const SPIN_THEN_PARK: Wait = Wait::SpinThenPark(Duration::from_micros(200));
const WAITS: [Wait; 3] = [Wait::Park, Wait::Spin, SPIN_THEN_PARK];
/// The socket's floor is so far below a spinning engine at most, in µs.
const ABOVE_FLOOR: f64 = 0.5;

const SATURATED: [Column; 3] =
    [Column::cost("CPU ns/frame", ""), Column::output("frames/s", ""), Column::tail("missed", "%")];
const LATENCY: [Column; 6] = [
    Column::cost("p50", "µs"),
    Column::cost("p99", "µs"),
    Column::tail("p99.9", "µs"),
    Column::tail("max", "µs"),
    Column::tail("left out", "%"),
    Column::tail("missed", "%"),
];
const BURST: [Column; 2] = [Column::cost("p50", "µs"), Column::tail("p99", "µs")];

/// How much of each there is in a turn.
#[derive(Clone, Copy)]
struct Amount {
    frames: u64,
    pace: Duration,
    bursts: usize,
}

/// Measures, prints, and says what was missed or lost.
pub fn run(args: &E2eArgs) -> Result<(), Failure> {
    let baseline = args.baseline.as_deref().map(Report::read).transpose();
    let baseline = baseline.map_err(|e| Failure::Usage(e.to_string()))?;
    let interrupt = Interrupt::catch()?;
    if !pin_here(CORES[0]) {
        tracing::warn!("the feeder could not be kept on core {}", CORES[0]);
    }
    let lab = Lab::new(Amount::for_run(args.bench.time()))?;
    let course = Course { time: args.bench.time(), warm_up: 0, is_over: &|| interrupt.is_asked() };
    let lines = rounds::run(lab.contestants(), &course)?;
    let settings = BTreeMap::from([
        ("seconds".to_owned(), args.bench.time().as_secs().into()),
        ("markets".to_owned(), MARKETS.into()),
    ]);
    let mut report = Report::new("hoga bench e2e", settings, &lines, targets(&lines));
    if let Some(earlier) =
        baseline.as_ref().filter(|e| (&e.machine, &e.settings) != (&report.machine, &report.settings))
    {
        let (machine, settings) = (earlier.machine.line(), serde_json::json!(earlier.settings));
        report.notes.push(format!("the baseline is from elsewhere: {machine}, {settings}"));
    }
    outcome(&report, &args.bench, baseline.as_ref().map(|baseline| (baseline, args.most_loss())))
}

impl Amount {
    /// So much that a run of this time has some rounds; with more time there are more of them, for steadier medians.
    fn for_run(time: Duration) -> Self {
        let (seconds, millis) = (time.as_secs(), time.as_millis() as u64);
        Self {
            frames: (seconds * 2_500).clamp(2_000, 100_000),
            pace: Duration::from_millis((millis / 200).clamp(10, 200)),
            bursts: (seconds * 3).clamp(2, 100) as usize,
        }
    }
}

/// The traffic and the two feeders.
struct Lab {
    plain: Feeder,
    secure: Feeder,
    /// By name. A turn has one of them to itself.
    traffic: Vec<(&'static str, RefCell<Traffic>)>,
    amount: Amount,
}

impl Lab {
    fn new(amount: Amount) -> Result<Self, Error> {
        let record = |name, data_types: &[&'static str], depth| {
            let recording = Recording { markets: MARKETS, data_types: data_types.to_vec(), depth, frames: MESSAGES };
            recording.run().map(|traffic| (name, RefCell::new(traffic)))
        };
        let traffic = vec![
            record("ticker", &["ticker"], None)?,
            record("trade", &["trade"], None)?,
            record("book of 15", &["orderbook"], Some(15))?,
            record("book of 30", &["orderbook"], None)?,
            record("mix", &["ticker", "trade", "orderbook"], None)?,
        ];
        Ok(Self { plain: Feeder::bind(false)?, secure: Feeder::bind(true)?, traffic, amount })
    }

    fn contestants(&self) -> Vec<Contestant<'_>> {
        let mut all = Vec::new();
        for (name, traffic) in &self.traffic {
            for (transport, feeder) in self.transports() {
                all.push(self.saturated(name, traffic, transport, feeder));
            }
        }
        let [(_, ticker), .., (_, mix)] = self.traffic.as_slice() else { return all };
        for (transport, feeder) in self.transports() {
            for wait in WAITS {
                all.push(self.timed(&Hoga { wait }, wait.name(), "ticker", ticker, transport, feeder));
            }
            if transport == "plain" {
                all.push(self.timed(
                    &Floor { wait: Wait::Park },
                    "bare socket, park",
                    "ticker",
                    ticker,
                    transport,
                    feeder,
                ));
                all.push(self.timed(&Floor { wait: Wait::Spin }, FLOOR, "ticker", ticker, transport, feeder));
            }
            all.push(self.timed(&Hoga { wait: Wait::Spin }, Wait::Spin.name(), "mix", mix, transport, feeder));
        }
        all
    }

    fn transports(&self) -> [(&'static str, &Feeder); 2] {
        [("plain", &self.plain), ("TLS", &self.secure)]
    }

    /// As much as the engine can take.
    fn saturated<'a>(
        &'a self,
        name: &str,
        traffic: &'a RefCell<Traffic>,
        transport: &str,
        feeder: &'a Feeder,
    ) -> Contestant<'a> {
        let line = Line::new("saturated", format!("{name}, {transport}"), &SATURATED);
        Contestant::new(vec![line], move || {
            let mut traffic = traffic.borrow_mut();
            let mut session = Session::start(&Hoga { wait: Wait::Park }, feeder, &mut traffic, CORES[1])?;
            session.saturate(self.amount.frames / 10)?;
            let Saturated { cpu_ns, frames_per_second, missed } = session.saturate(self.amount.frames)?;
            Ok(vec![vec![cpu_ns, frames_per_second, 100.0 * missed]])
        })
    }

    /// At fixed rates, and in bursts.
    fn timed<'a>(
        &'a self,
        stack: &(impl Stack + Copy + 'a),
        name: &str,
        what: &str,
        traffic: &'a RefCell<Traffic>,
        transport: &str,
        feeder: &'a Feeder,
    ) -> Contestant<'a> {
        let rate = |rate: &u64| Line::new(rate_table(what, transport, *rate), name, &LATENCY);
        let burst = |frames: &usize| Line::new(burst_table(what, transport, *frames), name, &BURST);
        let lines = RATES.iter().map(rate).chain(BURSTS.iter().map(burst)).collect();
        let (stack, amount) = (*stack, self.amount);
        Contestant::new(lines, move || {
            let mut traffic = traffic.borrow_mut();
            let mut session = Session::start(&stack, feeder, &mut traffic, CORES[1])?;
            session.pace(RATES[0], amount.pace / 10)?;
            time(&mut session, amount)
        })
    }
}

fn time(session: &mut Session<'_>, amount: Amount) -> Figures {
    let mut lines = Vec::new();
    for rate in RATES {
        let paced = session.pace(rate, amount.pace)?;
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|part| quantile(&paced.latency, part));
        lines.push(vec![p50, p99, p999, quantile(&paced.latency, 1.0), 100.0 * paced.disturbed, 100.0 * paced.missed]);
    }
    for frames in BURSTS {
        let latency = session.burst(frames, amount.bursts)?;
        lines.push(vec![quantile(&latency, 0.5), quantile(&latency, 0.99)]);
    }
    Ok(lines)
}

/// In µs.
fn quantile(latency: &Histogram<u64>, part: f64) -> f64 {
    latency.value_at_quantile(part) as f64 / 1e3
}

const FLOOR: &str = "bare socket, spin";

fn rate_table(what: &str, transport: &str, rate: u64) -> String {
    format!("{what}, {transport}, {} k/s", rate / 1000)
}

fn burst_table(what: &str, transport: &str, frames: usize) -> String {
    format!("{what}, {transport}, bursts of {frames}")
}

fn targets(lines: &[Line]) -> Vec<Target> {
    let find = |table: &str, name: &str| lines.iter().find(|line| line.table == table && line.name == name);
    let above_floor = RATES.iter().filter_map(|rate| {
        let table = rate_table("ticker", "plain", *rate);
        let above = find(&table, Wait::Spin.name())?.difference(find(&table, FLOOR)?, 0);
        Some(Target {
            name: format!("{table}: spin p50 above the bare socket's"),
            unit: " µs".to_owned(),
            value: above.median,
            range: Some((above.min, above.max)),
            most: ABOVE_FLOOR,
        })
    });
    above_floor.collect()
}
