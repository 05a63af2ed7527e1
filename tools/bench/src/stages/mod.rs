//! `hoga bench stages`: compares single stages of hoga with other libraries.

mod decode;
mod frames;
mod pool;
mod timing;

use std::collections::BTreeMap;
use std::time::Duration;

use hoga_cli::exit::Failure;
use hoga_cli::rounds::{self, Candidate, Column, Error, Line, Schedule};
use hoga_cli::signals::Interrupt;
use timing::{Counter, Measure};

use crate::args::StagesArgs;
use crate::commands::outcome;
use crate::cpu::pin_here;
use crate::noise;
use crate::report::{Report, Target};
use crate::turn::CORES;

pub use pool::publish;

const TIME: [Column; 1] = [Column::cost("time", "ns")];
/// The core of the measuring thread.
const CORE: usize = 0;
/// The name of hoga's rows in tables with other libraries.
const HOGA: &str = "hoga";

/// Runs the benchmark and prints the report.
pub fn run(StagesArgs { bench: args, instructions }: &StagesArgs) -> Result<(), Failure> {
    let interrupt = Interrupt::catch()?;
    // Values are loaded on this core, and changed on another.
    pin_here(CORE);
    let turn = (args.time() / 1000).clamp(Duration::from_millis(1), Duration::from_millis(20));
    let measure = if *instructions { Measure::TimeAndInstructions(turn, Counter::new()?) } else { Measure::Time(turn) };
    let candidates = candidates(&measure)?;
    // The first round runs with cold caches on an idle processor, so it does not count.
    let is_over = || interrupt.is_asked();
    let lines = noise::run(candidates, Schedule::new(args.time(), &is_over).warm_up(), &CORES)?;
    let targets = [decode::targets(&lines), frames::targets(&lines), pool::targets(&lines)].concat();
    let settings = BTreeMap::from([("seconds".to_owned(), args.time().as_secs_f64().into())]);
    outcome(&Report::new("hoga bench stages", settings, &lines, targets), &args.report, None)
}

/// Runs the work of one row, for callgrind to count.
pub fn count(table: String, name: String) -> Result<(), Failure> {
    let candidates = candidates(&Measure::CountOnly { table, name })?;
    rounds::run(candidates, Schedule::new(Duration::ZERO, &|| false))?;
    Ok(())
}

fn candidates(measure: &Measure) -> Result<Vec<Candidate<'static>>, Error> {
    let mut candidates = decode::candidates(measure)?;
    candidates.extend(frames::candidates(measure)?);
    candidates.extend(pool::candidates(measure)?);
    Ok(candidates)
}

fn find<'a>(lines: &'a [Line], table: &str, name: &str) -> Option<&'a Line> {
    lines.iter().find(|line| line.table == table && line.name == name)
}

/// Returns the target that one row is at most this part of another row in its table.
fn part(lines: &[Line], table: &str, name: &str, of: &str, most: f64) -> Option<Target> {
    let ratio = find(lines, table, name)?.ratio(find(lines, table, of)?, 0);
    Some(Target {
        name: format!("{table}: {name} / {of}"),
        unit: String::new(),
        value: ratio.median,
        range: Some((ratio.min, ratio.max)),
        most,
    })
}
