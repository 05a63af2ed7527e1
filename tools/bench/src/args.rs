//! The command line of `hoga-bench`. It is parsed here and acted on elsewhere.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use hoga_cli::formats::rate;

use crate::noise::ON_QUIET;

/// The exit codes of a benchmark. `missed` names the results for which --check fails.
fn bench_exit_codes(missed: &str) -> String {
    exit_codes(&format!(";\n       with --check, {missed}"))
}

/// The exit codes of any command. `failures` is added to the results for which it fails.
fn exit_codes(failures: &str) -> String {
    format!(
        "\
Exit codes:
  0    measured, or the reader of the output closed it
  1    the measurement failed, or output could not be written{failures}
  2    wrong arguments
  130  interrupted by Ctrl-C or SIGTERM; a second signal ends the program at once"
    )
}

const TARGET_MISSED: &str = "a target was missed";
const E2E_MISSED: &str = "a target was missed; with --baseline, something got worse";
const FORMATS_MISSED: &str = "\
short keys saved less than 20 % of the bytes, or some format took
       25 % longer to read than DEFAULT";
const HEALTH_MISSED: &str = "\
; or
       more than 5 % of the judged faults were missed, more than 5 % of the suspicions
       were wrong, or a market that never trades was asked for";
const ISOLATION_MISSED: &str = "\
the others' p99 was more than 10 % longer in the median of all
       rounds, or an offender was not quarantined";
const LOAD_MISSED: &str = "\
a feed with room lost an update, counts do not add up, or
       p99 at rate 10 or the memory of a ticker stream was above its target";
const MODELS_MISSED: &str = "a model that must see every change missed one";

/// Measures hoga on this machine and compares it with other libraries in the same run.
#[derive(Debug, Parser)]
#[command(name = "hoga-bench", version, arg_required_else_help = true, max_term_width = 120)]
#[command(after_help = format!("\
Example: hoga bench e2e --quick --json > e2e.json

{}", bench_exit_codes(TARGET_MISSED)))]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Logs to stderr; repeat for more detail. RUST_LOG, if set, overrides this.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measures the engine from the exchange's write to the strategy's read over loopback: cost, latency, bursts.
    #[command(after_help = format!("\
Example: hoga bench e2e --quick
         hoga bench e2e --json > before.json; … ; hoga bench e2e --baseline before.json

A feeder sends prepared messages of 256 markets, plain and over TLS 1.3: at saturation (CPU time of
all the engine's threads for each frame), at fixed rates (from the moment a message is due until
the strategy has popped it), and in bursts (from the write until the strategy has popped the last
message). The strategy shares the feeder's core; the engine has the other core. A bare socket that
decodes nothing is the floor. It also shows how many single sends per second the feeder can do.

{ON_QUIET}

{}

A baseline is a wrong argument if it cannot be read, is not a report of this command, or shares no
figures with this run.", bench_exit_codes(E2E_MISSED)))]
    E2e(E2eArgs),
    /// Measures the cost of an update on its way to 1 reader and to 1000, and compares it with rtrb, crossbeam's
    /// ArrayQueue and std's mpsc.
    #[command(after_help = format!("\
Example: hoga bench fanout --quick

The candidates take turns in each round, so other load on the machine disturbs all of them alike.
Ratios are medians of the ratios within each round. The benchmark keeps two cores busy.

{}", bench_exit_codes(TARGET_MISSED)))]
    Fanout(BenchArgs),
    /// Compares the size and the decoding time of the same messages in each format of the exchange.
    #[command(after_help = format!("\
Example: hoga bench formats --quick

A simulated exchange in this process sends the same messages to four connections, each in its own
format. The formats take turns in each round; ratios of times are medians of the ratios within each
round. `hoga formats` does the same with recorded messages.

{}", bench_exit_codes(FORMATS_MISSED)))]
    Formats(BenchFormatsArgs),
    /// Runs the monitor of the streams' health against known faults, and counts those that it finds.
    #[command(after_help = format!("\
Example: hoga bench health --hours 24 --markets 200

The model is an exchange under virtual time: markets with five trades a second to two an hour and
one that never trades, pauses with heavy tails, nights with a tenth of the trades, halts. Random
streams become mute (they answer no question) or are forgotten (a question repairs them), sometimes
two of one market, and sometimes the whole connection becomes mute. A fault does harm once a message
was withheld; it is found when the value is not live. Nothing but its silence shows the fault of a
book, or of a ticker whose trades are mute too: if such a stream is usually silent for minutes, it is
not judged. If HOGA_CAPTURES names a folder of recordings, the pauses have their shape.

