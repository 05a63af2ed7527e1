//! Formats change while data flows, and differ between connections. The judge is what the exchange was asked for and
//! sent, and another engine beside that never changes.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::{Message, PATIENCE, Record, builder, drain, eventually, exchange, finish, markets};
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

/// All that runs has proved so: from here on nothing is asked for with a snapshot.
#[track_caller]
fn wait_settled(engine: &Engine) {
    engine.wait_ready(PATIENCE).unwrap();
    assert!(engine.wait_revisions(PATIENCE, |revisions| revisions.confirmed == revisions.desired));
}

/// Lets so many messages more be sent.
#[track_caller]
fn let_flow(record: &Record, messages: usize) {
    let before = record.sent_count();
    eventually("data flows", || record.sent_count() >= before + messages);
}

#[test]
fn formats_change_back_and_forth_and_no_trade_is_lost_or_comes_twice() {
    let (server, record) = exchange(30.0, 40);
    // The witness never changes anything.
    let witness = builder(&server).start().unwrap();
    let mut witness_feed = witness.feed(trade(CODES), EVERYTHING).unwrap();
    wait_settled(&witness);
    let engine = builder(&server).orderbook(CODES).start().unwrap();
    let mut feed = engine.feed(trade(CODES), EVERYTHING).unwrap();
    wait_settled(&engine);
    let conn = *record.connections().last().unwrap();
    let asked_before = record.formats(conn, false).len();

    let formats: Vec<_> = Format::ALL.into_iter().rev().cycle().take(12).collect();
    let (mut got, mut seen) = (Vec::new(), Vec::new());
    for format in &formats {
        engine.set_format(FIRST, *format).unwrap();
        eventually("it is asked for", || engine.connections()[0].format == Some(*format));
        let_flow(&record, 60);
        drain(&mut feed, &mut got);
        drain(&mut witness_feed, &mut seen);
    }
    let named: Vec<_> = formats.iter().map(|format| format.as_str().to_owned()).collect();
    assert_eq!(record.formats(conn, false)[asked_before..], named, "one request each, and no other");

    // What was sent until now arrives.
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
        // From the first that this engine saw, what the other saw.
        let from = seen.iter().position(|message| *message == got[0]).unwrap();
        let both = got.len().min(seen.len() - from);
        assert_eq!(got[..both], seen[from..from + both], "as the other engine saw them");
    }
    let snapshots = record.sent(conn, |message| message.is_snapshot);
    assert_eq!(snapshots.len(), 2 * CODES.len(), "no stream was asked for from the start again");
    let counters = engine.connections()[0].counters;
    assert_eq!((counters.malformed, counters.decode.fallbacks, counters.disconnects), (0, 0, 0));
    witness.shutdown(PATIENCE).into_result().unwrap();
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
fn changes_of_mind_go_by_the_budget_and_the_last_one_stands() {
    let (server, record) = exchange(5.0, 40);
    let engine = builder(&server).ticker(CODES).start().unwrap();
    wait_settled(&engine);
    for format in [Format::Simple, Format::Default].into_iter().cycle().take(39) {
        engine.set_format(FIRST, format).unwrap();
        std::thread::sleep(Duration::from_millis(60));
    }
    assert!(engine.wait_revisions(PATIENCE, |revisions| revisions.sent == revisions.desired));
    let conn = record.connections()[0];
    // What the engine has sent, the exchange may be about to read.
    eventually("the last one stands", || {
        let is_last = record.formats(conn, false).last().is_some_and(|format| format == "SIMPLE");
        is_last && engine.connections()[0].format == Some(Format::Simple)
    });
    // The exchange would have complained about a sixth request in a second.
    finish(engine, &server);
}

#[test]
fn a_rule_finds_the_cheaper_format_by_itself_and_stays_with_it() {
    let (server, record) = exchange(20.0, 40);
    let rule = FormatRule { window: Duration::from_millis(100), rest: Duration::ZERO, ..FormatRule::default() };
    let engine = builder(&server).format(rule).orderbook(CODES).trade(CODES).start().unwrap();
    wait_settled(&engine);
    let status = || engine.connections().remove(0);
    eventually("it changes", || status().format == Some(Format::Simple));
    let FormatReason::Cheapest { gain } = status().format_reason else { panic!("{:?}", status().format_reason) };
    assert!((0.1..0.6).contains(&gain), "{gain}");
    std::thread::sleep(10 * rule.window);
    let conn = record.connections()[0];
    assert_eq!(record.formats(conn, false), ["DEFAULT", "SIMPLE"]);

    // Told what to do, it asks no rule.
    engine.set_format(FIRST, Format::JsonList).unwrap();
    eventually("it changes", || status().format == Some(Format::JsonList));
    std::thread::sleep(10 * rule.window);
    assert_eq!((status().format, status().format_reason), (Some(Format::JsonList), FormatReason::Fixed));
    finish(engine, &server);
}

/// The exchange takes a question without a format for one in the default format, and goes on in that.
#[test]
fn who_asks_what_is_subscribed_names_the_format_of_the_moment() {
    let (server, record) = exchange(20.0, 40);
    let engine = builder(&server).confirm_within(Duration::from_millis(200)).trade(CODES).start().unwrap();
    wait_settled(&engine);
    engine.set_format(FIRST, Format::Simple).unwrap();
    eventually("it is asked for", || engine.connections()[0].format == Some(Format::Simple));
    // Of a market that does not exist no change comes, so the exchange is asked whether it carries it.
    let _nothing = engine.subscribe(trade("KRW-NOTHING").only_realtime()).unwrap();
    let conn = record.connections()[0];
    eventually("it is asked", || !record.formats(conn, true).is_empty());
    assert_eq!(record.formats(conn, true)[0], "SIMPLE");
    let odd = engine.connections()[0].counters;
    assert_eq!((odd.malformed, odd.decode.fallbacks), (0, 0));
    finish(engine, &server);
}

#[test]
fn what_the_exchange_does_not_write_is_refused() {
    let (server, _record) = exchange(1.0, 10);
    let engine = builder(&server).start().unwrap();
    let refused = |result: hoga::Result<()>| matches!(result, Err(Error::InvalidArgument(_)));
    assert!(refused(engine.set_format(ConnectionId(1), Format::Simple)), "there is one connection");
    assert!(refused(engine.set_format(FIRST, FormatRule { gain: 1.0, ..FormatRule::default() })));
    let bithumb = Engine::builder().endpoint(Endpoint::bithumb());
    assert!(matches!(bithumb.format(Format::JsonList).start(), Err(Error::Configuration(_))));
    finish(engine, &server);
}
