//! `hoga watch --json` prints every message of an exchange with all its fields unchanged. The tests read the messages
//! with serde_json and with their own tables, so the engine is not compared with itself.

use std::fs;
use std::path::Path;

use super::common::{Exchange, json, run};
use hoga_testing::fixtures;
use serde_json::{Map, Value};
use tempfile::TempDir;

/// SIMPLE keys and the matching DEFAULT keys, in documented order.
const TICKER: &[(&str, &str)] = &[
    ("ty", "type"),
    ("cd", "code"),
    ("op", "opening_price"),
    ("hp", "high_price"),
    ("lp", "low_price"),
    ("tp", "trade_price"),
    ("pcp", "prev_closing_price"),
    ("atp", "acc_trade_price"),
    ("c", "change"),
    ("cp", "change_price"),
    ("scp", "signed_change_price"),
    ("cr", "change_rate"),
    ("scr", "signed_change_rate"),
    ("ab", "ask_bid"),
    ("tv", "trade_volume"),
    ("atv", "acc_trade_volume"),
    ("tdt", "trade_date"),
    ("ttm", "trade_time"),
    ("ttms", "trade_timestamp"),
    ("aav", "acc_ask_volume"),
    ("abv", "acc_bid_volume"),
    ("h52wp", "highest_52_week_price"),
    ("h52wdt", "highest_52_week_date"),
    ("l52wp", "lowest_52_week_price"),
    ("l52wdt", "lowest_52_week_date"),
    ("ms", "market_state"),
    ("its", "is_trading_suspended"),
    ("dd", "delisting_date"),
    ("mw", "market_warning"),
    ("tms", "timestamp"),
    ("atp24h", "acc_trade_price_24h"),
    ("atv24h", "acc_trade_volume_24h"),
    ("st", "stream_type"),
];

const TRADE: &[(&str, &str)] = &[
    ("ty", "type"),
    ("cd", "code"),
    ("tms", "timestamp"),
    ("td", "trade_date"),
    ("ttm", "trade_time"),
    ("ttms", "trade_timestamp"),
    ("tp", "trade_price"),
    ("tv", "trade_volume"),
    ("ab", "ask_bid"),
    ("pcp", "prev_closing_price"),
    ("c", "change"),
    ("cp", "change_price"),
    ("sid", "sequential_id"),
    ("bap", "best_ask_price"),
    ("bas", "best_ask_size"),
    ("bbp", "best_bid_price"),
    ("bbs", "best_bid_size"),
    ("st", "stream_type"),
];

const ORDERBOOK: &[(&str, &str)] = &[
    ("ty", "type"),
    ("cd", "code"),
    ("tms", "timestamp"),
    ("tas", "total_ask_size"),
    ("tbs", "total_bid_size"),
    ("obu", "orderbook_units"),
    ("st", "stream_type"),
    ("lv", "level"),
];

const UNIT: &[(&str, &str)] = &[("ap", "ask_price"), ("bp", "bid_price"), ("as", "ask_size"), ("bs", "bid_size")];

const CANDLE: &[(&str, &str)] = &[
    ("ty", "type"),
    ("cd", "code"),
    ("cdttmu", "candle_date_time_utc"),
    ("cdttmk", "candle_date_time_kst"),
    ("op", "opening_price"),
    ("hp", "high_price"),
    ("lp", "low_price"),
    ("tp", "trade_price"),
    ("catv", "candle_acc_trade_volume"),
    ("catp", "candle_acc_trade_price"),
    ("tms", "timestamp"),
    ("st", "stream_type"),
];

/// Whole numbers that an f64 cannot hold, or that are not measured values.
const INTEGERS: &[&str] = &["timestamp", "trade_timestamp", "sequential_id"];

#[test]
fn our_own_messages_come_out_with_every_field() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/messages.jsonl");
    let codes = ["KRW-ALFA", "BTC-BRAVO"];
    for format in ["default", "simple_list"] {
        compare(&fixture, &codes, "ticker,trade,orderbook,candle.1s", format, &[]);
    }
}

/// The documented messages of the fixtures, and a recording of 2021 in the folder `HOGA_CAPTURES`, if it is set.
#[test]
fn documented_messages_come_out_with_every_field() {
    let folder = TempDir::new().unwrap();
    let own = folder.path().join("own.jsonl");
    let lines = fixtures::lines("data.SIMPLE.jsonl");
    let is_watched = |line: &&String| {
        let message = json(line);
        message["ty"] == "trade" || message["ty"] == "orderbook" && message["lv"].as_f64() == Some(0.0)
    };
    let watched: Vec<_> = lines.iter().filter(is_watched).map(String::as_str).collect();
    fs::write(&own, watched.join("\n")).unwrap();
    let codes = ["KRW-BTC", "KRW-XRP", "BTC-DOGE", "USDT-XRP"];
    assert_eq!(compare(&own, &codes, "trade,orderbook", "simple", &["--speed", "max"]), 6);

    let Some(folder) = fixtures::captures() else { return };
    let capture = folder.join("cryptofeed/upbit-2021-04-17.SIMPLE.trade+orderbook.jsonl");
    let codes = ["KRW-LAMB", "KRW-WAVES", "BTC-ITAM", "BTC-XTZ", "BTC-PAX"];
    let count = compare(&capture, &codes, "trade,orderbook", "simple", &["--speed", "max"]);
    assert_eq!(count, 449);
}

