//! The scanner, the general reader (a walk over simd-json's tape) and an independent reader agree on every message:
//! well-formed messages of every type, and a hundred thousand damaged ones.

use hoga::wire::{DecodeErrorKind, Decoder, DriftCounts, Message};
use hoga_testing::Rng;
use hoga_testing::messages::{Draft, candle, orderbook, ticker, trade};

use crate::oracle;
use crate::support::{decode, decode_by_tape};

/// Values that are wrong, or look wrong.
const VALUES: &[&str] = &[
    "0",
    "-0",
    "-0.0",
    "0E-8",
    "6E-8",
    "9.9E-7",
    "1.16539E8",
    "1e5",
    "1E+5",
    "-1",
    "1.0",
    "123.000",
    "007",
    "1.",
    ".5",
    "+1",
    "1e",
    "1e+",
    "0x10",
    "1e999",
    "-1e999",
    "1e99999999999999999999",
    "1e-999",
    "0e999",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775808",
    "-9223372036854775809",
    "1079953210371761700",
    "99999999999999999999999999999",
    "123456789012345678901234567890.123456789012345678901234567890",
    "0.000000000000000000000000000001",
    "9007199254740993",
    "9007199254740993.0",
    "90071992547409.93",
    "100000000000000",
    "100000000000001",
    "1691530805062000",
    "179769313486231570000000000000000000000",
    "2.2250738585072011e-308",
    "4.9E-324",
    "null",
    "true",
    "false",
    "True",
    "nul",
    "\"\"",
    "\"0\"",
    "\"KRW-BTC\"",
    "\"krw-btc\"",
    "\"KRW-\"",
    "\"\\u004bRW-BTC\"",
    "\"KRW\\/BTC\"",
    "\"KRW-BTC.5\"",
    "\"KRW-AAAAAAAAAAAAAAAAAAAAAAAAA\"",
    "\"한국-BTC\"",
    "\"RISE\"",
    "\"EVEN\"",
    "\"rise\"",
    "\"ASK\"",
    "\"REALTIME\"",
    "\"SNAPSHOT\"",
    "\"ACTIVE\"",
    "\"CLOSED\"",
    "\"2026-02-30\"",
    "\"2026-13-01\"",
    "\"20260311\"",
    "\"2026-03-11\"",
    "\"24:00:00\"",
    "\"235960\"",
    "\"23:59:60\"",
    "\"2026-03-11T05:00:00\"",
    "\"2026-03-11 05:00:00\"",
    "\"2026-03-11T05:00\"",
    "\"2026-03-11T05:00:00.123Z\"",
    "\"2026-03-11T14:00:00+09:00\"",
    "\"1969-12-31T23:59:60Z\"",
    "\"0000-01-01T00:00:00-12:30\"",
    "\"12:30\"",
    "\"12:30:45.5\"",
    "\"12:30:45+00\"",
    "\"12:30:45-0130\"",
    "\"123.4\"",
    "\"-0E-8\"",
    "\"1e999\"",
    "\"1796000000123\"",
    "\"12 \"",
    "1796000000",
    "1796000000.125",
    "1796000000000000",
    "1796000000000000000",
    "\"true\"",
    "\"LIMIT_UP\"",
    "\"\\u0041SK\"",
    "\"\\ud800\"",
    "\"\\x\"",
    "\"a\nb\"",
    "\"\u{7f}\"",
    "[]",
    "{}",
    "[{}]",
    "[1]",
    "[[[[1]]]]",
    "{\"a\":{\"b\":[]}}",
    "{\"year\":2026,\"month\":12,\"day\":24}",
    "{\"year\":2026,\"month\":12,\"day\":24.0}",
    "[{\"ask_price\":1,\"bid_price\":1,\"ask_size\":1,\"bid_size\":1}]",
    "[{\"ap\":1,\"bp\":1,\"as\":0,\"bs\":0},{\"bs\":4,\"ap\":1,\"bp\":2,\"as\":3,\"x\":9}]",
    "\"ticker\"",
    "\"candle.1m\"",
    "\"candle.2m\"",
    "\"myOrder\"",
    "",
];

/// Keys to insert in wrong places.
const KEYS: &[&str] = &[
    "type",
    "ty",
    "code",
    "cd",
    "timestamp",
    "tms",
    "level",
    "lv",
    "unknown",
    "",
    "trade_price",
    "tp",
    "error",
    "status",
    "td",
    "tdt",
    "orderbook_units",
    "obu",
    "trade\\u005fprice",
    "ts",
    "change",
    "c",
];