{}", exit_codes(HEALTH_MISSED)))]
    Health(HealthArgs),
    /// Measures whether readers that stop reading, block, fail or panic disturb other readers.
    #[command(after_help = format!("\
Example: hoga bench isolation --quick

Four readers follow every trade of a simulated exchange in this process. In turns of one second they
run either alone, or beside three callbacks (one panics, one fails, one blocks) and two unread
feeds.

{}", bench_exit_codes(ISOLATION_MISSED)))]
    Isolation(BenchArgs),
    /// Measures thousands of streams, demands and feeds at many times the exchange's rate: losses, latency, CPU,
    /// memory.
    #[command(after_help = format!("\
Example: hoga bench load --quick
         hoga bench load --streams 4200 --connections 1 --rate 100

A server of prepared messages in this process carries, over TLS 1.3 on loopback, tickers, trades,
order books of 30 levels, and candles of 1 s and of 1 min. Rate 1 is Upbit's own: its 855 markets
together sent 785 order books a second (2.2 MB/s), so each market sends 785/855 books a second.
The simulated exchange decides the share of the other types. Messages are spread evenly. The latency
of a message is the time from when it was due until a feed's reader has popped it.

Each feed has five streams. One quarter of the feeds keep every update (drop-newest, with room for
--pause), one quarter drop the oldest, one quarter conflate, and one quarter throttle to 100 ms. The
latencies leave out the feeds that conflate or throttle. One thread sends and reads on one core; the
engine has the other core. Each message that was sent must be in the counts of each feed that
carries its stream: received = delivered + dropped + conflated + filtered + queued. `mismatch` is
the number of updates by which sender, counts and readers disagree. Each column shows its own
median. If `rate kept` is below 100 %, `sender CPU` shows whether the sender was the limit: the
sender spins, so less than 100 % means that another thread used its core.

{}", bench_exit_codes(LOAD_MISSED)))]
    Load(LoadArgs),
    /// Compares reading the pool, reading a feed, and a callback: cost, and age of the data when it is used.
    #[command(after_help = format!("\
Example: hoga bench models --quick

A server sends the tickers of 100 markets one by one. One strategy reads them, in each turn with one
of these models:
  pull      loads the newest values of all markets at an interval: for strategies that decide at
            their own times and need only the newest value. Of two changes within an interval, the
            strategy sees only the second.
  ring      reads a feed, at an interval or when woken: for strategies that must see every change
  callback  the engine calls it with every change, on a thread that the engine starts: for programs
            without a thread to spare
`to use` is the time from the write to the socket until the strategy has the value; `age` is the
time since the engine received it. The strategy shares its core with the sender, which sleeps
between two messages. A strategy that spins needs its own core; `hoga bench e2e` measures that.

{}", bench_exit_codes(MODELS_MISSED)))]
    Models(BenchArgs),
    /// Compares whole clients from the exchange's write to the strategy's read over loopback: cost, latency, bursts.
    #[cfg(feature = "peers")]
    #[command(after_help = format!("\
Example: hoga bench peers --quick
         hoga bench peers --time 10m --json > peers.json

The same feeder sends the same prepared messages of 256 markets to each client in turn, plain and
over TLS 1.3: at saturation (CPU time of all the client's threads for each frame), at fixed rates
(from the moment a message is due until the strategy has it), and in bursts (from the write until
the strategy has the last message). The strategy shares the feeder's core; the client has the other
core. Each ratio compares figures of the same round; the report shows its median, minimum and
maximum.

Clients:
  tokio-tungstenite + serde_json   tokio, DashMap, tokio's broadcast channel
  fastwebsockets + sonic-rs        the same with other parts
  mio + tungstenite + simd-json    arc-swap, rtrb; parks or spins
  picows + orjson                  Python, in a separate process, if python3 has both packages;
       uses uvloop if it is installed
  bare socket                      decodes nothing: the floor; shows how many single sends per
       second the feeder can do

{ON_QUIET}

{}", bench_exit_codes(TARGET_MISSED)))]
    Peers(PeersArgs),
    /// Compares single stages: JSON to a struct, bytes to frames, the pool.
    #[cfg(feature = "peers")]
    #[command(after_help = format!("\
Example: hoga bench stages --quick
         hoga bench stages --time 5m --check
         hoga bench stages --quick --instructions

JSON: decodes a message of the simulated exchange into a struct of all its fields. Frames: reads
frames of 960 bytes from a socket whose reads return as much as fits (bulk), or one frame. Pool:
loads a value that has changed since the last load, or has not; and publishes after 1 thread, or
64 threads, have read.

{ON_QUIET}

{}", bench_exit_codes(TARGET_MISSED)))]
    Stages(StagesArgs),
    /// Saturates one client: for profilers, and to compare two builds alternately.
    #[command(after_help = format!("\
Example: hoga bench saturate ticker plain 3000000

{}", exit_codes("")))]
    Saturate(SaturateArgs),
    /// Runs the work of one row of `stages`, for callgrind to count.
    #[cfg(feature = "peers")]
    #[command(hide = true)]
    Count { table: String, name: String },
    /// Prints the cost of a publication in this process after `readers` threads have read the pool.
    #[cfg(feature = "peers")]
    #[command(hide = true)]
    Publish { readers: usize },
}

