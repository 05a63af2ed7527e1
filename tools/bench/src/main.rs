//! `hoga-bench`: measures whole clients end to end and single stages, and compares them with other libraries in the
//! same run.
//!
//! A feeder sends whole clients traffic over loopback that was recorded from the simulated exchange. The feeder's
//! thread also runs the strategy that waits for the data. So one clock and one core suffice for both, and the measured
//! client has the other core.

#![forbid(unsafe_code)]
#![cfg_attr(not(feature = "peers"), allow(dead_code, reason = "some parts have only the peers as users"))]

mod args;
mod commands;
mod cpu;
mod health;
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
