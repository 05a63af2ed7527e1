//! `hoga watch`: prints every event of the selected streams as a line, and between them the events of the connections.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::thread;
use std::time::Duration;

use hoga::engine::{ConnectionStatus, Engine, Feed, Lifecycle, LifecycleEvent};
use hoga::error::NotReadyReason;
use hoga::feed::{Item, Update};
use hoga::model::{DataType, Nanos};
use hoga::monitor::GapLog;
use hoga::plan::{MarketSelector, PlanStats, Subscription};

use crate::args::{Only, WatchArgs};
use crate::breakdown::Breakdown;
use crate::exit::Failure;
use crate::lifecycle::Reports;
use crate::line::{Gap, Gaps, Line, StreamGaps, Summary};
use crate::signals::Interrupt;
use crate::sockets::Sockets;
use crate::tally::Tally;
use crate::{human, json, network};

/// The longest sleep while nothing arrives: signals, reports and deadlines are checked this often.
const SLEEP_MAX: Duration = Duration::from_millis(100);
/// The number of items printed before anything else is checked.
const BATCH: usize = 1024;
/// How often the exchange is asked which markets exist, if the arguments contain a pattern.
const MARKETS_EVERY: Duration = Duration::from_secs(60);
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(3);

/// Prints events until an end condition is met, then prints a summary.
pub fn run(args: WatchArgs) -> Result<(), Failure> {
    let interrupt = Interrupt::catch()?;
    let asked = subscription(&args)?;
    let mut builder = Engine::builder().endpoint(args.endpoint.clone()).format(args.format);
    builder = builder.connections(args.connections).measure_latencies(args.latencies);
    if args.codes.iter().any(|code| matches!(code, MarketSelector::Pattern(_))) {
        builder = builder.rest_markets(MARKETS_EVERY);
    }
    builder = network::configure(builder, &args)?;
    for header in &args.headers {
        let Some((name, value)) = header.parts() else {
            return Err(Failure::Usage("--header needs a name and a value, such as 'User-Agent: x'".to_owned()));
        };
        builder = builder.header(name, value);
    }
    let engine = builder.start()?;
    network::announce(&engine, &args);
    // Created before the feed: without demand nothing is connected, so no report is missed.
    let lifecycle = engine.lifecycle();
    let mut feed = engine.feed(asked, args.overflow)?;
    if args.latencies {
        feed.measure_latencies();
    }
    let mut watch = Watch {
        started: engine.now(),
        args,
        interrupt,
        engine,
        feed,
        lifecycle,
        reports: Reports::default(),
        printer: Printer::new(),
        sockets: Sockets::default(),
        by_type: BTreeMap::new(),
        printed: 0,
        gaps: Gaps::default(),
    };
    let end = watch.follow()?;
    watch.finish(end)
}

fn subscription(args: &WatchArgs) -> Result<Subscription, Failure> {
    if (args.levels.is_some() || args.group.is_some()) && !args.types.contains(&DataType::Orderbook) {
        return Err(Failure::Usage("--levels and --group apply to order books; add --types orderbook".to_owned()));
    }
    let all = args.types.iter().map(|&data_type| of_type(args, data_type)).reduce(Subscription::and);
    let all = all.unwrap_or_default();
    Ok(match args.only {
        None => all,
        Some(Only::Snapshot) => all.only_snapshot(),
        Some(Only::Realtime) => all.only_realtime(),
    })
}

fn of_type(args: &WatchArgs, data_type: DataType) -> Subscription {
    let mut asked = Subscription::of(data_type, &args.codes);
    if data_type == DataType::Orderbook {
        if let Some(levels) = args.levels {
            asked = asked.levels(levels);
        }
        if let Some(step) = args.group {
            asked = asked.grouped(step);
        }
    }
    asked
}

/// Why the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Count,
    Duration,
    Interrupted,
    NothingReceived,
    EngineFailed,
}

impl End {
    fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Duration => "duration",
            Self::Interrupted => "interrupted",
            Self::NothingReceived => "nothing_received",
            Self::EngineFailed => "engine_failed",
        }
    }
}

struct Watch {
    args: WatchArgs,
    interrupt: Interrupt,
    engine: Engine,
    feed: Feed,
    lifecycle: Lifecycle,
    reports: Reports,
    printer: Printer,
    started: Nanos,
    sockets: Sockets,
    by_type: BTreeMap<DataType, u64>,
    printed: u64,
    gaps: Gaps,
}