fn draft(rng: &mut Rng) -> (Draft, bool) {
    let short = rng.below(2) == 0;
    let draft = match rng.below(8) {
        0 | 1 => ticker(rng),
        2 | 3 => trade(rng),
        4 | 5 => candle(rng),
        _ => {
            let depth = *rng.pick(&[0, 1, 2, 5, 5, 15, 30, 31]);
            orderbook(rng, depth, short)
        }
    };
    (draft, short)
}

fn write(members: &[(String, String)], rng: &mut Rng) -> String {
    let spaces: &[&str] = if rng.below(8) == 0 { &["", " ", "\t", "\n", "\r\n ", "\u{a0}"] } else { &[""] };
    let mut text = String::from("{");
    for (i, (key, value)) in members.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        text += &format!("{comma}{}\"{key}\"{}:{}{value}", rng.pick(spaces), rng.pick(spaces), rng.pick(spaces));
    }
    text + *rng.pick(spaces) + "}"
}

/// Makes one random change to the members of an object.
fn change_members(members: &mut Vec<(String, String)>, rng: &mut Rng) {
    if members.is_empty() {
        return;
    }
    let at = rng.below(members.len());
    match rng.below(9) {
        0 => members[at].1 = (*rng.pick(VALUES)).into(),
        1 => drop(members.remove(at)),
        2 => {
            let other = rng.below(members.len());
            members.swap(at, other);
        }
        3 => members.insert(at, ((*rng.pick(KEYS)).into(), (*rng.pick(VALUES)).into())),
        4 => members[at].0 = (*rng.pick(KEYS)).into(),
        5 => {
            // The same key twice, with the same value or another one.
            let (key, old) = members[at].clone();
            let copy = if rng.below(2) == 0 { old } else { (*rng.pick(VALUES)).into() };
            let to = rng.below(members.len() + 1);
            members.insert(to, (key, copy));
        }
        6 => members[at].1 = members[at].1.replacen('"', "\"\\u0041", 1),
        7 => members.rotate_left(at),
        _ => members.insert(at, ("x".into(), "[".repeat(at) + *rng.pick(VALUES) + &"]".repeat(at))),
    }
}

/// Makes one random change to the bytes.
fn change_bytes(bytes: &mut Vec<u8>, rng: &mut Rng) {
    if bytes.is_empty() {
        return;
    }
    let at = rng.below(bytes.len());
    match rng.below(6) {
        0 => bytes.truncate(at),
        1 => bytes[at] = *rng.pick(b"0123456789.-+eE\"{}[]:, \\\x00\x1f\x80\xc3\xff,null"),
        2 => drop(bytes.remove(at)),
        3 => bytes.insert(at, *rng.pick(b"0123456789.-eE\"{}[]:, \\\xf0\xe2")),
        4 => bytes.extend_from_slice(rng.pick::<&[u8]>(&[&b" "[..], b"}", b",", b"{}", b"\0", b"\n\t", b"]", b"7"])),
        _ => bytes[at] ^= 1 << rng.below(8),
    }
}

fn message(rng: &mut Rng) -> Vec<u8> {
    let object = |rng: &mut Rng| {
        let (draft, short) = draft(rng);
        let mut members: Vec<_> = draft.members(short).into_iter().map(|(key, text)| (key.to_owned(), text)).collect();
        for _ in 0..rng.below(3) {
            change_members(&mut members, rng);
        }
        write(&members, rng)
    };
    let text = match rng.below(6) {
        0 => format!("[{}]", object(rng)),
        1 => {
            let elements: Vec<_> = (0..rng.below(4)).map(|_| object(rng)).collect();
            format!("[{}]", elements.join(","))
        }
        _ => object(rng),
    };
    let mut bytes = text.into_bytes();
    if rng.below(3) == 0 {
        change_bytes(&mut bytes, rng);
    }
    bytes
}

/// Returns by how much each count grew.
fn difference(after: DriftCounts, before: DriftCounts) -> [u64; 5] {
    [
        after.unknown_keys - before.unknown_keys,
        after.missing_fields - before.missing_fields,
        after.unreadable_fields - before.unreadable_fields,
        after.unknown_words - before.unknown_words,
        after.levels_cut - before.levels_cut,
    ]
}

