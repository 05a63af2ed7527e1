//! What may be written behind `hoga-peers`.

use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use hoga_lab::rounds::ON_QUIET;

const EXIT_CODES: &str = "\
Exit codes:
  0    measured, or the reader of the output went away
  1    with --check, a target was missed, and stderr says which; or the system failed
  2    wrong arguments
  130  interrupted by Ctrl-C or SIGTERM; a second one ends it at once";

/// Measures hoga against what its users would otherwise assemble.
#[derive(Debug, Parser)]
#[command(name = "hoga-peers", version, arg_required_else_help = true, subcommand_required = true)]
#[command(after_help = "Example: cargo run --release -p hoga-peers -- peers --quick")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Whole clients: cost, latency and bursts from the exchange's write to the strategy's read, over loopback.
    #[command(after_help = format!("\
Examples:
  hoga-peers peers --quick
  hoga-peers peers --time 10m --json > peers.json

The same feeder sends the same prepared messages of 256 markets to each client in turn, plain and
over TLS 1.3: as many as it takes (CPU time of all its threads for each frame), at fixed rates
(from the moment a message is due until the strategy has it), and in bursts (from the write until
the strategy has the last). The strategy is on the feeder's core, the client has the other. Ratios
are of the same round: the median of all rounds, and the least and the most.

Clients:
  tokio-tungstenite + serde_json   tokio, DashMap, tokio's broadcast channel
  fastwebsockets + sonic-rs        the same with other parts
  mio + tungstenite + simd-json    arc-swap, rtrb; parks or spins
  picows + orjson                  Python, in a process of its own, if python3 has both packages;
       on uvloop if that is there as well
  bare socket                      decodes nothing: the floor; shows how many single sends a
       second the feeder can do

{ON_QUIET}

{EXIT_CODES}"))]
    Peers(BenchArgs),
    /// One stage at a time: JSON to a struct, bytes to frames, the pool.
    #[command(after_help = format!("\
Examples:
  hoga-peers stages --quick
  hoga-peers stages --time 5m --check
  hoga-peers stages --quick --instructions

JSON: a message of the simulated exchange into a struct of all its fields. Frames: 960 bytes each,
out of a socket that gives all it has (bulk), or one frame for each read. Pool: a load by a
strategy whose value is the same as before, or another; and a publication where one thread, or 64,
have ever read.

{ON_QUIET}

{EXIT_CODES}"))]
    Stages(StagesArgs),
    /// Does what one row of `stages` measures, for callgrind to count.
    #[command(hide = true)]
    Count { table: String, name: String },
    /// Prints what a publication costs in this process, where so many threads have read the pool.
    #[command(hide = true)]
    Publish { readers: usize },
}

#[derive(Debug, Args)]
pub struct StagesArgs {
    #[command(flatten)]
    pub bench: BenchArgs,
    /// Counts instructions as well, under valgrind. Takes a few minutes before the time begins.
    #[arg(long)]
    pub instructions: bool,
}

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// The same as --time 60s.
    #[arg(long, conflicts_with = "time")]
    quick: bool,
    /// How long it takes, at least one round of all. Short times make short rounds.
    #[arg(long, default_value = "5m", value_parser = humantime::parse_duration)]
    time: Duration,
    /// Fails if a target was missed.
    #[arg(long)]
    pub check: bool,
    /// Prints the report as one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl BenchArgs {
    /// How long it takes.
    pub fn time(&self) -> Duration {
        if self.quick { Duration::from_secs(60) } else { self.time }
    }
}
