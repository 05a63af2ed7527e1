//! `hoga bench`: what this machine makes of the library, against yardsticks measured in the same run.

pub mod fanout;
pub mod formats;
pub mod isolation;
mod lanes;
pub mod machine;
pub mod rounds;
mod samples;

use crate::args::BenchCommand;
use crate::exit::Failure;

/// Measures what was asked for.
pub fn run(command: BenchCommand) -> Result<(), Failure> {
    match command {
        BenchCommand::Fanout(args) => fanout::run(&args),
        BenchCommand::Formats(args) => formats::run(&args),
        BenchCommand::Isolation(args) => isolation::run(&args),
    }
}