#[track_caller]
fn assert_agreement(scanning: &mut Decoder, walking: &mut Decoder, bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let drift_before = [scanning.counters().drift, walking.counters().drift];
    let (result, data) = decode(scanning, bytes);
    let (by_tape, tape_data) = decode_by_tape(walking, bytes);
    let drift = [scanning.counters().drift, walking.counters().drift];
    let growth = |at: usize| difference(drift[at], drift_before[at]);
    assert_eq!(growth(0), growth(1), "scanner and tape count different drifts: {text}");
    assert_eq!((&result, &data), (&by_tape, &tape_data), "scanner and tape differ: {text}");
    let (expected, expected_data) = oracle::read(bytes);
    assert_eq!(data, expected_data, "{result:?} {expected:?} {text}");
    let is_no_json = |kind| matches!(kind, DecodeErrorKind::NotJson | DecodeErrorKind::BadNumber);
    match (&result, expected) {
        (Ok(Message::Data { count }), Ok(Some(expected))) => assert_eq!(*count, expected, "{text}"),
        (Ok(_), Ok(None)) => {}
        // Which of two faults of the text is found first does not matter.
        (Err(error), Err(expected)) if is_no_json(error.kind) && is_no_json(expected) => {}
        (Err(error), Err(expected)) => assert_eq!(error.kind, expected, "{text}"),
        (result, expected) => panic!("{result:?}, expected {expected:?}: {text}"),
    }
    result.is_ok()
}

#[test]
fn readers_agree_on_well_formed_messages_which_are_scanned() {
    let (mut scanning, mut walking) = (Decoder::new(), Decoder::new());
    let mut rng = Rng::new(1);
    for count in 1..=4000 {
        let (draft, short) = draft(&mut rng);
        let text = draft.write(short);
        assert!(assert_agreement(&mut scanning, &mut walking, text.as_bytes()), "{text}");
        assert_eq!(scanning.counters().fallbacks, 0, "{count}: {text}");
    }
    assert_eq!((walking.counters().scanned, walking.counters().tolerated), (0, 0));
}

#[test]
fn readers_agree_on_a_hundred_thousand_damaged_messages() {
    let (mut scanning, mut walking) = (Decoder::new(), Decoder::new());
    let mut rng = Rng::new(20_261_123);
    let mut read = 0;
    const MESSAGES: usize = 100_000;
    let mut strict = 0;
    for number in 0..MESSAGES {
        // One decoder has learned from the messages before, the other one is new.
        let mut new = Decoder::new();
        let decoder = if number % 2 == 0 { &mut scanning } else { &mut new };
        read += usize::from(assert_agreement(decoder, &mut walking, &message(&mut rng)));
        strict += new.counters().scanned;
    }
    // There must be enough messages of both results, and enough on each of the three paths.
    let counters = scanning.counters();
    assert!(read > MESSAGES / 4 && read < MESSAGES * 3 / 4, "{read}");
    assert!(strict > MESSAGES as u64 / 20, "{strict}");
    assert!(counters.tolerated > MESSAGES as u64 / 20, "{counters:?}");
    assert!(counters.fallbacks > MESSAGES as u64 / 50, "{counters:?}");
    let drift = counters.drift;
    assert!(drift.unknown_keys > 1000 && drift.missing_fields > 1000 && drift.unreadable_fields > 1000, "{drift:?}");
    assert!(drift.unknown_words > 100 && drift.levels_cut > 100, "{drift:?}");
}

/// Changes that the exchange makes to all messages of one type, on top of each other.
fn drift(members: &mut Vec<(String, String)>, changes: &mut Rng) {
    for _ in 0..=changes.below(5) {
        let at = 1 + changes.below(members.len() - 1);
        match changes.below(8) {
            0 => drop(members.remove(at)),
            1 => members.insert(at, (format!("new_{}", changes.below(9)), (*changes.pick(&NEW)).into())),
            2 => {
                let member = members.remove(at);
                let to = 1 + changes.below(members.len());
                members.insert(to, member);
            }
            3 => members[at].1 = (*changes.pick(&RETYPED)).into(),
            4 => members[at].0 += "_v2",
            5 => members[at].1 = format!("\"{}\"", members[at].1.replace('"', "")),
            6 => {
                // The type or the first field after it.
                let member = members.remove(changes.below(2));
                members.insert(at, member);
            }
            _ => drift_units(members, changes),
        }
    }
}

/// One change to all units of a book.
fn drift_units(members: &mut [(String, String)], changes: &mut Rng) {
    let Some((_, units)) = members.iter_mut().find(|(_, value)| value.starts_with("[{")) else { return };
    let new = *changes.pick(&NEW);
    let fields = |unit: &str| unit.split(',').map(str::to_owned).collect::<Vec<_>>();
    let changed: Vec<String> = units[2..units.len() - 2]
        .split("},{")
        .map(|unit| match changes.clone().below(5) {
            0 => format!("\"new\":{new},{unit}"),
            1 => format!("{unit},\"new\":{new}"),
            2 => fields(unit).into_iter().rev().collect::<Vec<_>>().join(","),
            3 => fields(unit)[..3].join(","),
            _ => unit.replace("\":", "\":\"").replace(',', "\",") + "\"",
        })
        .collect();
    *units = format!("[{{{}}}]", changed.join("},{"));
}

