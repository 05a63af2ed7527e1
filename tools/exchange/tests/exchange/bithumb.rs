//! The simulated exchange in its Bithumb dialect: only the differences from Upbit.

use crate::common::*;
use hoga_exchange::{Config, Dialect, Flow};
use serde_json::Value;

fn link() -> Link {
    Link::with(Config::of(Dialect::Bithumb))
}

/// Sends one request and runs for 10 s.
fn answers(types: &str, format: &str) -> Vec<Value> {
    let mut link = link();
    link.say(&request(types, format));
    link.advance(10 * SECOND);
    link.objects()
}

fn keys(object: &Value) -> String {
    object.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>().join(" ")
}

fn stream_types(flag: &str) -> (usize, usize) {
    let trades = answers(&format!(r#"{{"type":"trade","codes":["KRW-BTC"],"{flag}":true}}"#), "DEFAULT");
    let snapshots = trades.iter().filter(|trade| trade["stream_type"] == "SNAPSHOT").count();
    (snapshots, trades.len() - snapshots)
}

#[test]
fn flags_in_snake_case_are_ignored() {
    assert_eq!(stream_types("isOnlySnapshot"), (1, 0));
    assert_eq!(stream_types("isOnlyRealtime").0, 0);
    for ignored in ["is_only_snapshot", "is_only_realtime"] {
        let (snapshots, realtime) = stream_types(ignored);
        assert!(snapshots == 1 && realtime > 5, "{ignored}");
    }
}

#[test]
fn a_book_has_at_most_fifteen_units_and_its_own_order_of_keys() {
    for (code, units) in [("KRW-BTC", 15), ("KRW-BTC.3", 3), ("KRW-BTC.15", 15), ("KRW-BTC.30", 15), ("KRW-BTC.0", 15)]
    {
        let books = answers(&format!(r#"{{"type":"orderbook","codes":["{code}"]}}"#), "DEFAULT");
        assert_eq!(books[0]["orderbook_units"].as_array().unwrap().len(), units, "{code}");
        assert_eq!(
            keys(&books[0]),
            "type code total_ask_size total_bid_size orderbook_units level timestamp stream_type"
        );
        assert_eq!((books[0]["level"].as_u64(), books[0]["timestamp"].to_string().len()), (Some(1), 16));
    }
}

#[test]
fn levels_start_at_one_and_an_unknown_level_is_an_error() {
    let object = |level: &str| format!(r#"{{"type":"orderbook","codes":["KRW-BTC"],"level":{level}}}"#);
    assert_eq!(answers(&object("1"), "DEFAULT"), answers(r#"{"type":"orderbook","codes":["KRW-BTC"]}"#, "DEFAULT"));
    assert_eq!(answers(&object("10000"), "DEFAULT")[0]["level"].as_u64(), Some(10_000));
    let mut link = link();
    link.say(&request(&object("7"), "DEFAULT"));
    link.advance(2 * SECOND);
    assert!(link.take()[0].text().contains("WRONG_FORMAT") && link.flow == Flow::Close);
}

#[test]
fn there_are_no_candles_and_errors_have_their_own_names() {
    for (object, name) in [
        (r#"{"type":"candle.1s","codes":["KRW-BTC"]}"#, "INVALID_PARAM"),
        (r#"{"codes":["KRW-BTC"]}"#, "WRONG_FORMAT"),
        (r#"{"type":"trade","codes":[]}"#, "codes 필드가 비어 있습니다."),
        (r#"{"type":"trade"}"#, "NO_CODES"),
    ] {
        let mut link = link();
        link.say(&request(object, "DEFAULT"));
        assert!(link.take()[0].text().contains(name), "{object}");
    }
}

#[test]
fn list_formats_are_unknown_and_trades_have_fewer_keys() {
    let trades = answers(r#"{"type":"trade","codes":["KRW-BTC"]}"#, "SIMPLE");
    assert_eq!(keys(&trades[0]), "ty cd tms tdt ttm ttms tp tv ab pcp c cp sid st");
    let mut link = link();
    link.say(&request(r#"{"type":"ticker","codes":["KRW-BTC"]}"#, "SIMPLE_LIST"));
    link.advance(SECOND);
    let ticker = link.take()[0].json();
    assert_eq!((&ticker["type"], &ticker["delisting_date"]), (&"ticker".into(), &"".into()));
}

#[test]
fn requests_are_unlimited_and_ten_connects_a_second_are_allowed() {
    let mut link = link();
    for _ in 0..20 {
        link.say(&subscribe("ticker", &["KRW-BTC"]));
    }
    for _ in 0..9 {
        link.reconnect();
        link.receive(upgrade("/websocket/v1", "").as_bytes());
        assert!(link.head.starts_with("HTTP/1.1 101"));
    }
    assert_eq!(link.exchange.stats().violations(), 0);
    link.reconnect();
    link.receive(upgrade("/websocket/v1", "").as_bytes());
    assert!(link.head.starts_with("HTTP/1.1 429"));
}
