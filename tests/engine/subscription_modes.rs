//! Feeds of the same stream in different modes, and streams of unknown markets, compared with the requests and messages
//! of the exchange.

use std::time::Duration;

use crate::common::{
    Message, RequestMode, TIMEOUT, builder, drain, eventually, eventually_wire, exchange, finish, names, union,
};
use hoga::error::{Error, NotReadyReason};
use hoga::feed::Payload;
use hoga::prelude::*;

/// Longer than any window and any grace period here.
const SETTLE_TIME: Duration = Duration::from_millis(400);

fn snapshots(got: &[Message]) -> usize {
    got.iter().filter(|message| message.is_snapshot).count()
}

/// Opens three feeds of one stream, each while the earlier ones run.
#[track_caller]
fn each_mode_gets_its_messages<T: Payload + Into<Event>>(
    of: impl Fn(&'static str) -> Subscription<T>,
) -> [Vec<Message>; 3] {
    let (server, record) = exchange(20.0, 40);
    let engine = builder(&server).start().unwrap();
    let mut feeds = Vec::new();
    let mut got = [Vec::new(), Vec::new(), Vec::new()];
    for mode in [Subscription::only_realtime, |all| all, Subscription::only_snapshot] {
        feeds.push(engine.feed(mode(of("KRW-BTC")), Overflow::DROP_NEWEST).unwrap());
        std::thread::sleep(SETTLE_TIME);
    }
    eventually("each feed has its messages", || {
        feeds.iter_mut().zip(&mut got).for_each(|(feed, got)| drain(feed, got));
        got[0].len() > 20 && got[1].len() > 20 && !got[2].is_empty()
    });
    let [changes, all, once] = &got;
    assert_eq!((snapshots(changes), snapshots(once), once.len()), (0, 1, 1));
    // Both feeds get the changes as the exchange sent them.
    let sent = record.sent(record.connections()[0], |message| !message.is_snapshot);
    assert_eq!(changes[..], sent[..changes.len()]);
    let changes_of_all: Vec<_> = all.iter().filter(|message| !message.is_snapshot).cloned().collect();
    let from = sent.iter().position(|message| *message == changes_of_all[0]).unwrap();
    assert_eq!(changes_of_all[..], sent[from..from + changes_of_all.len()]);
    finish(engine, &server);
    got
}

#[test]
fn each_feed_of_a_book_gets_only_its_mode() {
    let [_, all, _] = each_mode_gets_its_messages(orderbook);
    assert_eq!(snapshots(&all), 1);
}

#[test]
fn each_feed_of_a_ticker_gets_only_its_mode() {
    let [_, all, _] = each_mode_gets_its_messages(ticker);
    assert_eq!(snapshots(&all), 1);
}

/// Regression: the snapshot of a running trade stream is the last trade, which has arrived already. It was refused as a
/// duplicate for every feed, so a snapshot-only feed waited forever.
#[test]
fn each_feed_of_trades_gets_only_its_mode() {
    let [_, all, _] = each_mode_gets_its_messages(trade);
    assert!(snapshots(&all) <= 1, "a trade that has arrived already is not delivered again");
}

#[test]
fn a_new_feed_causes_no_second_snapshot_for_others() {
    let (server, record) = exchange(20.0, 40);
    let engine = builder(&server).start().unwrap();
    let mut first = engine.feed(ticker(["KRW-BTC", "KRW-ETH"]), Overflow::DROP_NEWEST).unwrap();
    let mut second = engine.feed(ticker("KRW-BTC"), Overflow::DROP_NEWEST).unwrap();
    first.subscribed().unwrap().wait_confirmed(TIMEOUT).unwrap();
    // One subscription wants a snapshot of a running stream, another wants new streams, and a third a running stream.
    let mut once = engine.feed(ticker("KRW-BTC").only_snapshot(), Overflow::DROP_NEWEST).unwrap();
    assert!(once.wait(TIMEOUT).unwrap());
    let others = engine.subscribe(trade(["KRW-BTC", "KRW-XRP"])).unwrap();
    others.wait_confirmed(TIMEOUT).unwrap();
    let same = engine.subscribe(ticker("KRW-ETH")).unwrap();
    same.wait_confirmed(TIMEOUT).unwrap();

    let conn = record.connections()[0];
    assert!(record.requested(conn).len() >= 2);
    let sent = |code: &str| record.sent(conn, |message| message.stream == format!("ticker {code}"));
    assert_eq!(snapshots(&sent("KRW-BTC")), 1, "no second snapshot was requested");
    let (mut of_first, mut of_second) = (Vec::new(), Vec::new());
    let enough = sent("KRW-BTC").len() + sent("KRW-ETH").len();
    eventually("data continues", || {
        drain(&mut first, &mut of_first);
        drain(&mut second, &mut of_second);
        of_first.len() > enough
    });
    assert_eq!((snapshots(&of_first), snapshots(&of_second)), (2, 1), "one snapshot of each stream");
    drop(once);
    finish(engine, &server);
}

/// Once data has arrived, a stream is requested without a snapshot, so that it does not pause for one.
#[test]
fn running_streams_are_requested_without_a_snapshot() {
    let (server, record) = exchange(20.0, 40);
    let engine = builder(&server).ticker(["KRW-BTC", "KRW-ETH"]).start().unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    assert!(engine.wait_revisions(TIMEOUT, |revisions| revisions.confirmed == revisions.desired).unwrap());
    let _held = engine.subscribe(ticker("KRW-XRP")).unwrap();
    eventually_wire(&record, &names(["ticker"], &["KRW-BTC", "KRW-ETH", "KRW-XRP"]));
    let requested = record.last_request();
    assert_eq!(
        ["KRW-BTC", "KRW-ETH", "KRW-XRP"].map(|code| requested[&format!("ticker {code}")]),
        [RequestMode::Realtime, RequestMode::Realtime, RequestMode::All]
    );
    finish(engine, &server);
}

#[test]
fn the_deepest_subscription_decides_how_deep_a_book_is() {
    let (server, record) = exchange(20.0, 40);
    let engine = builder(&server).start().unwrap();
    let five = engine.subscribe(orderbook("KRW-BTC").levels(5)).unwrap();
    eventually_wire(&record, &names(["orderbook"], &["KRW-BTC.5"]));
    five.wait_confirmed(TIMEOUT).unwrap();
    let book = engine.pool().orderbook("KRW-BTC").unwrap();
    assert_eq!(book.load().value().unwrap().asks.len(), 5);
    let fifteen = engine.subscribe(orderbook("KRW-BTC").levels(15)).unwrap();
    eventually_wire(&record, &names(["orderbook"], &["KRW-BTC.15"]));
    eventually("both have 15 levels", || book.load().value().unwrap().asks.len() == 15);
    assert_eq!(engine.conflicts().len(), 1);
    drop(fifteen);
    eventually_wire(&record, &names(["orderbook"], &["KRW-BTC.5"]));
    eventually("5 again", || book.load().value().unwrap().asks.len() == 5);
    finish(engine, &server);
}

#[test]
fn grouped_books_run_alongside_plain_ones() {
    let (server, record) = exchange(20.0, 40);
    let engine = builder(&server).start().unwrap();
    let mut plain = engine.feed(orderbook(["KRW-BTC", "KRW-ETH"]).levels(5), Overflow::DROP_NEWEST).unwrap();
    let mut grouped = engine.feed(orderbook("KRW-BTC").grouped(10_000.0), Overflow::DROP_NEWEST).unwrap();
    let expected = union([names(["orderbook"], &["KRW-BTC.5", "KRW-ETH.5"]), names(["orderbook@10000"], &["KRW-BTC"])]);
    eventually_wire(&record, &expected);
    engine.wait_ready(TIMEOUT).unwrap();
    let (mut of_plain, mut of_grouped) = (Vec::new(), Vec::new());
    eventually("both run", || {
        drain(&mut plain, &mut of_plain);
        drain(&mut grouped, &mut of_grouped);
        of_plain.len() > 20 && of_grouped.len() > 20
    });
    assert!(of_grouped.iter().all(|message| message.stream == "orderbook@10000 KRW-BTC"));
    assert!(of_plain.iter().all(|message| message.stream.starts_with("orderbook KRW-")));
    drop(grouped);
    eventually_wire(&record, &names(["orderbook"], &["KRW-BTC.5", "KRW-ETH.5"]));
    assert!(engine.pool().orderbook("KRW-BTC").unwrap().load().health().is_live());
    finish(engine, &server);
}

#[test]
fn an_unknown_market_is_requested_once_more_and_then_named() {
    let (server, record) = exchange(20.0, 40);
    // Long enough for the known markets on a busy machine.
    let engine = builder(&server).confirm_within(Duration::from_millis(1_200)).start().unwrap();
    let mut known = engine.feed(trade("KRW-BTC"), Overflow::DROP_NEWEST).unwrap();
    let subscribed = engine.subscribe(ticker(["KRW-BTC", "KRW-ETH", "KRW-NOPE"])).unwrap();
    let error = subscribed.wait_confirmed(TIMEOUT).unwrap_err();
    let Error::NotReady(missing) = &error else { panic!("{error}") };
    let [(key, NotReadyReason::UnknownMarket)] = &missing.streams[..] else { panic!("{missing:?}") };
    assert_eq!(key.to_string(), "ticker KRW-NOPE");
    assert_eq!(engine.subscriptions().unconfirmed, [*key]);

    let conn = record.connections()[0];
    let requested = record.requested(conn);
    let requests_with_it = |requested: &[std::collections::BTreeMap<String, RequestMode>]| {
        requested.iter().filter(|requested| requested.contains_key("ticker KRW-NOPE")).count()
    };
    assert_eq!(requests_with_it(&requested), 2, "{requested:?}");
    assert_eq!(requested.last().unwrap()["ticker KRW-BTC"], RequestMode::Realtime, "running streams are not disturbed");
    // No further request follows, and the other streams continue: every trade has arrived.
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(requests_with_it(&record.requested(conn)), 2);
    let is_change = |message: &Message| message.stream == "trade KRW-BTC" && !message.is_snapshot;
    let (sent, mut got) = (record.sent(conn, is_change), Vec::new());
    eventually("every trade", || {
        drain(&mut known, &mut got);
        got.iter().filter(|message| is_change(message)).count() >= sent.len()
    });
    let got: Vec<_> = got.into_iter().filter(is_change).take(sent.len()).collect();
    assert!(sent.len() > 20 && got == sent);
    assert!(engine.pool().ticker("KRW-ETH").unwrap().load().health().is_live());
    finish(engine, &server);
}
