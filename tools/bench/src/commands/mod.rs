//! The commands of `hoga-bench`. Each of them measures one thing and prints a report.

mod crowd;
mod e2e;
mod fanout;
mod formats;
mod growing;
mod isolation;
mod load;
mod models;
mod reader;
mod samples;
mod saturate;

use hoga_cli::exit::Failure;
use hoga_cli::output;

use crate::args::{Command, ReportArgs};
use crate::health;
use crate::report::Report;
#[cfg(feature = "peers")]
use crate::{peers, stages};

/// Runs a command.
pub fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::E2e(args) => e2e::run(&args),
        Command::Fanout(args) => fanout::run(&args),
        Command::Formats(args) => formats::run(&args),
        Command::Health(args) => health::run(&args),
        Command::Isolation(args) => isolation::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Models(args) => models::run(&args),
        Command::Saturate(args) => saturate::run(&args),
        #[cfg(feature = "peers")]
        Command::Peers(args) => peers::run(&args),
        #[cfg(feature = "peers")]
        Command::Stages(args) => stages::run(&args),
        #[cfg(feature = "peers")]
        Command::Count { table, name } => stages::count(table, name),
        #[cfg(feature = "peers")]
        Command::Publish { readers } => stages::publish(readers),
    }
}

/// Prints a report. Fails if `args` ask for a check and a target was missed, or if a figure is worse than in the
/// earlier report by more than the given fraction.
pub fn outcome(report: &Report, args: &ReportArgs, earlier: Option<(&Report, f64)>) -> Result<(), Failure> {
    if let Some((earlier, _)) = earlier
        && !report.is_comparable(earlier)
    {
        return Err(Failure::Usage("the baseline shares no figures with this run".to_owned()));
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
