//! `hoga-soak`: shows that the engine recovers from everything, and what each recovery takes. `hoga soak` and `hoga
//! faults` run it.
//!
//! It is a program of its own because it counts allocations, which would slow down the clients that `hoga-bench` compares.

#![forbid(unsafe_code)]

mod args;
mod bed;
mod fault;
mod faults;
mod promise;
mod proxy;
mod reader;
mod report;
mod resources;
mod run;
mod stall;
mod watch;

use std::io::{self, Write};
use std::process::ExitCode;

use args::{Cli, Command};
use clap::Parser;
use hoga_cli::{exit, logging};

#[global_allocator]
static ALLOCATOR: hoga_testing::allocations::Counting = hoga_testing::allocations::Counting;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => {
            logging::start(cli.verbose);
            let end = match cli.command {
                Command::Soak(args) => run::run(&args),
                Command::Faults(args) => faults::run(&args),
            };
            exit::code("hoga-soak", end)
        }
        Err(answer) => exit::without_a_command("hoga-soak", &answer),
    }
}

/// Prints a line to stderr, which may be closed.
fn progress(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
