//! Formats that change while data flows, and differ between connections. The tests compare with the requests and
//! messages of the exchange, and with a second engine that never changes its format.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::{Message, Record, TIMEOUT, builder, drain, eventually, exchange, finish, markets};
use hoga::config::FormatRule;
use hoga::error::Error;
use hoga::model::ConnectionId;
use hoga::prelude::*;
use hoga::session::FormatReason;
use hoga_exchange::ConnId;

const FIRST: ConnectionId = ConnectionId(0);
const CODES: [&str; 3] = ["KRW-BTC", "KRW-ETH", "KRW-XRP"];
const EVERYTHING: Overflow = Overflow::DropNewest { capacity: 1 << 16 };

fn is_change(message: &Message) -> bool {
    message.stream.starts_with("trade") && !message.is_snapshot
}

fn changes_of(messages: &[Message], stream: &str) -> Vec<Message> {
    messages.iter().filter(|message| is_change(message) && message.stream == stream).cloned().collect()
}

/// Waits until every stream is confirmed. From then on, no request asks for a snapshot.
#[track_caller]
fn wait_settled(engine: &Engine) {
    engine.wait_ready(TIMEOUT).unwrap();
    assert!(engine.wait_revisions(TIMEOUT, |revisions| revisions.confirmed == revisions.desired).unwrap());
}

/// Waits until the exchange has sent `messages` more messages.
#[track_caller]
fn let_flow(record: &Record, messages: usize) {
    let before = record.sent_count();
    eventually("data flows", || record.sent_count() >= before + messages);
}

#[test]
fn formats_change_back_and_forth_and_no_trade_is_lost_or_repeated() {
    let (server, record) = exchange(30.0, 40);
    // The second engine never changes its format.
    let witness = builder(&server).start().unwrap();
    let mut witness_feed = witness.feed(trade(CODES), EVERYTHING).unwrap();
    wait_settled(&witness);
    let engine = builder(&server).orderbook(CODES).start().unwrap();
    let mut feed = engine.feed(trade(CODES), EVERYTHING).unwrap();
    wait_settled(&engine);
    let conn = *record.connections().last().unwrap();
    let requests_before = record.formats(conn, false).len();

    let formats: Vec<_> = Format::ALL.into_iter().rev().cycle().take(12).collect();
    let (mut got, mut seen) = (Vec::new(), Vec::new());
    for format in &formats {
        engine.set_format(FIRST, *format).unwrap();
        eventually("the format is requested", || engine.connections()[0].format == Some(*format));
        let_flow(&record, 60);
        drain(&mut feed, &mut got);
        drain(&mut witness_feed, &mut seen);
    }
    let named: Vec<_> = formats.iter().map(|format| format.as_str().to_owned()).collect();
    assert_eq!(record.formats(conn, false)[requests_before..], named, "exactly one request for each change");

    // Everything sent so far arrives.
    let sent = record.sent(conn, is_change);
    eventually("all arrives", || {
        drain(&mut feed, &mut got);
        drain(&mut witness_feed, &mut seen);
        CODES.iter().all(|code| {
            let of = |all: &[Message]| changes_of(all, &format!("trade {code}")).len();
            of(&got) >= of(&sent) && seen.len() >= got.len()
        })
    });
    for code in CODES {
        let stream = format!("trade {code}");
        let (got, sent, seen) = (changes_of(&got, &stream), changes_of(&sent, &stream), changes_of(&seen, &stream));
        assert!(sent.len() > 20, "{} of {code}", sent.len());
        assert_eq!(got[..sent.len()], sent, "as the exchange sent them");
        // Compare with the other engine from this engine's first message on.
        let from = seen.iter().position(|message| *message == got[0]).unwrap();
        let both = got.len().min(seen.len() - from);
        assert_eq!(got[..both], seen[from..from + both], "as the other engine saw them");
    }
    let snapshots = record.sent(conn, |message| message.is_snapshot);
    assert_eq!(snapshots.len(), 2 * CODES.len(), "no request asked for a second snapshot of a stream");
    let counters = engine.connections()[0].counters;
    assert_eq!((counters.malformed, counters.decode.fallbacks, counters.disconnects), (0, 0, 0));
    witness.shutdown(TIMEOUT).into_result().unwrap();
    finish(engine, &server);
}