impl Watch {
    fn follow(&mut self) -> Result<End, Failure> {
        loop {
            let before = self.printed;
            let caught_up = self.print_items(self.batch())?;
            if caught_up {
                // Reports are printed only when no data waits, so that a socket's data is printed before the report of
                // its end.
                self.print_reports()?;
                self.printer.flush()?;
            }
            if let Some(end) = self.end() {
                return Ok(end);
            }
            if self.printed > before {
                self.pause_slow()?;
            }
            if caught_up {
                let pause = self.pause();
                self.feed.wait(pause);
            }
        }
    }

    /// Returns the number of items to print at once. With `--slow` it is 1.
    fn batch(&self) -> usize {
        if self.args.slow.is_some() { 1 } else { BATCH }
    }

    /// Pauses after an event, as `--slow` requests. The pause stops early at an end condition; a signal unparks this
    /// thread.
    fn pause_slow(&mut self) -> io::Result<()> {
        let Some(slow) = self.args.slow else { return Ok(()) };
        self.printer.flush()?;
        let until = self.engine.now() + slow;
        while self.engine.now() < until && self.end().is_none() {
            thread::park_timeout(until.since(self.engine.now()).min(self.pause()));
        }
        Ok(())
    }

    /// Prints waiting items, at most `most`. Returns true if no more items wait or are wanted.
    fn print_items(&mut self, most: usize) -> io::Result<bool> {
        for _ in 0..most {
            if self.has_enough() {
                return Ok(true);
            }
            match self.feed.pop() {
                Some(Item::Data(update)) => self.print_data(&update)?,
                Some(Item::Gap { missed }) => self.print_gap(Gap::FeedFull { missed })?,
                Some(Item::Epoch { connection, new, reason, .. }) => self.sockets.reported(connection, new, reason),
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    fn print_data(&mut self, update: &Update) -> io::Result<()> {
        if self.sockets.is_first(update) {
            // The reports about a socket are printed before its data and before the gap in front of that data.
            self.print_reports()?;
        }
        if let Some(socket) = self.sockets.data(update) {
            self.print_gap(Gap::NewSocket(socket))?;
        }
        self.printed += 1;
        *self.by_type.entry(update.value.key().data_type).or_default() += 1;
        self.print(&Line::Data(update))
    }

    fn print_gap(&mut self, gap: Gap) -> io::Result<()> {
        self.gaps.add(&gap);
        self.print(&Line::Gap(gap))
    }

    fn print_reports(&mut self) -> io::Result<()> {
        // What happened to connections comes first, because it is the cause of what happened to streams.
        let mut of_streams = Vec::new();
        while let Some(report) = self.lifecycle.try_next() {
            if matches!(report, LifecycleEvent::Connection { .. }) {
                self.print_report(report)?;
            } else {
                of_streams.push(report);
            }
        }
        of_streams.into_iter().try_for_each(|report| self.print_report(report))
    }

    fn print_report(&mut self, report: LifecycleEvent) -> io::Result<()> {
        self.reports.line(report).map_or(Ok(()), |line| self.print(&line))
    }

    fn print(&mut self, line: &Line) -> io::Result<()> {
        self.printer.print(line, self.args.json)
    }

    fn has_enough(&self) -> bool {
        self.args.count.is_some_and(|count| self.printed >= count)
    }

    fn end(&self) -> Option<End> {
        let time = self.time();
        if self.interrupt.is_asked() {
            Some(End::Interrupted)
        } else if self.has_enough() {
            Some(End::Count)
        } else if !self.engine.is_running() {
            Some(End::EngineFailed)
        } else if self.printed == 0 && time >= self.receive_timeout() {
            Some(End::NothingReceived)
        } else if self.args.duration.is_some_and(|duration| time >= duration) {
            Some(End::Duration)
        } else {
            None
        }
    }

    /// Returns the time after which the command fails if nothing was received. A `--duration` that ends earlier without
    /// any event is a failure too.
    fn receive_timeout(&self) -> Duration {
        self.args.duration.map_or(self.args.connect_timeout, |duration| duration.min(self.args.connect_timeout))
    }

    fn time(&self) -> Duration {
        self.engine.now().since(self.started)
    }

    fn pause(&self) -> Duration {
        self.args.duration.map_or(SLEEP_MAX, |duration| duration.saturating_sub(self.time()).min(SLEEP_MAX))
    }

    /// Stops the engine, prints the remaining items and reports, and the summary.
    fn finish(mut self, end: End) -> Result<(), Failure> {
        let (duration, why_nothing) = (self.time(), why_nothing(&self.engine, &self.args));
        let plan = self.engine.subscriptions();
        let (connections, ended_at) = (self.engine.connections(), self.engine.now());
        let report = self.engine.shutdown(SHUTDOWN_DEADLINE);
        let tally = Tally::of(&report.connections, self.engine.pool());
        let gaps = self.engine.gaps();
        let stopped = report.into_result();
        let printed = self.print_rest(end, duration, plan, tally, &gaps, (connections, ended_at));
        match end {
            // Ctrl-C ends the whole pipeline, so an error because the reader is gone is ignored.
            End::Interrupted => Err(Failure::Interrupted),
            End::NothingReceived => Err(Failure::NothingReceived(why_nothing)),
            End::Count | End::Duration | End::EngineFailed => Ok(stopped.map_err(Failure::from).and(Ok(printed?))?),
        }
    }

    fn print_rest(
        &mut self,
        end: End,
        duration: Duration,
        plan: PlanStats,
        tally: Tally,
        gaps: &GapLog,
        (connections, ended_at): (Vec<ConnectionStatus>, Nanos),
    ) -> io::Result<()> {
        // With `--count` all wanted events were printed. Otherwise the events that had arrived are printed too.
        while end != End::Count && !self.print_items(BATCH)? {}
        self.print_reports()?;
        let counters = self.feed.counters();
        let summary = Summary {
            end: end.as_str(),
            duration,
            by_type: std::mem::take(&mut self.by_type),
            gaps: self.gaps,
            overflow: self.args.overflow,
            counts: counters.counts(),
            queue_max: counters.depth_max(),
            feed_bytes: counters.bytes(),
            shared_bytes: counters.shared_bytes(),
            latencies: self.args.latencies.then(|| Breakdown::of(&self.engine, self.feed.latencies())),
            plan,
            tally,
            connections,
            ended_at,
            network: self.engine.network().clone(),
            stream_gaps: StreamGaps::of(gaps),
        };
        // Those that have ended were printed.
        for gap in gaps.gaps.iter().filter(|gap| gap.to.is_none()) {
            self.print(&Line::StreamGap(*gap))?;
        }
        self.print(&Line::Summary(Box::new(summary)))?;
        self.printer.flush()
    }
}

/// Returns why nothing was received, as far as that is known, and what to do.
fn why_nothing(engine: &Engine, args: &WatchArgs) -> String {
    let connections = engine.connections();
    let is_open = connections.iter().any(|connection| connection.state.is_open());
    let refused = connections.iter().find_map(|connection| connection.refused.all());
    let held = connections.iter().find_map(|connection| {
        let wait = connection.dial_held_until?.since(engine.now());
        Some(NotReadyReason::ConnectBudget { connection: connection.id, wait })
    });
    let disconnect = connections.into_iter().find_map(|connection| connection.last_disconnect);
    let why = match (refused, disconnect) {
        (Some(refused), _) if is_open => refused.to_string(),
        (Some(refused), Some(disconnect)) => format!("{refused}; then the socket ended: {disconnect}"),
        (_, Some(disconnect)) => format!("the last attempt failed: {disconnect}"),
        _ if held.is_some() => held.map(|reason| reason.to_string()).unwrap_or_default(),
        _ if is_open => "the connection is open, but the exchange sends no data; does the market exist?".to_owned(),
        _ => "the server does not answer; check --endpoint and the network".to_owned(),
    };
    let why = match why_no_market(engine, args) {
        Some(list) if engine.subscriptions().wire_streams == 0 => list,
        Some(list) => format!("{why}; {list}"),
        None => why,
    };
    format!("nothing was received from {} in time: {why}", args.endpoint)
}

/// Returns why the patterns stand for no market, if that is so.
fn why_no_market(engine: &Engine, args: &WatchArgs) -> Option<String> {
    let patterns = args.codes.iter().filter_map(|code| match code {
        MarketSelector::Pattern(pattern) => Some(*pattern),
        MarketSelector::Market(_) => None,
    });
    let (patterns, listed) = (patterns.collect::<Vec<_>>(), engine.universe());
    if patterns.is_empty() || patterns.iter().any(|pattern| listed.matching(pattern).next().is_some()) {
        return None;
    }
    Some(match engine.market_list().failure {
        _ if !listed.is_empty() => format!("the patterns match none of the {} listed markets", listed.len()),
        Some(failure) => failure.to_string(),
        None => "the list of markets has not arrived".to_owned(),
    })
}

/// Writes lines to stdout in large pieces. The caller flushes it when no more items wait, so that live data is not
/// delayed.
struct Printer {
    out: BufWriter<StdoutLock<'static>>,
    /// Reused for every line.
    text: String,
}

impl Printer {
    fn new() -> Self {
        Self { out: BufWriter::with_capacity(64 * 1024, io::stdout().lock()), text: String::new() }
    }

    fn print(&mut self, line: &Line, as_json: bool) -> io::Result<()> {
        self.text.clear();
        if as_json {
            json::write(&mut self.text, line);
        } else {
            human::write(&mut self.text, line);
        }
        self.out.write_all(self.text.as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
