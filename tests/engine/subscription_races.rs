//! Many threads change what is wanted at once, over a real socket. What stands in the end is what is still held, and
//! nobody who holds something notices the others. The judge is what the exchange was asked for and what it sent.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use crate::common::{Message, PATIENCE, Way, builder, drain, eventually, exchange, finish};
use hoga::config::{Limits, UPBIT};
use hoga::feed::Payload;
use hoga::plan::{CheckedSubscription, Mode, StreamSpec};
use hoga::prelude::*;
use hoga_testing::Rng;

const THREADS: u64 = 16;
const OPERATIONS: usize = 10_000;

/// One or two streams, in any mode and depth.
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

/// What serves all that is held: the sequential model, in the words of the wire. The order does not matter to it.
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

/// What runs already may be asked for without another snapshot.
fn serves(asked: Way, mode: Mode) -> bool {
    match mode {
        Mode::All => asked != Way::Snapshot,
        Mode::SnapshotOnly => asked == Way::Snapshot,
        Mode::RealtimeOnly => asked == Way::Realtime,
    }
}

#[test]
fn whatever_sixteen_threads_do_the_wire_ends_as_what_is_held() {
    let (server, record) = exchange(1.0, 40);
    let engine = builder(&server).ticker("KRW-BTC").start().unwrap();
    engine.wait_ready(PATIENCE).unwrap();
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
        let asked = record.last();
        asked.len() == expected.len()
            && expected.iter().all(|(name, mode)| asked.get(name).is_some_and(|asked| serves(*asked, *mode)))
    };
    eventually("the wire is what is held", is_right);
    // And it stays so.
    std::thread::sleep(Duration::from_millis(500));
    assert!(is_right(), "{:?} instead of {expected:?}", record.last());
    assert_eq!(server.stats().connections, 1);
    finish(engine, &server);
}

/// What was sent for a feed has all arrived, in order.
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
fn components_that_come_and_go_interrupt_nobody() {
    let (server, record) = exchange(10.0, 40);
    let engine = builder(&server).start().unwrap();
    let markets = crate::common::markets(40);
    let (mine, others) = markets.split_at(10);
    let mut trades = engine.feed(trade(mine), Overflow::DropNewest { capacity: 32_768 }).unwrap();
    let mut books = engine.feed(orderbook(mine), Overflow::DropNewest { capacity: 32_768 }).unwrap();
    eventually("both are asked for", || record.last().len() == 20);
    engine.wait_ready(PATIENCE).unwrap();
    // Their snapshots are over: from here on they run.
    std::thread::sleep(Duration::from_millis(1_200));
    let conn = record.connections()[0];
    let ran = record.asked(conn).len();

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
        eventually("many changes have reached the wire", || record.asked(conn).len() >= ran + 12);
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
    // The exchange did not pause them either: no request asked for what runs in a way that starts it anew.
    for asked in &record.asked(conn)[ran..] {
        for market in mine {
            assert_eq!(
                (asked[&format!("trade {market}")], asked[&format!("orderbook {market}")]),
                (Way::Realtime, Way::Realtime)
            );
        }
    }
    assert_eq!(record.connections().len(), 1);
    finish(engine, &server);
}

/// It was not published between the end of its grace and the request without it, and began anew after that.
#[test]
fn a_stream_that_is_wanted_again_before_it_has_left_the_wire_never_stopped() {
    let (server, record) = exchange(50.0, 12);
    // The second request of a minute has to wait.
    let limits = Limits { requests_per_minute: 1, ..Limits::default() };
    let engine = builder(&server).grace(Duration::ZERO).limits(limits).start().unwrap();
    let first = engine.subscribe(ticker("KRW-BTC").and(trade("KRW-BTC"))).unwrap();
    let _held = engine.subscribe(ticker("KRW-BTC")).unwrap();
    engine.wait_ready(PATIENCE).unwrap();

    drop(first);
    eventually("its end is to be requested", || engine.subscriptions().wire_streams == 1);
    let is_trade = |message: &Message| message.stream == "trade KRW-BTC";
    let conn = record.connections()[0];
    let sent = record.sent(conn, is_trade).len();
    eventually("it goes on", || record.sent(conn, is_trade).len() > sent + 5);

    let mut again = engine.feed(trade("KRW-BTC"), Overflow::DropNewest { capacity: 1 << 16 }).unwrap();
    let mut got = Vec::new();
    eventually("it brings what follows", || {
        drain(&mut again, &mut got);
        got.len() > 50
    });
    let sent = record.sent(conn, is_trade);
    let from = sent.iter().position(|sent| sent.detail == got[0].detail).unwrap();
    assert!(got[0].is_snapshot, "first the state");
    assert_eq!(got[1..], sent[from + 1..from + got.len()], "then every change");
    assert_eq!(engine.connections()[0].unrouted, 0);
    assert!(record.asked(conn)[1..].iter().all(|asked| asked.get("trade KRW-BTC") == Some(&Way::Realtime)));
    assert!(engine.pool().trade("KRW-BTC").unwrap().load().health().is_live());
    finish(engine, &server);
}
