//! The calls that small programs use: one value, loops over a feed, and the end of every wait.

use std::time::Duration;

use crate::common::{TIMEOUT, builder, eventually, eventually_wire, exchange, finish, markets};
use hoga::Noun;
use hoga::error::{Error, NotReadyReason};
use hoga::prelude::*;
use hoga_exchange::Fault;

/// Subscribes to one stream in one call, and checks that its value is of that stream and was received.
#[track_caller]
fn get<T: Noun>(engine: &Engine, subscription: Subscription<T>, key: &str) {
    let update = engine.get(subscription, TIMEOUT).unwrap();
    assert_eq!(update.value.key().to_string(), key);
    assert!(update.version > 0 && update.epoch > Epoch(0) && update.stamps.received > hoga::Nanos(0));
}

#[test]
fn one_call_returns_the_first_value_of_a_stream_of_any_type() {
    let (server, record) = exchange(50.0, 10);
    let engine = builder(&server).grace(Duration::from_secs(60)).start().unwrap();
    get(&engine, ticker("KRW-BTC"), "ticker KRW-BTC");
    get(&engine, trade("KRW-BTC"), "trade KRW-BTC");
    get(&engine, orderbook("KRW-BTC").levels(5), "orderbook KRW-BTC");
    let intervals = DataType::ALL.into_iter().filter_map(|data_type| match data_type {
        DataType::Candle(interval) => Some(interval),
        _ => None,
    });
    for interval in intervals {
        get(&engine, candle(interval, "KRW-BTC"), &format!("{} KRW-BTC", DataType::Candle(interval)));
    }
    let requests = record.requests();
    get(&engine, ticker("KRW-BTC"), "ticker KRW-BTC");
    assert_eq!((record.requests(), engine.subscriptions().holders), (requests, 0), "the grace period keeps it");
    finish(engine, &server);
}

#[test]
fn one_call_that_gets_no_value_says_which_is_missing_and_why() {
    let (server, _record) = exchange(50.0, 10);
    let engine = builder(&server).confirm_within(Duration::from_millis(200)).start().unwrap();
    let error = engine.get(ticker("KRW-NOPE"), TIMEOUT).unwrap_err();
    let Error::NotReady(missing) = &error else { panic!("{error}") };
    let [(key, NotReadyReason::UnknownMarket)] = &missing.streams[..] else { panic!("{error}") };
    assert_eq!(key.to_string(), "ticker KRW-NOPE");
    let quotes = engine.pool().tickers(["KRW-NOPE"]).load().map(|(_, quote)| format!("{quote:?}")).collect::<Vec<_>>();
    assert_eq!(quotes, ["NoSuchMarket"]);
    let several = engine.get(ticker(["KRW-BTC", "KRW-ETH"]), TIMEOUT).unwrap_err();
    assert_eq!(several.code(), "INVALID_ARGUMENT", "{several}");
    let misspelled = engine.get(ticker("krw-btc"), TIMEOUT).unwrap_err();
    assert!(misspelled.to_string().contains("krw-btc"), "{misspelled}");
    finish(engine, &server);
}

#[test]
fn one_call_waits_for_the_next_socket_if_the_connection_is_lost() {
    let (server, _record) = exchange(50.0, 10);
    let engine = builder(&server).grace(Duration::from_secs(60)).start().unwrap();
    let before = engine.get(ticker("KRW-BTC"), TIMEOUT).unwrap();
    server.inject(Fault::DropAll);
    eventually("it is lost", || {
        engine.connections()[0].epoch > before.epoch || !engine.connections()[0].state.is_open()
    });
    let after = engine.get(ticker("KRW-BTC"), TIMEOUT).unwrap();
    assert!(after.epoch > before.epoch, "{} then {}", before.epoch, after.epoch);
    engine.shutdown(TIMEOUT).into_result().unwrap();
    assert!(matches!(engine.get(ticker("KRW-BTC"), TIMEOUT), Err(Error::Stopped)));
}

