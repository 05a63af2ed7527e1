//! `hoga demo`: runs the engine against the simulated exchange in one process, over TLS on loopback, and prints a
//! summary.

use std::io::{self, IsTerminal};
use std::time::Duration;

use hoga::config::{ConnectLedger, Endpoint};
use hoga::engine::{Engine, Feed};
use hoga::feed::{Item, Latency, Overflow};
use hoga::model::{Market, Nanos, StreamType};
use hoga::plan::{orderbook, ticker, trade};
use hoga_exchange::{Config, Exchange, Fault, Server, ServerConfig};

use crate::args::DemoArgs;
use crate::breakdown::Breakdown;
use crate::cpu;
use crate::exit::Failure;
use crate::human::{drift, grouped, losses};
use crate::latency::{fields, quantiles, short};
use crate::line::{Gap, Gaps};
use crate::object::Object;
use crate::output;
use crate::screen::Screen;
use crate::signals::Interrupt;
use crate::table::Table;
use crate::tally::Tally;

/// How often the table is redrawn.
const FRAME: Duration = Duration::from_millis(250);
/// How often progress is printed if stdout is not a terminal.
const PROGRESS: Duration = Duration::from_secs(1);
/// The longest wait at the end for data that was sent and not read yet.
const DRAIN_MAX: Duration = Duration::from_secs(1);
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(3);
/// The number of lines on the screen that are not rows of the table.
const OTHER_LINES: usize = 6;

/// Runs for the requested time, then prints what was received and lost, and the latencies.
pub fn run(args: &DemoArgs) -> Result<(), Failure> {
    let interrupt = Interrupt::catch()?;
    let config = Config { seed: args.seed, markets: usize::from(args.markets), ..Config::default() };
    let markets = markets(&config)?;
    let server = Server::start(ServerConfig { exchange: config, ..ServerConfig::default() })
        .map_err(|e| Failure::Failed(format!("the simulated exchange could not start: {e}")))?;
    let mut demo = Demo::start(args, server, &markets)?;
    demo.follow(&interrupt)?;
    let summary = demo.finish()?;
    let text = if args.json { summary.json() } else { summary.text() };
    let printed = output::print(&text);
    if interrupt.is_asked() { Err(Failure::Interrupted) } else { Ok(printed?) }
}

/// Returns the markets that an exchange with this configuration lists.
fn markets(config: &Config) -> Result<Vec<Market>, Failure> {
    let listed = Exchange::new(config.clone(), 0);
    let codes = listed.markets().map(|code| code.parse());
    codes
        .collect::<Result<_, _>>()
        .map_err(|e| Failure::Failed(format!("the simulated exchange lists an invalid code: {e}")))
}

struct Demo {
    server: Server,
    engine: Engine,
    feed: Feed,
    table: Table,
    view: View,
    exchange_to_read: Latency,
    started: Nanos,
    duration: Duration,
    gaps: Gaps,
}

impl Demo {
    fn start(args: &DemoArgs, server: Server, markets: &[Market]) -> Result<Self, Failure> {
        let endpoint = Endpoint::custom(&server.url()).map_err(|e| Failure::Failed(e.to_string()))?;
        // The exchange is part of this process, so no other process connects to it.
        let engine = Engine::builder()
            .endpoint(endpoint)
            .connect_ledger(ConnectLedger::Process)
            .root_certificates(server.ca_pem())
            .measure_latencies(true)
            .start()?;
        // The feed must not conflate, because the summary compares the messages read with those sent.
        let asked = ticker(markets).and(trade(markets)).and(orderbook(markets));
        let mut feed = engine.feed(asked, Overflow::DROP_NEWEST)?;
        feed.measure_latencies();
        let started = engine.now();
        let table = Table::new(engine.pool(), markets, started).map_err(hoga::Error::from)?;
        let view = View::choose(args.json)?;
        let (exchange_to_read, duration) = (Latency::new(), args.duration);
        Ok(Self { server, engine, feed, table, view, exchange_to_read, started, duration, gaps: Gaps::default() })
    }

