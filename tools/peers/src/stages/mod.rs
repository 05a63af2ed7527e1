//! `hoga-peers stages`: one stage at a time, hoga's and what others offer for it, by turns.

mod decode;
mod frames;
mod pool;
mod timing;

use std::collections::BTreeMap;
use std::time::Duration;

use hoga_lab::report::{Report, Target};
use hoga_lab::rounds::{self, Column, Contestant, Course, Line};
use hoga_lab::turn::CORES;
use hoga_lab::{Error, pin_here};

use crate::args::StagesArgs;
use crate::end::{Interrupt, outcome};
use timing::{Counter, Measure};

pub use pool::publish;

const TIME: [Column; 1] = [Column::cost("time", "ns")];
/// This thread measures on it.
const CORE: usize = 0;
/// hoga's rows, in the tables where others stand beside them.
const HOGA: &str = "hoga";

/// Measures and prints.
pub fn run(StagesArgs { bench: args, instructions }: &StagesArgs) -> Result<(), Error> {
    let interrupt = Interrupt::catch()?;
    // Loads are read on this core, and changed on another.
    pin_here(CORE);
    let turn = (args.time() / 1000).clamp(Duration::from_millis(1), Duration::from_millis(20));
    let measure = if *instructions { Measure::TimeAndInstructions(turn, Counter::new()?) } else { Measure::Time(turn) };
    let contestants = contestants(&measure)?;
    // The first round meets cold caches and an idle processor.
    let is_over = || interrupt.is_asked();
    let course = Course::new(args.time(), &is_over).warm_up().on_quiet(&CORES);
    let lines = rounds::run(contestants, course)?;
    let targets = [decode::targets(&lines), frames::targets(&lines), pool::targets(&lines)].concat();
    let settings = BTreeMap::from([("seconds".to_owned(), args.time().as_secs_f64().into())]);
    outcome(&Report::new("hoga-peers stages", settings, &lines, targets), args)
}

/// Does what one row measures, for callgrind to count.
pub fn count(table: String, name: String) -> Result<(), Error> {
    let contestants = contestants(&Measure::CountOnly { table, name })?;
    rounds::run(contestants, Course::new(Duration::ZERO, &|| false)).map(|_| ())
}

fn contestants(measure: &Measure) -> Result<Vec<Contestant<'static>>, Error> {
    let mut contestants = decode::contestants(measure)?;
    contestants.extend(frames::contestants(measure)?);
    contestants.extend(pool::contestants(measure)?);
    Ok(contestants)
}

fn find<'a>(lines: &'a [Line], table: &str, name: &str) -> Option<&'a Line> {
    lines.iter().find(|line| line.table == table && line.name == name)
}

/// One row is a part of another of its table at most.
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