/// A hundred markets by code and by pattern, with one that does not exist.
#[test]
fn a_batch_reports_a_hundred_markets_of_an_engine() {
    let (server, _record) = exchange(50.0, 104);
    // Without the markets of `panics`, whose planted panics hit the first engine that carries them.
    let codes = markets(104).split_off(4);
    let engine = builder(&server).universe(codes.iter().map(|code| code.parse().unwrap())).ticker("*").start().unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    let mut named = codes.clone();
    named.push("KRW-NOPE".to_owned());
    let mut quotes = engine.pool().tickers(named);
    assert_eq!(quotes.load().filter(|(_, quote)| quote.value().is_some()).count(), 100);
    assert!(matches!(quotes.load().last(), Some(("KRW-NOPE", Quote::NotSubscribed))));

    let mut all = engine.pool().tickers("*");
    assert_eq!(all.load().len(), 100);
    engine.set_universe(codes.iter().skip(1).map(|code| code.parse().unwrap()));
    let gone = |(market, quote): (&str, Quote<'_, Ticker>)| market == codes[0] && matches!(quote, Quote::NoSuchMarket);
    eventually("it is delisted", || all.load().any(gone));
    finish(engine, &server);
}

#[test]
fn after_a_shutdown_every_wait_ends_with_stopped() {
    let (server, _record) = exchange(50.0, 10);
    let engine = builder(&server).ticker("KRW-BTC").start().unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    let btc = engine.pool().ticker("KRW-BTC").unwrap();
    let nothing = engine.subscribe(ticker("KRW-NOPE")).unwrap();
    let mut feeds = [Overflow::Conflate, Overflow::DropOldest, Overflow::DROP_NEWEST]
        .map(|overflow| engine.feed(trade("KRW-BTC"), overflow).unwrap());
    let mut waited = engine.feed(trade("KRW-ETH"), Overflow::default()).unwrap();
    let callback = engine.callback("all").run(trade("KRW-BTC"), Overflow::default(), |_| ()).unwrap();
    let wait_newer = || loop {
        if let Err(end) = btc.wait_newer(btc.version(), Duration::MAX) {
            return Error::from(end);
        }
    };
    let wait_feed = || loop {
        if let Err(end) = waited.wait(Duration::MAX) {
            return end;
        }
        waited.by_ref().for_each(drop);
    };
    std::thread::scope(|scope| {
        let stopped = [
            scope.spawn(|| engine.wait_revisions(TIMEOUT, |_| false).unwrap_err()),
            scope.spawn(|| nothing.wait_confirmed(Duration::MAX).unwrap_err()),
            scope.spawn(|| engine.get(ticker("KRW-NOPE"), Duration::MAX).unwrap_err()),
            scope.spawn(wait_newer),
            scope.spawn(wait_feed),
        ];
        let read = feeds.each_mut().map(|feed| scope.spawn(|| feed.blocking().count()));
        engine.shutdown(TIMEOUT).into_result().unwrap();
        for wait in stopped {
            let end = wait.join().unwrap();
            assert!(matches!(end, Error::Stopped), "{end}");
        }
        for count in read {
            count.join().unwrap();
        }
    });
    eventually("the callback has ended", || callback.state() == hoga::status::CallbackState::Ended);
    // And those that begin later.
    assert!(matches!(engine.wait_ready(TIMEOUT), Err(Error::Stopped)));
    assert!(matches!(nothing.wait_confirmed(TIMEOUT), Err(Error::Stopped)));
    assert!(matches!(engine.wait_revisions(TIMEOUT, |_| false), Err(Error::Stopped)));
    assert!(matches!(feeds[0].wait(TIMEOUT), Err(Error::Stopped)));
    assert!(feeds[0].blocking().next().is_none());
}

#[test]
fn a_held_subscription_is_widened_and_narrowed_and_the_others_are_not_touched() {
    let (server, record) = exchange(50.0, 10);
    let engine = builder(&server).start().unwrap();
    let held = engine.subscribe(ticker(["KRW-BTC", "KRW-ETH"])).unwrap();
    held.wait_confirmed(TIMEOUT).unwrap();
    let before = held.revision();
    held.widen(orderbook("KRW-BTC").and(ticker("KRW-XRP"))).unwrap();
    assert!(held.revision() > before);
    held.wait_confirmed(TIMEOUT).unwrap();
    let wire = |streams: &[&str]| streams.iter().map(|stream| stream.to_string()).collect();
    eventually_wire(&record, &wire(&["orderbook KRW-BTC", "ticker KRW-BTC", "ticker KRW-ETH", "ticker KRW-XRP"]));
    held.narrow(["KRW-BTC", "KRW-NOPE"]).unwrap();
    eventually_wire(&record, &wire(&["ticker KRW-ETH", "ticker KRW-XRP"]));
    assert_eq!(held.keys().len(), 2);
    assert_eq!(held.narrow("krw-eth").unwrap_err().code(), "INVALID_ARGUMENT");

    let feed = engine.feed(trade(["KRW-BTC", "KRW-ETH"]), Overflow::default()).unwrap();
    let subscribed = feed.subscribed().unwrap();
    assert_eq!(subscribed.widen(trade("KRW-XRP")).unwrap_err().code(), "INVALID_ARGUMENT");
    subscribed.narrow("KRW-BTC").unwrap();
    eventually_wire(&record, &wire(&["ticker KRW-ETH", "ticker KRW-XRP", "trade KRW-ETH"]));
    drop((held, feed));
    assert_eq!(engine.subscriptions().holders, 0);
    finish(engine, &server);
}

#[test]
fn a_client_lists_what_it_holds_and_cancels_by_id_and_by_market() {
    let (server, record) = exchange(50.0, 10);
    let all = markets(10);
    let engine =
        builder(&server).universe(all.iter().map(|code| code.parse().unwrap())).ticker("KRW-XRP").start().unwrap();
    let (client, other) = (engine.client("chart").unwrap(), engine.client("other").unwrap());
    let prices = client.subscribe(ticker(["KRW-BTC", "KRW-ETH"])).unwrap();
    let mut trades = client.feed(trade("KRW-BTC"), Overflow::default()).unwrap();
    let held = client.held();
    assert_eq!(held.iter().map(|held| held.id).collect::<Vec<_>>(), [prices.id(), trades.subscribed().unwrap().id()]);
    assert_eq!(held[1].streams.iter().map(StreamKey::to_string).collect::<Vec<_>>(), ["trade KRW-BTC"]);
    assert!(!other.cancel(prices.id()), "only its holder cancels it");

    client.cancel_markets("KRW-ETH").unwrap();
    assert_eq!(prices.keys().len(), 1);
    assert!(client.cancel(trades.subscribed().unwrap().id()) && !client.cancel(trades.subscribed().unwrap().id()));
    assert!(trades.blocking().all(|item| matches!(item, Item::Data(_))), "and then the feed ends");
    let wire = ["ticker KRW-BTC", "ticker KRW-XRP"].map(str::to_owned).into();
    eventually_wire(&record, &wire);
    assert!(client.cancel(prices.id()));
    assert!(matches!(prices.wait_confirmed(TIMEOUT), Err(Error::LeaseExpired)));
    assert!(matches!(prices.widen(ticker("KRW-ETH")), Err(Error::LeaseExpired)));

    let pattern = client.subscribe(orderbook("KRW-*")).unwrap();
    assert_eq!(pattern.keys().len(), all.iter().filter(|code| code.starts_with("KRW-")).count());
    let refused = client.cancel_markets(&*all[0]).unwrap_err();
    assert!(refused.to_string().contains("KRW-*"), "{refused}");
    client.cancel_markets("KRW-*").unwrap();
    assert!(pattern.keys().is_empty());
    finish(engine, &server);
}

#[test]
fn fifty_feeds_with_the_default_policy_take_megabytes() {
    let (server, _record) = exchange(50.0, 10);
    let engine = builder(&server).start().unwrap();
    let mixed = || ticker("KRW-BTC").and(trade("KRW-BTC"));
    let feeds: Vec<_> = (0..50).map(|_| engine.feed(mixed(), Overflow::default()).unwrap()).collect();
    let bytes: u64 = engine.feeds().iter().map(|feed| feed.bytes).sum();
    assert!(bytes <= 50 * (Overflow::BY_TYPE_BYTES as u64 + 4096), "{bytes} bytes");
    drop(feeds);
    finish(engine, &server);
}
