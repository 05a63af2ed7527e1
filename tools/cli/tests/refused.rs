//! What `hoga watch` prints about messages that differ from the documented ones or cannot be read.

use std::fs;

use super::common::{Exchange, Output, run};
use hoga_testing::fixtures;
use serde_json::Value;
use tempfile::TempDir;

/// Serves these messages and watches the tickers of these markets. The exchange simulates markets that have no message.
/// `args` are separated by spaces.
fn watch(messages: &[String], codes: &str, args: &str) -> Output {
    let folder = TempDir::new().expect("a folder");
    let recording = folder.path().join("recording.jsonl");
    fs::write(&recording, messages.join("\n")).expect("the recording is written");
    let recording = recording.to_str().expect("a path of text");
    let exchange = Exchange::start(&["--plain", "--speed", "max", "--replay", recording]);
    let watch = ["watch", codes, "--types", "ticker", "--endpoint", &exchange.url];
    run(&watch.into_iter().chain(args.split(' ')).collect::<Vec<_>>())
}

/// Returns a ticker of KRW-BTC.
fn good(timestamp: u64) -> String {
    let lines = fixtures::lines("data.DEFAULT.jsonl");
    let ticker = lines.iter().find(|line| line.contains(r#""type":"ticker","code":"KRW-BTC""#)).expect("a ticker");
    ticker.replace(r#""timestamp":1793848455160"#, &format!(r#""timestamp":{timestamp}"#))
}

/// Returns a ticker of KRW-ETH without a price.
fn refused() -> String {
    let price = r#""trade_price":152345000.00000000"#;
    let ticker = good(1_793_848_455_160);
    assert!(ticker.contains(price));
    ticker.replace(price, r#""trade_price":null"#).replace("KRW-BTC", "KRW-ETH")
}

fn events(lines: &[Value], event: &str) -> Vec<Value> {
    lines.iter().filter(|line| line["_event"] == event).cloned().collect()
}

#[test]
fn a_new_field_is_printed_once_and_then_counted() {
    let end = r#""stream_type""#;
    let messages = [0, 1, 2].map(|n| good(1_793_848_455_160 + n).replace(end, &format!(r#""mood":"calm",{end}"#)));
    let lines = watch(&messages, "KRW-BTC", "--json --count 3").json_lines();
    assert_eq!(lines.iter().filter(|line| line["type"] == "ticker").count(), 3);
    let drifts = events(&lines, "drift");
    assert_eq!(drifts.len(), 1, "{drifts:?}");
    let expected = r#"{"_event":"drift","conn":0,"data_type":"ticker","format":"DEFAULT","kind":"unknown_key","field":"mood","sample":"\"calm\""}"#;
    assert_eq!(drifts[0].to_string(), expected);
    let summary = lines.last().expect("a summary");
    assert_eq!(summary["drift"]["unknown_keys"].as_u64(), Some(3), "{summary}");

    let text = watch(&messages, "KRW-BTC", "--count 3").stdout;
    let line = "-- connection 0: ticker (DEFAULT): new field mood, ignored; first value \"calm\"\n";
    assert_eq!(text.matches(line).count(), 1, "{text}");
    assert!(text.contains("\n-- drift from the documentation: unknown keys 3\n"), "{text}");
}

/// Each refused message was once a line of its own.
#[test]
fn refused_messages_are_printed_once_per_second_with_their_number() {
    const REFUSED: u64 = 3000;
    let mut messages = vec![good(1_793_848_455_160)];
    messages.extend((0..REFUSED).map(|_| refused()));
    messages.push(good(1_793_848_455_161));
    let output = watch(&messages, "KRW-BTC,KRW-ETH", "--json --count 2");
    let lines = output.json_lines();
    let (errors, summary) = (events(&lines, "error"), lines.last().expect("a summary"));
    let seconds = summary["duration_ms"].as_u64().expect("a number") / 1000;
    assert!(errors.len() as u64 <= seconds + 3, "{errors:#?}");
    let counts: Vec<_> = errors.iter().map(|error| error["count"].as_u64().expect("a number")).collect();
    assert_eq!((counts[0], counts.iter().sum()), (1, REFUSED), "{counts:?}");
    assert_eq!(summary["malformed"].as_u64(), Some(REFUSED), "{summary}");
    for error in &errors {
        let expected = ("empty_field", "ticker KRW-ETH: field trade_price is empty");
        assert_eq!((error["reason"].as_str(), error["message"].as_str()), (Some(expected.0), Some(expected.1)));
    }

    let text = watch(&messages, "KRW-BTC,KRW-ETH", "--count 2").stdout;
    assert!(text.contains("-- connection 0: empty_field: ticker KRW-ETH: field trade_price is empty\n"), "{text}");
    assert!(text.contains(" more, the last one: ticker KRW-ETH: field trade_price is empty\n"), "{text}");
    let why =
        "connected, and 3000 messages were refused, the first (ticker KRW-ETH) because field trade_price is empty";
    assert!(text.contains(&format!("\n-- no data for ticker KRW-ETH: {why}\n")), "{text}");
    assert!(!text.contains("does the market exist"), "{text}");
}

#[test]
fn refused_messages_are_the_reason_that_nothing_was_received() {
    let output = watch(&[refused(), refused()], "KRW-ETH", "--json --connect-timeout 5s");
    assert_eq!(output.code, Some(3));
    let why = "connected, and 2 messages were refused, the first (ticker KRW-ETH) because field trade_price is empty";
    assert!(output.stderr.ends_with(&format!(" in time: {why}\n")), "{}", output.stderr);
}
