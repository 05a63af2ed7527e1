//! The `hoga` command, and the parts that `hoga-bench` also uses: exit codes, output, measuring in rounds, the
//! comparison of formats.

#![forbid(unsafe_code)]

mod args;
mod bench;
mod breakdown;
mod cpu;
mod demo;
mod exchange;
pub mod exit;
pub mod formats;
mod health;
mod human;
mod json;
mod latency;
mod lifecycle;
mod line;
pub mod logging;
pub mod machine;
mod network;
pub mod object;
pub mod origin;
pub mod output;
pub mod rounds;
mod screen;
pub mod signals;
mod sockets;
mod table;
mod tally;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

/// Runs the command: parses the arguments, starts logging and returns the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => return exit::without_a_command("hoga", &answer),
    };
    let verbose = cli.verbose;
    logging::start(verbose);
    let end = match cli.chosen() {
        Command::Demo(args) => demo::run(&args),
        Command::Watch(args) => watch::run(*args),
        Command::Exchange(args) => exchange::run(args),
        Command::Formats(args) => formats::run(&args),
        Command::Bench { args } => bench::bench(&args, verbose),
        Command::Soak { args } => bench::soak("soak", &args, verbose),
        Command::Faults { args } => bench::soak("faults", &args, verbose),
    };
    exit::code("hoga", end)
}