#[test]
fn connections_of_different_formats_feed_one_pool() {
    let (server, record) = exchange(20.0, 40);
    let all = markets(40);
    let engine = builder(&server).connections(4).start().unwrap();
    for (number, format) in Format::ALL.into_iter().enumerate() {
        engine.set_format(ConnectionId(number as u16), format).unwrap();
    }
    let mut feed = engine.feed(trade(&all), EVERYTHING).unwrap();
    let _books = engine.subscribe(orderbook(&all)).unwrap();
    wait_settled(&engine);
    let_flow(&record, 500);

    let conns = record.connections();
    let named: BTreeSet<_> = conns.iter().flat_map(|conn| record.formats(*conn, false)).collect();
    assert_eq!(named, Format::ALL.map(|format| format.as_str().to_owned()).into());
    let sent: Vec<_> = conns.iter().map(|conn: &ConnId| record.sent(*conn, is_change)).collect();
    let mut got = Vec::new();
    for (of_conn, code) in sent.iter().flat_map(|of_conn| all.iter().map(move |code| (of_conn, code))) {
        let stream = format!("trade {code}");
        let sent = changes_of(of_conn, &stream);
        eventually("all arrives", || {
            drain(&mut feed, &mut got);
            changes_of(&got, &stream).len() >= sent.len()
        });
        if !sent.is_empty() {
            assert_eq!(changes_of(&got, &stream)[..sent.len()], sent);
        }
    }
    for code in &all {
        let book = engine.pool().orderbook(code.as_str()).unwrap();
        assert!(book.load().health().is_live() && book.load().value().is_some_and(|book| !book.asks.is_empty()));
    }
    finish(engine, &server);
}

#[test]
fn format_changes_respect_the_budget_and_the_last_one_wins() {
    let (server, record) = exchange(5.0, 40);
    let engine = builder(&server).ticker(CODES).start().unwrap();
    wait_settled(&engine);
    for format in [Format::Simple, Format::Default].into_iter().cycle().take(39) {
        engine.set_format(FIRST, format).unwrap();
        std::thread::sleep(Duration::from_millis(60));
    }
    assert!(engine.wait_revisions(TIMEOUT, |revisions| revisions.sent == revisions.desired).unwrap());
    let conn = record.connections()[0];
    // The exchange may not have read the last request yet.
    eventually("the last format wins", || {
        let is_last = record.formats(conn, false).last().is_some_and(|format| format == "SIMPLE");
        is_last && engine.connections()[0].format == Some(Format::Simple)
    });
    // A sixth request within a second would have been a violation.
    finish(engine, &server);
}

#[test]
fn a_rule_finds_the_cheaper_format_and_keeps_it() {
    let (server, record) = exchange(20.0, 40);
    let rule = FormatRule { window: Duration::from_millis(100), rest: Duration::ZERO, ..FormatRule::default() };
    let engine = builder(&server).format(rule).orderbook(CODES).trade(CODES).start().unwrap();
    wait_settled(&engine);
    let status = || engine.connections().remove(0);
    eventually("the format changes", || status().format == Some(Format::Simple));
    let FormatReason::Cheapest { gain } = status().format_reason else { panic!("{:?}", status().format_reason) };
    assert!((0.1..0.6).contains(&gain), "{gain}");
    std::thread::sleep(10 * rule.window);
    let conn = record.connections()[0];
    assert_eq!(record.formats(conn, false), ["DEFAULT", "SIMPLE"]);

    // A fixed format disables the rule.
    engine.set_format(FIRST, Format::JsonList).unwrap();
    eventually("the format changes", || status().format == Some(Format::JsonList));
    std::thread::sleep(10 * rule.window);
    assert_eq!((status().format, status().format_reason), (Some(Format::JsonList), FormatReason::Fixed));
    finish(engine, &server);
}

/// The exchange treats a list request without a format as one in the default format, and continues in that format.
#[test]
fn a_list_request_names_the_current_format() {
    let (server, record) = exchange(20.0, 40);
    let engine = builder(&server).confirm_within(Duration::from_millis(200)).trade(CODES).start().unwrap();
    wait_settled(&engine);
    engine.set_format(FIRST, Format::Simple).unwrap();
    eventually("the format is requested", || engine.connections()[0].format == Some(Format::Simple));
    // A market that does not exist has no changes, so the engine asks the exchange whether it carries the stream.
    let _nothing = engine.subscribe(trade("KRW-NOTHING").only_realtime()).unwrap();
    let conn = record.connections()[0];
    eventually("the list is requested", || !record.formats(conn, true).is_empty());
    assert_eq!(record.formats(conn, true)[0], "SIMPLE");
    let odd = engine.connections()[0].counters;
    assert_eq!((odd.malformed, odd.decode.fallbacks), (0, 0));
    finish(engine, &server);
}

#[test]
fn formats_that_the_exchange_does_not_support_are_refused() {
    let (server, _record) = exchange(1.0, 10);
    let engine = builder(&server).start().unwrap();
    let refused = |result: hoga::Result<()>| matches!(result, Err(Error::InvalidArgument(_)));
    assert!(refused(engine.set_format(ConnectionId(1), Format::Simple)), "there is only one connection");
    assert!(refused(engine.set_format(FIRST, FormatRule { gain: 1.0, ..FormatRule::default() })));
    let bithumb = Engine::builder().endpoint(Endpoint::bithumb());
    assert!(matches!(bithumb.format(Format::JsonList).start(), Err(Error::Configuration(_))));
    finish(engine, &server);
}
