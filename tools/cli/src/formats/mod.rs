//! `hoga formats`: what recorded messages weigh in each of the exchange's formats, and how long they take to read. Or the
//! messages themselves, in another format.

mod comparison;
mod recording;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write as _};
use std::path::Path;

use hoga::model::Format;
use hoga::wire::convert;

pub use comparison::{Comparison, Samples};

use crate::args::FormatsArgs;
use crate::exit::Failure;
use crate::object::Object;
use crate::origin::Origin;
use crate::{output, signals};

/// Types of objects that belong to the connection and not to the market.
const CONTROL: [&str; 3] = ["LIST_SUBSCRIPTIONS", "status", "error"];

/// Objects of more than one type in one message.
const MIXED: &str = "several types";

/// Reads the files; prints what was asked for.
pub fn run(args: &FormatsArgs) -> Result<(), Failure> {
    // Reading stdin may never end.
    signals::end_at_once()?;
    let mut traffic = Traffic::default();
    for path in &args.files {
        traffic.read(path, args.convert.map(Format::from))?;
    }
    if traffic.messages == 0 {
        return Err(Failure::Usage(format!(
            "no message of the exchange in {} lines: {}",
            traffic.lines,
            traffic.others()
        )));
    }
    if args.convert.is_some() {
        // stdout belongs to the messages; stderr may be closed.
        let _ = writeln!(io::stderr(), "{}", traffic.line());
        return Ok(());
    }
    let comparison = std::mem::take(&mut traffic.samples).compare(args.time, args.rate)?;
    let origin = Origin::this();
    let text = if args.json {
        json(&origin, &traffic, &comparison)
    } else {
        let read = traffic.line();
        let note = "keys changed to those of each format, numbers as they were recorded";
        format!("{}\n{read}\n{note}\n{}", origin.line(), comparison.text())
    };
    Ok(output::print(&text)?)
}

/// Reads a number of messages per second.
pub fn rate(text: &str) -> Result<f64, &'static str> {
    match text.parse() {
        Ok(rate) if (0.001..=1e9).contains(&rate) => Ok(rate),
        _ => Err("the rate is a number from 0.001 to 1000000000"),
    }
}

/// What was read.
#[derive(Default)]
struct Traffic {
    lines: u64,
    /// Messages with data in them.
    messages: u64,
    /// The formats that they were in.
    from: BTreeMap<&'static str, u64>,
    unknown_keys: u64,
    /// Other lines, by what they are.
    others: BTreeMap<&'static str, u64>,
    samples: Samples,
}

impl Traffic {
    /// Takes the messages of a file, or prints them.
    fn read(&mut self, path: &Path, print: Option<Format>) -> Result<(), Failure> {
        let unreadable = |error: io::Error| Failure::Usage(format!("{}: {error}", path.display()));
        let mut reader: Box<dyn BufRead> = match path.to_str() {
            Some("-") => Box::new(io::stdin().lock()),
            _ => Box::new(BufReader::new(File::open(path).map_err(unreadable)?)),
        };
        let mut out = io::stdout().lock();
        let mut line = Vec::new();
        while recording::next_line(&mut reader, &mut line).map_err(unreadable)? {
            self.lines += 1;
            match recording::payload(&line) {
                Err(what) => self.other(what),
                Ok(text) => match print {
                    None => self.take(&text),
                    Some(format) => self.print(&text, format, &mut out)?,
                },
            }
        }
        Ok(out.flush()?)
    }

    fn other(&mut self, what: &'static str) {
        *self.others.entry(what).or_default() += 1;
    }

    fn take(&mut self, text: &str) {
        let converted = Format::ALL.map(|format| convert(text, format));
        let [Ok(one), Ok(two), Ok(three), Ok(four)] = converted else { return self.other(recording::refused(text)) };
        let name = name_of(&one.types);
        if CONTROL.contains(&name) {
            return self.other(name);
        }
        self.count(&one);
        self.samples.add(name, one.types.len(), [one.messages, two.messages, three.messages, four.messages]);
    }

    fn print(&mut self, text: &str, format: Format, out: &mut impl io::Write) -> Result<(), Failure> {
        let Ok(converted) = convert(text, format) else {
            self.other(recording::refused(text));
            return Ok(());
        };
        self.count(&converted);
        for message in &converted.messages {
            writeln!(out, "{message}")?;
        }
        Ok(())
    }

    fn count(&mut self, converted: &hoga::wire::Converted) {
        self.messages += 1;
        *self.from.entry(converted.from.as_str()).or_default() += 1;
        self.unknown_keys += converted.unknown_keys;
    }

    /// One line for people.
    fn line(&self) -> String {
        let from: Vec<_> = self.from.iter().map(|(format, count)| format!("{count} in {format}")).collect();
        let keys = match self.unknown_keys {
            0 => String::new(),
            keys => format!("; {keys} unknown keys left as they are"),
        };
        format!("{} lines: {}{keys}; other lines: {}", self.lines, from.join(", "), self.others())
    }

    fn others(&self) -> String {
        let others: Vec<_> = self.others.iter().map(|(what, count)| format!("{count} {what}")).collect();
        if others.is_empty() { "none".to_owned() } else { others.join(", ") }
    }
}

/// What all objects of a message are.
fn name_of(types: &[&'static str]) -> &'static str {
    match types {
        [first, others @ ..] if others.iter().all(|other| other == first) => first,
        _ => MIXED,
    }
}

fn json(origin: &Origin, traffic: &Traffic, comparison: &Comparison) -> String {
    let mut text = String::new();
    Object::line(&mut text, |object| {
        origin.fields(object);
        object.plain("lines", traffic.lines).plain("messages", traffic.messages);
        object.plain("unknown_keys", traffic.unknown_keys);
        for (key, counts) in [("from", &traffic.from), ("other_lines", &traffic.others)] {
            object.object(key, |object| {
                for (what, count) in counts {
                    object.plain(what, count);
                }
            });
        }
        comparison.fields(object);
    });
    text
}
