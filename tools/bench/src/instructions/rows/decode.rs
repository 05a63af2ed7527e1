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
            Row::new(format!("decode {data_type} {format}"), MESSAGES, move || decode(written(write, short)))
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
    ("a field elsewhere", |members, at| {
        let member = members.remove(at);
        members.insert(2, member);
    }),
];

/// Returns rows of messages that are not in the documented form. The decoder has learned their form when the counted
/// run begins.
fn drifted() -> impl Iterator<Item = Row> {
    let types: [(&str, Write); 2] = [TYPES[0], TYPES[4]];
    let rows = types.into_iter().flat_map(|(data_type, write)| {
        DRIFTS.map(|(name, change)| {
            let change = move |draft: &Draft| {
                let mut members = draft.members(false);
                let at = members.len() - 3;
                change(&mut members, at);
                text(&members)
            };
            let texts = move || drafts(write, false).iter().map(change).collect();
            Row::new(format!("decode {data_type} DEFAULT, {name}"), MESSAGES, move || decode(texts()))
        })
    });
    let units =
        || written(TYPES[2].1, false).iter().map(|book| book.replace("\"ask_size\"", "\"n\":1,\"ask_size\"")).collect();
    let units = Row::new("decode book of 15 DEFAULT, a field more in each unit", MESSAGES, move || decode(units()));
    rows.chain([units])
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

fn decode(messages: Vec<String>) -> impl FnMut() {
    let messages: Vec<_> = messages.iter().map(|text| (padded(text.as_bytes(), SLACK), text.len())).collect();
    let mut decoder = Decoder::new();
    move || {
        for (bytes, len) in &messages {
            let message = decoder.decode(black_box(bytes), *len, RECEIPT, &mut Look);
            assert!(matches!(message, Ok(Message::Data { count: 1 })), "a message was not read");
        }
        assert_eq!(decoder.counters().fallbacks, 0, "the scanners must read all messages");
    }
}
