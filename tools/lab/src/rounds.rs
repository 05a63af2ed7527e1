//! Contestants measured by turns. Neighbours on the machine then disturb all of them alike, and one round of one is
//! compared with the same round of another.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use hoga::model::Clock;
use hoga::net::SystemClock;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::neighbours::Neighbours;

/// One figure of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// What it is.
    pub name: &'static str,
    /// `ns`, `µs`, `/s`, …
    pub unit: &'static str,
    /// Which way is better.
    pub better: Better,
    /// Whether it says something when two runs are compared. Far tails do not.
    pub is_steady: bool,
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// The less the better.
    Less,
    /// The more the better.
    More,
}

impl Column {
    /// A cost.
    pub const fn cost(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit, better: Better::Less, is_steady: true }
    }

    /// A cost that neighbours on the machine decide.
    pub const fn tail(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit, better: Better::Less, is_steady: false }
    }

    /// An output.
    pub const fn output(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit, better: Better::More, is_steady: true }
    }
}

/// A line of a table, and what each round gave for its columns.
#[derive(Debug, Clone)]
pub struct Line {
    /// What is done.
    pub table: String,
    /// Who does it.
    pub name: String,
    /// What is measured of it.
    pub columns: Vec<Column>,
    rounds: Vec<Vec<f64>>,
}

impl Line {
    /// A line without figures yet.
    pub fn new(table: impl Into<String>, name: impl Into<String>, columns: &[Column]) -> Self {
        Self { table: table.into(), name: name.into(), columns: columns.to_vec(), rounds: Vec::new() }
    }

    /// A line of one round.
    pub(crate) fn of(table: &str, name: &str, columns: &[Column], figures: Vec<f64>) -> Self {
        Self { rounds: vec![figures], ..Self::new(table, name, columns) }
    }

    /// What the rounds gave for one column.
    pub fn figures(&self, column: usize) -> impl Iterator<Item = f64> {
        self.rounds.iter().map(move |round| round[column])
    }

    /// The median of all rounds.
    pub fn median(&self, column: usize) -> f64 {
        median(self.figures(column).collect())
    }

    /// The least and the most.
    pub fn range(&self, column: usize) -> (f64, f64) {
        self.figures(column).fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), x| (min.min(x), max.max(x)))
    }

    /// How many times another's figure of the same round: the median of all rounds, and the least and the most.
    pub fn ratio(&self, other: &Self, column: usize) -> Spread {
        Spread::of(self.figures(column).zip(other.figures(column)).map(|(mine, other)| mine / other))
    }

    /// How much more than another's figure of the same round.
    pub fn difference(&self, other: &Self, column: usize) -> Spread {
        Spread::of(self.figures(column).zip(other.figures(column)).map(|(mine, other)| mine - other))
    }

    /// How many rounds.
    pub fn rounds(&self) -> usize {
        self.rounds.len()
    }
}

/// Some figures of one thing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Half were no more.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut figures: Vec<_> = figures.collect();
        figures.sort_by(f64::total_cmp);
        let at = |place: usize| figures.get(place).copied().unwrap_or(f64::NAN);
        Self { median: at(figures.len() / 2), min: at(0), max: at(figures.len().saturating_sub(1)) }
    }
}

fn median(figures: Vec<f64>) -> f64 {
    Spread::of(figures.into_iter()).median
}

/// What a round gives: the figures of each line, column by column.
pub type Figures = Result<Vec<Vec<f64>>, Error>;

/// Something to measure.
pub struct Contestant<'a> {
    lines: Vec<Line>,
    round: Box<dyn FnMut() -> Figures + 'a>,
}

impl<'a> Contestant<'a> {
    /// Each call of `round` gives the figures of one round for all lines.
    pub fn new(lines: Vec<Line>, round: impl FnMut() -> Figures + 'a) -> Self {
        Self { lines, round: Box::new(round) }
    }
}

/// What [`Course::on_quiet`] means for whoever waits, for the help of a command.
pub const ON_QUIET: &str = "\
While a neighbour on the machine slows one of the cores down, a turn waits, or is measured anew: that
is added to --time, up to twice as much. The last table says how often it happened.";

/// How the rounds go on.
pub struct Course<'a> {
    time: Duration,
    warm_up: usize,
    is_over: &'a dyn Fn() -> bool,
    neighbours: Option<Neighbours<'a>>,
}

impl<'a> Course<'a> {
    /// No round is begun after this time. `is_over` is asked before each turn; true ends it all.
    pub fn new(time: Duration, is_over: &'a dyn Fn() -> bool) -> Self {
        Self { time, warm_up: 0, is_over, neighbours: None }
    }

    /// The first round warms up and does not count.
    pub fn warm_up(mut self) -> Self {
        self.warm_up = 1;
        self
    }

    /// Where it matters what these cores can do: turns wait until they are quiet, or are measured anew. What is lost by that
    /// is added to the time, up to twice as much. One more line says how often.
    pub fn on_quiet(mut self, cores: &'a [usize]) -> Self {
        self.neighbours = Some(Neighbours::watch(cores, self.time.saturating_mul(2), self.is_over));
        self
    }

    fn lost(&self) -> Duration {
        self.neighbours.as_ref().map_or(Duration::ZERO, Neighbours::lost)
    }

    fn measure(&mut self, mut turn: impl FnMut() -> Figures) -> Figures {
        match &mut self.neighbours {
            Some(neighbours) => neighbours.measure(turn),
            None => turn(),
        }
    }
}