/// Serves the file, watches it and compares. Returns the number of messages.
#[track_caller]
fn compare(file: &Path, codes: &[&str], types: &str, format: &str, exchange_args: &[&str]) -> usize {
    let text = fs::read_to_string(file).expect("the file exists");
    let expected: Vec<_> = text.lines().flat_map(messages).map(|message| long(&message)).collect();

    let path = file.to_str().expect("a UTF-8 path");
    let exchange = Exchange::start(&[&["--replay", path], exchange_args].concat());
    let ca = exchange.ca.clone().expect("TLS has a certificate");
    let count = expected.len().to_string();
    let watch = ["watch", "--json", "--endpoint", &exchange.url, "--ca", &ca, "--types", types, "--format", format];
    let output = run(&[&watch[..], &["--count", &count, "--duration", "15s"], codes].concat());
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));

    let lines = output.json_lines();
    let (data, events): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.get("_event").is_none());
    assert_eq!(data.len(), expected.len(), "{:?}", events.last());
    for (line, message) in data.into_iter().zip(&expected) {
        check(line.as_object().expect("an object"), message);
    }
    let summary = events.last().expect("a summary");
    assert_eq!(summary["delivered"].to_string(), count);
    for loss in ["gaps", "malformed", "reconnects", "unrouted"] {
        assert_eq!(summary[loss].to_string(), "0", "{loss}");
    }
    expected.len()
}

/// Returns the messages of a line: one, or those of a list.
fn messages(line: &str) -> Vec<Map<String, Value>> {
    match json(line) {
        Value::Object(message) => vec![message],
        Value::Array(list) => list.iter().map(|message| message.as_object().expect("an object").clone()).collect(),
        other => panic!("not a message: {other}"),
    }
}

/// Returns a message of either format with DEFAULT keys.
fn long(message: &Map<String, Value>) -> Map<String, Value> {
    let kind = message.get("type").or_else(|| message.get("ty")).and_then(Value::as_str).expect("a type");
    let mut renamed = rename(message, fields(kind));
    if let Some(Value::Array(units)) = renamed.get_mut("orderbook_units") {
        for unit in units {
            *unit = rename(unit.as_object().expect("a unit"), UNIT).into();
        }
    }
    renamed
}

fn fields(kind: &str) -> &'static [(&'static str, &'static str)] {
    match kind {
        "ticker" => TICKER,
        "trade" => TRADE,
        "orderbook" => ORDERBOOK,
        _ => CANDLE,
    }
}

fn rename(object: &Map<String, Value>, fields: &[(&str, &str)]) -> Map<String, Value> {
    let named = |key: &str| fields.iter().find(|(short, long)| key == *short || key == *long);
    object.iter().map(|(key, value)| (named(key).expect("a known key").1.to_owned(), value.clone())).collect()
}

/// Checks that a line has exactly the fields of the message, in documented order, followed by hoga's own.
#[track_caller]
fn check(line: &Map<String, Value>, message: &Map<String, Value>) {
    let kind = message["type"].as_str().expect("a type");
    let documented = fields(kind).iter().map(|(_, long)| *long).filter(|key| message.contains_key(*key));
    assert!(line.keys().map(String::as_str).eq(documented.chain(["_hoga"])), "{line:?}");
    for (key, value) in message {
        check_value(key, &line[key], value);
    }
    let ours = line["_hoga"].as_object().expect("hoga's own fields");
    assert!(ours.keys().eq(["conn", "epoch", "version", "recv_ns", "publish_ns"]), "{ours:?}");
    assert!(ours.values().all(|value| value.is_u64()), "{ours:?}");
}

#[track_caller]
fn check_value(key: &str, ours: &Value, theirs: &Value) {
    match theirs {
        Value::Number(number) if INTEGERS.contains(&key) => assert_eq!(ours.to_string(), number.to_string(), "{key}"),
        // Compares the shortest texts that stand for the same f64.
        Value::Number(number) => assert_eq!(ours.to_string(), f64_of(&number.to_string()).to_string(), "{key}"),
        Value::Array(units) => {
            let ours = ours.as_array().expect("a list");
            assert_eq!(ours.len(), units.len(), "{key}");
            for (our, their) in ours.iter().zip(units) {
                assert!(our.as_object().expect("a unit").keys().eq(UNIT.iter().map(|(_, long)| *long)), "{our}");
                their.as_object().expect("a unit").iter().for_each(|(key, value)| check_value(key, &our[key], value));
            }
        }
        other => assert_eq!(ours, other, "{key}"),
    }
}

fn f64_of(text: &str) -> f64 {
    text.parse().expect("a number")
}
