//! The turns of whole clients: saturated, paced at fixed rates, and in bursts. A turn is one measurement of a
//! candidate; in each round, every candidate has a turn. The command chooses the clients, the traffic and the targets.

use std::cell::RefCell;
use std::time::Duration;

use hdrhistogram::Histogram;
use hoga_cli::rounds::{Candidate, Column, Error, Line};

use crate::report::Target;
use crate::serving::feeder::Feeder;
use crate::serving::traffic::Traffic;
use crate::session::{Saturated, Session};
use crate::stack::Stack;
use crate::stack::Wait;
use crate::stacks::Floor;

/// The core of the thread that feeds and reads.
pub const FEEDER_CORE: usize = 0;
/// The core of the client.
pub const CLIENT_CORE: usize = 1;
/// Both cores.
pub const CORES: [usize; 2] = [FEEDER_CORE, CLIENT_CORE];

/// Messages per second, one by one.
pub const RATES: [u64; 3] = [10_000, 50_000, 100_000];

/// Maximum difference between the medians of a spinning engine and of the bare socket, in µs.
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
const SINGLY: [Column; 1] = [Column::output("sends/s", "")];

/// The table with the feeder's own limit.
const LIMIT_TABLE: &str = "one by one, plain";
/// Single sends to measure that limit.
const LIMIT_FRAMES: u64 = 20_000;
/// A rate above this fraction of the feeder's limit gets a note.
const NEAR_LIMIT: f64 = 2.0 / 3.0;

/// A client to measure.
#[derive(Clone, Copy)]
pub struct Client {
    /// The name in tables.
    pub name: &'static str,
    /// The implementation.
    pub stack: &'static dyn Stack,
}

/// A plain socket that spins and decodes nothing: the lower bound for all clients.
pub const FLOOR: Client = Client { name: "bare socket, spin", stack: &Floor { wait: Wait::Spin } };

/// The length of each part of a turn.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    frames: u64,
    pace: Duration,
    bursts: usize,
}

impl Amount {
    /// Chooses the amounts so that a run of this time has several rounds. Longer runs have more rounds, for steadier
    /// medians.
    pub fn of(time: Duration) -> Self {
        let (seconds, millis) = (time.as_secs(), time.as_millis() as u64);
        Self {
            frames: (seconds * 1_500).clamp(2_000, 40_000),
            pace: Duration::from_millis((millis / 300).clamp(10, 150)),
            bursts: (seconds * 2).clamp(5, 60) as usize,
        }
    }
}

/// The traffic for clients in a turn.
#[derive(Clone, Copy)]
pub struct Turn<'a> {
    /// The messages. Only one turn uses them at a time.
    pub traffic: &'a RefCell<Traffic>,
    /// The server that sends them.
    pub feeder: &'a Feeder,
    /// The length of each part.
    pub amount: Amount,
}

impl<'a> Turn<'a> {
    /// Sends a client frames as fast as it takes them. The result is the line `name` of `table`.
    pub fn saturated(self, table: impl Into<String>, name: impl Into<String>, client: Client) -> Candidate<'a> {
        Candidate::new(vec![Line::new(table, name, &SATURATED)], move || {
            let mut traffic = self.traffic.borrow_mut();
            let mut session = Session::start(client.stack, self.feeder, &mut traffic, CLIENT_CORE)?;
            session.saturate(self.amount.frames / 10)?;
            let Saturated { cpu_ns, frames_per_second, missed } = session.saturate(self.amount.frames)?;
            Ok(vec![vec![cpu_ns, frames_per_second, 100.0 * missed]])
        })
    }

    /// Measures the number of single sends per second that the feeder can do. On a small machine the highest rate is
    /// near that limit, and its rows then depend more on the feeder than on the client. The bare socket does the least
    /// work per frame, so it does not slow the feeder down.
    pub fn limit(self) -> Candidate<'a> {
        Candidate::new(vec![Line::new(LIMIT_TABLE, FLOOR.name, &SINGLY)], move || {
            let mut traffic = self.traffic.borrow_mut();
            let mut session = Session::start(FLOOR.stack, self.feeder, &mut traffic, CLIENT_CORE)?;
            session.send_singly(LIMIT_FRAMES / 10)?;
            Ok(vec![vec![session.send_singly(LIMIT_FRAMES)?]])
        })
    }

    /// Sends messages at fixed rates and in bursts. `what` names the traffic and its transport.
    pub fn timed(self, what: &str, client: Client, rates: &'static [u64], bursts: &'static [usize]) -> Candidate<'a> {
        let rate = |rate: &u64| Line::new(rate_table(what, *rate), client.name, &LATENCY);
        let burst = |frames: &usize| Line::new(burst_table(what, *frames), client.name, &BURST);
        let lines = rates.iter().map(rate).chain(bursts.iter().map(burst)).collect();
        Candidate::new(lines, move || {
            let mut traffic = self.traffic.borrow_mut();
            let mut session = Session::start(client.stack, self.feeder, &mut traffic, CLIENT_CORE)?;
            session.pace(RATES[0], self.amount.pace / 10)?;
            let rates = rates.iter().map(|rate| pace(&mut session, *rate, self.amount));
            let mut figures = rates.collect::<Result<Vec<_>, _>>()?;
            for frames in bursts {
                figures.push(burst_of(&mut session, *frames, self.amount)?);
            }
            Ok(figures)
        })
    }
}

