//! A message has the same content in every format. The tests use an independent key table, and the documented messages,
//! written and recorded.

use hoga::model::Format;
use hoga::wire::{DecodeErrorKind, Decoder, Message, convert};
use hoga_testing::messages::Draft;
use hoga_testing::{Rng, fixtures, messages};
use serde_json::Value;

use crate::support::{decode, recorded};
use crate::wire_frames::frames;

/// Converts a message to another format, which must hold it as one message.
#[track_caller]
fn one(text: &str, to: Format) -> String {
    let converted = convert(text, to).unwrap_or_else(|error| panic!("{error}: {text}"));
    let [message] = &converted.messages[..] else { panic!("{} messages: {text}", converted.messages.len()) };
    message.clone()
}

fn drafts(rng: &mut Rng) -> [Draft; 5] {
    [
        messages::ticker(rng),
        messages::trade(rng),
        messages::orderbook(rng, 30, false),
        messages::orderbook(rng, 5, true),
        messages::candle(rng),
    ]
}

#[test]
fn every_format_of_a_message_is_made_from_every_other_to_the_byte() {
    let mut rng = Rng::new(113);
    for draft in (0..500).flat_map(|_| drafts(&mut rng)) {
        let (long, short) = (draft.write(false), draft.write(true));
        let (long_list, short_list) = (format!("[{long}]"), format!("[{short}]"));
        let texts = [long, short, long_list, short_list];
        for (from, text) in Format::ALL.into_iter().zip(&texts) {
            for (to, expected) in Format::ALL.into_iter().zip(&texts) {
                let converted = convert(text, to).unwrap();
                assert_eq!(converted.messages, std::slice::from_ref(expected), "{from:?} to {to:?}");
                assert_eq!((converted.from, converted.unknown_keys), (from, 0));
            }
        }
    }
}

/// Inserts unknown keys with odd values, and white space around the commas between members.
#[test]
fn a_round_trip_returns_the_same_text_for_any_values() {
    const ODD: [&str; 8] =
        ["null", "-0.0E-8", r#""a\"}]\\""#, r#"[1,[2,"]"],{"x":{}}]"#, r#"{"code":{"cd":1}}"#, "[]", "{}", "\"호가\""];
    let mut rng = Rng::new(7);
    for round in 0..2000 {
        let draft = rng.pick(&drafts(&mut Rng::new(round))).clone();
        let mut members: Vec<String> =
            draft.members(false).into_iter().map(|(key, text)| format!("\"{key}\":{text}")).collect();
        for _ in 0..rng.below(4) {
            let place = 1 + rng.below(members.len());
            members.insert(place, format!("\"x_{}\":{}", rng.below(9), rng.pick(&ODD)));
        }
        let text = format!("{{{}}}", members.join(*rng.pick(&[",", " , ", ",\n\t"])));
        serde_json::from_str::<Value>(&text).unwrap();
        for to in Format::ALL {
            let converted = one(&text, to);
            serde_json::from_str::<Value>(&converted).unwrap();
            assert_eq!(one(&converted, Format::Default), text, "by {to:?}");
        }
    }
}

#[test]
fn text_that_is_cut_or_changed_is_refused_or_stays_json() {
    let mut rng = Rng::new(42);
    for round in 0..20_000 {
        let mut text = rng.pick(&drafts(&mut Rng::new(round % 50))).write(rng.below(2) == 0).into_bytes();
        match rng.below(2) {
            0 => text.truncate(rng.below(text.len())),
            _ => {
                let place = rng.below(text.len());
                text[place] = *rng.pick(b"{}[]:,\"\\0aE- ");
            }
        }
        let Ok(text) = String::from_utf8(text) else { continue };
        match convert(&text, Format::SimpleList) {
            Ok(converted) => assert!(serde_json::from_str::<Value>(&converted.messages[0]).is_ok(), "{text}"),
            Err(error) if matches!(error.kind, DecodeErrorKind::NotJson | DecodeErrorKind::BadNumber) => {}
            Err(_) => assert!(serde_json::from_str::<Value>(&text).is_ok(), "{text}"),
        }
    }
}

// ---- documented messages ----

#[test]
fn every_frame_reads_the_same_in_every_format_and_round_trips_exactly() {
    let (mut compared, mut decoder) = (0, Decoder::new());
    for (file, line) in frames() {
        let place = format!("{}: {line}", file.display());
        // The exchange sends statuses and errors without a list, so conversion writes them without a list.
        let is_listed_control = line.starts_with("[{\"status\"") || line.starts_with("[{\"error\"");
        if is_listed_control || place.contains("partial-frames") {
            continue;
        }
        let from = convert(&line, Format::Default).unwrap_or_else(|error| panic!("{error}: {place}")).from;
        let (result, data) = decode(&mut decoder, line.as_bytes());
        for to in Format::ALL {
            let converted = convert(&line, to).unwrap();
            // A list of several messages has no equivalent without lists.
            let [message] = &converted.messages[..] else { continue };
            assert_eq!(one(message, from), line.trim(), "{to:?} {place}");
            // Bithumb uses its own name for a key in one format, so its key in the other format is unknown.
            if !place.contains("bithumb") {
                assert_eq!(decode(&mut decoder, message.as_bytes()), (result.clone(), data.clone()), "{to:?} {place}");
            }
            compared += usize::from(matches!(result, Ok(Message::Data { .. })));
        }
    }
    // From each of the four formats to each of the four.
    let own = 16 * fixtures::lines("data.DEFAULT.jsonl").len();
    assert!(compared >= own, "only {compared}");
}

/// Covers the documented keys of all types: the files have the same messages, made from the documentation's tables.
#[test]
fn the_four_files_of_every_type_convert_into_each_other() {
    let types = ["ticker", "trade", "candle", "myOrder", "myAsset", "announcement", "indicator", "indicator_signal"];
    let own = ["data", "other"].map(|name| fixtures::folder().join(name));
    let captured = fixtures::captures().map(|folder| types.map(|name| folder.join("synthetic").join(name)));
    for file in own.into_iter().chain(captured.into_iter().flatten()) {
        let read = |format: Format| recorded(format!("{}.{}.jsonl", file.display(), format.as_str()).as_ref());
        assert!(!read(Format::Default).is_empty());
        for (from, to) in Format::ALL.into_iter().flat_map(|from| Format::ALL.map(|to| (from, to))) {
            let made: Vec<_> = read(from).iter().map(|line| one(line, to)).collect();
            assert_eq!(made, read(to), "{}: {from:?} to {to:?}", file.display());
        }
    }
}
