//! Several objects of one type in one request: each applies to its own codes.

use crate::common::*;
use hoga_exchange::{Config, ErrorName, Limits};
use serde_json::Value;

/// Returns the distinct pairs `code stream_type`, sorted.
fn seen(objects: &[Value]) -> Vec<String> {
    let text = |object: &Value, key: &str| object[key].as_str().unwrap().to_owned();
    let mut seen: Vec<String> =
        objects.iter().map(|object| format!("{} {}", text(object, "code"), text(object, "stream_type"))).collect();
    seen.sort();
    seen.dedup();
    seen
}

/// Sends one request and runs for 10 s.
fn answers(types: &str) -> Vec<Value> {
    let mut link = Link::open();
    link.say(&request(types, "DEFAULT"));
    link.advance(10 * SECOND);
    assert_eq!(link.exchange.stats().violations(), 0);
    link.objects()
}

#[test]
fn each_object_has_its_own_flags() {
    for (snapshot, realtime) in [("is_only_snapshot", "is_only_realtime"), ("isOnlySnapshot", "isOnlyRealtime")] {
        let objects = answers(&format!(
            r#"{{"type":"trade","codes":["KRW-BTC"]}},
               {{"type":"trade","codes":["KRW-ETH"],"{snapshot}":true}},
               {{"type":"trade","codes":["KRW-XRP"],"{realtime}":true}}"#
        ));
        assert_eq!(
            seen(&objects),
            ["KRW-BTC REALTIME", "KRW-BTC SNAPSHOT", "KRW-ETH SNAPSHOT", "KRW-XRP REALTIME"],
            "{snapshot}"
        );
        assert_eq!(objects.iter().filter(|trade| trade["code"] == "KRW-ETH").count(), 1);
    }
}

#[test]
fn a_code_in_two_objects_gets_the_union_of_both_and_nothing_twice() {
    let alone = answers(r#"{"type":"trade","codes":["KRW-BTC"]}"#);
    for (first, second) in [
        ("", r#","is_only_realtime":true"#),
        (r#","is_only_realtime":true"#, ""),
        (r#","is_only_snapshot":true"#, ""),
        (r#","is_only_realtime":true"#, r#","is_only_snapshot":true"#),
        (r#","is_only_snapshot":true"#, r#","is_only_realtime":true"#),
        ("", ""),
    ] {
        let object = |flags: &str| format!(r#"{{"type":"trade","codes":["KRW-BTC"]{flags}}}"#);
        assert_eq!(answers(&format!("{},{}", object(first), object(second))), alone, "{first} {second}");
    }
}

#[test]
fn two_levels_of_one_book_are_both_delivered() {
    let objects = answers(
        r#"{"type":"orderbook","codes":["KRW-BTC"]},
           {"type":"orderbook","codes":["KRW-BTC.5","KRW-ETH"],"level":"10000"},
           {"type":"orderbook","codes":["BTC-ETH"],"level":10000}"#,
    );
    let books = |code: &str, level: u64, kind: &str| {
        let of = objects.iter().filter(|book| {
            book["code"] == code && book["level"].as_u64() == Some(level) && book["stream_type"] == kind
        });
        of.map(|book| book["orderbook_units"].as_array().unwrap().len()).collect::<Vec<_>>()
    };
    for (code, level, units) in [("KRW-BTC", 0, 30), ("KRW-BTC", 10_000, 5), ("KRW-ETH", 10_000, 30)] {
        assert_eq!(books(code, level, "SNAPSHOT"), [units], "{code} {level}");
        let realtime = books(code, level, "REALTIME");
        assert!(realtime.len() > 5 && realtime.iter().all(|count| *count == units), "{code} {level}");
    }
    assert!(objects.iter().all(|book| book["code"] != "BTC-ETH"), "an unknown level must send nothing");
}

#[test]
fn the_list_of_subscriptions_names_each_object() {
    let mut link = Link::open();
    link.say(&request(
        r#"{"type":"orderbook","codes":["KRW-BTC"],"level":10000},{"type":"trade","codes":["KRW-BTC"]},
           {"type":"orderbook","codes":["KRW-BTC.5","KRW-ETH"]},{"type":"trade","codes":["KRW-ETH"],"is_only_realtime":true}"#,
        "DEFAULT",
    ));
    link.say(r#"[{"ticket":"mine"},{"method":"LIST_SUBSCRIPTIONS"}]"#);
    assert_eq!(
        link.take()[0].text(),
        r#"{"method":"LIST_SUBSCRIPTIONS","result":[{"type":"orderbook","codes":["KRW-BTC"],"level":10000},{"type":"trade","codes":["KRW-BTC"]},{"type":"orderbook","codes":["KRW-BTC.5","KRW-ETH"],"level":0},{"type":"trade","codes":["KRW-ETH"]}],"ticket":"mine"}"#
    );
}

#[test]
fn the_next_request_replaces_all_objects() {
    let mut link = Link::open();
    link.say(&request(
        r#"{"type":"trade","codes":["KRW-BTC"],"is_only_realtime":true},{"type":"trade","codes":["KRW-ETH"]}"#,
        "DEFAULT",
    ));
    link.advance(SECOND);
    link.say(&request(r#"{"type":"trade","codes":["KRW-BTC"]}"#, "DEFAULT"));
    link.advance(SECOND);
    link.take();
    link.advance(30 * SECOND);
    assert_eq!(seen(&link.objects()), ["KRW-BTC REALTIME"]);
}

#[test]
fn every_request_is_recorded_with_its_time_and_its_error() {
    let limits = Limits { requests_per_second: 2, ..Limits::default() };
    let mut link = Link::with(Config { limits, ..Config::default() });
    let first = link.conn;
    let list = r#"[{"ticket":"t"},{"method":"LIST_SUBSCRIPTIONS"}]"#;
    link.say("PING");
    link.say(&subscribe("trade", &["KRW-BTC"]));
    link.advance(250 * MS);
    link.say(list);
    link.say(list);
    link.reconnect();
    link.receive(upgrade("/websocket/v1", "").as_bytes());
    link.say("hello");
    let record: Vec<_> = link
        .exchange
        .received()
        .map(|received| ((received.at_ns - START) / MS, received.conn, received.text.clone(), received.refused))
        .collect();
    assert_eq!(
        record,
        [
            (0, first, subscribe("trade", &["KRW-BTC"]), None),
            (250, first, list.to_owned(), None),
            (250, first, list.to_owned(), Some(ErrorName::TooManyRequest)),
            (250, link.conn, "hello".to_owned(), Some(ErrorName::WrongFormat)),
        ]
    );
}

#[test]
fn the_record_is_bounded_and_keeps_the_newest_requests() {
    let mut link = Link::with(Config { received_kept: 3, ..Config::default() });
    for code in ["KRW-A", "KRW-B", "KRW-C", "KRW-D", "KRW-E"] {
        link.say(&subscribe("ticker", &[code]));
        link.advance(SECOND);
    }
    let kept: Vec<bool> = link
        .exchange
        .received()
        .zip(["KRW-C", "KRW-D", "KRW-E"])
        .map(|(kept, code)| kept.text.contains(code))
        .collect();
    assert_eq!(kept, [true; 3]);
}
