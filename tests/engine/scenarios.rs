//! Scenarios of desktop programs and trading bots that share one engine: independent widgets and strategies subscribe,
//! change their subscriptions and leave. The tests check the requests that the exchange received.
//!
//! All data is public. Scenarios that also use the account's private streams are reduced to their public part.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::{
    Record, RequestMode, TIMEOUT, builder, drain, eventually, eventually_wire, exchange, finish, names, union,
};
use hoga::config::Pacing;
use hoga::prelude::*;
use hoga_exchange::{ErrorName, Fault, Server, ServerConfig};

/// Longer than any window and any grace period here: a request that has not arrived by then was not sent.
const SETTLE_TIME: Duration = Duration::from_millis(600);

/// Returns the exchange's markets of a quote currency.
fn markets(quote: &str) -> Vec<String> {
    crate::common::markets(40).into_iter().filter(|code| code.starts_with(quote)).collect()
}

fn all_tickers(quote: &str) -> BTreeSet<String> {
    markets(quote).iter().map(|code| format!("ticker {code}")).collect()
}

fn start() -> (Server, Record, Engine) {
    let (server, record) = exchange(5.0, 40);
    let engine = builder(&server).start().unwrap();
    (server, record, engine)
}

/// Runs `demands` within one window and returns the number of requests that it caused. On a busy machine the window may
/// end midway. Then `undo` must restore the state before the next attempt.
fn in_one_window<T>(
    engine: &Engine,
    record: &Record,
    mut demands: impl FnMut() -> T,
    mut undo: impl FnMut(T),
) -> (T, usize) {
    for _ in 0..50 {
        let (before, began) = (record.requests(), engine.now());
        let held = demands();
        if engine.now().since(began) < Pacing::Conservative.window() {
            std::thread::sleep(SETTLE_TIME);
            return (held, record.requests() - before);
        }
        undo(held);
        std::thread::sleep(SETTLE_TIME);
    }
    panic!("this machine is too busy for a few calls within one window");
}

// ---- a chart view ----

/// A user clicks through charts, coins and quote currencies.
#[test]
fn a_chart_view_follows_its_user() {
    let (server, record, engine) = start();
    // The chart tab opens.
    let krw = engine.subscribe(ticker(markets("KRW"))).unwrap();
    let book = engine.subscribe(orderbook("KRW-BTC")).unwrap();
    let chart = engine.subscribe(candle(Interval::Minute1, "KRW-BTC")).unwrap();
    let opened = union([all_tickers("KRW"), names(["orderbook", "candle.1m"], &["KRW-BTC"])]);
    eventually_wire(&record, &opened);
    engine.wait_ready(TIMEOUT).unwrap();
    let lists = engine.pool().ticker("KRW-XRP").unwrap();
    let first = lists.load().version();

    // Another coin. The tickers stay; book and candle are switched, and the old ones leave the wire.
    let (old_book, old_chart) = (book, chart);
    let book = engine.subscribe(orderbook("KRW-ETH")).unwrap();
    let chart = engine.subscribe(candle(Interval::Minute1, "KRW-ETH")).unwrap();
    drop((old_book, old_chart));
    eventually_wire(&record, &union([all_tickers("KRW"), names(["orderbook", "candle.1m"], &["KRW-ETH"])]));
    book.wait_confirmed(TIMEOUT).unwrap();
    chart.wait_confirmed(TIMEOUT).unwrap();
    // Messages of the replaced request may be in flight for 100 ms at most.
    std::thread::sleep(SETTLE_TIME);
    let switched = record.sent_count();
    eventually("more data", || record.sent_count() > switched + 50);
    let gone = names(["orderbook", "candle.1m"], &["KRW-BTC"]);
    assert!(record.streams_after(switched).is_disjoint(&gone), "the old streams have left the wire");
    eventually("tickers continue", || lists.load().version() > first && lists.load().health().is_live());

    // The market list changes to BTC, the book stays where it is.
    let btc = engine.subscribe(ticker(markets("BTC"))).unwrap();
    drop(krw);
    eventually_wire(&record, &union([all_tickers("BTC"), names(["orderbook", "candle.1m"], &["KRW-ETH"])]));
    btc.wait_confirmed(TIMEOUT).unwrap();

    // Coin and timeframe at once.
    let (old_book, old_chart) = (book, chart);
    let _book = engine.subscribe(orderbook("KRW-SOL")).unwrap();
    let chart = engine.subscribe(candle(Interval::Minute5, "KRW-SOL")).unwrap();
    drop((old_book, old_chart));
    eventually_wire(&record, &union([all_tickers("BTC"), names(["orderbook", "candle.5m"], &["KRW-SOL"])]));
    chart.wait_confirmed(TIMEOUT).unwrap();
    assert_eq!(server.stats().connections, 1, "clicks open no connection");
    finish(engine, &server);
}

