//! Reads every documented frame of the exchange like an independent reader: the repository's frames, and recorded ones
//! in the folder `HOGA_CAPTURES`, if set.

use std::path::{Path, PathBuf};

use hoga::model::Format;
use hoga::wire::{Decoder, Message};
use hoga_testing::fixtures;

use crate::oracle;
use crate::support::{Data, decode, decode_by_tape, recorded};

/// Returns the repository's frames and recorded ones: file and line.
pub fn frames() -> Vec<(PathBuf, String)> {
    let mut frames = Vec::new();
    for folder in [Some(fixtures::folder()), fixtures::captures()].into_iter().flatten() {
        frames_below(&folder, &mut frames);
    }
    frames
}

/// Adds the frames of all files in a folder and its subfolders.
fn frames_below(folder: &Path, frames: &mut Vec<(PathBuf, String)>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // REST responses and requests are no frames.
        if path.is_dir() && name != "upbeat-rest" {
            frames_below(&path, frames);
        } else if name.ends_with(".jsonl") && !name.starts_with("requests.") {
            frames.extend(recorded(&path).into_iter().map(|text| (path.clone(), text)));
        }
    }
}

/// Returns the number of the repository's frames with data, which is the same in each format.
fn own_data() -> usize {
    4 * fixtures::lines("data.DEFAULT.jsonl").len()
}

#[test]
fn both_readers_read_every_frame_like_the_reference() {
    let (mut data_frames, mut lists) = (0, 0);
    for (file, line) in frames() {
        let place = format!("{}: {line}", file.display());
        let mut decoder = Decoder::new();
        let (result, data) = decode(&mut decoder, line.as_bytes());
        let (by_tape, tape_data) = decode_by_tape(&mut decoder, line.as_bytes());
        assert_eq!((&result, &data), (&by_tape, &tape_data), "{place}");
        if line.contains("LIST_SUBSCRIPTIONS") {
            assert!(matches!(result, Ok(Message::Subscriptions(_))), "{place}");
            lists += 1;
            continue;
        }
        let (expected, expected_data) = oracle::read(line.as_bytes());
        assert_eq!(data, expected_data, "{place}");
        match (&result, &expected) {
            (Ok(Message::Data { count }), Ok(Some(expected))) => assert_eq!(count, expected, "{place}"),
            (Ok(_), Ok(None)) => {}
            (Err(error), Err(expected)) => {
                assert!(place.contains("partial-frames"), "{place}: {error}");
                assert_eq!(error.kind, *expected, "{place}");
            }
            _ => panic!("{place}: {result:?}, expected {expected:?}"),
        }
        data_frames += usize::from(!data.is_empty());
    }
    assert!(data_frames >= own_data() && lists >= 4, "only {data_frames} frames and {lists} lists");
}

#[test]
fn a_frame_in_the_documented_order_never_falls_back() {
    let mut decoder = Decoder::new();
    for (file, line) in frames() {
        // These frames have the key order of another exchange or of a REST response, or their source has shortened or
        // rearranged them.
        let rearranged = ["bithumb", "upbit-2022-11-13"].iter().any(|part| file.to_string_lossy().contains(part));
        let before = decoder.counters();
        decode(&mut decoder, line.as_bytes()).0.ok();
        let after = decoder.counters();
        assert!(after.fallbacks == before.fallbacks || rearranged, "{} fell back: {line}", file.display());
        assert_eq!((after.drift.unknown_words, after.drift.unreadable_fields), (0, 0), "{}", file.display());
    }
    let scanned = decoder.counters().scanned as usize;
    assert!(scanned >= own_data(), "only {scanned} frames were scanned");
}

#[test]
fn the_four_formats_of_one_message_have_equal_values() {
    let read = |folder: &Path, name: &str, format: Format| -> Vec<Vec<Data>> {
        let messages = recorded(&folder.join(format!("{name}.{}.jsonl", format.as_str())));
        let mut decoder = Decoder::new();
        messages.iter().map(|message| decode(&mut decoder, message.as_bytes()).1).collect()
    };
    let own = [(fixtures::folder(), vec!["data"])];
    let captured =
        fixtures::captures().map(|folder| (folder.join("synthetic"), vec!["ticker", "trade", "orderbook", "candle"]));
    for (folder, names) in own.into_iter().chain(captured) {
        for name in names {
            let expected = read(&folder, name, Format::Default);
            assert!(expected.len() > 10 && expected.iter().all(|data| data.len() == 1));
            for format in Format::ALL {
                assert_eq!(read(&folder, name, format), expected, "{name} {format:?}");
            }
        }
    }
}

#[test]
fn a_decoded_price_prints_as_the_exchange_wrote_it() {
    let plain = |text: &str| text.trim_end_matches('0').trim_end_matches('.').to_owned();
    let (mut decoder, mut prices) = (Decoder::new(), 0);
    for (_, line) in frames() {
        let (_, data) = decode(&mut decoder, line.as_bytes());
        // The text that is found below belongs to the first object of a list.
        let [data] = &data[..] else { continue };
        for (keys, price) in prices_of(data) {
            let Some(at) = keys.iter().find_map(|key| Some(line.find(key)? + key.len())) else { continue };
            let text: String = line[at..].chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
            if !text.contains('.') || line[at + text.len()..].starts_with(['e', 'E']) {
                continue;
            }
            assert_eq!(price.map(|price| price.to_string()), Some(plain(&text)), "{line}");
            prices += 1;
        }
    }
    // Tickers and candles have both prices, trades have one, books have none.
    assert!(prices > own_data(), "only {prices} prices");
}

/// Returns the long and the short key of the trade price and of the opening price, each with the decoded value.
fn prices_of(data: &Data) -> [([&'static str; 2], Option<f64>); 2] {
    let (trade_price, opening_price) = match data {
        Data::Ticker(ticker) => (Some(ticker.trade_price), ticker.opening_price.get()),
        Data::Trade(trade) => (Some(trade.trade_price), None),
        Data::Candle(candle) => (Some(candle.trade_price), Some(candle.opening_price)),
        _ => (None, None),
    };
    let trade_keys = ["\"trade_price\":", "\"tp\":"];
    [(trade_keys, trade_price), (["\"opening_price\":", "\"op\":"], opening_price)]
}
