//! The command line of `hoga`: its commands and options, and how their values are parsed.

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{StringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use hoga::config::{Endpoint, FormatChoice, FormatRule, InvalidEndpoint};
use hoga::feed::Overflow;
use hoga::model::{DataType, Format, Market, MarketSelector};
use hoga_exchange::{Dialect, Pace};

use crate::formats::rate;

const POLICIES: &str = "\
Policies of --overflow, for events that arrive faster than they are printed:
  drop-newest[:N]  up to N events wait (default 4096, 1.1 KB each); the newest are dropped
  drop-oldest      up to 4096 events of each type wait; the oldest are dropped
  conflate         only the newest event of each stream waits
  throttle:TIME    same as conflate, and each stream at most once per TIME (50ms, 2s)
  by-type          drop-newest for trades (240 wait), conflate for all other types
Each drop is reported as a gap, and the summary accounts for every event.";

const EXIT_CODES: &str = "\
Exit codes:
  0    finished, or the reader of the output closed it
  1    the engine failed, or output could not be written
  2    invalid arguments or configuration
  3    nothing was received in time
  130  interrupted by Ctrl-C or SIGTERM; a second signal ends the process at once";

const RECORDINGS: &str = "\
Each line of a file has one message in any of the four formats: as the exchange sends it, as
`hoga exchange --log` or `hoga watch --json` write it, between stamps without braces, in quotes as
CSV, JSON or Python write them, or in an object that has no other message. Other lines are counted
by kind: comments, statuses, errors, requests, events of hoga watch, lines that are cut off.";

/// Market data of the Upbit exchange. Without a command, runs the demo.
#[derive(Debug, Parser)]
#[command(name = "hoga", version, args_conflicts_with_subcommands = true, max_term_width = 120)]
#[command(after_help = format!("\
Example: hoga watch KRW-BTC --types trade --count 10

{EXIT_CODES}"))]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    demo: DemoArgs,
    /// Logs to stderr: -v at level info, -vv at level debug. RUST_LOG, if set, overrides this.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
}

impl Cli {
    /// Returns the command, or the demo if none was given.
    pub fn chosen(self) -> Command {
        self.command.unwrap_or(Command::Demo(self.demo))
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the engine against a simulated exchange in this process, over TLS on loopback.
    Demo(DemoArgs),
    /// Prints every event of the selected streams.
    Watch(Box<WatchArgs>),
    /// Runs a simulated exchange on a loopback port until it is interrupted.
    Exchange(ExchangeArgs),
    /// Compares the exchange's four formats on recorded messages, or converts the messages.
    Formats(FormatsArgs),
    /// Measures the library on this machine with hoga-bench, which is built separately and must be in the same
    /// directory as hoga.
    #[command(
        disable_help_flag = true,
        after_help = "\
Example: hoga bench --help
         hoga bench e2e --quick

Exit codes:
  0    measured, or the reader of the output closed it
  1    hoga-bench could not measure, or a required result was missed; see `hoga bench --help`
  2    invalid arguments, or hoga-bench was not found
  130  interrupted by Ctrl-C or SIGTERM; a second signal ends the process at once"
    )]
    Bench {
        /// Arguments for hoga-bench.
        #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Runs the engine through faults for as long as asked, and checks that it recovers from each. Runs hoga-soak, which
    /// is built with hoga-bench.
    #[command(
        disable_help_flag = true,
        after_help = "\
Example: hoga soak --help
         hoga soak --duration 10m

Exit codes:
  0    every promise was kept, or the reader of the output closed it
  1    a promise was broken, or the run failed
  2    invalid arguments, or hoga-soak was not found
  130  interrupted by Ctrl-C or SIGTERM; a second signal ends the process at once"
    )]
    Soak {
        /// Arguments for hoga-soak.
        #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Makes each kind of fault once, and prints how the engine recovers from it. Runs hoga-soak, which is built with
    /// hoga-bench.
    #[command(
        disable_help_flag = true,
        after_help = "\
Example: hoga faults --help
         hoga faults --only 1,7,57

Exit codes:
  0    every promise was kept, or the reader of the output closed it
  1    a promise was broken, or the run failed
  2    invalid arguments, or hoga-soak was not found
  130  interrupted by Ctrl-C or SIGTERM; a second signal ends the process at once"
    )]
    Faults {
        /// Arguments for hoga-soak.
        #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

#[derive(Debug, Args)]
#[command(after_help = format!("\
Example: hoga formats day.jsonl
         hoga formats day.jsonl --convert simple_list | head

{RECORDINGS}

Each message is converted from its own format to the other three. Keys change and values do not,
although the exchange spells some numbers differently in different formats.

Exit codes:
  0    finished, or the reader of the output closed it
  1    output could not be written
  2    invalid arguments, a file that cannot be read, or a file without a message
  130  interrupted by Ctrl-C or SIGTERM"))]
pub struct FormatsArgs {
    /// Files with recorded messages; - reads stdin. See below.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Prints the messages in this format, one per line, instead of comparing the formats.
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with = "json")]
    pub convert: Option<FormatArg>,
    /// Assumed number of messages of each type per second, to compute the megabytes per hour.
    #[arg(long, default_value_t = 100.0, value_name = "N", value_parser = rate)]
    pub rate: f64,
    /// How long to measure. Every format is measured at least once.
    #[arg(long, default_value = "3s", value_parser = humantime::parse_duration)]
    pub time: Duration,
    /// Prints the report as one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = format!("Example: hoga demo --duration 30s --markets 50\n\n{EXIT_CODES}"))]