// ---- clients own their subscriptions ----

#[test]
fn a_clients_streams_leave_with_it_and_no_others_do() {
    let (server, record, engine) = start();
    let first = engine.subscribe(ticker("KRW-BTC").only_realtime()).unwrap();
    eventually_wire(&record, &names(["ticker"], &["KRW-BTC"]));
    assert_eq!(record.last_request()["ticker KRW-BTC"], RequestMode::Realtime);

    let eth = engine.subscribe(ticker("KRW-ETH")).unwrap();
    let xrp = engine.subscribe(ticker("KRW-XRP")).unwrap();
    eventually_wire(&record, &names(["ticker"], &["KRW-BTC", "KRW-ETH", "KRW-XRP"]));
    assert_eq!(
        (record.last_request()["ticker KRW-BTC"], record.last_request()["ticker KRW-ETH"]),
        (RequestMode::Realtime, RequestMode::All)
    );
    eth.wait_confirmed(TIMEOUT).unwrap();

    drop(xrp);
    eventually_wire(&record, &names(["ticker"], &["KRW-BTC", "KRW-ETH"]));
    drop(first);
    eventually_wire(&record, &names(["ticker"], &["KRW-ETH"]));
    let reading = engine.pool().ticker("KRW-ETH").unwrap();
    assert!(reading.load().health().is_live());
    eventually("no client holds it", || engine.pool().ticker("KRW-BTC").is_err());
    finish(engine, &server);
}

// ---- from one widget to a hundred ----

#[test]
fn first_entry_and_another_coin() {
    let (server, record, engine) = start();
    let all =
        |coin: &'static str| ticker(coin).and(trade(coin)).and(orderbook(coin)).and(candle(Interval::Second1, coin));
    let of = |coin| names(["ticker", "trade", "orderbook", "candle.1s"], &[coin]);
    let view = engine.subscribe(all("KRW-BTC")).unwrap();
    eventually_wire(&record, &of("KRW-BTC"));
    assert_eq!(record.requests(), 1, "one request has everything");
    view.wait_confirmed(TIMEOUT).unwrap();

    let other = engine.subscribe(all("KRW-ETH")).unwrap();
    drop(view);
    eventually_wire(&record, &of("KRW-ETH"));
    other.wait_confirmed(TIMEOUT).unwrap();
    assert!(record.requests() <= 3, "one request with both, one when the grace period ends");
    finish(engine, &server);
}

#[test]
fn one_wants_snapshots_another_changes() {
    // The second request must be sent before any data arrives, because a running stream would be requested without
    // another snapshot.
    let mut config = ServerConfig { plain: true, ..ServerConfig::default() };
    (config.exchange.speed, config.exchange.snapshot_delays) = (5.0, [Duration::from_secs(1); 2]);
    let record = Record::default();
    let server = Server::start_observed(config, Box::new(record.clone())).unwrap();
    server.inject(Fault::Mute(true));
    let engine = builder(&server).start().unwrap();
    let mut changes = engine.feed(trade("KRW-BTC").only_realtime(), Overflow::DROP_NEWEST).unwrap();
    eventually_wire(&record, &names(["trade"], &["KRW-BTC"]));
    let mut once = engine.feed(trade("KRW-BTC").only_snapshot(), Overflow::DROP_NEWEST).unwrap();
    eventually("the request serves both", || record.last_request()["trade KRW-BTC"] == RequestMode::All);
    server.inject(Fault::Mute(false));
    let (mut one, mut other) = (Vec::new(), Vec::new());
    eventually("each feed gets its messages", || {
        drain(&mut changes, &mut one);
        drain(&mut once, &mut other);
        one.len() > 20 && !other.is_empty()
    });
    assert!(one.iter().all(|message| !message.is_snapshot) && other.iter().all(|message| message.is_snapshot));
    assert_eq!(other.len(), 1);
    finish(engine, &server);
}

