//! `hoga bench`: what this machine makes of the library, against yardsticks measured in the same run.

mod crowd;
pub mod e2e;
pub mod fanout;
pub mod formats;
pub mod isolation;
mod lanes;
pub mod load;
mod memory;
pub mod models;
mod samples;

use hoga_lab::origin::Origin;
use hoga_lab::report::Report;

use crate::args::{BenchArgs, BenchCommand};
use crate::exit::Failure;
use crate::object::Object;
use crate::output;

/// Measures what was asked for.
pub fn run(command: BenchCommand) -> Result<(), Failure> {
    match command {
        BenchCommand::E2e(args) => e2e::run(&args),
        BenchCommand::Fanout(args) => fanout::run(&args),
        BenchCommand::Formats(args) => formats::run(&args),
        BenchCommand::Isolation(args) => isolation::run(&args),
        BenchCommand::Load(args) => load::run(&args),
        BenchCommand::Models(args) => models::run(&args),
    }
}

/// What every report begins with.
pub fn of_origin(object: &mut Object, origin: &Origin) {
    object.text("version", &origin.version).text("commit", &origin.commit).object("machine", |object| {
        let machine = &origin.machine;
        object.text("cpu", &machine.cpu).plain("cores", machine.cores).text("kernel", &machine.kernel);
    });
}

/// Prints a report, and says what was missed and, against an earlier one, what was lost by more than a part.
fn outcome(report: &Report, args: &BenchArgs, earlier: Option<(&Report, f64)>) -> Result<(), Failure> {
    if let Some((earlier, _)) = earlier
        && !report.is_comparable(earlier)
    {
        return Err(Failure::Usage("the baseline has no figure of this run".to_owned()));
    }
    let text = if args.json { report.json() } else { report.text() };
    output::print(&text)?;
    let missed = if args.check { report.missed() } else { Vec::new() };
    let losses = earlier.map(|(earlier, most)| report.losses_against(earlier, most)).unwrap_or_default();
    if missed.is_empty() && losses.is_empty() {
        return Ok(());
    }
    let part =
        |what: &str, lines: Vec<String>| (!lines.is_empty()).then(|| format!("{what}:\n  {}", lines.join("\n  ")));
    let parts = [part("missed", missed), part("worse than the baseline", losses)];
    Err(Failure::Failed(parts.into_iter().flatten().collect::<Vec<_>>().join("\n")))
}
