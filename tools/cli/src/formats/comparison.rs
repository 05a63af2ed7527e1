//! The same messages in all formats, side by side: their bytes, and the time to read them, measured in rounds.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use hoga::model::{Clock, ConnectionId, Epoch, Format, Nanos, Noun, Receipt, Sink};
use hoga::net::SystemClock;
use hoga::wire::{Decoder, SLACK};

use crate::exit::Failure;
use crate::object::Object;
use crate::rounds::{self, Candidate, Column, Line, Schedule};

/// Messages of each type that are read to measure the time. More would not fit a core's cache, and a turn is to be over
/// before other load interrupts.
const KEPT_MAX: usize = 1000;

const RECEIPT: Receipt = Receipt { connection: ConnectionId(0), epoch: Epoch(1), received: Nanos(0) };

/// Messages of several types.
#[derive(Default)]
pub struct Samples {
    types: BTreeMap<&'static str, Sample>,
    decoder: Decoder,
}

/// Messages of one type. An object is what a list may have several of.
#[derive(Default)]
struct Sample {
    objects: u64,
    /// Those that could not be read into a struct, in some format.
    unread: u64,
    /// Of all of them, by format.
    bytes: [u64; 4],
    /// The first that can be read, by format, and how many objects they are.
    kept: [Vec<String>; 4],
    kept_objects: usize,
}

impl Samples {
    /// Adds a message of some objects, as it is in each format.
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

    /// Reads them in rounds for this long. `rate` is the number of messages of each type per second, for the megabytes.
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
            // The candidate before has filled the caches and trained the branch predictor: that is not the format's cost.
            read(&mut decoder, &messages);
            let began = clock.now();
            read(&mut decoder, &messages);
            Ok(vec![vec![clock.now().since(began).as_nanos() as f64 / objects as f64]])
        })
    }
}

/// With the room behind it that a receive buffer has, and its length.
fn padded(messages: &[String]) -> Vec<(Vec<u8>, usize)> {
    let padded = |message: &String| {
        let mut bytes = message.clone().into_bytes();
        bytes.resize(message.len() + SLACK, 0);
        (bytes, message.len())
    };
    messages.iter().map(padded).collect()
}

/// How many objects of these messages are read into structs.
fn delivered(decoder: &mut Decoder, messages: &[String]) -> u64 {
    let before = decoder.delivered();
    read(decoder, &padded(messages));
    decoder.delivered() - before
}

fn read(decoder: &mut Decoder, messages: &[(Vec<u8>, usize)]) {
    for (bytes, len) in messages {
        // What cannot be read is not delivered, which is counted.
        let _ = std::hint::black_box(decoder.decode(bytes, *len, RECEIPT, &mut Discard));
    }
}

/// Looks at what it is given, so that it has to be read.
struct Discard;

impl Sink for Discard {
    fn deliver<T: Noun>(&mut self, _: Receipt, message: &T) {
        std::hint::black_box(message);
    }
}

/// What came out.
pub struct Comparison {
    samples: Samples,
    lines: Vec<Line>,
    /// How long it was to take.
    time: Duration,
    /// Messages of each type per second.
    rate: f64,
}

/// One type in one format.
pub struct Cell {
    pub name: &'static str,
    pub format: Format,
    pub messages: u64,
    /// Those that are only in `bytes`, because they could not be read into a struct.
    pub unread: u64,
    pub bytes: f64,
    /// Of those in DEFAULT.
    pub bytes_ratio: f64,
    pub megabytes_per_hour: f64,
    /// Only of types that are read into structs.
    pub time: Option<ReadTime>,
}

pub struct ReadTime {
    pub median_ns: f64,
    pub min_ns: f64,
    pub max_ns: f64,
    /// Of the time in DEFAULT in the same round: the median.
    pub ratio: f64,
}

impl Comparison {
    /// How many rounds were measured.
    pub fn rounds(&self) -> usize {
        self.lines.first().map_or(0, Line::rounds)
    }

    /// Every type in every format.
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

    /// A table for people.
    pub fn text(&self) -> String {
        let mut text =
            format!("{} rounds by turns; MB/h at {} messages per second of each type\n", self.rounds(), self.rate);
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

    /// The same for programs.
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

/// No more digits than mean something.
fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

fn thousandths(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
