//! JSON to a struct, in the two formats whose keys differ. JSON_LIST and SIMPLE_LIST only add brackets.

use std::hint::black_box;

use hoga::model::{Noun, Receipt, Sink, Ticker};
use hoga::wire::{Decoder, Message, SLACK};
use hoga_testing::Rng;
use hoga_testing::messages::{self, Draft, padded};

use super::{RECEIPT, Row};

/// Different messages of one row: enough for numbers of every length.
const MESSAGES: usize = 64;

type Write = fn(&mut Rng, bool) -> Draft;

const TYPES: [(&str, Write); 5] = [
    ("ticker", |rng, _| messages::ticker(rng)),
    ("trade", |rng, _| messages::trade(rng)),
    ("book of 15", |rng, short| messages::orderbook(rng, 15, short)),
    ("book of 30", |rng, short| messages::orderbook(rng, 30, short)),
    ("candle", |rng, _| messages::candle(rng)),
];

pub fn rows() -> Vec<Row> {
    let formats = [("DEFAULT", false), ("SIMPLE", true)];
    let row = |(data_type, write): (&str, Write)| {
        formats.map(|(format, short)| {
            Row::new(format!("decode {data_type} {format}"), MESSAGES, move || decode(written(write, short), 1))
        })
    };
    TYPES.into_iter().flat_map(row).chain(drifted()).collect()
}

/// The members of a message, by key.
type Members = Vec<(&'static str, String)>;

type Change = fn(&mut Members, usize);

/// Changes that the exchange could make to all messages of a type, at the third field from the end.
const DRIFTS: [(&str, Change); 5] = [
    ("a field more", |members, at| members.insert(at, ("grade", "\"A1\"".to_owned()))),
    ("a field fewer", |members, at| drop(members.remove(at))),
    ("a field renamed", |members, at| members[at].0 = "turnover"),
    ("a field as a string", |members, at| members[at].1 = format!("\"{}\"", members[at].1)),
    ("a field elsewhere", |members, at| move_member(members, at, 2)),
];

/// Other changes, each measured for one type of message.
const MORE_DRIFTS: [(&str, Change); 4] = [
    ("the type last", |members, _| move_member(members, 0, members.len() - 1)),
    ("the code last", |members, _| move_member(members, 1, members.len() - 1)),
    ("a field as an object", |members, at| members[at].1 = "{\"value\":1}".to_owned()),
    ("five changes", |members, at| {
        members[2].1 = format!("\"{}\"", members[2].1);
        members[at + 2].0 = "kind";
        members.insert(at, ("grade", "12.5".to_owned()));
        move_member(members, at + 1, 2);
        members.push(("score", "\"A1\"".to_owned()));
    }),
];

fn move_member(members: &mut Members, from: usize, to: usize) {
    let member = members.remove(from);
    members.insert(to, member);
}

/// Returns rows of messages that are not in the documented form. The decoder has learned their form when the counted
/// run begins.
fn drifted() -> impl Iterator<Item = Row> {
    let [ticker, trade, book, _, candle] = TYPES;
    let rows =
        [ticker, candle].into_iter().flat_map(|data_type| DRIFTS.map(|drift| drifted_row(data_type, drift, false)));
    let more = MORE_DRIFTS.map(|drift| drifted_row(trade, drift, true));
    let books = [
        drifted_row(book, ("a field more in each unit", |members, _| more_in_units(members)), false),
        drifted_row(book, ("all numbers of units as strings", |members, _| units_as_strings(members)), false),
    ];
    let several = Row::new("decode 3 tickers JSON_LIST, a field more", MESSAGES, move || {
        let texts = drifted_texts(ticker.1, DRIFTS[0].1, false);
        decode(texts.iter().map(|text| format!("[{text},{text},{text}]")).collect(), 3)
    });
    rows.chain(more).chain(books).chain([several])
}

fn drifted_row((data_type, write): (&'static str, Write), (name, change): (&str, Change), short: bool) -> Row {
    let format = if short { "SIMPLE" } else { "DEFAULT" };
    let name = format!("decode {data_type} {format}, {name}");
    Row::new(name, MESSAGES, move || decode(drifted_texts(write, change, short), 1))
}

fn drifted_texts(write: Write, change: Change, short: bool) -> Vec<String> {
    let drifted = |draft: &Draft| {
        let mut members = draft.members(short);
        let at = members.len() - 3;
        change(&mut members, at);
        text(&members)
    };
    drafts(write, short).iter().map(drifted).collect()
}

fn more_in_units(members: &mut Members) {
    for (_, value) in members {
        *value = value.replace("\"ask_size\"", "\"n\":1,\"ask_size\"");
    }
}

fn units_as_strings(members: &mut Members) {
    for (_, value) in members.iter_mut().filter(|(_, value)| value.starts_with('[')) {
        *value = value.replace("\":", "\":\"").replace(',', "\",").replace('}', "\"}").replace("}\",", "},");
    }
}

fn text(members: &[(&str, String)]) -> String {
    let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

/// Returns the first ticker of the rows above.
pub fn ticker() -> Ticker {
    let message = written(|rng, _| messages::ticker(rng), false).remove(0);
    let mut tickers = super::Tickers::default();
    Decoder::new().decode(message.as_bytes(), message.len(), RECEIPT, &mut tickers).expect("a ticker");
    tickers.0[0]
}

fn written(write: Write, short: bool) -> Vec<String> {
    drafts(write, short).iter().map(|draft| draft.write(short)).collect()
}

fn drafts(write: Write, short: bool) -> Vec<Draft> {
    let mut rng = Rng::new(7);
    (0..MESSAGES).map(|_| write(&mut rng, short)).collect()
}

/// Looks at every value, so that the optimizer cannot remove the work.
struct Look;

impl Sink for Look {
    fn deliver<T: Noun>(&mut self, _: Receipt, message: &T) {
        black_box(message);
    }
}

/// Decodes messages with this number of objects in each.
fn decode(messages: Vec<String>, objects: u32) -> impl FnMut() {
    let messages: Vec<_> = messages.iter().map(|text| (padded(text.as_bytes(), SLACK), text.len())).collect();
    let mut decoder = Decoder::new();
    move || {
        for (bytes, len) in &messages {
            let message = decoder.decode(black_box(bytes), *len, RECEIPT, &mut Look);
            let is_read = matches!(message, Ok(Message::Data { count }) if count == objects);
            assert!(is_read, "a message was not read");
        }
        assert_eq!(decoder.counters().fallbacks, 0, "the scanner must read all messages");
    }
}
