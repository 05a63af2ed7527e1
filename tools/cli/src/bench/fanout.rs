//! `hoga bench fanout`: what an update costs on its way to one reader, and to a thousand.

use std::io::{self, Write as _};
use std::time::Duration;

use hoga::feed::Payload;
use hoga::model::Words;

use super::lanes::{self, BATCH, CAPACITY, Lane, Read, Shared, Spent, Write, update, whole_runs};
use super::machine::Machine;
use super::rounds::{self, Contestant, Row};
use super::samples;
use crate::args::BenchArgs;
use crate::exit::Failure;
use crate::object::Object;

/// What else could have been used, in the order of the columns.
const YARDSTICKS: [&str; 3] = ["rtrb", "ArrayQueue", "std mpsc"];

/// Trades in each turn; order books take several times longer. A turn takes some 100 µs: most are over before a
/// neighbour interrupts.
const UPDATES: u64 = 1 << 12;
const BOOKS: u64 = UPDATES / 4;

/// Bursts there and back in each turn.
const BURSTS: u64 = 32;

const PUBLISH: &str = "publish a trade";

/// Measures, prints, and says what was missed.
pub fn run(args: &BenchArgs) -> Result<(), Failure> {
    let time = args.time();
    let report = Report { machine: Machine::this(), time, rows: rounds::run(contestants()?, time)? };
    let text = if args.json { report.json() } else { report.text() };
    io::stdout().write_all(text.as_bytes())?;
    let missed: Vec<_> = report.targets().filter(|target| !target.is_met()).map(|target| target.line()).collect();
    if args.check && !missed.is_empty() {
        return Err(Failure::Failed(format!("missed: {}", missed.join("; "))));
    }
    Ok(())
}

fn contestants() -> Result<Vec<Contestant>, Failure> {
    let (trade, book) = (samples::trade()?, samples::orderbook()?);
    let mut all: Vec<_> = [1, 10, 100, 1000].map(|readers| publishing(readers, trade)).into();
    all.push(marking(trade));
    all.extend(passing(["push a trade", "pop a trade"], trade, UPDATES));
    all.extend(passing(["push an order book", "pop an order book"], book, BOOKS));
    all.extend(travelling("a trade, one way", trade));
    all.extend(travelling("an order book, one way", book));
    Ok(all)
}

/// The ns of one of so many.
fn each(time: Duration, updates: u64) -> f64 {
    time.as_nanos() as f64 / updates as f64
}

/// Into a ring that so many feeds share, none of which reads.
fn publishing<T: Payload + Words>(readers: usize, value: T) -> Contestant {
    let (mut shared, mut next) = (Shared::new(), update(value));
    let feeds: Vec<_> = (0..readers).map(|_| shared.follow()).collect();
    Contestant::new(&readers_name(readers), &[PUBLISH], move || {
        let _readers = &feeds;
        vec![each(lanes::time_writing(&mut shared, &mut next, UPDATES), UPDATES)]
    })
}

fn readers_name(readers: usize) -> String {
    format!("drop-oldest, {readers} reader{}", if readers == 1 { "" } else { "s" })
}

fn marking<T: Payload>(value: T) -> Contestant {
    let (Lane { mut writer, reader }, mut next) = (lanes::conflate(), update(value));
    writer.store(&value);
    Contestant::new("conflate", &["mark a newest value"], move || {
        let _reader = &reader;
        vec![each(lanes::time_writing(&mut writer, &mut next, UPDATES), UPDATES)]
    })
}

/// In and out again, by turns on one thread.
fn passing<T: Payload + Words>(tasks: [&str; 2], value: T, updates: u64) -> [Contestant; 5] {
    [
        passing_through("drop-newest", tasks, value, updates, lanes::drop_newest()),
        passing_through("drop-oldest", tasks, value, updates, lanes::drop_oldest()),
        passing_through(YARDSTICKS[0], tasks, value, updates, lanes::rtrb()),
        passing_through(YARDSTICKS[1], tasks, value, updates, lanes::array_queue()),
        passing_through(YARDSTICKS[2], tasks, value, updates, lanes::std_mpsc()),
    ]
}

fn passing_through<T, W, R>(name: &str, tasks: [&str; 2], value: T, updates: u64, mut lane: Lane<W, R>) -> Contestant
where
    T: Payload,
    W: Write<T> + 'static,
    R: Read + 'static,
{
    let mut next = update(value);
    Contestant::new(name, &tasks, move || {
        let Spent { writing, reading } = lanes::time_both(&mut lane, &mut next, updates);
        [writing, reading].map(|time| each(time, whole_runs(updates))).into()
    })
}

/// From one thread to another.
fn travelling<T: Payload + Words>(task: &str, value: T) -> [Contestant; 5] {
    [
        travelling_through("drop-newest", task, value, lanes::drop_newest),
        travelling_through("drop-oldest", task, value, lanes::drop_oldest),
        travelling_through(YARDSTICKS[0], task, value, lanes::rtrb),
        travelling_through(YARDSTICKS[1], task, value, lanes::array_queue),
        travelling_through(YARDSTICKS[2], task, value, lanes::std_mpsc),
    ]
}

