//! Dialogues about messages that differ from the documented ones or cannot be read: what is reported, and how often.

use super::super::testing::{Harness, config, frame, ms, secs, trade_message};
use super::super::{Closed, Event};
use crate::config::{Config, Endpoint};
use crate::model::{DataType, StreamKey};

/// Returns the reports since the last call as text, with their counts.
fn reports(harness: &mut Harness) -> Vec<(u64, String)> {
    let report = |event| match event {
        Event::Malformed { count, last } => Some((count, last.to_string())),
        Event::ServerError { count, last } => Some((count, last.to_string())),
        Event::Drift(drift) => Some((1, drift.to_string())),
        Event::UnknownType { name, sample } => Some((1, format!("unknown {name}: {sample}"))),
        Event::Disconnected { .. } => Some((1, "disconnected".to_owned())),
        _ => None,
    };
    std::mem::take(&mut harness.events).into_iter().filter_map(report).collect()
}

/// Returns a session that has reported how the messages of this harness differ from the documented ones.
fn active(config: Config) -> Harness {
    let mut harness = Harness::active(config);
    reports(&mut harness);
    harness
}

fn reopen(harness: &mut Harness) {
    harness.advance(secs(1));
    harness.closed(Closed::Eof);
    harness.advance(secs(1));
    harness.open();
}

fn without_price(code: &str) -> String {
    trade_message(code, 2).replace("127.0", "null")
}

fn key(code: &str) -> StreamKey {
    StreamKey::of(DataType::Trade, code.parse().unwrap())
}

#[test]
fn each_difference_from_the_documented_messages_is_reported_once_also_after_a_reconnect() {
    let mut harness = active(config());
    let drifted = |id| trade_message("KRW-BTC", id).replace("\"st\"", "\"new\":7,\"st\"");
    (2..10).for_each(|id| harness.message(&drifted(id)));
    assert_eq!(reports(&mut harness), [(1, "trade (SIMPLE): new field new, ignored; first value 7".to_owned())]);
    reopen(&mut harness);
    harness.message(&drifted(10));
    assert_eq!(reports(&mut harness), [(1, "disconnected".to_owned())]);
    assert_eq!(harness.session.counters().decode.drift.unknown_keys, 9, "all are counted");
    assert_eq!(harness.delivered.0.len(), 10, "all are delivered");
}

#[test]
fn a_difference_is_reported_before_the_disconnect_that_follows_in_the_same_batch() {
    let mut harness = active(config());
    let drifted = trade_message("KRW-BTC", 2).replace("\"st\"", "\"new\":7,\"st\"");
    harness.receive(&[frame(2, drifted.as_bytes()), frame(8, &1000u16.to_be_bytes())].concat());
    let texts: Vec<_> = reports(&mut harness).into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["trade (SIMPLE): new field new, ignored; first value 7", "disconnected"]);
}

