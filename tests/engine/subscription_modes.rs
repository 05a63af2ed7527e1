//! Several who want the same stream in different ways, and streams that nobody has ever heard of. The judge is what the
//! exchange was asked for and what it sent.

use std::time::Duration;

use crate::common::{
    Message, PATIENCE, Way, builder, drain, eventually, eventually_wire, exchange, finish, names, union,
};
use hoga::error::{Error, NotReadyReason};
use hoga::feed::Payload;
use hoga::prelude::*;

/// More than any window and any grace used here.
const A_WHILE: Duration = Duration::from_millis(400);

fn snapshots(got: &[Message]) -> usize {
    got.iter().filter(|message| message.is_snapshot).count()
}

/// Three feeds of one stream, each joining while the ones before it run.
#[track_caller]
fn each_sees_only_what_it_asked_for<T: Payload + Into<Event>>(
    of: impl Fn(&'static str) -> Subscription<T>,
) -> [Vec<Message>; 3] {
    let (server, record) = exchange(20.0, 40);
    let engine = builder(&server).start().unwrap();
    let mut feeds = Vec::new();
    let mut got = [Vec::new(), Vec::new(), Vec::new()];
    for way in [Subscription::only_realtime, |all| all, Subscription::only_snapshot] {
        feeds.push(engine.feed(way(of("KRW-BTC")), Overflow::DROP_NEWEST).unwrap());
        std::thread::sleep(A_WHILE);
    }
    eventually("each has its part", || {
        feeds.iter_mut().zip(&mut got).for_each(|(feed, got)| drain(feed, got));
        got[0].len() > 20 && got[1].len() > 20 && !got[2].is_empty()
    });
    let [changes, all, once] = &got;
    assert_eq!((snapshots(changes), snapshots(once), once.len()), (0, 1, 1));
    // Both see the same changes, as the exchange sent them.
    let sent = record.sent(record.connections()[0], |message| !message.is_snapshot);
    assert_eq!(changes[..], sent[..changes.len()]);
    let changes_of_all: Vec<_> = all.iter().filter(|message| !message.is_snapshot).cloned().collect();
    let from = sent.iter().position(|message| *message == changes_of_all[0]).unwrap();
    assert_eq!(changes_of_all[..], sent[from..from + changes_of_all.len()]);
    finish(engine, &server);
    got
}

#[test]
fn each_feed_of_a_book_sees_only_what_it_asked_for() {
    let [_, all, _] = each_sees_only_what_it_asked_for(orderbook);
    assert_eq!(snapshots(&all), 1);
}

#[test]
fn each_feed_of_a_ticker_sees_only_what_it_asked_for() {
    let [_, all, _] = each_sees_only_what_it_asked_for(ticker);
    assert_eq!(snapshots(&all), 1);
}

/// The snapshot of a trade stream that runs is the last trade, which has come already. Once it was refused as a duplicate
/// for everybody, and who wanted nothing but the snapshot waited for ever.
#[test]
fn each_feed_of_trades_sees_only_what_it_asked_for() {
    let [_, all, _] = each_sees_only_what_it_asked_for(trade);
    assert!(snapshots(&all) <= 1, "a trade that has come already does not come again");
}

#[test]
fn a_newcomer_shows_nobody_a_second_snapshot() {
    let (server, record) = exchange(20.0, 40);
    let engine = builder(&server).start().unwrap();
    let mut first = engine.feed(ticker(["KRW-BTC", "KRW-ETH"]), Overflow::DROP_NEWEST).unwrap();
    let mut second = engine.feed(ticker("KRW-BTC"), Overflow::DROP_NEWEST).unwrap();
    first.subscribed().wait_confirmed(PATIENCE).unwrap();
    // One wants a snapshot of what runs, another a stream of its own, and a third the same as the first.
    let mut once = engine.feed(ticker("KRW-BTC").only_snapshot(), Overflow::DROP_NEWEST).unwrap();
    assert!(once.wait(PATIENCE));
    let others = engine.subscribe(trade(["KRW-BTC", "KRW-XRP"])).unwrap();
    others.wait_confirmed(PATIENCE).unwrap();
    let same = engine.subscribe(ticker("KRW-ETH")).unwrap();
    same.wait_confirmed(PATIENCE).unwrap();

    let conn = record.connections()[0];
    assert!(record.asked(conn).len() >= 2);
    let sent = |code: &str| record.sent(conn, |message| message.stream == format!("ticker {code}"));
    assert_eq!(snapshots(&sent("KRW-BTC")), 1, "the exchange was not asked for another one");
    let (mut of_first, mut of_second) = (Vec::new(), Vec::new());
    let enough = sent("KRW-BTC").len() + sent("KRW-ETH").len();
    eventually("data goes on", || {
        drain(&mut first, &mut of_first);
        drain(&mut second, &mut of_second);
        of_first.len() > enough
    });
    assert_eq!((snapshots(&of_first), snapshots(&of_second)), (2, 1), "one of each stream");
    drop(once);
    finish(engine, &server);
}

/// Once its data has come, a stream is asked for without a snapshot: so it does not pause while one is prepared.
#[test]
fn what_runs_is_asked_for_without_a_snapshot() {
    let (server, record) = exchange(20.0, 40);
    let engine = builder(&server).ticker(["KRW-BTC", "KRW-ETH"]).start().unwrap();
    engine.wait_ready(PATIENCE).unwrap();
    assert!(engine.wait_revisions(PATIENCE, |revisions| revisions.confirmed == revisions.desired));
    let _held = engine.subscribe(ticker("KRW-XRP")).unwrap();
    eventually_wire(&record, &names(["ticker"], &["KRW-BTC", "KRW-ETH", "KRW-XRP"]));
    let asked = record.last();
    assert_eq!(
        ["KRW-BTC", "KRW-ETH", "KRW-XRP"].map(|code| asked[&format!("ticker {code}")]),
        [Way::Realtime, Way::Realtime, Way::All]
    );
    finish(engine, &server);
}

#[test]
fn the_deepest_subscription_decides_how_deep_a_book_is() {
    let (server, record) = exchange(20.0, 40);
    let engine = builder(&server).start().unwrap();
    let five = engine.subscribe(orderbook("KRW-BTC").levels(5)).unwrap();
    eventually_wire(&record, &names(["orderbook"], &["KRW-BTC.5"]));
    five.wait_confirmed(PATIENCE).unwrap();
    let book = engine.pool().orderbook("KRW-BTC").unwrap();
    assert_eq!(book.load().asks.len(), 5);
    let fifteen = engine.subscribe(orderbook("KRW-BTC").levels(15)).unwrap();
    eventually_wire(&record, &names(["orderbook"], &["KRW-BTC.15"]));
    eventually("both see 15 levels", || book.load().asks.len() == 15);
    assert_eq!(engine.conflicts().len(), 1);
    drop(fifteen);
    eventually_wire(&record, &names(["orderbook"], &["KRW-BTC.5"]));
    eventually("5 again", || book.load().asks.len() == 5);
    finish(engine, &server);
}

#[test]
fn grouped_books_run_beside_plain_ones() {
    let (server, record) = exchange(20.0, 40);
    let engine = builder(&server).start().unwrap();
    let mut plain = engine.feed(orderbook(["KRW-BTC", "KRW-ETH"]).levels(5), Overflow::DROP_NEWEST).unwrap();
    let mut grouped = engine.feed(orderbook("KRW-BTC").grouped(10_000.0), Overflow::DROP_NEWEST).unwrap();
    let expected = union([names(["orderbook"], &["KRW-BTC.5", "KRW-ETH.5"]), names(["orderbook@10000"], &["KRW-BTC"])]);
    eventually_wire(&record, &expected);
    engine.wait_ready(PATIENCE).unwrap();
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
fn a_market_that_nobody_knows_is_asked_for_once_more_and_then_named() {
    let (server, record) = exchange(20.0, 40);
    // Long enough for the known ones on a busy machine.
    let engine = builder(&server).confirm_within(Duration::from_millis(1_200)).start().unwrap();
    let mut known = engine.feed(trade("KRW-BTC"), Overflow::DROP_NEWEST).unwrap();
    let subscribed = engine.subscribe(ticker(["KRW-BTC", "KRW-ETH", "KRW-NOPE"])).unwrap();
    let error = subscribed.wait_confirmed(PATIENCE).unwrap_err();
    let Error::NotReady(missing) = &error else { panic!("{error}") };
    let [(key, NotReadyReason::UnknownMarket)] = &missing.streams[..] else { panic!("{missing:?}") };
    assert_eq!(key.to_string(), "ticker KRW-NOPE");
    assert_eq!(engine.subscriptions().unconfirmed, [*key]);

    let conn = record.connections()[0];
    let asked = record.asked(conn);
    let with_it = |asked: &[std::collections::BTreeMap<String, Way>]| {
        asked.iter().filter(|asked| asked.contains_key("ticker KRW-NOPE")).count()
    };
    assert_eq!(with_it(&asked), 2, "{asked:?}");
    assert_eq!(asked.last().unwrap()["ticker KRW-BTC"], Way::Realtime, "what runs is not disturbed for its sake");
    // That was all, and the others go on: every trade has come.
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(with_it(&record.asked(conn)), 2);
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
