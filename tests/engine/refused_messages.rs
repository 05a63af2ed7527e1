//! Messages that cannot be read or differ from the documented ones: what watchers, waits and the status report.

use std::time::Duration;

use hoga::engine::{Lifecycle, LifecycleEvent};
use hoga::error::{NotReady, NotReadyReason};
use hoga::prelude::*;
use hoga::session;
use hoga::status::HealthReason;
use serde_json::{Value, json};

use crate::scripted::{REALTIME, SNAPSHOT, Scripted, TIMEOUT, eventually, ticker_json};

/// Returns a ticker without a price.
fn refused(code: &str) -> Value {
    let mut ticker = ticker_json(code, 1.0, 1_700_000_000_000, SNAPSHOT);
    ticker["trade_price"] = Value::Null;
    ticker
}

/// Waits until the engine has refused this number of messages.
#[track_caller]
fn await_refused(engine: &Engine, count: u64) {
    eventually("all messages are refused", || engine.connections()[0].counters.malformed == count);
}

/// Returns the reports that wait.
fn waiting(lifecycle: &Lifecycle) -> Vec<session::Event> {
    let event = |report| match report {
        LifecycleEvent::Connection { event, .. } => Some(event),
        _ => None,
    };
    std::iter::from_fn(|| lifecycle.try_next()).filter_map(event).collect()
}

#[track_caller]
fn not_ready(result: hoga::Result<()>) -> NotReady {
    match result {
        Err(hoga::Error::NotReady(not_ready)) => not_ready,
        other => panic!("{other:?}"),
    }
}

/// Each refused message was once a report of its own. A watcher's queue was full after 1024, so it never learned that
/// the socket had ended.
#[test]
fn a_flood_of_refused_messages_hides_no_disconnect_from_a_watcher() {
    const FLOOD: u64 = 20_000;
    let exchange = Scripted::start();
    let engine = exchange.builder().start().unwrap();
    let lifecycle = engine.lifecycle(); // not read during the flood
    let _btc = engine.subscribe(ticker("KRW-BTC")).unwrap();
    let socket = exchange.socket();
    socket.request();
    let began = engine.now();
    (0..FLOOD).for_each(|_| socket.send([refused("KRW-BTC")]));
    await_refused(&engine, FLOOD);
    drop(socket);
    eventually("the socket has ended", || engine.connections()[0].counters.disconnects == 1);
    let seconds = engine.now().since(began).as_secs();
    let reports = waiting(&lifecycle);
    assert_eq!(lifecycle.dropped(), 0);
    assert!(reports.iter().any(|event| matches!(event, session::Event::Disconnected { .. })), "{reports:#?}");
    let count = |event: &session::Event| match event {
        session::Event::Malformed { count, .. } => Some(*count),
        _ => None,
    };
    let counts: Vec<_> = reports.iter().filter_map(count).collect();
    assert_eq!((counts[0], counts.iter().sum::<u64>()), (1, FLOOD), "{counts:?}");
    assert!(counts.len() as u64 <= seconds + 3, "one report per second: {counts:?}");
}

