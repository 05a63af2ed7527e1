//! Every captured and hand-made frame of the exchange is read, twice, as an independent reader reads it. The captures
//! are not part of the project: `HOGA_CAPTURES` says where they are, and without them these tests skip with a note.

#[path = "wire_support/oracle.rs"]
mod oracle;
mod wire_support;

use std::path::{Path, PathBuf};

use hoga::wire::{Decoder, Message};
use wire_support::{Data, captures, decode, decode_by_tape};

/// Files of frames below `folder`, sorted, one frame per line.
fn frame_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // REST replies and requests are no frames.
        if path.is_dir() && name != "upbeat-rest" {
            files.extend(frame_files(&path));
        } else if name.ends_with(".jsonl") && !name.starts_with("requests.") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn lines(file: &Path) -> Vec<String> {
    std::fs::read_to_string(file).unwrap().lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn every_frame_is_read_as_the_reference_reads_it_by_both_readers() {
    let Some(folder) = captures() else { return };
    let mut frames = 0;
    for file in frame_files(&folder) {
        let shortened = file.to_string_lossy().contains("partial-frames");
        for line in lines(&file) {
            let place = format!("{}: {line}", file.display());
            let mut decoder = Decoder::new();
            let (result, data) = decode(&mut decoder, line.as_bytes());
            let (by_tape, tape_data) = decode_by_tape(&mut decoder, line.as_bytes());
            assert_eq!((&result, &data), (&by_tape, &tape_data), "{place}");
            frames += 1;
            if line.contains("LIST_SUBSCRIPTIONS") {
                assert!(matches!(result, Ok(Message::Subscriptions(_))), "{place}");
                continue;
            }
            let (expected, expected_data) = oracle::read(line.as_bytes());
            assert_eq!(data, expected_data, "{place}");
            match (&result, &expected) {
                (Ok(Message::Data { count }), Ok(Some(expected))) => assert_eq!(count, expected, "{place}"),
                (Ok(_), Ok(None)) => {}
                (Err(error), Err(expected)) => {
                    assert!(shortened, "{place}: {error}");
                    assert_eq!(error, expected, "{place}");
                }
                _ => panic!("{place}: {result:?}, expected {expected:?}"),
            }
        }
    }
    assert!(frames > 900, "only {frames} frames in {}", folder.display());
}

#[test]
fn a_frame_in_the_documented_order_never_falls_back() {
    let Some(folder) = captures() else { return };
    let mut scanned = 0;
    for file in frame_files(&folder) {
        let name = file.strip_prefix(&folder).unwrap().to_string_lossy().into_owned();
        // Another exchange's key order, a REST printer's, or one that the source had shortened or rearranged.
        let rearranged = ["bithumb", "upbit-2022-11-13"].iter().any(|part| name.contains(part));
        let mut decoder = Decoder::new();
        for line in lines(&file) {
            let before = decoder.counters();
            decode(&mut decoder, line.as_bytes()).0.ok();
            let after = decoder.counters();
            assert!(after.fallbacks == before.fallbacks || rearranged, "{name} fell back: {line}");
            assert_eq!(after.unknown_values, 0, "{name}");
        }
        scanned += decoder.counters().scanned;
    }
    assert!(scanned > 700, "only {scanned} frames were scanned");
}

#[test]
fn the_four_formats_of_one_message_give_equal_values() {
    let Some(folder) = captures() else { return };
    for data_type in ["ticker", "trade", "orderbook", "candle"] {
        let read = |format: &str| -> Vec<Vec<Data>> {
            let mut decoder = Decoder::new();
            let file = folder.join(format!("synthetic/{data_type}.{format}.jsonl"));
            lines(&file).iter().map(|line| decode(&mut decoder, line.as_bytes()).1).collect()
        };
        let expected = read("DEFAULT");
        assert!(expected.len() > 10 && expected.iter().all(|data| data.len() == 1));
        for format in ["SIMPLE", "JSON_LIST", "SIMPLE_LIST"] {
            assert_eq!(read(format), expected, "{data_type} {format}");
        }
    }
}

#[test]
fn a_price_prints_as_the_exchange_wrote_it() {
    let Some(folder) = captures() else { return };
    let plain = |text: &str| {
        let text = text.trim_end_matches('0').trim_end_matches('.');
        text.to_owned()
    };
    let mut prices = 0;
    for file in frame_files(&folder) {
        for line in lines(&file) {
            for key in ["\"trade_price\":", "\"tp\":", "\"opening_price\":", "\"op\":"] {
                let Some(at) = line.find(key) else { continue };
                let text: String =
                    line[at + key.len()..].chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
                if !text.contains('.') || line[at + key.len() + text.len()..].starts_with(['e', 'E']) {
                    continue;
                }
                assert_eq!(format!("{}", text.parse::<f64>().unwrap()), plain(&text), "{line}");
                prices += 1;
            }
        }
    }
    assert!(prices > 300, "only {prices} prices");
}
