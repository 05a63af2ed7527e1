//! The command line of `hoga-bench`, and how each word is read. Decides nothing.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use hoga_cli::formats::rate;

use crate::noise::ON_QUIET;

/// The exit codes of a benchmark. `missed` is what --check does not accept.
fn bench_exit_codes(missed: &str) -> String {
    format!(
        "\
Exit codes:
  0    measured, or the reader of the output went away
  1    it could not be measured, or output could not be written;
       with --check, {missed}
  2    wrong arguments
  130  interrupted by Ctrl-C or SIGTERM; a second one ends it at once"
    )
}

const TARGET_MISSED: &str = "a target was missed";
const E2E_MISSED: &str = "a target was missed; with --baseline, something got worse";
const FORMATS_MISSED: &str = "\
short keys saved less than 20 % of the bytes, or some format took
       25 % longer to read than DEFAULT";
const ISOLATION_MISSED: &str = "\
the others' p99 was more than 10 % longer in the median of all
       rounds, or an offender was not quarantined";
const LOAD_MISSED: &str = "\
a feed with room lost something, counts do not add up, or
       p99 at rate 10 or the memory of a ticker stream was above its target";
const MODELS_MISSED: &str = "a model that must see every change missed one";

/// Measures hoga on this machine, against yardsticks in the same run.
#[derive(Debug, Parser)]
#[command(name = "hoga-bench", version, arg_required_else_help = true, max_term_width = 120)]
#[command(after_help = format!("\
Example: hoga bench e2e --quick --json > e2e.json

{}", bench_exit_codes(TARGET_MISSED)))]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Logs to stderr; twice for more. RUST_LOG, where set, decides instead.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// From the exchange's write to the strategy's read, through the engine, over loopback: cost, latency, bursts.
    #[command(after_help = format!("\
Example: hoga bench e2e --quick
         hoga bench e2e --json > before.json; … ; hoga bench e2e --baseline before.json

A feeder sends prepared messages of 256 markets, plain and over TLS 1.3: as many as the engine
takes (CPU time of all its threads for each frame), at fixed rates (from the moment a message is
due until the strategy has popped it), and in bursts (from the write until the strategy has popped
the last). The strategy is on the feeder's core, the engine has the other. A bare socket that
decodes nothing is the floor; it also shows how many single sends a second the feeder can do.

{ON_QUIET}

{}

A baseline that cannot be read, is no report of this command or has none of its figures is a wrong
argument.", bench_exit_codes(E2E_MISSED)))]
    E2e(E2eArgs),
    /// What an update costs on its way to one reader, and to a thousand, against rtrb, crossbeam's ArrayQueue and std's
    /// mpsc.
    #[command(after_help = format!("\
Example: hoga bench fanout --quick

All are measured by turns, so that whatever else the machine does disturbs them alike; ratios are
medians of what was measured in the same round. It keeps two cores busy.

{}", bench_exit_codes(TARGET_MISSED)))]
    Fanout(BenchArgs),
    /// What the same messages weigh in each format of the exchange, and how long they take to read.
    #[command(after_help = format!("\
Example: hoga bench formats --quick

A simulated exchange in this process sends the same to four connections, each in its own format.
All are read by turns; ratios of times are medians of what was measured in the same round. `hoga
formats` does the same with recorded messages.

{}", bench_exit_codes(FORMATS_MISSED)))]
    Formats(BenchFormatsArgs),
    /// Whether readers that stand still, block, fail or panic change what the others get, and how soon.
    #[command(after_help = format!("\
Example: hoga bench isolation --quick

Four readers follow every trade of a simulated exchange in this process. By turns of a second they
are alone, or beside three callbacks that panic, fail and block, and two feeds that nobody reads.

{}", bench_exit_codes(ISOLATION_MISSED)))]
    Isolation(BenchArgs),
    /// Thousands of streams, demands and feeds at many times the exchange's rate: losses, latency, CPU, memory.
    #[command(after_help = format!("\