pub struct DemoArgs {
    /// How long the demo runs.
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    pub duration: Duration,
    /// Number of markets, from 1 to 500. The ticker, trades and order book of each are subscribed.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub markets: u16,
    /// Seed of the simulated market data. The same seed repeats the same data.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Prints the summary as one JSON object and nothing else.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = format!("Example: hoga watch KRW-BTC KRW-ETH --types ticker,trade --json\n\n{POLICIES}\n\n{EXIT_CODES}"))]
pub struct WatchArgs {
    /// Markets, such as KRW-BTC, or patterns: 'KRW-*', '*-BTC', '*'. Separated by spaces or commas.
    #[arg(required = true, value_delimiter = ',', value_parser = target)]
    pub codes: Vec<MarketSelector>,
    /// Data types, separated by commas: ticker, trade, orderbook, candle.1s, candle.1m and so on.
    #[arg(long, default_value = "ticker", value_delimiter = ',', value_parser = data_type)]
    pub types: Vec<DataType>,
    /// For order books: requests at least this many levels. Upbit offers 1, 5, 15 and 30.
    #[arg(long, value_name = "N")]
    pub levels: Option<u8>,
    /// For order books: groups prices by this step, in KRW. Only KRW markets can be grouped.
    #[arg(long, value_name = "KRW")]
    pub group: Option<f64>,
    /// Prints only the state at the start of each socket (snapshot), or only changes (realtime). Default: both.
    #[arg(long, value_enum)]
    pub only: Option<Only>,
    /// Number of connections over which the streams are spread, from 1 to 64.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub connections: usize,
    /// Message format to request: default, simple, json_list, simple_list, or auto, which finds the cheapest one while
    /// running (-v logs why). The output is the same for all formats.
    #[arg(long, default_value = "default", value_parser = format_choice)]
    pub format: FormatChoice,
    /// Exchange to connect to: kr, sg, id, th, bithumb, or a URL: wss://…, or ws://… on loopback.
    #[arg(long, default_value = "kr", value_parser = endpoint)]
    pub endpoint: Endpoint,
    /// Proxy through which the exchange is reached: http://[user:password@]host[:port], socks5://…, or none. Default:
    /// HTTPS_PROXY or ALL_PROXY, unless NO_PROXY contains the exchange. The password is never printed; the list of
    /// processes shows it here, but not in a variable.
    #[arg(long, value_name = "URL|none", value_parser = StringValueParser::new().map(ProxyArg))]
    pub proxy: Option<ProxyArg>,
    /// Public root certificates to trust. Default: bundled, unless SSL_CERT_FILE or SSL_CERT_DIR is set.
    #[arg(long, value_enum)]
    pub roots: Option<RootsArg>,
    /// Trusts the root certificates in this PEM file, in addition to the public ones.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Sends this header with each opening request. Can be repeated. 'User-Agent: x' replaces the default, hoga/x.y.z.
    /// Values are never printed.
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = StringValueParser::new().map(Header))]
    pub headers: Vec<Header>,
    /// Ends after this time, such as 500ms, 10s, 2m, 1h. Default: runs until interrupted.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,
    /// Ends after this many data events.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Gives up with exit code 3 if no event was received within this time, or within --duration if that is shorter.
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    pub connect_timeout: Duration,
    /// What happens to events that arrive faster than they are printed; see the policies below.
    #[arg(long, default_value_t = Overflow::DROP_NEWEST, value_name = "POLICY")]
    pub overflow: Overflow,
    /// Waits this long after each data event, to show what --overflow does. At the end, the waiting events are printed
    /// at once.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub slow: Option<Duration>,
    /// Records where the time of messages goes, and prints it at the end, as `hoga demo` does.
    #[arg(long)]
    pub latencies: bool,
    /// Prints one JSON object per line. Fields that a message does not have are left out.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = format!("Example: hoga exchange --listen 127.0.0.1:9443 --replay day.jsonl --speed 10