    fn follow(&mut self, interrupt: &Interrupt) -> Result<(), Failure> {
        let mut next_view = self.started + self.view.first();
        loop {
            self.read();
            let now = self.engine.now();
            if now >= next_view {
                self.show(now)?;
                next_view = now + self.view.every();
            }
            if !self.engine.is_running() {
                return Err(Failure::Failed("the engine stopped unexpectedly; run again with -v".to_owned()));
            }
            let left = self.duration.saturating_sub(now.since(self.started));
            if left.is_zero() || interrupt.is_asked() {
                return Ok(());
            }
            // The end of the engine is handled above.
            let _ = self.feed.wait(left.min(next_view.since(now)).min(FRAME));
        }
    }

    /// Reads everything that has arrived.
    fn read(&mut self) {
        while let Some(item) = self.feed.pop() {
            match item {
                Item::Data(update) => {
                    // A snapshot carries the time of the last change, which may be long ago.
                    if update.value.stream_type() == StreamType::Realtime {
                        let sent = Nanos::from_millis(update.stamps.exchange_ms);
                        self.exchange_to_read.record(self.engine.now().since(sent));
                    }
                    if let Some(market) = update.value.key().market() {
                        self.table.count(market);
                    }
                }
                Item::Gap { missed } => self.gaps.add(&Gap::FeedFull { missed }),
                Item::Epoch { .. } => {}
            }
        }
    }

    fn show(&mut self, now: Nanos) -> io::Result<()> {
        let publish = self.feed.latencies().map(|latencies| quantiles(&latencies.receive_to_publish));
        let publish = format!("receive→publish {}", publish.unwrap_or_default());
        match &mut self.view {
            View::Nothing => Ok(()),
            View::Progress => {
                let line = progress(&self.engine, now.since(self.started));
                output::print(&format!("{line}  {publish}\n"))
            }
            View::Table(screen) => {
                let (_, height) = screen.size();
                let mut lines = vec![format!("hoga demo: the engine on {}", self.server.url()), String::new()];
                lines.extend(self.table.lines(now, height.saturating_sub(OTHER_LINES + 1)));
                lines.push(String::new());
                lines.push(progress(&self.engine, now.since(self.started)));
                lines.push(publish);
                screen.draw(&lines)
            }
        }
    }

    /// Mutes the exchange, reads the data that is still in flight, and computes the summary.
    fn finish(mut self) -> Result<Summary, Failure> {
        let duration = self.engine.now().since(self.started);
        self.server.inject(Fault::Mute(true));
        let deadline = self.engine.now() + DRAIN_MAX;
        while Tally::now(&self.engine).data < self.server.stats().data_frames && self.engine.now() < deadline {
            let _ = self.feed.wait(Duration::from_millis(10));
            self.read();
        }
        self.read();
        let (sent, live) = (self.server.stats().data_frames, live_streams(&self.engine));
        let cpu = cpu::connection_thread();
        let breakdown = Breakdown::of(&self.engine, self.feed.latencies());
        let Self { server, engine, view, exchange_to_read, gaps, .. } = self;
        // Restores the cursor before anything else is printed.
        drop(view);
        let pool = engine.pool().clone();
        let report = engine.shutdown(SHUTDOWN_DEADLINE);
        let tally = Tally::of(&report.connections, &pool);
        report.into_result()?;
        server.shutdown();
        Ok(Summary { duration, sent, live, tally, gaps, breakdown, exchange_to_read, cpu })
    }
}

/// What is shown while the demo runs.
enum View {
    /// Nothing: the summary is JSON.
    Nothing,
    /// Lines with the progress: stdout is a file or a pipe.
    Progress,
    /// A table of the markets: stdout is a terminal.
    Table(Screen),
}

