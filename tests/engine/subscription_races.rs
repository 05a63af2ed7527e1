//! Many threads change the desired set at once, over a real socket. In the end the wire carries the held streams, and
//! no holder notices the others. The tests compare with the requests and messages of the exchange.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use crate::common::{Message, RequestMode, TIMEOUT, builder, drain, eventually, exchange, finish};
use hoga::config::{Limits, UPBIT};
use hoga::feed::Payload;
use hoga::plan::{CheckedSubscription, Mode, StreamSpec};
use hoga::prelude::*;
use hoga_testing::Rng;

const THREADS: u64 = 16;
const OPERATIONS: usize = 10_000;

/// Returns a random subscription: one or two streams, in any mode and depth.
fn any_subscription(rng: &mut Rng, markets: &[String]) -> Subscription {
    let first = any_stream(rng, markets);
    if rng.below(2) == 0 { first } else { first.and(any_stream(rng, markets)) }
}

fn any_stream(rng: &mut Rng, markets: &[String]) -> Subscription {
    let market = &markets[rng.below(markets.len())];
    let one = match rng.below(5) {
        0 => ticker(market).mixed(),
        1 => trade(market).mixed(),
        2 => candle(Interval::Minute1, market).mixed(),
        3 => orderbook(market).levels([1, 5, 15, 30][rng.below(4)]).mixed(),
        _ => orderbook(market).mixed(),
    };
    match rng.below(4) {
        0 => one.only_realtime(),
        1 => one.only_snapshot(),
        _ => one,
    }
}

/// A sequential model: returns the wire names and modes that serve all held streams, in any order.
fn model(held: &[Vec<StreamSpec>]) -> BTreeMap<String, Mode> {
    let mut union: BTreeMap<StreamKey, StreamSpec> = BTreeMap::new();
    for spec in held.iter().flatten() {
        let merged = union.entry(spec.key).or_insert(*spec);
        merged.mode = if merged.mode == spec.mode { spec.mode } else { Mode::All };
        merged.depth = merged.depth.max(spec.depth);
    }
    let suffix = |spec: &StreamSpec| spec.depth.count().map(|levels| format!(".{levels}")).unwrap_or_default();
    union.values().map(|spec| (format!("{}{}", spec.key, suffix(spec)), spec.mode)).collect()
}

/// Returns whether a request serves a mode. A running stream may be requested without another snapshot.
fn serves(requested: RequestMode, mode: Mode) -> bool {
    match mode {
        Mode::All => requested != RequestMode::Snapshot,
        Mode::SnapshotOnly => requested == RequestMode::Snapshot,
        Mode::RealtimeOnly => requested == RequestMode::Realtime,
    }
}