#[test]
fn five_subscriptions_at_once_are_one_request() {
    let (server, record) = exchange(5.0, 40);
    let engine = builder(&server).pacing(Pacing::Conservative).ticker("KRW-BTC").start().unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    let coins = ["KRW-ETH", "KRW-XRP", "KRW-SOL", "KRW-DOGE", "KRW-ADA"];
    let five = || coins.map(|coin| engine.subscribe(trade(coin).and(orderbook(coin))).unwrap());
    let (held, requests) = in_one_window(&engine, &record, five, drop);
    assert_eq!(requests, 1);
    eventually_wire(&record, &union([names(["ticker"], &["KRW-BTC"]), names(["trade", "orderbook"], &coins)]));

    // Spread over 0.4 s, they share windows: never more requests than windows.
    let (before, began) = (record.requests(), engine.now());
    let spread = coins.map(|coin| {
        std::thread::sleep(Duration::from_millis(80));
        engine.subscribe(ticker(coin)).unwrap()
    });
    let windows = engine.now().since(began).as_millis() / Pacing::Conservative.window().as_millis() + 1;
    eventually_wire(
        &record,
        &union([names(["ticker"], &["KRW-BTC"]), names(["ticker", "trade", "orderbook"], &coins)]),
    );
    assert!(record.requests() - before <= windows as usize, "{} in {windows}", record.requests() - before);
    drop((held, spread));
    finish(engine, &server);
}

#[test]
fn partial_and_overlapping_release() {
    let (server, record, engine) = start();
    // 3-1: one client releases a part of its streams.
    let part = engine.subscribe(ticker(["KRW-BTC", "KRW-ETH"])).unwrap();
    let rest = engine.subscribe(ticker(["KRW-XRP", "KRW-SOL"])).unwrap();
    eventually_wire(&record, &names(["ticker"], &["KRW-BTC", "KRW-ETH", "KRW-XRP", "KRW-SOL"]));
    drop(part);
    eventually_wire(&record, &names(["ticker"], &["KRW-XRP", "KRW-SOL"]));

    // 3-2: another client holds a part of them too.
    let overlap = engine.subscribe(ticker(["KRW-SOL", "KRW-DOGE"])).unwrap();
    eventually_wire(&record, &names(["ticker"], &["KRW-XRP", "KRW-SOL", "KRW-DOGE"]));
    overlap.wait_confirmed(TIMEOUT).unwrap();
    let requests = record.requests();
    drop(rest);
    eventually_wire(&record, &names(["ticker"], &["KRW-SOL", "KRW-DOGE"]));
    assert_eq!(record.requests(), requests + 1, "one request removes the unused streams, and only those");
    let shared = engine.pool().ticker("KRW-SOL").unwrap();
    assert!(shared.load().health().is_live());
    finish(engine, &server);
}

/// The public part of 4-1 and 4-2: a dashboard of several types whose parts change while one is in conflict. The
/// account's streams, which use their own connection, are left out.
#[test]
fn a_dashboard_of_public_data_under_conflicts() {
    let (server, record, engine) = start();
    let coins = ["KRW-BTC", "KRW-ETH", "KRW-XRP"];
    let board = engine.subscribe(ticker(coins).and(orderbook(coins).levels(5))).unwrap();
    let shallow = union([names(["ticker"], &coins), names(["orderbook"], &["KRW-BTC.5", "KRW-ETH.5", "KRW-XRP.5"])]);
    eventually_wire(&record, &shallow);
    board.wait_confirmed(TIMEOUT).unwrap();
    // A conflict of depth and one of mode at the same time.
    let deep = engine.subscribe(orderbook("KRW-BTC").levels(15)).unwrap();
    let changes = engine.subscribe(ticker("KRW-BTC").only_realtime()).unwrap();
    let deeper = union([names(["ticker"], &coins), names(["orderbook"], &["KRW-BTC.15", "KRW-ETH.5", "KRW-XRP.5"])]);
    eventually_wire(&record, &deeper);
    drop((deep, changes));
    eventually_wire(&record, &shallow);
    engine.wait_ready(TIMEOUT).unwrap();
    finish(engine, &server);
}

