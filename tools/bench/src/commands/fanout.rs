//! `hoga bench fanout`: measures the cost of an update on its way to 1 reader and to 1000.

use std::collections::BTreeMap;
use std::time::Duration;

use hoga::feed::Payload;
use hoga::model::Words;
use hoga_bench::channels::{self, BATCH, CAPACITY, Channel, Read, Shared, Spent, Write, update, whole_runs};
use hoga_cli::exit::Failure;
use hoga_cli::rounds::{self, Candidate, Column, Line, Schedule, Spread};
use hoga_cli::signals::Interrupt;

use super::{outcome, samples};
use crate::args::BenchArgs;
use crate::cpu::pin_here;
use crate::report::{Report, Target};

/// One thread writes and reads on the first core; the far thread, if there is one, runs on the second. Without pinning,
/// the system puts both on one core half of the time.
const CORES: [usize; 2] = [0, 1];

/// The alternatives to hoga's feeds, in the order of the columns.
const YARDSTICKS: [&str; 3] = ["rtrb", "ArrayQueue", "std mpsc"];

/// Trades in each turn; order books take several times longer. A turn takes about 100 µs, so most end before other load
/// interrupts.
const UPDATES: u64 = 1 << 12;
const BOOKS: u64 = UPDATES / 4;

/// Bursts of round trips in each turn.
const BURSTS: u64 = 32;

/// Number of trades in each turn that are delivered one at a time.
const LONE: u64 = 256;

const PUBLISH: &str = "publish a trade";

/// A program on one thread that does everything: it writes an update, then each reader reads it.
const DELIVER: &str = "a trade to all on one thread";
const DELIVERED: [Column; 4] = [
    Column::output("trades/s", ""),
    Column::output("deliveries/s", ""),
    Column::cost("alone, p50", "µs"),
    Column::tail("alone, p99", "µs"),
];

/// Runs the benchmark and prints and checks the report.
pub fn run(args: &BenchArgs) -> Result<(), Failure> {
    let interrupt = Interrupt::catch()?;
    if !pin_here(CORES[0]) {
        tracing::warn!("threads could not be pinned to cores {CORES:?}");
    }
    let is_over = || interrupt.is_asked();
    let schedule = Schedule::new(args.time(), &is_over).warm_up();
    let lines = rounds::run(candidates()?, schedule)?;
    let sizes = [
        ("batch", BATCH),
        ("capacity", CAPACITY as u64),
        ("trades", UPDATES),
        ("orderbooks", BOOKS),
        ("bursts", BURSTS),
    ];
    let mut settings: BTreeMap<_, _> = sizes.map(|(name, value)| (name.to_owned(), value.into())).into();
    settings.insert("seconds".to_owned(), args.time().as_secs_f64().into());
    let report = Report::new("hoga bench fanout", settings, &lines, targets(&lines));
    outcome(&report.compare(&lines, |line| yardsticks(&lines, line)), &args.report, None)
}

fn candidates() -> Result<Vec<Candidate<'static>>, Failure> {
    let (trade, book) = (samples::trade()?, samples::orderbook()?);
    let mut all: Vec<_> = [1, 10, 100, 1000].map(|readers| publishing(readers, trade)).into();
    all.extend([1, 10, 50].map(|readers| delivering(readers, trade)));
    all.push(marking(trade));
    all.extend(passing(["push a trade", "pop a trade"], trade, UPDATES));
    all.extend(passing(["push an order book", "pop an order book"], book, BOOKS));
    all.extend(travelling("a trade, one way", trade));
    all.extend(travelling("an order book, one way", book));
    Ok(all)
}

/// Returns one line for each task; each task has its own table.
fn lines(name: &str, tasks: &[&str]) -> Vec<Line> {
    tasks.iter().map(|task| Line::new(*task, name, &[Column::cost("time", "ns")])).collect()
}

/// Returns nanoseconds per update.
fn each(time: Duration, updates: u64) -> f64 {
    time.as_nanos() as f64 / updates as f64
}

/// Publishes into a broadcast ring with this many feeds, none of which reads.
fn publishing<T: Payload + Words>(readers: usize, value: T) -> Candidate<'static> {
    let (mut shared, mut next) = (Shared::default(), update(value));
    let feeds: Vec<_> = (0..readers).map(|_| shared.follow()).collect();
    Candidate::new(lines(&readers_name(readers), &[PUBLISH]), move || {
        let _readers = &feeds;
        Ok(vec![vec![each(channels::time_writing(&mut shared, &mut next, UPDATES), UPDATES)]])
    })
}

/// Delivers updates to readers that discard them.
fn delivering<T: Payload + Words>(readers: usize, value: T) -> Candidate<'static> {
    let (mut shared, mut next) = (Shared::default(), update(value));
    let mut feeds: Vec<_> = (0..readers).map(|_| shared.follow()).collect();
    Candidate::new(vec![Line::new(DELIVER, readers_name(readers), &DELIVERED)], move || {
        let mut time =
            |updates, at_once| channels::time_delivering(&mut shared, &mut feeds, &mut next, updates, at_once);
        let per_second = UPDATES as f64 / time(UPDATES, BATCH).as_secs_f64();
        let mut alone = [(); LONE as usize].map(|()| time(1, 1));
        alone.sort_unstable();
        let [p50, p99] = [LONE / 2, LONE * 99 / 100].map(|place| alone[place as usize].as_nanos() as f64 / 1e3);
        Ok(vec![vec![per_second, per_second * readers as f64, p50, p99]])
    })
}