fn travelling_through<T, W, R>(name: &str, task: &str, value: T, lane: fn() -> Lane<W, R>) -> Contestant
where
    T: Payload,
    W: Write<T> + 'static,
    R: Read + 'static,
{
    let (mut there, mut back, mut next) = (lane(), lane(), update(value));
    Contestant::new(name, &[task], move || vec![lanes::time_one_way(&mut there, &mut back, &mut next, BURSTS)])
}

/// What a figure should be.
struct Target {
    name: String,
    unit: &'static str,
    value: f64,
    most: f64,
}

impl Target {
    fn is_met(&self) -> bool {
        self.value <= self.most
    }

    fn line(&self) -> String {
        let Self { name, unit, value, most } = self;
        format!("{name}: {value:.2}{unit}, at most {most}{unit}")
    }
}

struct Report {
    machine: Machine,
    time: Duration,
    rows: Vec<Row>,
}

impl Report {
    fn row(&self, task: &str, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.task == task && row.name == name)
    }

    /// What a row is compared with: the yardsticks of its task, or one reader.
    fn ratios<'a>(&'a self, row: &'a Row) -> impl Iterator<Item = (&'a str, f64)> {
        let one = (row.task == PUBLISH).then(|| readers_name(1)).and_then(|one| self.row(PUBLISH, &one));
        let yardsticks = YARDSTICKS.iter().filter_map(|name| self.row(&row.task, name));
        yardsticks.chain(one).map(|other| (other.name.as_str(), row.ratio(other)))
    }

    fn targets(&self) -> impl Iterator<Item = Target> {
        let of = |task: &'static str, name: &str, to: &str, most| {
            let value = self.row(task, name)?.ratio(self.row(task, to)?);
            Some(Target { name: format!("{task}, {name} to {to}"), unit: "x", value, most })
        };
        let many = readers_name(1000);
        let flat = self.row(PUBLISH, &many).map(Row::median);
        let flat = flat.map(|value| Target { name: format!("{PUBLISH}, {many}"), unit: " ns", value, most: 50.0 });
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
        targets.into_iter().flatten()
    }

    fn rounds(&self) -> usize {
        self.rows.first().map_or(0, Row::rounds)
    }

    fn text(&self) -> String {
        let mut text = format!(
            "hoga {}; {}\n{} rounds by turns; batches of {BATCH}; room for {CAPACITY}; ns for each update\n",
            env!("CARGO_PKG_VERSION"),
            self.machine.line(),
            self.rounds()
        );
        for task in self.tasks() {
            self.write_task(&mut text, task);
        }
        text.push_str("\ntargets\n");
        for target in self.targets() {
            text.push_str(&format!("  {:<6} {}\n", if target.is_met() { "met" } else { "MISSED" }, target.line()));
        }
        text
    }

    /// Each once, in the order of the rows.
    fn tasks(&self) -> Vec<&str> {
        let mut tasks: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !tasks.contains(&row.task.as_str()) {
                tasks.push(&row.task);
            }
        }
        tasks
    }

    fn write_task(&self, text: &mut String, task: &str) {
        let rows = self.rows.iter().filter(|row| row.task == task);
        text.push_str(&format!("\n{task:<28} {:>9} {:>19}", "median", "min..max"));
        for (index, row) in rows.enumerate() {
            let ratios: Vec<_> = self.ratios(row).collect();
            if index == 0 {
                ratios.iter().for_each(|(name, _)| text.push_str(&format!("  {:>14}", format!("to {}", short(name)))));
                text.push('\n');
            }
            let (min, max) = row.range();
            text.push_str(&format!("  {:<26} {:>9.1} {:>19}", row.name, row.median(), format!("{min:.1}..{max:.1}")));
            ratios.iter().for_each(|(_, ratio)| text.push_str(&format!("  {:>14}", format!("{ratio:.2}x"))));
            text.push('\n');
        }
    }

    fn json(&self) -> String {
        let mut text = String::new();
        Object::line(&mut text, |object| {
            object.word("version", env!("CARGO_PKG_VERSION")).object("machine", |machine| self.machine.fields(machine));
            object.object("settings", |settings| {
                settings.plain("seconds", self.time.as_secs()).plain("batch", BATCH).plain("capacity", CAPACITY);
                settings.plain("trades", UPDATES).plain("orderbooks", BOOKS).plain("bursts", BURSTS);
            });
            object.plain("rounds", self.rounds());
            object.objects("rows", self.rows.iter(), |object, row| self.write_row(object, row));
            object.objects("targets", self.targets(), |object, target| {
                object.word("name", &target.name).word("unit", target.unit.trim());
                object.plain("value", rounded(target.value)).plain("most", target.most).plain("met", target.is_met());
            });
        });
        text
    }

    fn write_row(&self, object: &mut Object, row: &Row) {
        let (min, max) = row.range();
        object.word("task", &row.task).word("name", &row.name).plain("median_ns", rounded(row.median()));
        object.plain("min_ns", rounded(min)).plain("max_ns", rounded(max));
        object.object("ratios", |ratios| {
            for (name, ratio) in self.ratios(row) {
                ratios.plain(name, rounded(ratio));
            }
        });
    }
}

/// What fits over a column.
fn short(name: &str) -> &str {
    name.split_once(", ").map_or(name, |(_, readers)| readers)
}

/// No more digits than mean something.
fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