/// 5-1. The outage takes two seconds. A longer outage would change only the pauses between attempts.
#[test]
fn everything_is_back_after_an_outage() {
    let (server, record, engine) = start();
    let mut held: Vec<Subscribed> = Vec::new();
    for part in markets("KRW").chunks(3) {
        held.push(engine.subscribe(ticker(part).and(orderbook(part).levels(5))).unwrap());
        held.push(engine.subscribe(candle(Interval::Minute1, part)).unwrap());
    }
    let changes = engine.subscribe(ticker("BTC-XRP").only_realtime()).unwrap();
    let mut feed = engine.feed(trade("KRW-BTC"), Overflow::DROP_NEWEST).unwrap();
    feed.subscribed().unwrap().wait_confirmed(TIMEOUT).unwrap();
    eventually("everything is on the wire", || record.wire().len() == 24 * 3 + 2);
    let (carried, connection) = (record.wire(), record.connections()[0]);
    let held_ticker = engine.pool().ticker("KRW-BTC").unwrap();
    let before = held_ticker.load().epoch();

    server.inject(Fault::RefuseConnects(true));
    server.inject(Fault::DropAll);
    eventually("the outage is noticed", || matches!(held_ticker.load().health(), Health::Disconnected { .. }));
    // Demand changes meanwhile.
    let late = engine.subscribe(ticker("BTC-ETH")).unwrap();
    drop(held.pop());
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(record.connections(), [connection]);
    server.inject(Fault::RefuseConnects(false));

    late.wait_confirmed(TIMEOUT).unwrap();
    held.iter().for_each(|held| held.wait_confirmed(TIMEOUT).unwrap());
    assert_eq!(record.connections().len(), 2);
    let restored = record.requested(record.connections()[1]);
    let gone: BTreeSet<String> =
        markets("KRW").chunks(3).last().unwrap().iter().map(|code| format!("candle.1m {code}")).collect();
    let expected: BTreeSet<String> = carried.difference(&gone).cloned().chain(["ticker BTC-ETH".to_owned()]).collect();
    assert_eq!(restored.len(), 1, "one request restores everything");
    assert_eq!(restored[0].keys().cloned().collect::<BTreeSet<_>>(), expected);
    let fresh = |(name, mode): (&String, &RequestMode)| (*mode == RequestMode::All) == (name != "ticker BTC-XRP");
    assert!(restored[0].iter().all(fresh), "on a new socket no stream runs yet, so snapshots are requested");
    assert!(held_ticker.load().epoch() > before && held_ticker.load().health().is_live());
    assert!(feed.wait(TIMEOUT).unwrap(), "feeds continue");
    drop(changes);
    finish(engine, &server);
}

/// 5-2: 100 widgets with ten streams each, while the engine connects.
#[test]
fn a_burst_of_a_hundred_widgets_is_one_request() {
    let (server, record, engine) = start();
    server.inject(Fault::Stall(true));
    let coins = markets("");
    let types = [DataType::Ticker, DataType::Trade, DataType::Orderbook, DataType::Candle(Interval::Second1)];
    let mut expected = BTreeSet::new();
    let mut held = Vec::new();
    for widget in 0..100 {
        // A thousand single subscriptions, as widgets make them.
        for n in 0..10 {
            let (data_type, coin) = (types[(widget + n) % 4], &coins[(widget * 7 + n) % coins.len()]);
            held.push(engine.subscribe(Subscription::of(data_type, coin)).unwrap());
            expected.insert(format!("{data_type} {coin}"));
        }
    }
    eventually("everything is planned", || engine.subscriptions().wire_streams == expected.len());
    std::thread::sleep(SETTLE_TIME);
    server.inject(Fault::Stall(false));
    eventually_wire(&record, &expected);
    engine.wait_ready(TIMEOUT).unwrap();
    assert_eq!((held.len(), record.requests()), (1000, 1));
    finish(engine, &server);
}

