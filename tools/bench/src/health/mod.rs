//! `hoga bench health`: runs the monitor against a model of an exchange whose faults are known, and counts those that it
//! finds. Time is virtual.

mod counts;
mod faults;
mod market;
mod model;
mod pauses;

use std::collections::BTreeMap;

use hoga_cli::exit::Failure;
use hoga_cli::rounds::{self, Column, Line};
use hoga_cli::signals::Interrupt;
use hoga_testing::fixtures;

use crate::args::{HealthArgs, ReportArgs};
use crate::commands::outcome;
use crate::report::{Report, Target};
use counts::{Counts, Kind, Outcomes};
use model::{HOUR_MS, Model, STEP_MS};
use pauses::Pauses;

/// The largest part of the judged faults that may be missed, and of the suspicions that may be wrong, in percent.
const WRONG_MAX: f64 = 5.0;

const COLUMNS: [Column; 7] = [
    Column::output("found", ""),
    Column::cost("missed", ""),
    Column::cost("not judged", ""),
    Column::cost("harmless", ""),
    Column::tail("median", "s"),
    Column::tail("95 %", "s"),
    Column::tail("worst", "s"),
];

/// Runs the model and prints and checks the report.
pub fn run(args: &HealthArgs) -> Result<(), Failure> {
    let interrupt = Interrupt::catch()?;
    let pauses = fixtures::captures().map(|folder| Pauses::recorded(&folder)).unwrap_or_default();
    let recorded = pauses.recorded_counts();
    let mut model = Model::new(args.seed, args.markets.into(), pauses);
    for _ in 0..u64::from(args.hours) * HOUR_MS / STEP_MS {
        if interrupt.is_asked() {
            return Err(rounds::Error::Interrupted.into());
        }
        model.step();
    }
    let settings = BTreeMap::from([
        ("hours".to_owned(), args.hours.into()),
        ("markets".to_owned(), args.markets.into()),
        ("seed".to_owned(), args.seed.into()),
        ("recorded pauses of trades".to_owned(), recorded.0.into()),
        ("recorded pauses of books".to_owned(), recorded.1.into()),
    ]);
    let targets = targets(&model);
    let counts = &mut model.counts;
    let lines: Vec<_> = Kind::ALL.iter().map(|kind| line(kind.name(), counts.of(*kind))).collect();
    let mut report = Report::new("hoga bench health", settings, &lines, targets);
    report.notes = notes(counts);
    outcome(&report, &ReportArgs { check: true, json: args.json }, None)
}

fn line(name: &str, outcomes: &mut Outcomes) -> Line {
    let Outcomes { found, missed, unjudged, harmless } = outcomes;
    found.sort_unstable();
    let at = |part: f64| found.get(((found.len() as f64 * part) as usize).min(found.len().saturating_sub(1)));
    let seconds = |part| at(part).map_or(0.0, |ms| *ms as f64 / 1000.0);
    let counts = [found.len() as u64, *missed, *unjudged, *harmless].map(|count| count as f64);
    let times = [0.5, 0.95, 1.0].map(seconds);
    Line::of("faults", name, &COLUMNS, [&counts[..], &times[..]].concat())
}

fn targets(model: &Model) -> Vec<Target> {
    let target = |name: &str, unit: &str, value, most| Target {
        name: name.to_owned(),
        unit: unit.to_owned(),
        value,
        range: None,
        most,
    };
    let (recall, precision) = (model.counts.recall(), model.counts.precision());
    vec![
        target("missed, of the judged faults that did harm", " %", 100.0 * (1.0 - recall), WRONG_MAX),
        target("wrong, of the suspicions", " %", 100.0 * (1.0 - precision), WRONG_MAX),
        target("questions about a market that never trades", "", model.asks_about_the_dead() as f64, 0.0),
    ]
}

fn notes(counts: &Counts) -> Vec<String> {
    let unjudged: u64 = counts.all().map(|outcomes| outcomes.unjudged).sum();
    let missed: u64 = counts.all().map(|outcomes| outcomes.missed).sum();
    let of_all = counts.found() / (counts.found() + (missed + unjudged) as f64);
    let asks: u64 = counts.asks.values().sum();
    let quiet = 100.0 * counts.quiet_looks as f64 / counts.looks.max(1) as f64;
    vec![
        format!(
            "recall {:.3}, precision {:.3}; recall with the streams that are not judged {of_all:.3}",
            counts.recall(),
            counts.precision()
        ),
        format!("{asks} questions, {} of them about streams without a fault", counts.vain_asks),
        format!(
            "{quiet:.2} % of the time of streams without a fault quiet, {} suspicions",
            counts.false_suspects.len()
        ),
    ]
}
