//! Measures candidates by turns. Other load on the machine then disturbs all of them alike, and each round of one is
//! compared with the same round of another.

mod error;
mod line;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use hoga::model::Clock;
use hoga::net::SystemClock;

pub use error::Error;
pub use line::{Better, Column, Line, Spread};

/// The result of a round: the figures of each line, column by column.
pub type Figures = Result<Vec<Vec<f64>>, Error>;

/// Something to measure.
pub struct Candidate<'a> {
    lines: Vec<Line>,
    round: Box<dyn FnMut() -> Figures + 'a>,
}

impl<'a> Candidate<'a> {
    /// Each call of `round` returns the figures of one round for all lines.
    pub fn new(lines: Vec<Line>, round: impl FnMut() -> Figures + 'a) -> Self {
        Self { lines, round: Box::new(round) }
    }

    /// Has each turn measured by `around`, which is given the turn and may run it more than once.
    pub fn around(self, mut around: impl FnMut(&mut dyn FnMut() -> Figures) -> Figures + 'a) -> Self {
        let Self { lines, mut round } = self;
        Self { lines, round: Box::new(move || around(&mut round)) }
    }
}

/// How the rounds go on.
pub struct Schedule<'a> {
    time: Duration,
    warm_up: usize,
    is_over: &'a dyn Fn() -> bool,
    lost: &'a dyn Fn() -> Duration,
}

impl<'a> Schedule<'a> {
    /// No round begins after this time. `is_over` is asked before each turn; true ends the run.
    pub fn new(time: Duration, is_over: &'a dyn Fn() -> bool) -> Self {
        Self { time, warm_up: 0, is_over, lost: &|| Duration::ZERO }
    }

    /// The first round warms up and does not count.
    pub fn warm_up(mut self) -> Self {
        self.warm_up = 1;
        self
    }

    /// Adds the time that turns have lost so far, by what [`Candidate::around`] does.
    pub fn extended_by(mut self, lost: &'a dyn Fn() -> Duration) -> Self {
        self.lost = lost;
        self
    }

    /// The time after which no round begins, without extension.
    pub fn time(&self) -> Duration {
        self.time
    }

    /// Asked before each turn.
    pub fn is_over(&self) -> &'a dyn Fn() -> bool {
        self.is_over
    }
}

/// Rounds in a row that may be disturbed.
const DISTURBED_MOST: usize = 5;

/// Lets each have its turn, round after round, until the time is over: at least one round that counts. A round in which
/// one was disturbed counts for none.
pub fn run(mut candidates: Vec<Candidate<'_>>, schedule: Schedule<'_>) -> Result<Vec<Line>, Error> {
    let clock = SystemClock::new();
    let end = clock.now() + schedule.time;
    let left = || (end + (schedule.lost)()).since(clock.now());
    let (mut counted, mut disturbed) = (0, 0);
    for round in 0.. {
        match play(&mut candidates, round, schedule.is_over, left) {
            Err(Error::Disturbed) if disturbed < DISTURBED_MOST => disturbed += 1,
            Err(error) => {
                show_progress(None);
                return Err(error);
            }
            Ok(figures) if round >= schedule.warm_up => {
                let lines = candidates.iter_mut().flat_map(|candidate| &mut candidate.lines);
                lines.zip(figures).for_each(|(line, figures)| line.rounds.push(figures));
                (counted, disturbed) = (counted + 1, 0);
            }
            Ok(_) => {}
        }
        if counted > 0 && left().is_zero() {
            break;
        }
    }
    show_progress(None);
    Ok(candidates.into_iter().flat_map(|candidate| candidate.lines).collect())
}