#[test]
fn a_wait_names_refused_messages_for_their_streams_and_no_others() {
    let exchange = Scripted::start();
    let engine = exchange.builder().ticker(["KRW-BTC", "KRW-ETH", "KRW-XRP"]).start().unwrap();
    let socket = exchange.socket();
    socket.request();
    socket.send([ticker_json("KRW-BTC", 1.0, 1_700_000_000_000, SNAPSHOT), refused("KRW-ETH"), refused("KRW-ETH")]);
    await_refused(&engine, 2);
    let error = not_ready(engine.wait_ready(Duration::ZERO));
    let [(eth, NotReadyReason::RefusedMessages { refused: of_eth, .. }), (xrp, NotReadyReason::NoDataYet)] =
        &error.streams[..]
    else {
        panic!("{error:?}")
    };
    assert_eq!((eth.to_string(), xrp.to_string()), ("ticker KRW-ETH".to_owned(), "ticker KRW-XRP".to_owned()));
    assert_eq!((of_eth.count, of_eth.first.stream), (2, Some(*eth)));
    let why = "connected, and 2 messages were refused, the first (ticker KRW-ETH) because field trade_price is empty";
    assert!(error.to_string().contains(why), "{error}");
    let status = engine.connections().remove(0).refused.all().unwrap();
    assert_eq!(status.to_string(), why, "the status says the same");

    // A message of a stream that nobody asked for says nothing about the others.
    let btc = engine.pool().ticker("KRW-BTC").unwrap();
    socket.send([refused("KRW-DOGE")]);
    await_refused(&engine, 3);
    assert!(btc.load().health().is_undisputed(), "{}", btc.load().health());

    // A message whose stream cannot be read may be of any stream, also of one that has a value.
    socket.send([json!([])]);
    await_refused(&engine, 4);
    let error = not_ready(engine.wait_ready(Duration::ZERO));
    let counts = error.streams.iter().map(|(_, reason)| match reason {
        NotReadyReason::RefusedMessages { refused, .. } => refused.count,
        other => panic!("{other:?}"),
    });
    assert_eq!(counts.collect::<Vec<_>>(), [1, 2, 1]);
    assert_eq!(btc.load().health().reason(), Some(HealthReason::RefusedUnnamed));

    // The next socket starts without refused messages.
    drop(socket);
    let socket = exchange.socket();
    socket.request();
    eventually("the new socket is open", || engine.connections()[0].refused.all().is_none());
    let error = not_ready(engine.wait_ready(Duration::ZERO));
    assert!(error.streams.iter().all(|(_, reason)| *reason == NotReadyReason::NoDataYet), "{error}");
}

/// A stream whose messages are refused has no data after two requests, as if its market did not exist.
#[test]
fn a_market_whose_messages_are_refused_is_not_called_unknown() {
    let exchange = Scripted::start();
    let engine = exchange.builder().confirm_within(Duration::from_millis(50)).start().unwrap();
    let eth = engine.subscribe(ticker("KRW-ETH")).unwrap();
    let socket = exchange.socket();
    socket.request();
    socket.send([refused("KRW-ETH")]);
    await_refused(&engine, 1);
    let error = not_ready(eth.wait_confirmed(TIMEOUT));
    assert!(matches!(error.streams[..], [(_, NotReadyReason::RefusedMessages { .. })]), "{error}");
    assert!(!engine.subscriptions().unconfirmed.is_empty(), "it is unconfirmed nevertheless");
}

#[test]
fn a_difference_from_the_documented_messages_is_reported_to_watchers_once_and_counted() {
    let exchange = Scripted::start();
    let engine = exchange.builder().format(Format::Default).start().unwrap();
    let lifecycle = engine.lifecycle();
    let mut btc = engine.feed(ticker("KRW-BTC"), Overflow::DROP_NEWEST).unwrap();
    let mut receive = |price: f64| {
        assert!(btc.wait(TIMEOUT));
        while let Some(item) = btc.pop() {
            assert!(!matches!(item, Item::Data(update) if update.value.trade_price != price));
        }
    };
    let drifted = |price: f64| {
        let stream_type = if price == 1.0 { SNAPSHOT } else { REALTIME };
        let mut ticker = ticker_json("KRW-BTC", price, 1_700_000_000_000 + price as u64, stream_type);
        ticker["market_mood"] = json!("calm");
        ticker
    };
    let drifts = |lifecycle: &Lifecycle| {
        let text = |event| if let session::Event::Drift(drift) = event { Some(drift.to_string()) } else { None };
        waiting(lifecycle).into_iter().filter_map(text).collect::<Vec<_>>()
    };
    let socket = exchange.socket();
    socket.request();
    socket.send([drifted(1.0)]);
    receive(1.0);
    socket.send([drifted(2.0)]);
    receive(2.0);
    let expected = "ticker (DEFAULT): new field market_mood, ignored; first value \"calm\"";
    let unknown_keys = || engine.connections()[0].counters.decode.drift.unknown_keys;
    eventually("both are counted", || unknown_keys() == 2);
    assert_eq!(drifts(&lifecycle), [expected]);
    drop(socket);
    let socket = exchange.socket();
    socket.request();
    socket.send([drifted(3.0)]);
    eventually("the third is counted", || unknown_keys() == 3);
    assert_eq!(drifts(&lifecycle), [""; 0], "the connection reports it once");
}
