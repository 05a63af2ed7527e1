//! Changes that the exchange could make to all messages of a type, and messages with them.

use std::collections::BTreeSet;

use hoga_testing::Rng;
use hoga_testing::messages::{self, Draft, Text};

/// The keys and values of an object, as JSON text.
pub type Members = Vec<(String, String)>;

/// What happens to the member at a place.
pub struct Change {
    pub name: &'static str,
    pub apply: fn(&mut Members, usize),
    /// The exchange would make it for good, so its cost after learning counts. The others are odd spellings.
    pub is_lasting: bool,
}

const fn lasting(name: &'static str, apply: fn(&mut Members, usize)) -> Change {
    Change { name, apply, is_lasting: true }
}

const fn odd(name: &'static str, apply: fn(&mut Members, usize)) -> Change {
    Change { name, apply, is_lasting: false }
}

pub const CHANGES: [Change; 27] = [
    lasting("removed", |members, at| drop(members.remove(at))),
    lasting("null", |members, at| members[at].1 = "null".into()),
    lasting("an empty string", |members, at| members[at].1 = "\"\"".into()),
    lasting("a number as a string, a string as a number", retype),
    lasting("an object", |members, at| members[at].1 = "{\"a\":1}".into()),
    lasting("a list", |members, at| members[at].1 = "[1]".into()),
    lasting("true", |members, at| members[at].1 = "true".into()),
    lasting("an unknown word", |members, at| members[at].1 = "\"NEW\"".into()),
    lasting("a negative number", |members, at| members[at].1 = "-1".into()),
    lasting("renamed", |members, at| members[at].0 += "_v2"),
    lasting("moved to the front", |members, at| move_to(members, at, 0)),
    lasting("moved to the end", |members, at| move_to(members, at, members.len() - 1)),
    lasting("behind the next field", |members, at| move_to(members, at, (at + 1) % members.len())),
    lasting("renamed, at the end", |members, at| {
        members[at].0 += "_v2";
        move_to(members, at, members.len() - 1);
    }),
    lasting("removed, as is the next field", |members, at| {
        members.remove(at);
        members.remove(at % members.len());
    }),
    lasting("a new number before it", |members, at| add(members, at, "grade", "17.25")),
    lasting("a new string before it", |members, at| add(members, at, "grade", "\"A1\"")),
    lasting("a new true before it", |members, at| add(members, at, "grade", "true")),
    lasting("a new null before it", |members, at| add(members, at, "grade", "null")),
    lasting("a new object before it", |members, at| add(members, at, "grade", "{\"of\":\"A\",\"n\":1}")),
    lasting("a new list before it", |members, at| add(members, at, "grades", "[1,2.5]")),
    lasting("five new fields before it", |members, at| {
        ["n1", "n2", "n3", "n4", "n5"].into_iter().for_each(|key| add(members, at, key, "0.5"));
    }),
    odd("too large a number", |members, at| members[at].1 = "1e400".into()),
    odd("with an exponent", |members, at| members[at].1 += "e0"),
    odd("twice", |members, at| members.push(members[at].clone())),
    odd("with white space", |members, at| members[at].1.insert(0, ' ')),
    odd("with an escaped key", |members, at| {
        let first = members[at].0.remove(0);
        members[at].0.insert_str(0, &format!("\\u{:04x}", u32::from(first)));
    }),
];

fn retype(members: &mut Members, at: usize) {
    let value = &mut members[at].1;
    *value = if value.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        format!("\"{value}\"")
    } else {
        "7".into()
    };
}

fn move_to(members: &mut Members, from: usize, to: usize) {
    let member = members.remove(from);
    members.insert(to, member);
}

fn add(members: &mut Members, at: usize, key: &str, value: &str) {
    members.insert(at, (key.to_owned(), value.to_owned()));
}

/// A type of message.
pub struct Type {
    pub name: &'static str,
    pub write: fn(&mut Rng, bool) -> Draft,
    /// Where the cost of changes is counted.
    pub counted: &'static [Place],
}

/// A member of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The field at this index, with the type at 0.
    Field(usize),
    /// The field at this index of each unit of a book.
    Unit(usize),
}

pub const TYPES: [Type; 4] = [
    Type { name: "ticker", write: |rng, _| messages::ticker(rng), counted: &[Place::Field(30)] },
    Type { name: "trade", write: |rng, _| messages::trade(rng), counted: &[Place::Field(15)] },
    Type {
        name: "orderbook",
        write: |rng, short| messages::orderbook(rng, 15, short),
        counted: &[Place::Field(3), Place::Unit(2)],
    },
    Type { name: "candle", write: |rng, _| messages::candle(rng), counted: &[Place::Field(9)] },
];

impl Type {
    /// Returns the messages of a seed before they are written.
    pub fn drafts(&self, count: usize, short: bool) -> Vec<Draft> {
        let mut rng = Rng::new(7);
        (0..count).map(|_| (self.write)(&mut rng, short)).collect()
    }

    /// Returns `count` different pairs of a change and a place, spread over all changes and places.
    pub fn pairs(&self, count: usize) -> Vec<(&'static Change, Place)> {
        let draft = &self.drafts(1, false)[0];
        let units = draft.0.iter().any(|(_, _, text)| matches!(text, Text::Units(_)));
        let places: Vec<_> =
            (1..draft.0.len()).map(Place::Field).chain((0..if units { 4 } else { 0 }).map(Place::Unit)).collect();
        let (mut pairs, mut seen) = (Vec::new(), BTreeSet::new());
        for (round, at) in (0..places.len()).flat_map(|round| (0..CHANGES.len()).map(move |at| (round, at))) {
            let place = (round * 7 + at * 3) % places.len();
            if pairs.len() < count && seen.insert((at, place)) {
                pairs.push((&CHANGES[at], places[place]));
            }
        }
        pairs.sort_by_key(|(change, place)| (CHANGES.iter().position(|other| other.name == change.name), *place));
        pairs
    }
}

impl Place {
    /// Returns the field's long name.
    pub fn name(self, draft: &Draft) -> &'static str {
        match self {
            Self::Field(at) => draft.0[at].0,
            Self::Unit(at) => ["ask_price", "bid_price", "ask_size", "bid_size"][at],
        }
    }
}

/// Writes a message with a change.
pub fn write(draft: &Draft, short: bool, change: Option<(&Change, Place)>) -> String {
    let mut members: Members = draft.members(short).into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    match change {
        None => {}
        Some((change, Place::Field(at))) => (change.apply)(&mut members, at),
        Some((change, Place::Unit(at))) => {
            for (member, (_, _, text)) in members.iter_mut().zip(&draft.0) {
                if let Text::Units(units) = text {
                    member.1 = write_units(units, short, change, at);
                }
            }
        }
    }
    object(&members)
}

fn write_units(units: &[[String; 4]], short: bool, change: &Change, at: usize) -> String {
    let keys = if short { ["ap", "bp", "as", "bs"] } else { ["ask_price", "bid_price", "ask_size", "bid_size"] };
    let unit = |values: &[String; 4]| {
        let mut members = keys.iter().zip(values).map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        (change.apply)(&mut members, at);
        object(&members)
    };
    format!("[{}]", units.iter().map(unit).collect::<Vec<_>>().join(","))
}

fn object(members: &Members) -> String {
    let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}