/// One turn of each: the figures of all lines.
fn play(
    candidates: &mut [Candidate<'_>],
    round: usize,
    is_over: &dyn Fn() -> bool,
    left: impl Fn() -> Duration,
) -> Figures {
    let (turns, mut all) = (candidates.len(), Vec::new());
    for (turn, Candidate { lines, round: measure }) in candidates.iter_mut().enumerate() {
        if is_over() {
            return Err(Error::Interrupted);
        }
        show_progress(Some((round, turn, turns, left())));
        let figures = measure()?;
        if let Some((line, _)) = lines.iter().zip(&figures).find(|(_, f)| f.iter().any(|x| !x.is_finite())) {
            return Err(Error::Failed(format!("{}, {}: a figure is no number", line.table, line.name)));
        }
        all.extend(figures);
    }
    Ok(all)
}

/// Only where stderr is a terminal.
fn show_progress(now: Option<(usize, usize, usize, Duration)>) {
    let mut stderr = io::stderr();
    if !stderr.is_terminal() {
        return;
    }
    // stderr may be closed meanwhile; the result is on stdout.
    let _ = match now {
        None => write!(stderr, "\r\x1b[K"),
        Some((round, turn, turns, left)) => {
            write!(stderr, "\rround {}, {} of {turns}, {} s left \x1b[K", round + 1, turn + 1, left.as_secs())
        }
    };
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const TIME: Column = Column::cost("time", "ns");

    fn line(figures: &[f64]) -> Line {
        let rounds = figures.iter().map(|figure| vec![*figure]).collect();
        Line { rounds, ..Line::new("", "", &[TIME]) }
    }

    #[test]
    fn rounds_are_compared_with_the_same_round_of_the_other() {
        // Something else was busy in the second round.
        let (one, other) = (line(&[2.0, 20.0, 3.0]), line(&[1.0, 10.0, 1.0]));
        assert_eq!(one.ratio(&other, 0), Spread { median: 2.0, min: 2.0, max: 3.0 });
        assert_eq!(one.difference(&other, 0).median, 2.0);
        assert_eq!((one.median(0), one.range(0)), (3.0, (2.0, 20.0)));
    }

    #[test]
    fn a_round_in_which_one_was_disturbed_counts_for_none() {
        let mut calls = 0;
        let calm = Candidate::new(vec![line(&[])], || Ok(vec![vec![1.0]]));
        let disturbed = Candidate::new(vec![line(&[])], || {
            calls += 1;
            if calls <= 2 { Err(Error::Disturbed) } else { Ok(vec![vec![2.0]]) }
        });
        let lines = run(vec![calm, disturbed], Schedule::new(Duration::ZERO, &|| false)).unwrap();
        assert_eq!((lines[0].rounds(), lines[1].rounds(), calls), (1, 1, 3));

        let never = Candidate::new(vec![line(&[])], || Err(Error::Disturbed));
        assert!(matches!(run(vec![never], Schedule::new(Duration::ZERO, &|| false)), Err(Error::Disturbed)));
    }

    #[test]
    fn every_contestant_has_at_least_one_round_that_counts() {
        let mut calls = 0.0;
        let two = Candidate::new(vec![Line::new("both", "two", &[TIME, TIME])], || {
            calls += 1.0;
            Ok(vec![vec![calls, 2.0]])
        });
        let lines = run(vec![two], Schedule::new(Duration::ZERO, &|| false).warm_up()).unwrap();
        assert_eq!((lines[0].rounds(), lines[0].median(0), lines[0].median(1)), (1, 2.0, 2.0));
    }

    #[test]
    fn it_ends_when_somebody_asks() {
        let one = Candidate::new(vec![Line::new("t", "one", &[TIME])], || Ok(vec![vec![1.0]]));
        assert!(matches!(run(vec![one], Schedule::new(Duration::MAX, &|| true)), Err(Error::Interrupted)));
    }

    #[test]
    fn a_turn_may_be_repeated_and_what_that_costs_is_added_to_the_time() {
        let (turns, lost) = (Cell::new(0), Cell::new(Duration::ZERO));
        let one = Candidate::new(vec![Line::new("t", "one", &[TIME])], || {
            turns.set(turns.get() + 1);
            Ok(vec![vec![1.0]])
        });
        // The first round is repeated, and lets there be a second.
        let repeated = one.around(|turn| {
            lost.set(if turns.get() == 0 { Duration::MAX } else { Duration::ZERO });
            turn()?;
            turn()
        });
        let lost = || lost.get();
        let lines = run(vec![repeated], Schedule::new(Duration::ZERO, &|| false).extended_by(&lost)).unwrap();
        assert_eq!((lines[0].rounds(), turns.get()), (2, 4));
    }
}