const NEW: [&str; 7] =
    ["1", "-1.5e3", "\"text\"", "null", "{\"a\":[1,{}],\"b\":\"한\"}", "[[],true]", "\"\\u0041\\n\""];
const RETYPED: [&str; 8] = [
    "null",
    "\"\"",
    "true",
    "7",
    "[]",
    "\"2026-03-11T05:00:00.123Z\"",
    "{\"year\":2026,\"month\":12,\"day\":24}",
    "\"NEW\"",
];

/// The first field of a unit is expected after a brace, but may be found after a comma.
#[test]
fn readers_agree_on_braces_and_commas_in_wrong_places() {
    for short in [false, true] {
        let (mut scanning, mut walking) = (Decoder::new(), Decoder::new());
        let plain = orderbook(&mut Rng::new(3), 4, short).write(short);
        let first_is_new = plain.replace("{\"a", "{\"new\":1,\"a");
        let [price, size] = if short { ["\"ap\"", "\"as\""] } else { ["\"ask_price\"", "\"ask_size\""] };
        let first_is_moved = plain.replace(price, "?").replace(size, price).replace('?', size);
        for book in [&first_is_new, &first_is_moved, &first_is_new, &first_is_moved] {
            assert!(assert_agreement(&mut scanning, &mut walking, book.as_bytes()), "{book}");
            for (at, old) in book.match_indices([',', '{']) {
                let damaged = [&book[..at], if old == "," { "{" } else { "," }, &book[at + 1..]].concat();
                assert!(!assert_agreement(&mut scanning, &mut walking, damaged.as_bytes()), "{damaged}");
            }
        }
    }
}

/// Reads series of messages that have all changed in the same way, so that the scanner learns their form. The
/// environment variable `HOGA_DRIFTED_MESSAGES` sets the number of messages, 20,000 by default; a release build is fast
/// enough for a million.
#[test]
fn readers_agree_on_messages_that_drift_alike() {
    let wanted = std::env::var("HOGA_DRIFTED_MESSAGES").map_or(20_000, |count| count.parse().expect("a number"));
    let mut rng = Rng::new(20_261_130);
    let mut counts = [0; 4];
    for _ in 0..wanted / 200 {
        let (mut scanning, mut walking) = (Decoder::new(), Decoder::new());
        let (seed, kind, short, is_list) = (rng.next(), rng.below(5), rng.below(2) == 0, rng.below(2) == 0);
        // Two layouts alternate, as when a field is there for some markets only.
        let seeds = [seed, if rng.below(2) == 0 { seed } else { rng.next() }];
        for number in 0..200 {
            let object = |rng: &mut Rng| {
                let draft = match kind {
                    0 => ticker(rng),
                    1 => trade(rng),
                    2 => candle(rng),
                    3 => orderbook(rng, 31, short),
                    _ => orderbook(rng, 4, short),
                };
                let mut members: Vec<_> =
                    draft.members(short).into_iter().map(|(key, text)| (key.to_owned(), text)).collect();
                // The last ones are as documented again.
                if number < 120 {
                    drift(&mut members, &mut Rng::new(seeds[number % 2]));
                }
                write_plainly(&members)
            };
            let count = if is_list && rng.below(4) == 0 { 3 } else { 1 };
            let objects: Vec<_> = (0..count).map(|_| object(&mut rng)).collect();
            let mut bytes = if is_list { format!("[{}]", objects.join(",")) } else { objects.concat() }.into_bytes();
            if rng.below(8) == 0 {
                change_bytes(&mut bytes, &mut rng);
            }
            assert_agreement(&mut scanning, &mut walking, &bytes);
        }
        let counters = scanning.counters();
        for (count, more) in
            counts.iter_mut().zip([counters.scanned, counters.tolerated, counters.fallbacks, counters.malformed])
        {
            *count += more;
        }
    }
    let [scanned, tolerated, fallbacks, _] = counts;
    let wanted = wanted as u64;
    assert!(scanned > wanted / 10 && tolerated > wanted / 4 && fallbacks < wanted / 10, "{counts:?}");
}

fn write_plainly(members: &[(String, String)]) -> String {
    let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}