Example: hoga bench load --quick
         hoga bench load --streams 4200 --connections 1 --rate 100

A server of prepared messages in this process carries, over TLS 1.3 on loopback, tickers, trades,
order books of 30 levels, and candles of a second and of a minute. At rate 1 every market has as
many order books as the average market of Upbit had when all 855 of them brought 785 a second (2.2
MB/s), and the other types come as the simulated exchange mixes them in. Messages are spread
evenly; each counts from when it was due until a feed's reader has popped it.

The feeds have five streams each and take turns in what becomes of what is not read in time: a
quarter keep all (drop-newest, with room for --pause), a quarter drop the oldest, conflate, or
throttle to 100 ms; the latter two are not in the latencies. One thread sends and reads, on a core
of its own; all of the engine has the other. Every message that was sent is looked for in the
counts of every feed that should have it: received = delivered + dropped + conflated + filtered +
queued. `off` is by how much sender, counts and readers disagree. What is printed are medians of
each column by itself. Where less than all of the rate is kept, `sender CPU` tells whether the
sender was the limit: it spins, so it has all of its core, and less means that somebody else did.

{}", bench_exit_codes(LOAD_MISSED)))]
    Load(LoadArgs),
    /// Reading the pool, reading a feed, or being called: what each costs, and how old the data is when it is used.
    #[command(after_help = format!("\
Example: hoga bench models --quick

The tickers of 100 markets, sent one by one, and one strategy that reads them, by turns as
  pull      looks at the newest values of all markets every so often: for who decides at moments
            of his own and needs only the newest; what changed twice between two looks is seen
            once
  ring      reads a feed, every so often or whenever it is woken: for who must see every change
  callback  is called with every change, on a thread that the engine starts: for who has no thread
            of his own
`to use` is the time from the write to the socket until the strategy had the value in its hands,
`age` that since the engine received it. The strategy shares its core with the sender, which
sleeps between two messages; a strategy that spins needs a core for itself and is measured by
`hoga bench e2e`.

{}", bench_exit_codes(MODELS_MISSED)))]
    Models(BenchArgs),
    /// Whole clients: cost, latency and bursts from the exchange's write to the strategy's read, over loopback.
    #[cfg(feature = "peers")]
    #[command(after_help = format!("\
Example: hoga bench peers --quick
         hoga bench peers --time 10m --json > peers.json

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

{}", bench_exit_codes(TARGET_MISSED)))]
    Peers(PeersArgs),
    /// One stage at a time: JSON to a struct, bytes to frames, the pool.
    #[cfg(feature = "peers")]
    #[command(after_help = format!("\
Example: hoga bench stages --quick
         hoga bench stages --time 5m --check
         hoga bench stages --quick --instructions

JSON: a message of the simulated exchange into a struct of all its fields. Frames: 960 bytes each,
out of a socket that gives all it has (bulk), or one frame for each read. Pool: a load by a
strategy whose value is the same as before, or another; and a publication where one thread, or 64,
have ever read.

{ON_QUIET}

{}", bench_exit_codes(TARGET_MISSED)))]
    Stages(StagesArgs),
    /// One client, saturated: for profilers, and to compare two builds by turns.
    #[command(after_help = format!("\
Example: hoga bench saturate ticker plain 3000000

{}", bench_exit_codes(TARGET_MISSED)))]
    Saturate(SaturateArgs),
    /// Does what one row of `stages` measures, for callgrind to count.
    #[cfg(feature = "peers")]
    #[command(hide = true)]
    Count { table: String, name: String },
    /// Prints what a publication costs in this process, where so many threads have read the pool.
    #[cfg(feature = "peers")]
    #[command(hide = true)]
    Publish { readers: usize },
}

