//! What whole clients do in their turns: as much as they can take, messages at fixed rates, and bursts. Who takes part,
//! with which traffic, and what should come out, is the command's.

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
/// The client has another to itself.
pub const CLIENT_CORE: usize = 1;
/// Both.
pub const CORES: [usize; 2] = [FEEDER_CORE, CLIENT_CORE];

/// Messages a second, one by one.
pub const RATES: [u64; 3] = [10_000, 50_000, 100_000];

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
const SINGLY: [Column; 1] = [Column::output("sends/s", "")];

/// Where the feeder's own limit stands.
const LIMIT_TABLE: &str = "one by one, plain";
/// Single sends that show it.
const LIMIT_FRAMES: u64 = 20_000;
/// Above this part of the limit, a rate is worth a note.
const NEAR_LIMIT: f64 = 2.0 / 3.0;

/// A client that takes part.
#[derive(Clone, Copy)]
pub struct Client {
    /// As tables name it.
    pub name: &'static str,
    /// What runs.
    pub stack: &'static dyn Stack,
}

/// A plain socket that spins and decodes nothing: what no client can be below.
pub const FLOOR: Client = Client { name: "bare socket, spin", stack: &Floor { wait: Wait::Spin } };

/// How much of each there is in a turn.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    frames: u64,
    pace: Duration,
    bursts: usize,
}

impl Amount {
    /// So much that a run of this time has some rounds; with more time there are more of them, for steadier medians.
    pub fn of(time: Duration) -> Self {
        let (seconds, millis) = (time.as_secs(), time.as_millis() as u64);
        Self {
            frames: (seconds * 1_500).clamp(2_000, 40_000),
            pace: Duration::from_millis((millis / 300).clamp(10, 150)),
            bursts: (seconds * 2).clamp(5, 60) as usize,
        }
    }
}

/// What clients are fed with in a turn.
#[derive(Clone, Copy)]
pub struct Turn<'a> {
    /// The messages. A turn has them to itself.
    pub traffic: &'a RefCell<Traffic>,
    /// The server that sends them.
    pub feeder: &'a Feeder,
    /// How much of each.
    pub amount: Amount,
}

impl<'a> Turn<'a> {
    /// As much as a client can take, on the line of this name.
    pub fn saturated(self, table: impl Into<String>, name: impl Into<String>, client: Client) -> Candidate<'a> {
        Candidate::new(vec![Line::new(table, name, &SATURATED)], move || {
            let mut traffic = self.traffic.borrow_mut();
            let mut session = Session::start(client.stack, self.feeder, &mut traffic, CLIENT_CORE)?;
            session.saturate(self.amount.frames / 10)?;
            let Saturated { cpu_ns, frames_per_second, missed } = session.saturate(self.amount.frames)?;
            Ok(vec![vec![cpu_ns, frames_per_second, 100.0 * missed]])
        })
    }

    /// How many single sends a second the feeder itself can do: on a small machine the highest rate is near that, and
    /// then its rows say more of the feeder than of the client. The floor does least with a frame, so it does not slow the feeder down.
    pub fn limit(self) -> Candidate<'a> {
        Candidate::new(vec![Line::new(LIMIT_TABLE, FLOOR.name, &SINGLY)], move || {
            let mut traffic = self.traffic.borrow_mut();
            let mut session = Session::start(FLOOR.stack, self.feeder, &mut traffic, CLIENT_CORE)?;
            session.send_singly(LIMIT_FRAMES / 10)?;
            Ok(vec![vec![session.send_singly(LIMIT_FRAMES)?]])
        })
    }

    /// Messages at fixed rates, and in bursts. `what` is the traffic and its transport.
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

/// In µs.
fn quantile(latency: &Histogram<u64>, part: f64) -> f64 {
    latency.value_at_quantile(part) as f64 / 1e3
}

/// The table of a rate.
pub fn rate_table(what: &str, rate: u64) -> String {
    format!("{what}, {} k/s", rate / 1000)
}

/// The table of bursts of this many frames.
pub fn burst_table(what: &str, frames: usize) -> String {
    format!("{what}, bursts of {frames}")
}

/// A line by its names.
pub fn find<'a>(lines: &'a [Line], table: &str, client: Client) -> Option<&'a Line> {
    lines.iter().find(|line| line.table == table && line.name == client.name)
}

const READ_SO: &str = "read these rows with that in mind";

/// What to bear in mind with rates that are near the feeder's own limit.
pub fn near_limit(lines: &[Line]) -> Vec<String> {
    let near = RATES.into_iter().map(|rate| (rate, of_limit(lines, rate))).filter(|(_, part)| *part > NEAR_LIMIT);
    let note = |(rate, part): (u64, f64)| {
        let (thousands, percent) = (rate / 1000, 100.0 * part);
        format!("at {thousands} k/s the feeder is at {percent:.0} % of what it can do here: {READ_SO}")
    };
    near.map(note).collect()
}

/// The rates at which figures are the client's and not the feeder's.
pub fn rates_below_limit(lines: &[Line]) -> impl Iterator<Item = u64> {
    RATES.into_iter().filter(|rate| of_limit(lines, *rate) <= NEAR_LIMIT)
}

/// A rate as a part of what the feeder can do.
fn of_limit(lines: &[Line], rate: u64) -> f64 {
    find(lines, LIMIT_TABLE, FLOOR).map_or(0.0, |limit| rate as f64 / limit.median(0))
}

/// The p50 of a client that spins stays near the floor's of the same table.
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
    fn rates_above_two_thirds_of_what_the_feeder_can_do_are_noted() {
        let notes = |limit: f64| {
            let feeder = Candidate::new(vec![Line::new(LIMIT_TABLE, FLOOR.name, &SINGLY)], || Ok(vec![vec![limit]]));
            near_limit(&run(vec![feeder], Schedule::new(Duration::ZERO, &|| false)).unwrap())
        };
        assert!(notes(151_000.0).is_empty());
        let note = "at 100 k/s the feeder is at 80 % of what it can do here: read these rows with that in mind";
        assert_eq!(notes(125_000.0), [note]);
        assert_eq!(notes(60_000.0).len(), 2);
    }
}