fn pace(session: &mut Session<'_>, rate: u64, amount: Amount) -> Result<Vec<f64>, Error> {
    let paced = session.pace(rate, amount.pace)?;
    let [p50, p99, p999, max] = [0.5, 0.99, 0.999, 1.0].map(|part| quantile(&paced.latency, part));
    Ok(vec![p50, p99, p999, max, 100.0 * paced.disturbed, 100.0 * paced.missed])
}

fn burst_of(session: &mut Session<'_>, frames: usize, amount: Amount) -> Result<Vec<f64>, Error> {
    let latency = session.burst(frames, amount.bursts)?;
    Ok(vec![quantile(&latency, 0.5), quantile(&latency, 0.99)])
}

/// Returns a quantile in µs.
fn quantile(latency: &Histogram<u64>, part: f64) -> f64 {
    latency.value_at_quantile(part) as f64 / 1e3
}

/// Returns the name of the table for a rate.
pub fn rate_table(what: &str, rate: u64) -> String {
    format!("{what}, {} k/s", rate / 1000)
}

/// Returns the name of the table for bursts of this many frames.
pub fn burst_table(what: &str, frames: usize) -> String {
    format!("{what}, bursts of {frames}")
}

/// Finds the line of a client in a table.
pub fn find<'a>(lines: &'a [Line], table: &str, client: Client) -> Option<&'a Line> {
    lines.iter().find(|line| line.table == table && line.name == client.name)
}

const NEAR: &str = "its rows also depend on the feeder";

/// Returns notes on rates that are near the feeder's own limit.
pub fn near_limit(lines: &[Line]) -> Vec<String> {
    let near = RATES.into_iter().map(|rate| (rate, of_limit(lines, rate))).filter(|(_, part)| *part > NEAR_LIMIT);
    let note = |(rate, part): (u64, f64)| {
        let (thousands, percent) = (rate / 1000, 100.0 * part);
        format!("at {thousands} k/s the feeder is at {percent:.0} % of its limit on this machine: {NEAR}")
    };
    near.map(note).collect()
}

/// Returns the rates at which the client, not the feeder, decides the figures.
pub fn rates_below_limit(lines: &[Line]) -> impl Iterator<Item = u64> {
    RATES.into_iter().filter(|rate| of_limit(lines, *rate) <= NEAR_LIMIT)
}

/// Returns a rate as a part of the feeder's limit.
fn of_limit(lines: &[Line], rate: u64) -> f64 {
    find(lines, LIMIT_TABLE, FLOOR).map_or(0.0, |limit| rate as f64 / limit.median(0))
}

/// Returns the target that the p50 of a spinning client stays near that of the bare socket in the same table.
pub fn above_floor(lines: &[Line], table: &str, client: Client) -> Option<Target> {
    let above = find(lines, table, client)?.difference(find(lines, table, FLOOR)?, 0);
    Some(Target {
        name: format!("{table}, p50: {} above {}", client.name, FLOOR.name),
        unit: " µs".to_owned(),
        value: above.median,
        range: Some((above.min, above.max)),
        most: ABOVE_FLOOR,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoga_cli::rounds::{Schedule, run};

    #[test]
    fn rates_above_two_thirds_of_the_feeder_limit_are_noted() {
        let notes = |limit: f64| {
            let feeder = Candidate::new(vec![Line::new(LIMIT_TABLE, FLOOR.name, &SINGLY)], || Ok(vec![vec![limit]]));
            near_limit(&run(vec![feeder], Schedule::new(Duration::ZERO, &|| false)).unwrap())
        };
        assert!(notes(151_000.0).is_empty());
        let note = "at 100 k/s the feeder is at 80 % of its limit on this machine: its rows also depend on the feeder";
        assert_eq!(notes(125_000.0), [note]);
        assert_eq!(notes(60_000.0).len(), 2);
    }
}
