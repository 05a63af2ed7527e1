//! Compares the same messages in all formats: their sizes, and the times to read them, measured in rounds.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use hoga::model::{Clock, ConnectionId, Epoch, Format, Nanos, Noun, Receipt, Sink};
use hoga::net::SystemClock;
use hoga::wire::{Decoder, SLACK};

use crate::exit::Failure;
use crate::object::Object;
use crate::rounds::{self, Candidate, Column, Line, Schedule};

/// The maximum number of objects of each type that are read to measure the time. More would not fit into a core's
/// cache, and a turn must be short, so that other load seldom interrupts it.
const KEPT_MAX: usize = 1000;

const RECEIPT: Receipt = Receipt { connection: ConnectionId(0), epoch: Epoch(1), received: Nanos(0) };

/// Messages of several types.
#[derive(Default)]
pub struct Samples {
    types: BTreeMap<&'static str, Sample>,
    decoder: Decoder,
}

/// Messages of one type. A message in a list format may have several objects.
#[derive(Default)]
struct Sample {
    objects: u64,
    /// The number of objects that could not be read into a struct in at least one format.
    unread: u64,
    /// The size of all messages, by format.
    bytes: [u64; 4],
    /// The first messages that can be read, by format, and the number of their objects.
    kept: [Vec<String>; 4],
    kept_objects: usize,
}

impl Samples {
    /// Adds a message with this number of objects, in each format.
    pub fn add(&mut self, name: &'static str, objects: usize, formats: [Vec<String>; 4]) {
        let is_readable = formats.iter().all(|messages| delivered(&mut self.decoder, messages) == objects as u64);
        let sample = self.types.entry(name).or_default();
        sample.objects += objects as u64;
        for (bytes, messages) in sample.bytes.iter_mut().zip(&formats) {
            *bytes += messages.iter().map(String::len).sum::<usize>() as u64;
        }
        if !is_readable {
            sample.unread += objects as u64;
        } else if sample.kept_objects < KEPT_MAX {
            sample.kept_objects += objects;
            sample.kept.iter_mut().zip(formats).for_each(|(kept, messages)| kept.extend(messages));
        }
    }

    /// Measures in rounds for `time`. `rate` is the number of messages of each type per second, from which the
    /// megabytes per hour are computed.
    pub fn compare(self, time: Duration, rate: f64) -> Result<Comparison, Failure> {
        let readable = self.types.iter().filter(|(_, sample)| sample.kept_objects > 0);
        let candidates: Vec<_> =
            readable.flat_map(|(name, sample)| Format::ALL.map(|format| sample.reading(name, format))).collect();
        let schedule = Schedule::new(time, &|| false).warm_up();
        let lines = if candidates.is_empty() { Vec::new() } else { rounds::run(candidates, schedule)? };
        Ok(Comparison { samples: self, lines, time, rate })
    }
}

impl Sample {
    fn reading(&self, name: &str, format: Format) -> Candidate<'static> {
        let (messages, objects) = (padded(&self.kept[format as usize]), self.kept_objects);
        let (clock, mut decoder) = (SystemClock::new(), Decoder::new());
        let line = Line::new(name, format.as_str(), &[Column::cost("read", "ns")]);
        Candidate::new(vec![line], move || {
            // Read once without measuring, because the candidate before has filled the caches and trained the branch
            // predictor.
            read(&mut decoder, &messages);
            let began = clock.now();
            read(&mut decoder, &messages);
            Ok(vec![vec![clock.now().since(began).as_nanos() as f64 / objects as f64]])
        })
    }
}

/// Returns each message with the slack that a receive buffer has after it, and its length.
fn padded(messages: &[String]) -> Vec<(Vec<u8>, usize)> {
    let padded = |message: &String| {
        let mut bytes = message.clone().into_bytes();
        bytes.resize(message.len() + SLACK, 0);
        (bytes, message.len())
    };
    messages.iter().map(padded).collect()
}

/// Returns the number of objects of these messages that can be read into structs.
fn delivered(decoder: &mut Decoder, messages: &[String]) -> u64 {
    let before = decoder.delivered();
    read(decoder, &padded(messages));
    decoder.delivered() - before
}

fn read(decoder: &mut Decoder, messages: &[(Vec<u8>, usize)]) {
    for (bytes, len) in messages {
        // Objects that cannot be read are not delivered, which `delivered` counts.
        let _ = std::hint::black_box(decoder.decode(bytes, *len, RECEIPT, &mut Discard));
    }
}

/// Discards messages, but uses them, so that the compiler cannot omit reading them.
struct Discard;

impl Sink for Discard {
    fn deliver<T: Noun>(&mut self, _: Receipt, message: &T) {
        std::hint::black_box(message);
    }
}