/// Rounds in a row that may be disturbed.
const DISTURBED_MOST: usize = 5;

/// Lets each have its turn, round after round, until the time is over: at least one round that counts. A round in which
/// one was disturbed counts for none.
pub fn run(mut contestants: Vec<Contestant<'_>>, mut course: Course<'_>) -> Result<Vec<Line>, Error> {
    let clock = SystemClock::new();
    let end = clock.now() + course.time;
    let left = |course: &Course<'_>| (end + course.lost()).since(clock.now());
    let (mut counted, mut disturbed) = (0, 0);
    for round in 0.. {
        match play(&mut contestants, round, &mut course, left) {
            Err(Error::Disturbed) if disturbed < DISTURBED_MOST => disturbed += 1,
            Err(error) => {
                show_progress(None);
                return Err(error);
            }
            Ok(figures) if round >= course.warm_up => {
                let lines = contestants.iter_mut().flat_map(|contestant| &mut contestant.lines);
                lines.zip(figures).for_each(|(line, figures)| line.rounds.push(figures));
                (counted, disturbed) = (counted + 1, 0);
            }
            Ok(_) => {}
        }
        if counted > 0 && left(&course).is_zero() {
            break;
        }
    }
    show_progress(None);
    let mut lines: Vec<_> = contestants.into_iter().flat_map(|contestant| contestant.lines).collect();
    lines.extend(course.neighbours.map(|neighbours| neighbours.line()));
    Ok(lines)
}

/// One turn of each: the figures of all lines.
fn play(
    contestants: &mut [Contestant<'_>],
    round: usize,
    course: &mut Course<'_>,
    left: impl Fn(&Course<'_>) -> Duration,
) -> Figures {
    let (turns, mut all) = (contestants.len(), Vec::new());
    for (turn, Contestant { lines, round: measure }) in contestants.iter_mut().enumerate() {
        if (course.is_over)() {
            return Err(Error::Interrupted);
        }
        show_progress(Some((round, turn, turns, left(course))));
        let figures = course.measure(measure)?;
        if let Some((line, _)) = lines.iter().zip(&figures).find(|(_, f)| f.iter().any(|x| !x.is_finite())) {
            return Err(Error::Failed(format!("{}, {}: a figure is no number", line.table, line.name)));
        }
        all.extend(figures);
    }
    Ok(all)
}

/// Only for somebody who watches.
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
    use super::*;

    const TIME: Column = Column::cost("time", "ns");

    fn line(figures: &[f64]) -> Line {
        let rounds = figures.iter().map(|figure| vec![*figure]).collect();
        Line { rounds, ..Line::new("", "", &[TIME]) }
    }

    #[test]
    fn rounds_are_compared_with_the_same_round_of_the_other() {
        // A neighbour was busy in the second round.
        let (one, other) = (line(&[2.0, 20.0, 3.0]), line(&[1.0, 10.0, 1.0]));
        assert_eq!(one.ratio(&other, 0), Spread { median: 2.0, min: 2.0, max: 3.0 });
        assert_eq!(one.difference(&other, 0).median, 2.0);
        assert_eq!((one.median(0), one.range(0)), (3.0, (2.0, 20.0)));
    }

    #[test]
    fn a_round_in_which_one_was_disturbed_counts_for_none() {
        let mut calls = 0;
        let calm = Contestant::new(vec![line(&[])], || Ok(vec![vec![1.0]]));
        let disturbed = Contestant::new(vec![line(&[])], || {
            calls += 1;
            if calls <= 2 { Err(Error::Disturbed) } else { Ok(vec![vec![2.0]]) }
        });
        let lines = run(vec![calm, disturbed], Course::new(Duration::ZERO, &|| false)).unwrap();
        assert_eq!((lines[0].rounds(), lines[1].rounds(), calls), (1, 1, 3));

        let never = Contestant::new(vec![line(&[])], || Err(Error::Disturbed));
        assert!(matches!(run(vec![never], Course::new(Duration::ZERO, &|| false)), Err(Error::Disturbed)));
    }

    #[test]
    fn every_contestant_has_at_least_one_round_that_counts() {
        let mut calls = 0.0;
        let two = Contestant::new(vec![Line::new("both", "two", &[TIME, TIME])], || {
            calls += 1.0;
            Ok(vec![vec![calls, 2.0]])
        });
        let lines = run(vec![two], Course::new(Duration::ZERO, &|| false).warm_up()).unwrap();
        assert_eq!((lines[0].rounds(), lines[0].median(0), lines[0].median(1)), (1, 2.0, 2.0));
    }

    #[test]
    fn it_ends_when_somebody_asks() {
        let one = Contestant::new(vec![Line::new("t", "one", &[TIME])], || Ok(vec![vec![1.0]]));
        assert!(matches!(run(vec![one], Course::new(Duration::MAX, &|| true)), Err(Error::Interrupted)));
    }

    #[test]
    fn a_line_says_what_neighbours_did_and_no_time_is_too_long() {
        let one = Contestant::new(vec![Line::new("t", "one", &[TIME])], || Ok(vec![vec![1.0]]));
        let lines = run(vec![one], Course::new(Duration::ZERO, &|| false).on_quiet(&[0])).unwrap();
        assert_eq!((lines[0].median(0), lines[1].median(0)), (1.0, 1.0));
        let never = Contestant::new(vec![], || Err(Error::Interrupted));
        assert!(run(vec![never], Course::new(Duration::MAX, &|| false).on_quiet(&[0])).is_err());
    }
}