Prints one JSON line with its URL (listening) and the file of its certificate (ca), then runs
until Ctrl-C or SIGTERM. SIGUSR1 mutes it: pings are answered, but no data is sent. The next
SIGUSR1 ends that.

{RECORDINGS}
A replay reports the number of each kind on stderr.

A log ends before the first frame that cannot be written. That is reported on stderr at once, with
the number of the last frame in the log. The exchange goes on until it is interrupted.

Exit codes:
  0    the reader of the output closed it before the first line
  1    the exchange could not start, or output or a frame of --log could not be written
  2    invalid arguments, a file that cannot be read, or a recording without a message
  130  ended by Ctrl-C or SIGTERM; a second signal ends the process at once"))]
pub struct ExchangeArgs {
    /// Loopback address to listen on; port 0 takes a free port.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Serves ws:// instead of wss://.
    #[arg(long)]
    pub plain: bool,
    /// Exchange to imitate: its limits, and the form of its requests and messages.
    #[arg(long, value_enum, default_value = "upbit")]
    pub dialect: DialectArg,
    /// Seed of the simulated market data. The same seed repeats the same data.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Number of listed markets, from 1 to 2000.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u16).range(1..=2000))]
    pub markets: u16,
    /// Serves the recorded messages in these files for the streams that they contain; see below. All other streams are
    /// simulated.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub replay: Vec<PathBuf>,
    /// Multiplies the activity of the markets and the pace of a replay. At 1, a replay sends 100 lines per second on each
    /// connection; at `max`, as fast as the client reads.
    #[arg(long, default_value = "1", value_name = "X", value_parser = speed)]
    pub speed: Speed,
    /// Writes every data frame that is sent, with its time, to this file. Overwrites the file.
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Closes a connection after this long without traffic in either direction.
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    pub idle_timeout: Duration,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum FormatArg {
    Default,
    Simple,
    JsonList,
    SimpleList,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Default => Self::Default,
            FormatArg::Simple => Self::Simple,
            FormatArg::JsonList => Self::JsonList,
            FormatArg::SimpleList => Self::SimpleList,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum DialectArg {
    Upbit,
    Bithumb,
}

impl From<DialectArg> for Dialect {
    fn from(dialect: DialectArg) -> Self {
        match dialect {
            DialectArg::Upbit => Self::Upbit,
            DialectArg::Bithumb => Self::Bithumb,
        }
    }
}

/// The value of `--header`. Any text is accepted here, because clap prints a value that it refuses, and this one may be
/// secret.
#[derive(Clone)]
pub struct Header(String);

impl Header {
    /// Returns the name and the value; `None` if there is no colon between them.
    pub fn parts(&self) -> Option<(&str, &str)> {
        self.0.split_once(':').map(|(name, value)| (name.trim(), value.trim()))
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Header").finish_non_exhaustive()
    }
}

/// The value of `--proxy`. Any text is accepted here, for the same reason.
#[derive(Clone)]
pub struct ProxyArg(pub String);

impl fmt::Debug for ProxyArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProxyArg").finish_non_exhaustive()
    }
}

/// The value of `--roots`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RootsArg {
    /// Mozilla's, compiled into this program
    Bundled,
    /// The operating system's
    System,
}

/// The messages of a stream to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Only {
    Snapshot,
    Realtime,
}

/// The value of `--speed`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    Times(f64),
    Max,
}

impl Speed {
    /// Lines per second and connection at speed 1.
    const REPLAY_RATE: f64 = 100.0;

