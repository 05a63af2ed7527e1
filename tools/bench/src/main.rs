//! `hoga-bench`: measures whole clients end to end, and single stages, against yardsticks and peers in the same run.
//!
//! Whole clients are fed over loopback with traffic that was prepared from the simulated exchange. The thread that feeds
//! is also the strategy that waits for the data: one clock, one core, and the other core is left to what is measured.

#![forbid(unsafe_code)]
#![cfg_attr(not(feature = "peers"), allow(dead_code, reason = "some parts have only the peers as users"))]

mod args;
mod commands;
mod cpu;
mod memory;
mod noise;
#[cfg(feature = "peers")]
mod peers;
mod report;
mod serving;
mod session;
mod stack;
mod stacks;
#[cfg(feature = "peers")]
mod stages;
mod turn;

use std::process::ExitCode;

use args::Cli;
use clap::Parser;
use hoga_cli::{exit, logging};

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => {
            logging::start(cli.verbose);
            exit::code("hoga-bench", commands::run(cli.command))
        }
        Err(answer) => exit::without_a_command("hoga-bench", &answer),
    }
}
