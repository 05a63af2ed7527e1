//! Many readers at once, and readers that join and leave, compared with the messages that the exchange sent.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use crate::common::{Message, Record, TIMEOUT, builder, drain, eventually, exchange, finish};
use hoga::engine::Engine;
use hoga::feed::FeedCounts;
use hoga::prelude::*;
use hoga_testing::Rng;

/// Number of messages to compare: enough to detect a difference.
const SEEN: usize = 100;

fn changes(got: &[Message]) -> Vec<Message> {
    got.iter().filter(|message| !message.is_snapshot).take(SEEN).cloned().collect()
}

#[track_caller]
fn all_see_the_same(engine: &Engine, record: &Record, overflow: Overflow, readers: usize) {
    let open = |_| engine.feed(trade("KRW-BTC").only_realtime(), overflow).unwrap();
    let mut feeds: Vec<_> = (0..readers).map(open).collect();
    let mut got = vec![Vec::new(); readers];
    eventually("each reader has enough messages", || {
        feeds.iter_mut().zip(&mut got).for_each(|(feed, got)| drain(feed, got));
        got.iter().all(|got| got.len() >= SEEN)
    });
    // Compare each reader's messages, from its own first one on, with those sent.
    let sent =
        record.sent(record.connections()[0], |message| message.stream == "trade KRW-BTC" && !message.is_snapshot);
    for got in &got {
        let from = sent.iter().position(|message| *message == got[0]).unwrap();
        assert!(changes(got) == sent[from..][..SEEN], "one of {readers} with {overflow}");
    }
    let all: u64 = engine.feeds().iter().map(|feed| feed.counts.dropped + feed.counts.filtered).sum();
    assert_eq!(all, 0, "no reader lost a message");
}

#[test]
fn any_number_of_readers_of_a_stream_see_the_same_sequence() {
    let (server, record) = exchange(100.0, 10);
    let engine = builder(&server).start().unwrap();
    let _all_along = engine.subscribe(trade("KRW-BTC")).unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    for readers in [1, 10, 50, 200, 1000] {
        all_see_the_same(&engine, &record, Overflow::DropOldest, readers);
    }
    for readers in [1, 10, 50, 200] {
        all_see_the_same(&engine, &record, Overflow::DropNewest { capacity: 2048 }, readers);
    }
    finish(engine, &server);
}

const CLIENTS: u64 = 200;
const LIFE: Duration = Duration::from_secs(10);

fn any_policy(rng: &mut Rng) -> Overflow {
    let policies = [
        Overflow::ByType,
        Overflow::DropOldest,
        Overflow::DropNewest { capacity: 16 },
        Overflow::DROP_NEWEST,
        Overflow::Conflate,
        Overflow::Throttle(Duration::from_millis(20)),
    ];
    policies[rng.below(policies.len())]
}

fn any_streams(rng: &mut Rng, markets: &[String]) -> Subscription {
    let from = rng.below(markets.len() - 5);
    let some = &markets[from..from + 1 + rng.below(5)];
    match rng.below(4) {
        0 => ticker(some).mixed(),
        1 => trade(some).mixed(),
        2 => orderbook(some).only_realtime().mixed(),
        _ => trade(some).and(ticker(some)),
    }
}

/// Reads at random intervals: without pause, after waiting for an update, or after a sleep. Asserts that the counts
/// match the delivered items.
fn read(feed: &mut Feed, rng: &mut Rng) -> FeedCounts {
    let (mut delivered, mut missed) = (0, 0);
    for _ in 0..1 + rng.below(20) {
        match rng.below(3) {
            0 => thread::sleep(Duration::from_millis(rng.below(50) as u64)),
            1 => drop(feed.wait(Duration::from_millis(20))),
            _ => thread::yield_now(),
        }
        for item in feed.take(rng.below(400)) {
            match item {
                Item::Data(_) => delivered += 1,
                Item::Gap { missed: more } => missed += more,
                Item::Epoch { .. } => {}
            }
        }
        let counts = feed.counts();
        let FeedCounts { received, delivered, dropped, conflated, filtered, queued } = counts;
        assert_eq!(received, delivered + dropped + conflated + filtered + queued, "{counts:?}");
    }
    let counts = feed.counts();
    assert_eq!(counts.delivered, delivered);
    assert!(missed <= counts.dropped, "gaps report no more updates than were dropped");
    counts
}

#[test]
fn two_hundred_clients_join_and_leave_without_a_trace() {
    let (server, record) = exchange(20.0, 60);
    let engine = builder(&server).broadcast_capacity(256).start().unwrap();
    let markets = crate::common::markets(60);
    let mut all_along = engine.feed(trade("KRW-BTC"), Overflow::DropNewest { capacity: 1 << 18 }).unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    let (stop, feeds, delivered) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for seed in 0..CLIENTS {
            let (engine, markets, stop, feeds, delivered) = (&engine, &markets, &stop, &feeds, &delivered);
            scope.spawn(move || {
                let mut rng = Rng::new(seed);
                while !stop.load(Relaxed) {
                    let client = engine.client(&format!("client-{seed}")).unwrap();
                    let mut feed = client.feed(any_streams(&mut rng, markets), any_policy(&mut rng)).unwrap();
                    delivered.fetch_add(read(&mut feed, &mut rng).delivered, Relaxed);
                    feeds.fetch_add(1, Relaxed);
                }
            });
        }
        thread::sleep(LIFE);
        stop.store(true, Relaxed);
    });
    assert!(feeds.load(Relaxed) > CLIENTS && delivered.load(Relaxed) > 1_000, "the feeds received messages");
    assert_eq!(engine.feeds().len(), 1);
    eventually("the wire is as it was", || record.wire().len() == 1 && engine.subscriptions().stream_demands == 1);

    server.inject(hoga_exchange::Fault::Mute(true));
    let sent = |record: &Record| {
        record.sent(record.connections()[0], |message| message.stream == "trade KRW-BTC" && !message.is_snapshot)
    };
    let mut got = Vec::new();
    eventually("the permanent reader got every message", || {
        drain(&mut all_along, &mut got);
        got.iter().filter(|message| !message.is_snapshot).count() >= sent(&record).len()
    });
    got.retain(|message| !message.is_snapshot);
    assert!(got == sent(&record), "{} got, {} sent", got.len(), sent(&record).len());
    assert_eq!(all_along.counts().dropped, 0);
    finish(engine, &server);
}