    /// Returns the pace of a replay.
    pub fn pace(self) -> Pace {
        match self {
            Self::Times(times) => Pace::PerSecond(times * Self::REPLAY_RATE),
            Self::Max => Pace::Unlimited,
        }
    }

    /// Returns the factor for the activity of the simulated markets. `max` affects replays only.
    pub fn times(self) -> f64 {
        match self {
            Self::Times(times) => times,
            Self::Max => 1.0,
        }
    }
}

fn speed(text: &str) -> Result<Speed, &'static str> {
    if text == "max" {
        return Ok(Speed::Max);
    }
    match text.parse() {
        // A faster simulation would only fall behind.
        Ok(times) if (0.001..=1000.0).contains(&times) => Ok(Speed::Times(times)),
        _ => Err("the speed must be a number from 0.001 to 1000, or max"),
    }
}

fn target(code: &str) -> Result<MarketSelector, String> {
    let meant = Market::suggestion(code).map(|market| format!("; did you mean {market}?")).unwrap_or_default();
    match code.parse() {
        // Such a market would be parsed, and never send anything.
        Ok(MarketSelector::Market(market)) if FIAT.contains(&market.base()) => {
            Err(format!("the quote currency is first in a market code{meant}"))
        }
        Ok(selector) => Ok(selector),
        Err(reason) => Err(format!("{reason}{meant}")),
    }
}

/// Currencies that are never the base of a market.
const FIAT: [&str; 4] = ["KRW", "IDR", "SGD", "THB"];

fn data_type(name: &str) -> Result<DataType, String> {
    DataType::from_name(name).ok_or_else(|| {
        let names: Vec<_> = DataType::ALL.iter().map(|known| known.as_str()).collect();
        format!("the data types are {}", names.join(", "))
    })
}

fn format_choice(name: &str) -> Result<FormatChoice, String> {
    if name == "auto" {
        return Ok(FormatRule::default().into());
    }
    let format = FormatArg::from_str(name, false);
    format
        .map(|format| Format::from(format).into())
        .map_err(|_| "the formats are default, simple, json_list, simple_list, and auto".to_owned())
}

fn endpoint(text: &str) -> Result<Endpoint, InvalidEndpoint> {
    match text {
        "kr" => Ok(Endpoint::korea()),
        "sg" => Ok(Endpoint::singapore()),
        "id" => Ok(Endpoint::indonesia()),
        "th" => Ok(Endpoint::thailand()),
        "bithumb" => Ok(Endpoint::bithumb()),
        url => Endpoint::custom(url),
    }
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
                assert!(help.contains(part), "{}: {help}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn without_a_command_the_demo_runs() {
        let cli = Cli::parse_from(["hoga", "--duration", "500ms", "--seed", "7"]);
        let Command::Demo(demo) = cli.chosen() else { panic!("not the demo") };
        assert_eq!((demo.duration, demo.seed, demo.markets), (Duration::from_millis(500), 7, 20));
    }

    #[test]
    fn lists_may_be_separated_by_commas_or_spaces() {
        let cli = Cli::parse_from(["hoga", "watch", "KRW-BTC,KRW-ETH", "KRW-XRP", "--types", "trade,candle.1m"]);
        let Command::Watch(watch) = cli.chosen() else { panic!("not watch") };
        assert_eq!((watch.codes.len(), watch.types.len()), (3, 2));
    }

    #[test]
    fn by_default_4096_events_may_wait_before_any_is_dropped() {
        let Command::Watch(watch) = Cli::parse_from(["hoga", "watch", "KRW-BTC"]).chosen() else { panic!("not watch") };
        assert_eq!((watch.overflow, watch.slow), (Overflow::DropNewest { capacity: 4096 }, None));
    }

    #[test]
    fn a_format_is_one_of_four_or_auto() {
        assert_eq!(format_choice("json_list"), Ok(FormatChoice::Fixed(Format::JsonList)));
        assert_eq!(format_choice("auto"), Ok(FormatChoice::Auto(FormatRule::default())));
        assert!(format_choice("SIMPLE").unwrap_err().contains("auto"));
    }

    #[test]
    fn a_speed_is_a_number_in_range_or_max() {
        assert_eq!(speed("2.5"), Ok(Speed::Times(2.5)));
        assert_eq!(speed("max").unwrap().pace(), Pace::Unlimited);
        for no in ["0", "-1", "nan", "inf", "fast"] {
            assert!(speed(no).is_err(), "{no}");
        }
    }
}
