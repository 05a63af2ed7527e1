//! What hoga makes of messages that differ from the documented form, and what they cost. Generates docs/drift.md.

mod change;
mod document;
mod outcome;

use std::hint::black_box;
use std::panic::resume_unwind;
use std::thread;

use hoga::model::{Format, Noun, Receipt, Sink};
use hoga::wire::{Decoder, SLACK};
use hoga_bench::counting::{Count, count};
use hoga_testing::messages::padded;

use crate::Failure;
use crate::counter::Counter;
use crate::rows::RECEIPT;
pub use document::worse;

use change::{CHANGES, Change, Place, TYPES, Type};
use outcome::Outcome;

/// The number of messages after which a change must be learned, and the number that is counted.
const MESSAGES: usize = 16;

/// Messages of one form, whose cost is counted.
struct Case {
    of: &'static Type,
    format: Format,
    change: Option<(&'static Change, Place)>,
}

/// A counted change: instructions for each message in each of the four formats, relative to documented messages.
struct Cost {
    change: &'static Change,
    place: Place,
    ratios: [f64; 4],
}

/// Returns the text of docs/drift.md.
pub fn document(counter: &Counter) -> Result<String, Failure> {
    let cases = cases();
    let counts = counter.count_drift()?;
    if counts.len() != cases.len() {
        return Err(format!("{} counts of {} kinds of messages", counts.len(), cases.len()));
    }
    Ok(document::write(|of| costs(of, &cases, &counts)))
}

/// Counts all cases in this process, which runs under callgrind.
pub fn count_cases() {
    for case in cases() {
        // On a new thread: unlike the main thread's stack, its stack does not move with the environment.
        let worker = thread::spawn(move || count(MESSAGES, &mut decode(&case.messages())));
        if let Err(panic) = worker.join() {
            resume_unwind(panic);
        }
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for of in &TYPES {
        for format in Format::ALL {
            cases.push(Case { of, format, change: None });
            for change in changes(of) {
                cases.push(Case { of, format, change: Some(change) });
            }
        }
    }
    cases
}

/// Returns the changes of a type whose cost is counted: lasting ones of messages that are delivered nevertheless.
fn changes(of: &'static Type) -> impl Iterator<Item = (&'static Change, Place)> {
    let lasting = || CHANGES.iter().filter(|change| change.is_lasting);
    let all = of.counted.iter().flat_map(move |place| lasting().map(move |change| (change, *place)));
    all.filter(|change| !matches!(document::result(of, *change, Format::Default), Outcome::Refused(_)))
}

fn costs(of: &'static Type, cases: &[Case], counts: &[Count]) -> Vec<Cost> {
    let each = |format: Format, wanted: Option<(&str, Place)>| {
        let is_wanted = |case: &Case| {
            let change = case.change.map(|(change, place)| (change.name, place));
            (case.of.name, case.format, change) == (of.name, format, wanted)
        };
        counts[cases.iter().position(is_wanted).expect("every case is counted")].each()
    };
    let documented = Format::ALL.map(|format| each(format, None));
    let ratio = |change: &Change, place, at: usize| each(Format::ALL[at], Some((change.name, place))) / documented[at];
    changes(of)
        .map(|(change, place)| Cost { change, place, ratios: std::array::from_fn(|at| ratio(change, place, at)) })
        .collect()
}

impl Case {
    fn messages(&self) -> Vec<String> {
        let short = is_short(self.format);
        let drafts = self.of.drafts(MESSAGES, short);
        drafts.iter().map(|draft| wrapped(change::write(draft, short, self.change), self.format)).collect()
    }
}

fn is_short(format: Format) -> bool {
    matches!(format, Format::Simple | Format::SimpleList)
}

/// Puts a message into a list if its format has one.
fn wrapped(message: String, format: Format) -> String {
    if matches!(format, Format::JsonList | Format::SimpleList) { format!("[{message}]") } else { message }
}

fn decode(messages: &[String]) -> impl FnMut() {
    let messages: Vec<_> = messages.iter().map(|text| (padded(text.as_bytes(), SLACK), text.len())).collect();
    let mut decoder = Decoder::new();
    move || {
        for (bytes, len) in &messages {
            let result = decoder.decode(black_box(bytes), *len, RECEIPT, &mut Look);
            assert!(result.is_ok(), "{result:?}: {:?}", String::from_utf8_lossy(&bytes[..*len]));
        }
    }
}

/// Looks at every value, so that the optimizer cannot remove the work.
struct Look;

impl Sink for Look {
    fn deliver<T: Noun>(&mut self, _: Receipt, message: &T) {
        black_box(message);
    }
}
