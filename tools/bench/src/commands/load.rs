//! `hoga bench load`: runs thousands of streams, demands and feeds at many times the exchange's rate, and accounts for
//! every message.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use hoga::plan::ticker;
use hoga_bench::process::resident;
use hoga_cli::exit::Failure;
use hoga_cli::rounds::{self, Candidate, Column, Error, Figures, Line, Schedule};
use hoga_cli::signals::Interrupt;

use super::crowd::{Crowd, Size, Turn};
use super::growing::Growing;
use super::outcome;
use crate::args::LoadArgs;
use crate::cpu::pin_here;
use crate::report::{Report, Target};
use crate::serving::multi_server::MultiServer;
use crate::serving::traffic::Recording;

const TYPES: [&str; 5] = ["ticker", "trade", "orderbook", "candle.1s", "candle.1m"];
const MESSAGES: usize = 16 * 1024;
/// This thread sends and reads on the first core; the engine's threads have the other.
const CORES: [usize; 2] = [0, 1];
/// Measured at Upbit on 2026-09-23: order books per second, and the number of markets.
const BOOKS: f64 = 785.0;
const MARKETS: f64 = 855.0;
/// The number of ticker streams before and after the growth that is measured.
const FEW_STREAMS: usize = 200;
const MANY_STREAMS: usize = 4200;
const STREAM_BYTES_MOST: f64 = 4096.0;
const P99_AT_10_MOST: f64 = 1000.0;

const SPEED: [Column; 10] = [
    Column::cost("p50", "µs"),
    Column::cost("p99", "µs"),
    Column::tail("p99.9", "µs"),
    Column::tail("max", "µs"),
    Column::cost("engine CPU", "%"),
    Column::cost("CPU µs/msg", ""),
    Column::tail("sender CPU", "%"),
    Column::output("messages/s", ""),
    Column::output("rate kept", "%"),
    Column::output("MB/s", ""),
];
const ACCOUNT: [Column; 8] = [
    Column::output("received", ""),
    Column::output("delivered", ""),
    Column::tail("dropped", ""),
    Column::tail("conflated", ""),
    Column::tail("filtered", ""),
    Column::tail("queued", ""),
    Column::tail("lost", ""),
    Column::tail("mismatch", ""),
];
const LOST: usize = 6;
const MISMATCH: usize = 7;
const SETUP: [Column; 6] = [
    Column::tail("ready", "ms"),
    Column::tail("requests", ""),
    Column::cost("RSS", "MB"),
    Column::cost("own rings", "MB"),
    Column::cost("shared/conn.", "MB"),
    Column::tail("disconnects", ""),
];
const BYTES: [Column; 1] = [Column::cost("bytes", "")];

/// Runs the benchmark and prints and checks the report.
pub fn run(args: &LoadArgs) -> Result<(), Failure> {
    let interrupt = Interrupt::catch()?;
    if !pin_here(CORES[0]) {
        tracing::warn!("the sender could not be pinned to core {}", CORES[0]);
    }
    // This must come first, see `memory`.
    let memory = memory()?;
    interrupt.check()?;
    let senders = args.streams.iter().map(|streams| sender(*streams)).collect::<Result<Vec<_>, _>>()?;
    let is_over = || interrupt.is_asked();
    let schedule = Schedule::new(args.bench.time(), &is_over);
    let mut candidates: Vec<_> = memory.iter().map(|(name, bytes)| known(name, *bytes)).collect();
    for sender in &senders {
        candidates.extend(
            args.connections.iter().map(|connections| candidate(args, sender, (*connections).into(), &interrupt)),
        );
    }
    let lines = rounds::run(candidates, schedule)?;
    let settings = BTreeMap::from([
        ("seconds".to_owned(), args.bench.time().as_secs_f64().into()),
        ("feeds".to_owned(), args.feeds.into()),
        ("demands".to_owned(), args.demands.into()),
        ("pause_ms".to_owned(), (args.pause.as_millis() as u64).into()),
    ]);
    let report = Report::new("hoga bench load", settings, &lines, targets(&lines));
    outcome(&report, &args.bench.report, None)
}

/// Prepared messages of some streams, and a server for them.
struct Sender {
    server: RefCell<MultiServer>,
    streams: usize,
    /// Messages per second at rate 1.
    per_second: f64,
}

fn sender(streams: u16) -> Result<Sender, Error> {
    let markets = usize::from(streams).div_ceil(TYPES.len());
    let recording = Recording { markets, data_types: TYPES.to_vec(), depth: None, frames: MESSAGES };
    let traffic = recording.run()?;
    let is_book = |stream: usize| traffic.streams[stream].0 == "orderbook";
    let books = traffic.frames.iter().filter(|frame| is_book(frame.stream)).count();
    let per_second = BOOKS * markets as f64 / MARKETS * traffic.frames.len() as f64 / books.max(1) as f64;
    let streams = traffic.streams.len();
    Ok(Sender { server: RefCell::new(MultiServer::bind(true, traffic)?), streams, per_second })
}

/// Runs one engine with all its demands and feeds, at each rate.
fn candidate<'a>(
    args: &'a LoadArgs,
    sender: &'a Sender,
    connections: usize,
    interrupt: &'a Interrupt,
) -> Candidate<'a> {
    let plural = if connections == 1 { "" } else { "s" };
    let name = format!("{} streams, {connections} connection{plural}", sender.streams);
    let mut lines = vec![Line::new(SETUP_TABLE, name.as_str(), &SETUP)];
    for rate in &args.rate {
        lines.push(Line::new(name.as_str(), rate_name(*rate), &SPEED));
        lines.push(Line::new(format!("{name}: updates"), rate_name(*rate), &ACCOUNT));
    }
    Candidate::new(lines, move || {
        let mut server = sender.server.borrow_mut();
        let figures = measure(args, sender.per_second, &mut server, connections, interrupt);
        server.hang_up();
        figures
    })
}