impl View {
    fn choose(json: bool) -> io::Result<Self> {
        Ok(match io::stdout().is_terminal() {
            _ if json => Self::Nothing,
            true => Self::Table(Screen::open()?),
            false => Self::Progress,
        })
    }

    /// Returns the time until the first output. The table is shown at once, the progress after one interval.
    fn first(&self) -> Duration {
        if matches!(self, Self::Table(_)) { Duration::ZERO } else { PROGRESS }
    }

    fn every(&self) -> Duration {
        if matches!(self, Self::Table(_)) { FRAME } else { PROGRESS }
    }
}

fn progress(engine: &Engine, time: Duration) -> String {
    let (tally, live) = (Tally::now(engine), live_streams(engine));
    format!(
        "{:>5.1} s  {}  {live}/{} streams live  {} messages",
        time.as_secs_f64(),
        engine.state().as_str(),
        tally.streams,
        grouped(tally.messages as f64),
    )
}

fn live_streams(engine: &Engine) -> usize {
    engine.pool().streams().iter().filter(|stream| stream.health.is_undisputed()).count()
}

/// The result of the demo.
struct Summary {
    duration: Duration,
    /// The number of data messages sent, as counted by the exchange.
    sent: u64,
    live: usize,
    tally: Tally,
    gaps: Gaps,
    /// The parts of the time from the exchange until this program has read the event. The program sleeps between
    /// events, so the last part includes a wake-up.
    breakdown: Breakdown,
    /// The same time as a whole, measured from the exchange's stamps, which are in whole ms. The exchange has the same
    /// clock as the engine here.
    exchange_to_read: Latency,
    cpu: Option<Duration>,
}

impl Summary {
    fn cpu_per_message(&self) -> Option<Duration> {
        Some(self.cpu? / u32::try_from(self.tally.messages).ok().filter(|&count| count > 0)?)
    }

    fn text(&self) -> String {
        let Self { duration, sent, live, tally, gaps, breakdown, exchange_to_read, .. } = self;
        let cpu = match (self.cpu, self.cpu_per_message()) {
            (Some(all), Some(each)) => {
                format!(
                    "{} per message, {} in total, for the connection's thread with TLS and its start",
                    short(each),
                    short(all)
                )
            }
            _ => "unknown: the system does not report it for each thread".to_owned(),
        };
        let messages =
            format!("{} sent by the exchange, {} read, {} bytes", count(*sent), count(tally.data), count(tally.bytes));
        let mut rows = vec![
            ("streams".to_owned(), format!("{}, {live} live at the end", tally.streams)),
            ("messages".to_owned(), messages),
            ("losses".to_owned(), losses(&tally.losses(*gaps))),
        ];
        rows.extend(drift(tally).map(|drift| ("drift".to_owned(), drift)));
        rows.extend(breakdown.rows());
        rows.push(("exchange→read".to_owned(), format!("{}  (stamps in whole ms)", quantiles(exchange_to_read))));
        rows.push(("CPU".to_owned(), cpu));
        let mut text = format!("\nSummary of {}\n", short(*duration));
        for (name, value) in rows {
            text.push_str(&format!("  {name:<17} {value}\n"));
        }
        text
    }

    fn json(&self) -> String {
        let mut text = String::new();
        Object::line(&mut text, |object| {
            object.plain("duration_ms", self.duration.as_millis()).plain("live", self.live).plain("sent", self.sent);
            self.tally.fields(object, self.gaps);
            object
                .object("latencies", |object| self.breakdown.fields(object))
                .object("exchange_to_read", |object| fields(object, &self.exchange_to_read))
                .optional("cpu_ns", self.cpu.map(|time| time.as_nanos()))
                .optional("cpu_ns_per_message", self.cpu_per_message().map(|time| time.as_nanos()));
        });
        text
    }
}

fn count(number: u64) -> String {
    grouped(number as f64)
}
