//! `hoga-peers`: hoga against what its users would otherwise assemble, by turns in one run. Nothing here is part of the
//! library, and nothing of the library is async.

#![forbid(unsafe_code)]

mod args;
mod end;
mod message;
mod parser;
mod peers;
mod stacks;
mod stages;
mod update;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

fn main() -> ExitCode {
    let end = match Cli::parse().command {
        Command::Peers(args) => peers::run(&args),
        Command::Stages(args) => stages::run(&args),
        Command::Count { table, name } => stages::count(table, name),
        Command::Publish { readers } => stages::publish(readers),
    };
    end::code(end)
}