#[test]
fn each_unknown_type_is_reported_once() {
    let mut harness = active(config());
    for _ in 0..10 {
        harness.message(r#"{"type":"funding","code":"KRW-BTC"}"#);
        harness.message(r#"{ "cd":"KRW-BTC", "ty" : "liquidation" }"#);
    }
    reopen(&mut harness);
    harness.message(r#"{"type":"funding","code":"KRW-BTC"}"#);
    let expected = [
        r#"unknown funding: {"type":"funding","code":"KRW-BTC"}"#,
        r#"unknown liquidation: { "cd":"KRW-BTC", "ty" : "liquidation" }"#,
        "disconnected",
    ];
    assert_eq!(reports(&mut harness), expected.map(|text| (1, text.to_owned())));
    assert_eq!(harness.session.counters().other_messages, 21);

    (0..1000).for_each(|n| harness.message(&format!(r#"{{"type":"t{n}","code":"KRW-BTC"}}"#)));
    assert_eq!(reports(&mut harness).len(), 14, "16 types in all");
}

#[test]
fn the_first_refused_message_of_each_kind_is_reported_at_once_and_the_others_once_per_second() {
    let mut harness = active(config());
    for _ in 0..100 {
        harness.message("{");
        harness.message(&without_price("KRW-BTC"));
        harness.message(&without_price("KRW-ETH"));
    }
    let (broken, btc, eth) = (
        "the message is not JSON",
        "trade KRW-BTC: field trade_price is empty",
        "trade KRW-ETH: field trade_price is empty",
    );
    let expected =
        |reports: &[(u64, &str)]| reports.iter().map(|(n, text)| (*n, (*text).to_owned())).collect::<Vec<_>>();
    assert_eq!(reports(&mut harness), expected(&[(1, broken), (1, btc), (1, eth)]));
    harness.advance(ms(999));
    assert_eq!(reports(&mut harness), [], "too soon");
    harness.advance(ms(1));
    assert_eq!(reports(&mut harness), expected(&[(297, eth)]), "although no more messages arrive");
    (0..5).for_each(|_| harness.message("{"));
    harness.closed(Closed::Eof);
    assert_eq!(reports(&mut harness), expected(&[(5, broken), (1, "disconnected")]), "the rest comes before the end");
    assert_eq!(harness.session.counters().malformed, 305);
}

#[test]
fn the_first_error_of_each_name_is_reported_at_once_and_the_others_once_per_second() {
    let mut harness = active(config());
    let error = |name: &str, n| format!(r#"{{"error":{{"name":"{name}","message":"number {n}"}}}}"#);
    for n in 0..10 {
        harness.message(&error("NO_CODES", n));
        harness.message(&error("SURPRISE", n));
    }
    let texts = |reports: Vec<(u64, String)>| reports.into_iter().map(|(n, text)| format!("{n} {text}")).collect();
    let first: Vec<_> = texts(reports(&mut harness));
    assert_eq!(first, ["1 NO_CODES: number 0", "1 SURPRISE: number 0"]);
    harness.advance(secs(1));
    let rest: Vec<_> = texts(reports(&mut harness));
    assert_eq!(rest, ["18 SURPRISE: number 9"]);
    assert_eq!(harness.session.counters().server_errors, 20);
}

#[test]
fn refused_messages_are_reported_before_the_session_stops() {
    let mut harness = active(config());
    (0..3).for_each(|_| harness.message("{"));
    harness.session.stop(harness.now);
    harness.settle();
    let counts: Vec<_> = reports(&mut harness).into_iter().map(|(count, _)| count).collect();
    assert_eq!(counts, [1, 2, 1], "the first, the rest, and the disconnect");
}

#[test]
fn refused_messages_are_kept_by_stream_until_the_next_socket_opens() {
    let mut harness = active(config());
    harness.message("{");
    (0..3).for_each(|_| harness.message(&without_price("KRW-ETH")));
    harness.data("KRW-BTC", 2);
    let counts = |harness: &Harness| {
        let refused = harness.session.refused();
        let all = [refused.all(), refused.unnamed(), refused.of(key("KRW-ETH")), refused.of(key("KRW-BTC"))];
        all.map(|refused| refused.map_or(0, |refused| refused.count))
    };
    assert_eq!(counts(&harness), [4, 1, 3, 0]);
    harness.closed(Closed::Eof);
    assert_eq!(counts(&harness), [4, 1, 3, 0]);
    harness.advance(secs(1));
    harness.open();
    assert_eq!(counts(&harness), [0; 4]);
    assert_eq!(harness.session.counters().malformed, 4);
}

/// Bithumb sends its default level with every book, also for streams without a level.
#[test]
fn a_refused_book_with_the_default_level_is_a_book_without_a_level() {
    let endpoint = config().endpoint.with_dialect(*Endpoint::bithumb().dialect());
    let mut harness = active(Config { endpoint, ..config() });
    for level in [1, 1000] {
        harness.message(&format!(
            r#"{{"type":"orderbook","code":"KRW-BTC","timestamp":1,"orderbook_units":null,"level":{level}}}"#
        ));
    }
    let streams: Vec<_> = reports(&mut harness).into_iter().map(|(_, text)| text).collect();
    let why = "field orderbook_units is empty";
    assert_eq!(streams, [format!("orderbook KRW-BTC: {why}"), format!("orderbook@1000 KRW-BTC: {why}")]);
}
