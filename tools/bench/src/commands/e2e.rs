//! `hoga bench e2e`: measures from the exchange's write to the strategy's read, through the public API of the engine.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use hoga_cli::exit::Failure;
use hoga_cli::rounds::{Candidate, Error, Line, Schedule};
use hoga_cli::signals::Interrupt;

use super::outcome;
use crate::args::E2eArgs;
use crate::cpu::pin_here;
use crate::noise;
use crate::report::{Report, Target};
use crate::serving::feeder::Feeder;
use crate::serving::traffic::{Recording, Traffic};
use crate::stack::Wait;
use crate::stacks::{Floor, Hoga};
use crate::turn::{
    Amount, CORES, Client, FEEDER_CORE, FLOOR, RATES, Turn, above_floor, find, near_limit, rate_table,
    rates_below_limit,
};

const MARKETS: usize = 256;
const MESSAGES: usize = 4096;
const BURSTS: [usize; 2] = [64, 256];

const PARK: Client = Client { name: "park", stack: &Hoga::new(Wait::Park) };
const SPIN: Client = Client { name: "spin", stack: &Hoga::new(Wait::Spin) };
const SPIN_THEN_PARK: Client =
    Client { name: "spin then park", stack: &Hoga::new(Wait::SpinThenPark(Duration::from_micros(200))) };
const PARK_MEASURING: Client = Client { name: "park, measuring", stack: &Hoga::measuring(Wait::Park) };
const SPIN_MEASURING: Client = Client { name: "spin, measuring", stack: &Hoga::measuring(Wait::Spin) };
/// Maximum ratio of a figure while latencies are recorded to the same figure without that.
const MEASURING_MOST: f64 = 1.05;
const FLOOR_PARK: Client = Client { name: "bare socket, park", stack: &Floor { wait: Wait::Park } };

const COMMAND: &str = "hoga bench e2e";

/// Runs the benchmark, prints and checks the report, and compares it with the baseline.
pub fn run(args: &E2eArgs) -> Result<(), Failure> {
    let baseline = args.baseline.as_deref().map(Report::read).transpose();
    let baseline = baseline.map_err(|e| Failure::Usage(e.to_string()))?;
    if let Some(other) = baseline.as_ref().map(|earlier| &earlier.command).filter(|command| *command != COMMAND) {
        return Err(Failure::Usage(format!("the baseline is of {other}, not of {COMMAND}")));
    }
    let interrupt = Interrupt::catch()?;
    if !pin_here(FEEDER_CORE) {
        tracing::warn!("the feeder could not be pinned to core {FEEDER_CORE}");
    }
    let lab = Lab::new(Amount::of(args.bench.time()))?;
    let is_over = || interrupt.is_asked();
    let lines = noise::run(lab.candidates(), Schedule::new(args.bench.time(), &is_over), &CORES)?;
    let settings = BTreeMap::from([
        ("seconds".to_owned(), args.bench.time().as_secs_f64().into()),
        ("markets".to_owned(), MARKETS.into()),
    ]);
    let mut report = Report::new(COMMAND, settings, &lines, targets(&lines));
    report.notes = near_limit(&lines);
    if let Some(earlier) =
        baseline.as_ref().filter(|e| (&e.origin.machine, &e.settings) != (&report.origin.machine, &report.settings))
    {
        let (machine, settings) = (earlier.origin.machine.line(), serde_json::json!(earlier.settings));
        report.notes.push(format!("the baseline has another machine or other settings: {machine}, {settings}"));
    }
    outcome(&report, &args.bench.report, baseline.as_ref().map(|baseline| (baseline, args.most_loss())))
}

/// The traffic and the two feeders.
struct Lab {
    plain: Feeder,
    secure: Feeder,
    /// The traffic by name.
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
            record(TICKER, &["ticker"], None)?,
            record("trade", &["trade"], None)?,
            record("book of 15", &["orderbook"], Some(15))?,
            record("book of 30", &["orderbook"], None)?,
            record("mix", &["ticker", "trade", "orderbook"], None)?,
        ];
        Ok(Self { plain: Feeder::bind(false)?, secure: Feeder::bind(true)?, traffic, amount })
    }

    fn candidates(&self) -> Vec<Candidate<'_>> {
        let mut all = Vec::new();
        for (name, traffic) in &self.traffic {
            for (transport, turn) in self.turns(traffic) {
                all.push(turn.saturated(SATURATED, over(name, transport), PARK));
                if *name == TICKER {
                    all.push(turn.saturated(SATURATED, measuring(transport), PARK_MEASURING));
                }
            }
        }
        let [(_, ticker), .., (_, mix)] = self.traffic.as_slice() else { return all };
        let [(_, plain), _] = self.turns(ticker);
        all.push(plain.limit());
        for ((transport, tickers), (_, mixed)) in self.turns(ticker).into_iter().zip(self.turns(mix)) {
            let what = over(TICKER, transport);
            all.extend([PARK, SPIN, SPIN_THEN_PARK].map(|client| tickers.timed(&what, client, &RATES, &BURSTS)));
            if transport == PLAIN {
                all.extend(
                    [SPIN_MEASURING, FLOOR_PARK, FLOOR].map(|client| tickers.timed(&what, client, &RATES, &BURSTS)),
                );
            }
            all.push(mixed.timed(&over("mix", transport), SPIN, &RATES, &BURSTS));
        }
        all
    }

    /// Returns the turns over a plain socket and over TLS.
    fn turns<'a>(&'a self, traffic: &'a RefCell<Traffic>) -> [(&'static str, Turn<'a>); 2] {
        let turn = |feeder| Turn { traffic, feeder, amount: self.amount };
        [(PLAIN, turn(&self.plain)), (TLS, turn(&self.secure))]
    }
}

const TICKER: &str = "ticker";
const PLAIN: &str = "plain";
const TLS: &str = "TLS";
const SATURATED: &str = "saturated";

/// Returns the name of the line for this traffic over this transport.
fn over(traffic: &str, transport: &str) -> String {
    format!("{traffic}, {transport}")
}

/// Returns the name of the line for an engine that records latencies.
fn measuring(transport: &str) -> String {
    format!("{}, measuring", over(TICKER, transport))
}

fn targets(lines: &[Line]) -> Vec<Target> {
    let what = over(TICKER, PLAIN);
    let above = RATES.iter().filter_map(|rate| above_floor(lines, &rate_table(&what, *rate), SPIN));
    let cost = [PLAIN, TLS].into_iter().filter_map(|transport| {
        let line = |name: String| lines.iter().find(|line| line.table == SATURATED && line.name == name);
        times_at_most(line(measuring(transport))?, line(over(TICKER, transport))?)
    });
    let delay = rates_below_limit(lines).filter_map(|rate| {
        let table = rate_table(&what, rate);
        times_at_most(find(lines, &table, SPIN_MEASURING)?, find(lines, &table, SPIN)?)
    });
    above.chain(cost).chain(delay).collect()
}

/// The target for the first figure of an engine that records latencies, compared with one that does not. `None` if the
/// run was too short for a ratio.
fn times_at_most(on: &Line, off: &Line) -> Option<Target> {
    let ratio = on.ratio(off, 0);
    let (table, figure) = (&on.table, on.columns[0].name);
    let name = format!("{table}, {figure}: {} / {}", on.name, off.name);
    let range = Some((ratio.min, ratio.max));
    let shows = ratio.min > 0.0 && ratio.max.is_finite();
    shows.then_some(Target { name, unit: String::new(), value: ratio.median, range, most: MEASURING_MOST })
}