// ---- the checklist ----
//
// The sections above cover a single type, cleanup, composites and replacing. Not covered here: the account's streams,
// and the stability of an hour, which is a soak test. Hours pass under virtual time in tests/protocol/session_simulation.rs.

#[test]
fn many_codes_and_adding_to_them() {
    let (server, record) = exchange(1.0, 100);
    let engine = builder(&server).start().unwrap();
    let coins = crate::common::markets(100);
    let few = engine.subscribe(ticker(&coins[..5])).unwrap();
    eventually("few codes", || record.wire().len() == 5);
    // A hundred codes in three types, in one request. The earlier streams stay.
    let all = engine.subscribe(trade(&coins).and(orderbook(&coins)).and(candle(Interval::Minute1, &coins))).unwrap();
    eventually("a hundred codes", || record.wire().len() == 305);
    assert_eq!(record.requests(), 2);
    all.wait_confirmed(TIMEOUT).unwrap();
    few.wait_confirmed(TIMEOUT).unwrap();
    drop(all);
    eventually("few codes again", || record.wire().len() == 5);
    finish(engine, &server);
}

#[test]
fn ten_clients_on_one_code_are_one_stream() {
    let (server, record, engine) = start();
    let mut feeds: Vec<Feed<Trade>> =
        (0..10).map(|_| engine.feed(trade("KRW-BTC"), Overflow::DROP_NEWEST).unwrap()).collect();
    eventually_wire(&record, &names(["trade"], &["KRW-BTC"]));
    let mut got = vec![Vec::new(); 10];
    let thirty = |got: &Vec<crate::common::Message>, from: &crate::common::Message| -> Vec<_> {
        let realtime = got.iter().filter(|message| !message.is_snapshot);
        realtime.skip_while(|message| *message != from).take(30).cloned().collect()
    };
    let mut first = None;
    eventually("every feed gets trades", || {
        feeds.iter_mut().zip(&mut got).for_each(|(feed, got)| drain(feed, got));
        // On a busy machine the first feeds get a trade before the last one is open.
        first = got[9].iter().find(|message| !message.is_snapshot).cloned();
        first.as_ref().is_some_and(|first| got.iter().all(|got| thirty(got, first).len() == 30))
    });
    let first = first.expect("there are thirty trades");
    assert!(got.iter().all(|other| thirty(other, &first) == thirty(&got[0], &first)), "every feed gets the same");
    assert_eq!(record.requests(), 1);
    // Dropping nine of them sends no request.
    feeds.truncate(1);
    std::thread::sleep(SETTLE_TIME);
    assert_eq!(record.requests(), 1);
    assert!(feeds[0].wait(TIMEOUT).unwrap());
    finish(engine, &server);
}

#[test]
fn twenty_subscriptions_at_50_ms_stay_within_the_limit() {
    let (server, record, engine) = start();
    let coins = markets("");
    let held: Vec<Subscribed> = coins[..20]
        .iter()
        .map(|coin| {
            std::thread::sleep(Duration::from_millis(50));
            engine.subscribe(ticker(coin)).unwrap()
        })
        .collect();
    let expected = coins[..20].iter().map(|coin| format!("ticker {coin}")).collect();
    eventually_wire(&record, &expected);
    engine.wait_ready(TIMEOUT).unwrap();
    assert!(record.requests() < 20, "requests were merged: {}", record.requests());
    drop(held);
    finish(engine, &server);
}

#[test]
fn errors_are_reported_and_survived() {
    let (server, record, engine) = start();
    assert!(engine.subscribe(ticker("btc")).is_err(), "refused before it reaches the exchange");
    let held = engine.subscribe(ticker("KRW-BTC")).unwrap();
    held.wait_confirmed(TIMEOUT).unwrap();
    server.inject(Fault::ErrorNow(ErrorName::WrongFormat));
    eventually("a new socket carries the same streams", || record.connections().len() == 2);
    assert_eq!(record.wire(), names(["ticker"], &["KRW-BTC"]));
    engine.wait_ready(TIMEOUT).unwrap();
    finish(engine, &server);
}