#[derive(Debug, Args)]
pub struct LoadArgs {
    #[command(flatten)]
    pub bench: BenchArgs,
    /// Streams on the wire, rounded up to whole markets of five.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1000,4200")]
    #[arg(value_parser = clap::value_parser!(u16).range(5..=10_000))]
    pub streams: Vec<u16>,
    /// Connections they are spread over.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,4")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=64))]
    pub connections: Vec<u16>,
    /// Times the exchange's rate.
    #[arg(long, value_name = "X", value_delimiter = ',', default_value = "1,10,100")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub rate: Vec<u16>,
    /// Feeds of five streams each.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u16).range(4..=10_000))]
    pub feeds: u16,
    /// Parts of a program that hold demand for a few streams each.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub demands: u16,
    /// The longest pause of their reader that feeds which keep all have room for, at most 5m.
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = pause)]
    pub pause: Duration,
}

fn pause(text: &str) -> Result<Duration, String> {
    let pause = humantime::parse_duration(text).map_err(|e| e.to_string())?;
    if pause <= Duration::from_secs(300) { Ok(pause) } else { Err("there is no room for more than 5m".to_owned()) }
}

#[derive(Debug, Args)]
pub struct E2eArgs {
    #[command(flatten)]
    pub bench: BenchArgs,
    /// A report of --json to compare with: medians of cost, latency and rate.
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// With --baseline: how much worse a median may be, in percent. As long as the best round is as
    /// good as the baseline's worst, a figure counts as no worse.
    #[arg(long, value_name = "PERCENT", default_value_t = 20, requires = "baseline")]
    max_loss: u16,
}

impl E2eArgs {
    /// How much worse a median may be: 0.1 is a tenth.
    pub fn most_loss(&self) -> f64 {
        f64::from(self.max_loss) / 100.0
    }
}

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// The same as --time 20s.
    #[arg(long, conflicts_with = "time")]
    quick: bool,
    /// How long it takes, at least one round of all.
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    time: Duration,
    #[command(flatten)]
    pub report: ReportArgs,
}

/// What becomes of a report.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Fails if a target is missed.
    #[arg(long)]
    pub check: bool,
    /// Prints the report as one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl BenchArgs {
    /// How long it takes.
    pub fn time(&self) -> Duration {
        if self.quick { Duration::from_secs(20) } else { self.time }
    }
}

#[derive(Debug, Args)]
pub struct BenchFormatsArgs {
    #[command(flatten)]
    pub bench: BenchArgs,
    /// Messages of each type per second, for the megabytes per hour.
    #[arg(long, default_value_t = 100.0, value_name = "N", value_parser = rate)]
    pub rate: f64,
}

#[cfg(feature = "peers")]
#[derive(Debug, Args)]
pub struct StagesArgs {
    #[command(flatten)]
    pub bench: PeersArgs,
    /// Counts instructions as well, under valgrind. Takes a few minutes before the time begins.
    #[arg(long)]
    pub instructions: bool,
}

#[cfg(feature = "peers")]
#[derive(Debug, Args)]
pub struct PeersArgs {
    /// The same as --time 60s.
    #[arg(long, conflicts_with = "time")]
    quick: bool,
    /// How long it takes, at least one round of all. Short times make short rounds.
    #[arg(long, default_value = "5m", value_parser = humantime::parse_duration)]
    time: Duration,
    #[command(flatten)]
    pub report: ReportArgs,
}

#[cfg(feature = "peers")]
impl PeersArgs {
    /// How long it takes.
    pub fn time(&self) -> Duration {
        if self.quick { Duration::from_secs(60) } else { self.time }
    }
}

#[derive(Debug, Args)]
pub struct SaturateArgs {
    #[arg(value_enum)]
    pub data_type: SaturatedType,
    #[arg(value_enum)]
    pub transport: Transport,
    /// How many, after a tenth of it to warm up.
    pub frames: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum SaturatedType {
    Ticker,
    Trade,
    Orderbook,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    Plain,
    Tls,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_help_lists_the_exit_codes() {
        fn check(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for part in ["Exit codes:\n  0    ", "\n  1    ", "\n  2    ", "\n  130  "] {
                assert!(command.is_hide_set() || help.contains(part), "{}: {help}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }
}