fn readers_name(readers: usize) -> String {
    format!("drop-oldest, {readers} reader{}", if readers == 1 { "" } else { "s" })
}

fn marking<T: Payload + Words>(value: T) -> Candidate<'static> {
    let (Channel { mut writer, reader }, mut next) = (channels::conflate(), update(value));
    writer.store(&value);
    Candidate::new(lines("conflate", &["mark a newest value"]), move || {
        let _reader = &reader;
        Ok(vec![vec![each(channels::time_writing(&mut writer, &mut next, UPDATES), UPDATES)]])
    })
}

/// Writes and reads on one thread.
fn passing<T: Payload + Words>(tasks: [&str; 2], value: T, updates: u64) -> [Candidate<'static>; 5] {
    [
        passing_through("drop-newest", tasks, value, updates, channels::drop_newest()),
        passing_through("drop-oldest", tasks, value, updates, channels::drop_oldest()),
        passing_through(YARDSTICKS[0], tasks, value, updates, channels::rtrb()),
        passing_through(YARDSTICKS[1], tasks, value, updates, channels::array_queue()),
        passing_through(YARDSTICKS[2], tasks, value, updates, channels::std_mpsc()),
    ]
}

fn passing_through<T, W, R>(
    name: &str,
    tasks: [&str; 2],
    value: T,
    updates: u64,
    mut channel: Channel<W, R>,
) -> Candidate<'static>
where
    T: Payload,
    W: Write<T> + 'static,
    R: Read + 'static,
{
    let mut next = update(value);
    Candidate::new(lines(name, &tasks), move || {
        let Spent { writing, reading } = channels::time_both(&mut channel, &mut next, updates);
        Ok([writing, reading].map(|time| vec![each(time, whole_runs(updates))]).into())
    })
}

/// Passes updates from one thread to another.
fn travelling<T: Payload + Words>(task: &str, value: T) -> [Candidate<'static>; 5] {
    [
        travelling_through("drop-newest", task, value, channels::drop_newest),
        travelling_through("drop-oldest", task, value, channels::drop_oldest),
        travelling_through(YARDSTICKS[0], task, value, channels::rtrb),
        travelling_through(YARDSTICKS[1], task, value, channels::array_queue),
        travelling_through(YARDSTICKS[2], task, value, channels::std_mpsc),
    ]
}

fn travelling_through<T, W, R>(name: &str, task: &str, value: T, channel: fn() -> Channel<W, R>) -> Candidate<'static>
where
    T: Payload,
    W: Write<T> + 'static,
    R: Read + 'static,
{
    let (mut there, mut back, mut next) = (channel(), channel(), update(value));
    Candidate::new(lines(name, &[task]), move || {
        Ok(vec![vec![channels::time_one_way(&mut there, &mut back, &mut next, BURSTS, far)]])
    })
}

fn far() {
    pin_here(CORES[1]);
}

/// Returns the yardsticks of a line: the alternatives in the same table, or the line with one reader.
fn yardsticks<'a>(lines: &'a [Line], line: &Line) -> Vec<&'a Line> {
    let one = readers_name(1);
    let names = YARDSTICKS.iter().copied().chain((line.table == PUBLISH).then_some(one.as_str()));
    names.filter_map(|name| find(lines, &line.table, name)).collect()
}

fn find<'a>(lines: &'a [Line], table: &str, name: &str) -> Option<&'a Line> {
    lines.iter().find(|line| line.table == table && line.name == name)
}

fn targets(lines: &[Line]) -> Vec<Target> {
    let of = |table: &str, name: &str, to: &str, most| {
        let Spread { median, min, max } = find(lines, table, name)?.ratio(find(lines, table, to)?, 0);
        let name = format!("{table}, {name} to {to}");
        Some(Target { name, unit: "x".to_owned(), value: median, range: Some((min, max)), most })
    };
    let many = readers_name(1000);
    let flat = find(lines, PUBLISH, &many).map(|line| Target {
        name: format!("{PUBLISH}, {many}"),
        unit: " ns".to_owned(),
        value: line.median(0),
        range: Some(line.range(0)),
        most: 50.0,
    });
    let targets = [
        of(PUBLISH, &many, &readers_name(1), 2.0),
        flat,
        of("push a trade", "drop-newest", "rtrb", 1.3),
        of("push an order book", "drop-newest", "rtrb", 1.3),
        of("a trade, one way", "drop-newest", "rtrb", 1.5),
        of("a trade, one way", "drop-oldest", "rtrb", 1.5),
        of("an order book, one way", "drop-newest", "rtrb", 1.5),
        of("an order book, one way", "drop-oldest", "rtrb", 1.5),
    ];
    targets.into_iter().flatten().collect()
}