/// The result of a comparison.
pub struct Comparison {
    samples: Samples,
    lines: Vec<Line>,
    /// The time to measure.
    time: Duration,
    /// Messages of each type per second.
    rate: f64,
}

/// One type in one format.
pub struct Cell {
    pub name: &'static str,
    pub format: Format,
    /// The number of objects.
    pub messages: u64,
    /// The number of objects that could not be read into a struct. They count in `bytes` and not in `time`.
    pub unread: u64,
    /// The mean size of an object, in bytes.
    pub bytes: f64,
    /// The ratio of `bytes` to those in DEFAULT.
    pub bytes_ratio: f64,
    pub megabytes_per_hour: f64,
    /// The time to read one object. `None` if no object of the type could be read into a struct.
    pub time: Option<ReadTime>,
}

pub struct ReadTime {
    pub median_ns: f64,
    pub min_ns: f64,
    pub max_ns: f64,
    /// The ratio to the time in DEFAULT in the same round: the median of all rounds.
    pub ratio: f64,
}

impl Comparison {
    /// Returns the number of measured rounds.
    pub fn rounds(&self) -> usize {
        self.lines.first().map_or(0, Line::rounds)
    }

    /// Returns each type in each format.
    pub fn cells(&self) -> impl Iterator<Item = Cell> {
        self.samples.types.iter().flat_map(|(name, sample)| Format::ALL.map(|format| self.cell(name, sample, format)))
    }

    fn cell(&self, name: &'static str, sample: &Sample, format: Format) -> Cell {
        let each = |format: Format| sample.bytes[format as usize] as f64 / sample.objects as f64;
        let line = |format: Format| self.lines.iter().find(|line| line.table == name && line.name == format.as_str());
        let time = line(format).zip(line(Format::Default)).map(|(line, default)| {
            let (min_ns, max_ns) = line.range(0);
            ReadTime { median_ns: line.median(0), min_ns, max_ns, ratio: line.ratio(default, 0).median }
        });
        Cell {
            name,
            format,
            messages: sample.objects,
            unread: sample.unread,
            bytes: each(format),
            bytes_ratio: each(format) / each(Format::Default),
            megabytes_per_hour: each(format) * self.rate * 3600.0 / 1e6,
            time,
        }
    }

    /// Returns a table for people.
    pub fn text(&self) -> String {
        let mut text =
            format!("{} interleaved rounds; MB/h at {} messages per second of each type\n", self.rounds(), self.rate);
        let mut last = "";
        for cell in self.cells() {
            if std::mem::replace(&mut last, cell.name) != cell.name {
                let unread = if cell.unread == 0 { String::new() } else { format!(", {} unread", cell.unread) };
                let heading = format!("{}, {} messages{unread}", cell.name, cell.messages);
                let columns = ["bytes", "to DEFAULT", "MB/h", "ns to read", "to DEFAULT"];
                let _ = write!(text, "\n{heading:<30}");
                columns.iter().for_each(|column| text.push_str(&format!(" {column:>11}")));
                text.push('\n');
            }
            cell.write(&mut text);
        }
        text
    }

    /// Writes the comparison as JSON fields.
    pub fn fields(&self, object: &mut Object) {
        object.plain("seconds", self.time.as_secs_f64()).plain("rounds", self.rounds());
        object.plain("messages_per_second", self.rate);
        object.objects("rows", self.cells(), |object, cell| {
            object.text("type", cell.name).word("format", cell.format.as_str()).plain("messages", cell.messages);
            object.plain("unread", cell.unread);
            object.plain("bytes", rounded(cell.bytes)).plain("bytes_ratio", thousandths(cell.bytes_ratio));
            object.plain("megabytes_per_hour", rounded(cell.megabytes_per_hour));
            if let Some(time) = cell.time {
                object.plain("read_ns", rounded(time.median_ns)).plain("read_ns_min", rounded(time.min_ns));
                object.plain("read_ns_max", rounded(time.max_ns)).plain("read_ratio", thousandths(time.ratio));
            }
        });
    }
}

impl Cell {
    fn write(&self, text: &mut String) {
        let Self { bytes, bytes_ratio, megabytes_per_hour, .. } = self;
        let name = self.format.as_str();
        let _ = write!(text, "  {name:<28} {bytes:>11.1} {bytes_ratio:>10.3}x {megabytes_per_hour:>11.1}");
        let _ = match &self.time {
            Some(time) => writeln!(text, " {:>11.1} {:>10.3}x", time.median_ns, time.ratio),
            None => writeln!(text, " {:>11} {:>11}", "-", "-"),
        };
    }
}

/// Rounds to two decimals; more would mean nothing.
fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

fn thousandths(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
