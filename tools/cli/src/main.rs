//! The `hoga` command: `demo`, `watch`, `exchange`, `formats` and `bench`. Reads arguments, sets logging up, turns the end into an exit code.

mod args;
mod bench;
mod breakdown;
mod cpu;
mod demo;
mod exchange;
mod exit;
mod formats;
mod health;
mod human;
mod json;
mod latency;
mod lifecycle;
mod line;
mod object;
mod output;
mod screen;
mod signals;
mod sockets;
mod table;
mod tally;
mod watch;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use args::{Cli, Command};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => return exit::without_a_command(&answer),
    };
    start_logging(cli.verbose);
    let end = match cli.chosen() {
        Command::Demo(args) => demo::run(&args),
        Command::Watch(args) => watch::run(*args),
        Command::Exchange(args) => exchange::run(args),
        Command::Formats(args) => formats::run(&args),
        Command::Bench { command } => bench::run(command),
    };
    exit::code(end)
}

/// Logs go to stderr, and only when asked for: stdout belongs to the data.
fn start_logging(verbose: u8) {
    let default = match verbose {
        0 => "off",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A log that cannot be written would be reported with `eprintln!`, which panics for the same reason.
    logs.log_internal_errors(false).init();
}