#[test]
fn after_changes_by_sixteen_threads_the_wire_carries_exactly_the_held_streams() {
    let (server, record) = exchange(1.0, 40);
    let engine = builder(&server).ticker("KRW-BTC").start().unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    let (markets, gate) = (crate::common::markets(40), Barrier::new(THREADS as usize));
    let kept: Vec<(Subscribed, Vec<StreamSpec>)> = std::thread::scope(|scope| {
        let work = |seed| {
            let (engine, markets, gate) = (&engine, &markets, &gate);
            scope.spawn(move || {
                let (mut rng, mut held) = (Rng::new(seed), Vec::new());
                gate.wait();
                for _ in 0..OPERATIONS {
                    if held.len() < 4 && rng.below(2) == 0 {
                        let subscription = any_subscription(&mut rng, markets);
                        let specs = CheckedSubscription::of(subscription.clone(), &UPBIT).unwrap().specs;
                        held.push((engine.subscribe(subscription).unwrap(), specs));
                    } else if !held.is_empty() {
                        drop(held.swap_remove(rng.below(held.len())));
                    }
                }
                held
            })
        };
        let threads: Vec<_> = (0..THREADS).map(work).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let mut specs: Vec<Vec<StreamSpec>> = kept.iter().map(|(_, specs)| specs.clone()).collect();
    specs.push(CheckedSubscription::of(ticker("KRW-BTC"), &UPBIT).unwrap().specs);
    let expected = model(&specs);
    let is_right = || {
        let requested = record.last_request();
        requested.len() == expected.len()
            && expected
                .iter()
                .all(|(name, mode)| requested.get(name).is_some_and(|requested| serves(*requested, *mode)))
    };
    eventually("the wire carries the held streams", is_right);
    // The wire stays unchanged.
    std::thread::sleep(Duration::from_millis(500));
    assert!(is_right(), "{:?} instead of {expected:?}", record.last_request());
    assert_eq!(server.stats().connections, 1);
    finish(engine, &server);
}

/// Asserts that all messages sent for a feed arrive, in order.
#[track_caller]
fn nothing_is_missing<T: Payload + Into<Event>>(feed: &mut Feed<T>, sent: &[Message]) {
    let mut got = Vec::new();
    eventually("the feed has caught up", || {
        drain(feed, &mut got);
        got.iter().filter(|message| !message.is_snapshot).count() >= sent.len()
    });
    let changes = got.iter().filter(|message| !message.is_snapshot);
    for (at, (got, sent)) in changes.zip(sent).enumerate() {
        assert_eq!(got, sent, "message {at} of {}", sent.stream);
    }
}

#[test]
fn clients_that_join_and_leave_interrupt_no_others() {
    let (server, record) = exchange(10.0, 40);
    let engine = builder(&server).start().unwrap();
    let markets = crate::common::markets(40);
    let (mine, others) = markets.split_at(10);
    let mut trades = engine.feed(trade(mine), Overflow::DropNewest { capacity: 32_768 }).unwrap();
    let mut books = engine.feed(orderbook(mine), Overflow::DropNewest { capacity: 32_768 }).unwrap();
    eventually("both are requested", || record.last_request().len() == 20);
    engine.wait_ready(TIMEOUT).unwrap();
    // All snapshots have arrived. From here on the streams run.
    std::thread::sleep(Duration::from_millis(1_200));
    let conn = record.connections()[0];
    let ran = record.requested(conn).len();

    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let (engine, stop) = (&engine, &stop);
            scope.spawn(move || {
                let (mut rng, mut held) = (Rng::new(seed), Vec::new());
                while !stop.load(Relaxed) {
                    held.push(engine.subscribe(any_subscription(&mut rng, others)).unwrap());
                    if held.len() > 3 {
                        drop(held.swap_remove(rng.below(held.len())));
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
        eventually("many changes have reached the wire", || record.requested(conn).len() >= ran + 12);
        stop.store(true, Relaxed);
    });

    let is_change = |of: &'static str| {
        let names: Vec<String> = mine.iter().map(|market| format!("{of} {market}")).collect();
        move |message: &Message| !message.is_snapshot && names.contains(&message.stream)
    };
    let (of_trades, of_books) = (record.sent(conn, is_change("trade")), record.sent(conn, is_change("orderbook")));
    assert!(of_trades.len() > 100 && of_books.len() > 100, "{} and {}", of_trades.len(), of_books.len());
    nothing_is_missing(&mut trades, &of_trades);
    nothing_is_missing(&mut books, &of_books);
    assert_eq!(trades.counts().dropped + books.counts().dropped, 0);
    // The exchange did not pause them either: no request restarted a running stream.
    for requested in &record.requested(conn)[ran..] {
        for market in mine {
            assert_eq!(
                (requested[&format!("trade {market}")], requested[&format!("orderbook {market}")]),
                (RequestMode::Realtime, RequestMode::Realtime)
            );
        }
    }
    assert_eq!(record.connections().len(), 1);
    finish(engine, &server);
}

/// Regression: the stream was not published between the end of its grace period and the request without it, and it was
/// restarted later.
#[test]
fn a_stream_that_is_wanted_again_before_it_leaves_the_wire_does_not_stop() {
    let (server, record) = exchange(50.0, 12);
    // The second request within a minute must wait.
    let limits = Limits { requests_per_minute: 1, ..Limits::default() };
    let engine = builder(&server).grace(Duration::ZERO).limits(limits).start().unwrap();
    let first = engine.subscribe(ticker("KRW-BTC").and(trade("KRW-BTC"))).unwrap();
    let _held = engine.subscribe(ticker("KRW-BTC")).unwrap();
    engine.wait_ready(TIMEOUT).unwrap();

    drop(first);
    eventually("its removal is planned", || engine.subscriptions().wire_streams == 1);
    let is_trade = |message: &Message| message.stream == "trade KRW-BTC";
    let conn = record.connections()[0];
    let sent = record.sent(conn, is_trade).len();
    eventually("it continues", || record.sent(conn, is_trade).len() > sent + 5);

    let mut again = engine.feed(trade("KRW-BTC"), Overflow::DropNewest { capacity: 1 << 16 }).unwrap();
    let mut got = Vec::new();
    eventually("it delivers later changes", || {
        drain(&mut again, &mut got);
        got.len() > 50
    });
    let sent = record.sent(conn, is_trade);
    let from = sent.iter().position(|sent| sent.detail == got[0].detail).unwrap();
    assert!(got[0].is_snapshot, "the state comes first");
    assert_eq!(got[1..], sent[from + 1..from + got.len()], "then every change");
    assert_eq!(engine.connections()[0].unrouted, 0);
    assert!(
        record.requested(conn)[1..]
            .iter()
            .all(|requested| requested.get("trade KRW-BTC") == Some(&RequestMode::Realtime))
    );
    assert!(engine.pool().trade("KRW-BTC").unwrap().load().health().is_live());
    finish(engine, &server);
}