#[derive(Debug, Args)]
pub struct HealthArgs {
    /// Virtual hours.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub hours: u16,
    /// Number of markets, with three streams each.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u16).range(2..=1000))]
    pub markets: u16,
    /// The seed of all random numbers.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Prints the report as one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct LoadArgs {
    #[command(flatten)]
    pub bench: BenchArgs,
    /// Streams on the wire, rounded up to a multiple of five, the streams of one market.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1000,4200")]
    #[arg(value_parser = clap::value_parser!(u16).range(5..=10_000))]
    pub streams: Vec<u16>,
    /// Number of connections that carry the streams.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,4")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=64))]
    pub connections: Vec<u16>,
    /// Multiples of the exchange's rate.
    #[arg(long, value_name = "X", value_delimiter = ',', default_value = "1,10,100")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub rate: Vec<u16>,
    /// Number of feeds, with five streams each.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u16).range(4..=10_000))]
    pub feeds: u16,
    /// Number of subscriptions, each to a few streams.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub demands: u16,
    /// The longest pause of the reader for which feeds that keep every update have room, at most 5m.
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = pause)]
    pub pause: Duration,
}

fn pause(text: &str) -> Result<Duration, String> {
    let pause = humantime::parse_duration(text).map_err(|e| e.to_string())?;
    if pause <= Duration::from_secs(300) { Ok(pause) } else { Err("at most 5m is possible".to_owned()) }
}

#[derive(Debug, Args)]
pub struct E2eArgs {
    #[command(flatten)]
    pub bench: BenchArgs,
    /// A report of --json to compare with: medians of cost, latency and rate.
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// With --baseline: how much worse a median may be, in percent. A figure whose best round is as good as
    /// the baseline's worst round does not count as worse.
    #[arg(long, value_name = "PERCENT", default_value_t = 20, requires = "baseline")]
    max_loss: u16,
}

impl E2eArgs {
    /// Returns how much worse a median may be, as a fraction.
    pub fn most_loss(&self) -> f64 {
        f64::from(self.max_loss) / 100.0
    }
}

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// The same as --time 20s.
    #[arg(long, conflicts_with = "time")]
    quick: bool,
    /// How long to measure; at least one round.
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    time: Duration,
    #[command(flatten)]
    pub report: ReportArgs,
}

/// How a report is printed and checked.
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
    /// Returns how long to measure.
    pub fn time(&self) -> Duration {
        if self.quick { Duration::from_secs(20) } else { self.time }
    }
}

#[derive(Debug, Args)]
pub struct BenchFormatsArgs {
    #[command(flatten)]
    pub bench: BenchArgs,
    /// Messages of each type per second, to compute the megabytes per hour.
    #[arg(long, default_value_t = 100.0, value_name = "N", value_parser = rate)]
    pub rate: f64,
}

#[cfg(feature = "peers")]
#[derive(Debug, Args)]
pub struct StagesArgs {
    #[command(flatten)]
    pub bench: PeersArgs,
    /// Also counts instructions under valgrind. This takes a few minutes in addition to --time.
    #[arg(long)]
    pub instructions: bool,
}

#[cfg(feature = "peers")]
#[derive(Debug, Args)]
pub struct PeersArgs {
    /// The same as --time 60s.
    #[arg(long, conflicts_with = "time")]
    quick: bool,
    /// How long to measure; at least one round. Short times make short rounds.
    #[arg(long, default_value = "5m", value_parser = humantime::parse_duration)]
    time: Duration,
    #[command(flatten)]
    pub report: ReportArgs,
}

#[cfg(feature = "peers")]
impl PeersArgs {
    /// Returns how long to measure.
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
    /// Number of frames to measure; a tenth as many are sent first to warm up.
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
