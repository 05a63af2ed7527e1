//! `hoga formats`: compares the sizes of recorded messages in each of the exchange's formats, and the times to read
//! them. Or prints the messages in another format.

mod comparison;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use hoga::model::Format;
use hoga::wire::{Converted, convert};
use hoga_exchange::{Content, Contents, Message, Recording};

pub use comparison::{Comparison, Samples};

use crate::args::FormatsArgs;
use crate::exit::Failure;
use crate::object::Object;
use crate::origin::Origin;
use crate::{output, signals};

/// A message that the library cannot parse, such as one with a number out of range.
const UNREADABLE: &str = "unreadable message";

/// The name for a message with objects of more than one type.
const MIXED: &str = "several types";

/// Reads the files, then prints the comparison or the converted messages.
pub fn run(args: &FormatsArgs) -> Result<(), Failure> {
    // Reading stdin may never end.
    signals::end_at_once()?;
    let mut traffic = Traffic::default();
    for path in &args.files {
        traffic.read(path, args.convert.map(Format::from))?;
    }
    if args.convert.is_some() {
        // Printed to stderr, because stdout is for the messages. stderr may be closed.
        let _ = writeln!(io::stderr(), "{}", traffic.line());
        return Ok(());
    }
    let comparison = std::mem::take(&mut traffic.samples).compare(args.time, args.rate)?;
    let origin = Origin::this();
    let text = if args.json {
        json(&origin, &traffic, &comparison)
    } else {
        let read = traffic.line();
        let note = "keys are converted to each format; numbers are as recorded";
        format!("{}\n{read}\n{note}\n{}", origin.line(), comparison.text())
    };
    Ok(output::print(&text)?)
}

/// Parses a number of messages per second.
pub fn rate(text: &str) -> Result<f64, &'static str> {
    match text.parse() {
        Ok(rate) if (0.001..=1e9).contains(&rate) => Ok(rate),
        _ => Err("the rate must be a number from 0.001 to 1000000000"),
    }
}

/// The lines that were read.
#[derive(Default)]
struct Traffic {
    contents: Contents,
    /// The number of messages by their original format.
    from: BTreeMap<&'static str, u64>,
    unknown_keys: u64,
    samples: Samples,
}

impl Traffic {
    /// Reads a file. Adds its messages to the samples, or prints them in the format `print`.
    fn read(&mut self, path: &Path, print: Option<Format>) -> Result<(), Failure> {
        let unreadable = |error: io::Error| Failure::Usage(error.to_string());
        let mut recording = match path.to_str() {
            Some("-") => Recording::new("-", io::stdin().lock()),
            _ => Recording::open(path).map_err(unreadable)?,
        };
        let mut out = io::stdout().lock();
        while let Some(message) = recording.next_message().map_err(unreadable)? {
            let used = match print {
                None => self.take(&message),
                Some(format) => match convert(&message.text, format) {
                    Ok(converted) => {
                        self.count(&converted);
                        converted.messages.iter().try_for_each(|message| writeln!(out, "{message}"))?;
                        Ok(())
                    }
                    Err(_) => Err(UNREADABLE),
                },
            };
            if let Err(what) = used {
                recording.refuse(what);
            }
        }
        out.flush()?;
        self.contents.add(recording.finish().map_err(unreadable)?);
        Ok(())
    }

    /// Adds a message to the samples, or returns why it is none.
    fn take(&mut self, message: &Message) -> Result<(), &'static str> {
        if let Content::Control(name) = message.content {
            return Err(name);
        }
        let converted = Format::ALL.map(|format| convert(&message.text, format));
        let [Ok(one), Ok(two), Ok(three), Ok(four)] = converted else { return Err(UNREADABLE) };
        self.count(&one);
        let name = name_of(&one.types);
        self.samples.add(name, one.types.len(), [one.messages, two.messages, three.messages, four.messages]);
        Ok(())
    }

    fn count(&mut self, converted: &Converted) {
        *self.from.entry(converted.from.as_str()).or_default() += 1;
        self.unknown_keys += converted.unknown_keys;
    }

    /// Returns one line for people.
    fn line(&self) -> String {
        let from: Vec<_> = self.from.iter().map(|(format, count)| format!("{count} in {format}")).collect();
        let keys = match self.unknown_keys {
            0 => String::new(),
            keys => format!("; {keys} unknown keys kept as they are"),
        };
        let (lines, others) = (self.contents.lines, self.contents.others());
        format!("{lines} lines: {}{keys}; other lines: {others}", from.join(", "))
    }
}

/// Returns the type of all objects of a message.
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
        object.plain("lines", traffic.contents.lines).plain("messages", traffic.contents.messages);
        object.plain("unknown_keys", traffic.unknown_keys);
        object.object("from", |object| counts(object, traffic.from.iter().map(|(format, count)| (*format, *count))));
        object.object("other_lines", |object| counts(object, traffic.contents.kinds()));
        comparison.fields(object);
    });
    text
}

fn counts(object: &mut Object, counts: impl Iterator<Item = (&'static str, u64)>) {
    for (what, count) in counts {
        object.plain(what, count);
    }
}
