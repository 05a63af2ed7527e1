//! Requests that the exchange refuses because of some of their streams.

use std::time::Duration;

use crate::common::{TIMEOUT, builder, eventually, exchange, markets};
use hoga::error::NotReadyReason;
use hoga::prelude::*;
use hoga::status::ConflictKind;
use hoga_exchange::Fault;

fn refuse(type_name: &str, code: Option<&str>, on: bool) -> Fault {
    Fault::RefuseStreams { type_name: type_name.to_owned(), code: code.map(str::to_owned), on }
}

/// One bad stream once sent all streams of its connection into an endless loop.
#[test]
fn a_stream_that_the_exchange_refuses_is_left_out_by_name_and_all_others_flow() {
    let (server, _) = exchange(10.0, 40);
    let all = markets(40);
    let engine = builder(&server).subscribe(ticker(&all)).start().unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    server.inject(refuse("trade", Some(&all[7]), true));

    let trades = engine.subscribe(trade(&all)).unwrap();
    let error = trades.wait_confirmed(TIMEOUT).unwrap_err();
    let hoga::Error::NotReady(not_ready) = &error else { panic!("{error}") };
    let refused = StreamKey::of(DataType::Trade, all[7].parse().unwrap());
    assert_eq!(not_ready.keys().collect::<Vec<_>>(), [refused]);
    let (_, NotReadyReason::RefusedByExchange(reason)) = &not_ready.streams[0] else { panic!("{error}") };
    assert!(reason.starts_with("INVALID_PARAM"), "{error}");

    let conflicts = engine.conflicts();
    assert!(conflicts.iter().any(|conflict| conflict.kind == ConflictKind::Refused), "{conflicts:?}");
    assert!(engine.pool().trade(&*all[7]).is_err(), "it is not subscribed");
    eventually("all other streams are live", || {
        engine.pool().streams().iter().all(|status| status.key == refused || status.health.is_live())
    });
    let sockets = engine.connections()[0].counters.opened;
    assert!(sockets < 20, "{sockets} sockets to find one of 40 streams");

    // The exchange accepts it from now on, but it is tried again at once only if it was dropped in between.
    server.inject(refuse("trade", Some(&all[7]), false));
    drop(trades);
    eventually("the trades have left the wire", || engine.subscriptions().wire_streams == 40);
    engine.subscribe(trade(&*all[7])).unwrap().wait_confirmed(TIMEOUT).unwrap();
}

#[test]
fn a_type_that_the_exchange_refuses_is_left_out_and_costs_few_sockets() {
    let (server, _) = exchange(10.0, 60);
    let all = markets(60);
    server.inject(refuse("candle.1s", None, true));
    let engine = builder(&server).start().unwrap();
    let tickers = engine.subscribe(ticker(&all)).unwrap();
    let candles = engine.subscribe(candle(Interval::Second1, &all)).unwrap();
    let error = candles.wait_confirmed(TIMEOUT).unwrap_err();
    let hoga::Error::NotReady(not_ready) = &error else { panic!("{error}") };
    assert_eq!(not_ready.streams.len(), 60);
    tickers.wait_confirmed(TIMEOUT).unwrap();
    assert!(engine.connections()[0].counters.opened < 25, "{:?}", engine.connections()[0].counters);
    // Nothing is tried any more.
    let dials = engine.connections()[0].counters.dials;
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(engine.connections()[0].counters.dials, dials);
}