const SETUP_TABLE: &str = "setup";

fn rate_name(rate: u16) -> String {
    format!("{rate}×")
}

fn measure(
    args: &LoadArgs,
    per_second: f64,
    server: &mut MultiServer,
    connections: usize,
    interrupt: &Interrupt,
) -> Figures {
    let fastest = args.rate.iter().copied().max().unwrap_or(1);
    let size = Size {
        connections,
        demands: args.demands.into(),
        feeds: args.feeds.into(),
        per_second: per_second * f64::from(fastest),
        pause: args.pause,
    };
    let mut crowd = Crowd::gather(server, size, CORES[1])?;
    let setup = setup(&crowd, server);
    let mut figures = Vec::new();
    for rate in &args.rate {
        interrupt.check()?;
        let turn = crowd.turn(server, per_second * f64::from(*rate), args.turn())?;
        figures.extend([speed(&turn), account(&turn)]);
    }
    figures.insert(0, [setup, vec![crowd.disconnects() as f64]].concat());
    Ok(figures)
}

impl LoadArgs {
    /// Returns how long each rate is measured.
    fn turn(&self) -> Duration {
        (self.bench.time() / 40).clamp(Duration::from_millis(50), Duration::from_secs(2))
    }
}

fn setup(crowd: &Crowd, server: &MultiServer) -> Vec<f64> {
    let feeds = crowd.engine.feeds();
    let own: u64 = feeds.iter().map(|feed| feed.bytes).sum();
    // A feed of one market shares the rings of its connection; all those feeds report the same size.
    let shared = feeds.iter().map(|feed| feed.shared_bytes).max().unwrap_or_default();
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    vec![
        crowd.ready_after.as_secs_f64() * 1e3,
        server.requests() as f64,
        megabytes(resident().unwrap_or_default()),
        megabytes(own),
        megabytes(shared),
    ]
}

fn speed(turn: &Turn) -> Vec<f64> {
    let quantile = |part| turn.latency.value_at_quantile(part) as f64 / 1e3;
    let seconds = turn.time.as_secs_f64();
    let frames = turn.frames.max(1) as f64;
    vec![
        quantile(0.5),
        quantile(0.99),
        quantile(0.999),
        quantile(1.0),
        100.0 * turn.cpu.as_secs_f64() / seconds,
        turn.cpu.as_secs_f64() * 1e6 / frames,
        100.0 * turn.sender_cpu.as_secs_f64() / seconds,
        turn.frames as f64 / seconds,
        100.0 * turn.kept,
        turn.bytes as f64 / 1e6 / seconds,
    ]
}

fn account(turn: &Turn) -> Vec<f64> {
    let counts = turn.accounts.counts;
    [
        counts.received,
        counts.delivered,
        counts.dropped,
        counts.conflated,
        counts.filtered,
        counts.queued,
        turn.accounts.lost,
        turn.accounts.mismatch,
    ]
    .map(|count| count as f64)
    .to_vec()
}

const MEMORY_TABLE: &str = "memory";
const STREAM: &str = "one more ticker stream";
const DEMAND: &str = "one more demand for a stream that runs";

/// Returns the memory of one more ticker stream, and of one more demand for a stream that runs, in bytes.
fn memory() -> Result<Vec<(&'static str, f64)>, Error> {
    let mut growing = Growing::start(MANY_STREAMS, CORES[1])?;
    let (_few, few) = growing.ask(|engine, markets| engine.subscribe(ticker(&markets[..FEW_STREAMS])))?;
    let (_many, many) = growing.ask(|engine, markets| engine.subscribe(ticker(&markets[FEW_STREAMS..])))?;
    let (_demands, demands) = growing.ask(|engine, markets| {
        markets.iter().map(|market| engine.subscribe(ticker([*market]))).collect::<hoga::Result<Vec<_>>>()
    })?;
    Ok(vec![
        (STREAM, (many - few) / (MANY_STREAMS - FEW_STREAMS) as f64),
        (DEMAND, (demands - many) / MANY_STREAMS as f64),
    ])
}

/// A candidate that returns a known value: memory is measured once, because the heap is fresh only once.
fn known(name: &'static str, bytes: f64) -> Candidate<'static> {
    Candidate::new(vec![Line::new(MEMORY_TABLE, name, &BYTES)], move || Ok(vec![vec![bytes]]))
}

fn targets(lines: &[Line]) -> Vec<Target> {
    let most = |column: usize| {
        let accounts = lines.iter().filter(|line| line.columns == ACCOUNT);
        accounts.map(|line| line.range(column).1).fold(0.0, f64::max)
    };
    let target =
        |name: String, unit: &str, value, most| Target { name, unit: unit.to_owned(), value, range: None, most };
    let mut targets = vec![
        target("lost by feeds with room".to_owned(), "", most(LOST), 0.0),
        target("mismatch between sender, counts and readers".to_owned(), "", most(MISMATCH), 0.0),
    ];
    let stream = lines.iter().find(|line| line.name == STREAM);
    targets.extend(stream.map(|line| target(STREAM.to_owned(), " bytes", line.median(0), STREAM_BYTES_MOST)));
    let at_10 = lines.iter().filter(|line| line.name == rate_name(10) && line.columns == SPEED);
    targets
        .extend(at_10.map(|line| target(format!("{}, 10×: p99", line.table), " µs", line.median(1), P99_AT_10_MOST)));
    targets
}
