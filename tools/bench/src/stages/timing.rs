//! Times short work by repeating it, and counts its instructions.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use hoga::model::Clock;
use hoga::net::SystemClock;
use hoga_bench::counting::{Valgrind, count};
use hoga_cli::rounds::{Candidate, Column, Error, Line};

use super::TIME;

const INSTRUCTIONS: Column = Column::cost("instructions", "");

/// What to measure.
pub enum Measure {
    /// Time, in turns of this length.
    Time(Duration),
    /// Time and instructions. Instructions do not differ between rounds, so each row is counted once, in its own
    /// process.
    TimeAndInstructions(Duration, Counter),
    /// This process was started to run one row for callgrind; it skips the others.
    CountOnly { table: String, name: String },
}

impl Measure {
    /// Returns whether a table is measured.
    pub fn wants(&self, table: &str) -> bool {
        match self {
            Self::CountOnly { table: wanted, .. } => wanted == table,
            _ => true,
        }
    }

    /// Returns the length of a turn.
    pub fn turn(&self) -> Duration {
        match self {
            Self::Time(turn) | Self::TimeAndInstructions(turn, _) => *turn,
            Self::CountOnly { .. } => Duration::ZERO,
        }
    }
}

/// Runs this program under callgrind.
pub struct Counter {
    valgrind: Valgrind,
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl Counter {
    /// Finds valgrind; fails if it is not installed.
    pub fn new() -> Result<Self, Error> {
        let valgrind = Valgrind::find().map_err(Error::Failed)?;
        Ok(Self { valgrind, program: env::current_exe()?, folder: tempfile::tempdir()? })
    }

    fn count(&self, table: &str, name: &str) -> Result<f64, Error> {
        let profile = self.folder.path().join("callgrind.out");
        let count = self.valgrind.count(&self.program, &["count", table, name], &profile);
        Ok(count.map_err(|e| Error::failed(&format!("{table}, {name}"), e))?.each())
    }
}

/// Repeats `work` for about as long as a turn lasts; each call does an operation `times` times. Returns ns per
/// operation.
pub fn repeat(turn: Duration, times: usize, mut work: impl FnMut()) -> f64 {
    let clock = SystemClock::new();
    let started = clock.now();
    let mut calls = 0;
    loop {
        work();
        calls += 1;
        let spent = clock.now().since(started);
        if spent >= turn {
            return spent.as_nanos() as f64 / (calls * times) as f64;
        }
    }
}

/// Creates a row whose turns repeat `work`, which does an operation `times` times.
pub fn row<'a>(
    table: &str,
    name: &str,
    measure: &Measure,
    times: usize,
    mut work: impl FnMut() + 'a,
) -> Result<Candidate<'a>, Error> {
    let line = |columns: &[Column]| vec![Line::new(table, name, columns)];
    Ok(match measure {
        Measure::Time(turn) => {
            let turn = *turn;
            Candidate::new(line(&TIME), move || Ok(vec![vec![repeat(turn, times, &mut work)]]))
        }
        Measure::TimeAndInstructions(turn, counter) => {
            let (turn, instructions) = (*turn, counter.count(table, name)?);
            let figures = move || Ok(vec![vec![repeat(turn, times, &mut work), instructions]]);
            Candidate::new(line(&[TIME[0], INSTRUCTIONS]), figures)
        }
        Measure::CountOnly { table: wanted_table, name: wanted_name } => {
            let is_wanted = wanted_table == table && wanted_name == name;
            Candidate::new(line(&[]), move || {
                if is_wanted {
                    count(times, &mut work);
                }
                Ok(vec![vec![]])
            })
        }
    })
}
