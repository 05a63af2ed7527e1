//! The command line of `hoga-soak`.

use std::time::Duration;

use clap::{Args, Parser, Subcommand};

const EXIT_CODES: &str = "\
Exit codes:
  0    every promise was kept, or the reader of the output closed it
  1    a promise was broken, the run failed, or output could not be written
  2    wrong arguments
  130  interrupted by Ctrl-C or SIGTERM; a second signal ends the program at once";

/// Shows that the engine recovers from everything.
#[derive(Debug, Parser)]
#[command(name = "hoga-soak", bin_name = "hoga", version, arg_required_else_help = true, max_term_width = 120)]
#[command(after_help = format!("Example: hoga soak --duration 10m\n\n{EXIT_CODES}"))]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Logs to stderr; repeat for more detail. RUST_LOG, if set, overrides this.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the engine against the whole simulated market with a random fault every few seconds, and checks that it
    /// recovers from each.
    #[command(after_help = format!("\
Example: hoga soak --duration 10m
         hoga soak --duration 2h --every 30s --json > soak.json

The simulated exchange runs in this process, over TLS on loopback, at ten times the usual rate. All
kinds of faults are injected in random order: those of the exchange, and those of a TCP proxy
between engine and exchange. At the beginning, all readers stop for ten seconds.

A fault is restored when every stream is undisputed again, on new sockets if it ended sockets. The
time to restore is counted from the fault, or from its end if it lasts. Available is the share of
the time without a lasting fault in which streams were undisputed. Blind is the time for which
values were `Live` although nothing had arrived on their connection for longer than `stale_after`.
A false alarm is a socket that was replaced without a fault that ends sockets. Memory, threads and
descriptors are those of the whole process, with exchange and proxy; a run of less than about two
minutes is not judged by their growth.

{EXIT_CODES}"))]
    Soak(SoakArgs),
    /// Makes each kind of fault once, and prints how soon the engine detected it and had recovered, and what a reader saw.
    #[command(after_help = format!("\
Example: hoga faults
         hoga faults --only 1,7,57 --json

The engine has one connection with 40 streams to a simulated exchange in this process, over TLS on
loopback and through a TCP proxy. `detected` is the time until the engine ended the socket, or until
a value was not live; `requested` until the next request; both from the begin of the fault.
`recovered` is the time from the end of the fault until nothing spoke against any stream. `gaps` is
the number of streams for which a gap was reported. Then, with 8 connections: 200 explicit ends of
sockets, half-open connections, and an outage of 30 s. Everything takes about three minutes; --only
leaves out the second part.

{EXIT_CODES}"))]
    Faults(FaultsArgs),
}

#[derive(Debug, Args)]
pub struct FaultsArgs {
    /// The numbers of the faults to make, as the report prints them. Default: all, and the goals.
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub only: Vec<u8>,
    /// Fails if a goal is missed. Times depend on the machine and on its load.
    #[arg(long)]
    pub check: bool,
    /// Prints the report as one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct SoakArgs {
    /// How long to run, from 30s.
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration)]
    pub duration: Duration,
    /// The seed of the faults and of the exchange.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// The mean pause between the end of a recovery and the next fault.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = humantime::parse_duration)]
    pub every: Duration,
    /// Number of markets, each with ticker, trades, order book and candles of 1 s.
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u16).range(10..=1000))]
    pub markets: u16,
    /// Prints the report as one JSON object.
    #[arg(long)]
    pub json: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|e| e.to_string())?;
    if duration >= Duration::from_secs(30) { Ok(duration) } else { Err("at least 30s are needed".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }
}
