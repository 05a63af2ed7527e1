//! Contestants measured by turns. Neighbours on the machine then disturb all of them alike, and one round of one is
//! compared with the same round of another.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use hoga::model::{Clock, Nanos};
use hoga::net::SystemClock;

use crate::exit::Failure;
use crate::signals::Interrupt;

/// Something to measure: each call gives the times of one round, in ns, as many as it has rows.
pub struct Contestant {
    rows: Vec<Row>,
    round: Box<dyn FnMut() -> Vec<f64>>,
}

/// What is measured and what came out.
pub struct Row {
    /// What is done.
    pub task: String,
    /// Who does it.
    pub name: String,
    /// The time of each round, in ns.
    times: Vec<f64>,
}

impl Contestant {
    /// Does these tasks.
    pub fn new(name: &str, tasks: &[&str], round: impl FnMut() -> Vec<f64> + 'static) -> Self {
        let row = |task: &&str| Row { task: (*task).to_owned(), name: name.to_owned(), times: Vec::new() };
        Self { rows: tasks.iter().map(row).collect(), round: Box::new(round) }
    }
}

impl Row {
    /// Half of the rounds took no longer.
    pub fn median(&self) -> f64 {
        median(self.times.clone())
    }

    /// The shortest and the longest.
    pub fn range(&self) -> (f64, f64) {
        self.times.iter().fold((f64::INFINITY, 0.0), |(min, max), time| (min.min(*time), max.max(*time)))
    }

    /// How many times as long as another in the same round: the median of all rounds.
    pub fn ratio(&self, other: &Self) -> f64 {
        median(self.times.iter().zip(&other.times).map(|(mine, other)| mine / other).collect())
    }

    /// How many rounds.
    pub fn rounds(&self) -> usize {
        self.times.len()
    }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Lets each have its turn, round after round, until the time is over. The first round warms up and does not count.
pub fn run(mut contestants: Vec<Contestant>, time: Duration) -> Result<Vec<Row>, Failure> {
    let (clock, interrupt) = (SystemClock::new(), Interrupt::catch()?);
    let end = clock.now() + time;
    for contestant in &mut contestants {
        (contestant.round)();
    }
    for round in 1.. {
        for Contestant { rows, round } in &mut contestants {
            if interrupt.is_asked() {
                return Err(Failure::Interrupted);
            }
            rows.iter_mut().zip(round()).for_each(|(row, time)| row.times.push(time));
        }
        let now = clock.now();
        show_progress(round, now, end);
        if now >= end {
            break;
        }
    }
    Ok(contestants.into_iter().flat_map(|contestant| contestant.rows).collect())
}

/// Only for somebody who watches.
fn show_progress(round: u32, now: Nanos, end: Nanos) {
    let mut stderr = io::stderr();
    if !stderr.is_terminal() {
        return;
    }
    // stderr may be closed meanwhile; the result is on stdout.
    let _ = if now >= end {
        write!(stderr, "\r\x1b[K")
    } else {
        write!(stderr, "\rround {round}, {} s left \x1b[K", end.since(now).as_secs() + 1)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(times: &[f64]) -> Row {
        Row { task: String::new(), name: String::new(), times: times.to_vec() }
    }

    #[test]
    fn rounds_are_compared_with_the_same_round_of_the_other() {
        // A neighbour was busy in the second round.
        let (one, other) = (row(&[2.0, 20.0, 3.0]), row(&[1.0, 10.0, 1.0]));
        assert_eq!((one.ratio(&other), one.median(), one.range()), (2.0, 3.0, (2.0, 20.0)));
    }

    #[test]
    fn every_contestant_has_at_least_one_round() {
        let two = Contestant::new("two", &["write", "read"], || vec![1.0, 2.0]);
        let rows = run(vec![two], Duration::ZERO).unwrap();
        let got: Vec<_> = rows.iter().map(|row| (row.task.as_str(), row.rounds(), row.median())).collect();
        assert_eq!(got, [("write", 1, 1.0), ("read", 1, 2.0)]);
    }
}