#[test]
fn four_charts_and_a_bot() {
    let (server, record, engine) = start();
    let chart =
        |coin: &str, interval| engine.subscribe(candle(interval, coin).and(orderbook(coin).levels(15))).unwrap();
    let mut charts: Vec<Subscribed> = [
        ("KRW-BTC", Interval::Minute1),
        ("KRW-ETH", Interval::Minute5),
        ("KRW-XRP", Interval::Minute15),
        ("KRW-SOL", Interval::Minute60),
    ]
    .into_iter()
    .map(|(coin, interval)| chart(coin, interval))
    .collect();
    let coins = &markets("KRW")[..20];
    let mut bot = engine.feed(trade(coins).and(ticker(coins)), Overflow::DROP_NEWEST).unwrap();
    let of_bot: BTreeSet<String> = coins.iter().flat_map(|c| [format!("trade {c}"), format!("ticker {c}")]).collect();
    let books = names(["orderbook"], &["KRW-BTC.15", "KRW-ETH.15", "KRW-XRP.15", "KRW-SOL.15"]);
    let candles = ["candle.1m KRW-BTC", "candle.5m KRW-ETH", "candle.15m KRW-XRP", "candle.60m KRW-SOL"];
    let candles: BTreeSet<String> = candles.map(str::to_owned).into();
    eventually_wire(&record, &union([of_bot.clone(), books, candles.clone()]));
    engine.wait_ready(TIMEOUT).unwrap();

    // One chart changes its coin. The bot is not affected.
    charts[0] = chart("KRW-DOGE", Interval::Minute1);
    let books = names(["orderbook"], &["KRW-DOGE.15", "KRW-ETH.15", "KRW-XRP.15", "KRW-SOL.15"]);
    let candles: BTreeSet<String> = candles.iter().map(|name| name.replace("KRW-BTC", "KRW-DOGE")).collect();
    eventually_wire(&record, &union([of_bot, books, candles]));
    let connection = record.connections()[0];
    let is_bots =
        |m: &crate::common::Message| !m.is_snapshot && (m.stream.starts_with("trade") || m.stream.starts_with("tick"));
    eventually("many messages are sent", || record.sent(connection, is_bots).len() > 100);
    let sent = record.sent(connection, is_bots);
    let mut got = Vec::new();
    eventually("the bot has every message", || {
        drain(&mut bot, &mut got);
        got.iter().filter(|message| !message.is_snapshot).count() >= sent.len()
    });
    let got: Vec<_> = got.into_iter().filter(|message| !message.is_snapshot).take(sent.len()).collect();
    assert!(got == sent, "every change, in order");
    drop(charts);
    finish(engine, &server);
}

// ---- batches ----

#[test]
fn twelve_subscriptions_over_three_windows_are_three_requests() {
    let (server, record) = exchange(5.0, 40);
    let engine = builder(&server).pacing(Pacing::Conservative).ticker("KRW-BTC").start().unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    let coins = markets("");
    let mut held = Vec::new();
    let mut expected = names(["ticker"], &["KRW-BTC"]);
    for window in 0..3 {
        let four = || [0, 1, 2, 3].map(|n| engine.subscribe(trade(&coins[window * 4 + n])).unwrap());
        let (four, requests) = in_one_window(&engine, &record, four, drop);
        assert_eq!(requests, 1);
        held.extend(four);
        expected.extend((0..4).map(|n| format!("trade {}", coins[window * 4 + n])));
        eventually_wire(&record, &expected);
    }
    assert_eq!(held.len(), 12);
    finish(engine, &server);
}

/// The stream was never on the wire, so no grace period of any length keeps it there.
#[test]
fn a_stream_added_and_dropped_within_a_window_is_never_requested() {
    let (server, record) = exchange(5.0, 40);
    for grace in [Duration::ZERO, Duration::from_secs(5)] {
        let pacing = Pacing::Conservative;
        let engine = builder(&server).pacing(pacing).grace(grace).ticker("KRW-BTC").start().unwrap();
        engine.wait_ready(TIMEOUT).unwrap();
        let add_and_drop = || drop(engine.subscribe(trade("KRW-ETH").and(orderbook("KRW-ETH"))).unwrap());
        let ((), requests) = in_one_window(&engine, &record, add_and_drop, |()| ());
        assert_eq!(requests, 0, "with a grace of {grace:?}");
        finish(engine, &server);
    }
}
