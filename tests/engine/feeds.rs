//! Feeds of a running engine, compared with the messages that the exchange sent.

use std::time::Duration;

use crate::common::{Message, Record, TIMEOUT, builder, delivered, eventually, exchange, fall_silent, finish};
use hoga::error::Error;
use hoga::feed::FeedCounts;
use hoga::feed::Payload;
use hoga::prelude::*;
use hoga_exchange::Fault;
use hoga_testing::allocations;

/// An item that a feed delivered.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Message(Message),
    Gap(u64),
}

/// Takes all queued items, including gaps.
fn take<T: Payload + Into<Event>>(feed: &mut Feed<T>, got: &mut Vec<Seen>) {
    got.extend(feed.map(|item| match item {
        Item::Gap { missed } => Seen::Gap(missed),
        item => Seen::Message(delivered(item)),
    }));
}

fn messages(got: &[Seen]) -> Vec<Message> {
    let message = |got: &Seen| if let Seen::Message(message) = got { Some(message.clone()) } else { None };
    got.iter().filter_map(message).collect()
}

/// Asserts equality. Both lists are long, so the panic shows only their first difference.
#[track_caller]
fn assert_same(got: &[Message], sent: &[Message], what: &str) {
    let difference = got.iter().zip(sent).position(|(got, sent)| got != sent);
    let at = difference.or_else(|| (got.len() != sent.len()).then_some(got.len().min(sent.len())));
    if let Some(at) = at {
        let lengths = (got.len(), sent.len());
        panic!("{what}: {:?} instead of {:?} at {at} of {lengths:?}", got.get(at), sent.get(at));
    }
}

fn sent(record: &Record, stream: &str) -> Vec<Message> {
    record.sent(record.connections()[0], |message| message.stream == stream)
}

#[track_caller]
fn checked(counts: FeedCounts) -> FeedCounts {
    let FeedCounts { received, delivered, dropped, conflated, filtered, queued } = counts;
    assert_eq!(received, delivered + dropped + conflated + filtered + queued, "{counts:?}");
    counts
}

const RING: usize = 64;

/// One stalled reader for each policy, while the exchange sends as fast as it can.
#[test]
fn stalled_readers_lose_what_their_policy_says_and_learn_exactly_how_much() {
    let (server, record) = exchange(200.0, 10);
    let engine = builder(&server).broadcast_capacity(RING).start().unwrap();
    let stream = "trade KRW-BTC";
    // No message arrives before all feeds have joined.
    server.inject(Fault::Stall(true));
    let mut feeds = [Overflow::DropNewest { capacity: RING }, Overflow::DropOldest, Overflow::Conflate]
        .map(|overflow| engine.feed(trade("KRW-BTC"), overflow).unwrap());
    let mut whole = engine.feed(trade("KRW-BTC"), Overflow::DropNewest { capacity: 1 << 16 }).unwrap();
    server.inject(Fault::Stall(false));
    engine.wait_ready(TIMEOUT).unwrap();
    eventually("far more has arrived than a ring holds", || sent(&record, stream).len() > 20 * RING);
    fall_silent(&server, &engine);

    let sent = sent(&record, stream);
    let mut all = Vec::new();
    take(&mut whole, &mut all);
    assert_same(&messages(&all), &sent, "a reader with a large ring gets everything despite the stalled ones");

    let mut got = [(); 3].map(|()| Vec::new());
    feeds.iter_mut().zip(&mut got).for_each(|(feed, got)| take(feed, got));
    let lost = (sent.len() - RING) as u64;
    let [newest_lost, oldest_lost, conflated] = &got;
    assert_same(&messages(newest_lost), &sent[..RING], "the oldest messages, then the gap");
    assert_eq!(newest_lost.last(), Some(&Seen::Gap(lost)));
    assert_same(&messages(oldest_lost), &sent[lost as usize..], "the gap, then the newest messages");
    assert_eq!(oldest_lost.first(), Some(&Seen::Gap(lost)));
    assert_eq!(*conflated, [Seen::Message(sent.last().unwrap().clone())]);

    let counts = |feed: &Feed<Trade>| checked(feed.counts());
    let received = sent.len() as u64;
    let expected = FeedCounts { received, delivered: RING as u64, dropped: lost, ..FeedCounts::default() };
    assert_eq!([counts(&feeds[0]), counts(&feeds[1])], [expected; 2]);
    let expected = FeedCounts { received, delivered: 1, conflated: received - 1, ..FeedCounts::default() };
    assert_eq!(counts(&feeds[2]), expected);
    assert!(engine.feeds().iter().all(|feed| feed.counts == checked(feed.counts) && feed.counts.queued == 0));
    finish(engine, &server);
}

/// With each policy that keeps every trade, a reader that keeps up gets the state first and then every later update.
#[test]
fn a_reader_that_joins_a_running_stream_gets_its_state_and_then_each_later_event_once() {
    let (server, record) = exchange(100.0, 10);
    let engine = builder(&server).start().unwrap();
    let _first = engine.subscribe(trade("KRW-BTC")).unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    for overflow in [Overflow::ByType, Overflow::DROP_NEWEST, Overflow::DropOldest] {
        eventually("the stream runs", || sent(&record, "trade KRW-BTC").len() > 20);
        let (mut feed, mut got) = (engine.feed(trade("KRW-BTC"), overflow).unwrap(), Vec::new());
        eventually("some messages have arrived", || {
            take(&mut feed, &mut got);
            got.len() > 50
        });
        let (got, sent) = (messages(&got), sent(&record, "trade KRW-BTC"));
        let at = |message: &Message| sent.iter().position(|sent| sent.detail == message.detail).unwrap();
        let state = &got[0];
        assert!(state.is_snapshot && got[1..].iter().all(|message| !message.is_snapshot), "{overflow}");
        // The state is the newest by its timestamp. A message that arrived after it may have been late.
        let between = &sent[at(state) + 1..at(&got[1])];
        let is_late = |message: &Message| message.timestamp < state.timestamp;
        assert!(between.iter().all(is_late), "{overflow}: {between:?} after {state:?}");
        assert_same(&got[1..], &sent[at(&got[1])..][..got.len() - 1], &overflow.to_string());
    }
    finish(engine, &server);
}

#[test]
fn a_feed_gets_only_what_it_requested() {
    let (server, _record) = exchange(100.0, 10);
    let engine = builder(&server).start().unwrap();
    let everything = crate::common::markets(10);
    let _all = engine.subscribe(ticker(&everything).and(trade(&everything)).and(orderbook(&everything))).unwrap();
    let policies = [Overflow::ByType, Overflow::DROP_NEWEST, Overflow::DropOldest, Overflow::Conflate];
    let mut feeds =
        policies.map(|overflow| engine.feed(ticker(["KRW-BTC", "KRW-ETH"]).only_realtime(), overflow).unwrap());
    let mut others = policies.map(|overflow| engine.feed(trade("KRW-XRP"), overflow).unwrap());
    let mut got = Vec::new();
    eventually("each feed has some messages", || {
        feeds.iter_mut().for_each(|feed| take(feed, &mut got));
        others.iter_mut().for_each(|feed| take(feed, &mut got));
        feeds.iter().all(|feed| feed.counts().delivered > 20) && others.iter().all(|feed| feed.counts().delivered > 20)
    });
    let got = messages(&got);
    let requested = ["ticker KRW-BTC", "ticker KRW-ETH", "trade KRW-XRP"];
    assert!(got.iter().all(|message| requested.contains(&message.stream.as_str())));
    assert!(got.iter().all(|message| !(message.is_snapshot && message.stream.starts_with("ticker"))));
    finish(engine, &server);
}

/// The interval of one feed never ends during the test. That of the other one ends often.
#[test]
fn a_throttled_feed_gets_each_stream_once_per_interval_and_its_newest_value() {
    let (server, record) = exchange(100.0, 10);
    let engine = builder(&server).start().unwrap();
    let open = |interval| engine.feed(ticker(["KRW-BTC", "KRW-ETH"]), Overflow::Throttle(interval)).unwrap();
    let (mut rare, mut often) = (open(Duration::from_secs(3600)), open(Duration::from_millis(20)));
    engine.wait_ready(TIMEOUT).unwrap();
    let (mut got_rarely, mut got) = (Vec::new(), Vec::new());
    eventually("many messages of both streams have arrived", || {
        got_rarely.extend(rare.by_ref().map(delivered));
        got.extend(often.by_ref().map(delivered));
        let arrived = ["ticker KRW-BTC", "ticker KRW-ETH"].map(|stream| sent(&record, stream).len());
        arrived.iter().all(|arrived| *arrived > 50) && got.len() >= 20
    });
    fall_silent(&server, &engine);
    eventually("the last value of each stream arrives too", || {
        got.extend(often.by_ref().map(delivered));
        checked(often.counts()).queued == 0
    });
    got_rarely.extend(rare.by_ref().map(delivered));
    for stream in ["ticker KRW-BTC", "ticker KRW-ETH"] {
        let newest = got.iter().rfind(|message| message.stream == stream);
        assert_eq!(newest, sent(&record, stream).last());
        assert_eq!(got_rarely.iter().filter(|message| message.stream == stream).count(), 1);
    }
    assert!(often.counts().conflated > 0 && checked(rare.counts()).queued > 50);
    finish(engine, &server);
}

#[test]
fn a_new_socket_is_reported_in_band_with_its_reason_for_every_policy() {
    let (server, record) = exchange(20.0, 10);
    let engine = builder(&server).start().unwrap();
    let policies = [Overflow::ByType, Overflow::DROP_NEWEST, Overflow::DropOldest, Overflow::Conflate];
    let mut feeds = policies.map(|overflow| engine.feed(trade("KRW-BTC"), overflow).unwrap());
    engine.wait_ready(TIMEOUT).unwrap();
    // A feed that has read nothing of the first socket does not report the second one.
    for feed in &mut feeds {
        eventually("an update was read", || feed.pop().is_some());
    }
    let before = engine.connections()[0].epoch;
    server.inject(Fault::Drop(record.connections()[0]));
    eventually("there is another socket", || engine.connections()[0].epoch > before);
    engine.wait_ready(TIMEOUT).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    for (feed, policy) in feeds.iter_mut().zip(policies) {
        let mut sockets = Vec::new();
        let mut newest = Epoch::default();
        for item in feed {
            match item {
                Item::Epoch { old, new, reason, .. } => {
                    assert!(newest <= old, "{policy}: data of the new socket arrived before its report");
                    sockets.push((old, new, reason.is_some()));
                    newest = new;
                }
                Item::Data(update) => {
                    assert!(update.epoch >= newest, "{policy}");
                    newest = update.epoch;
                }
                Item::Gap { .. } => panic!("no message was lost here"),
            }
        }
        let now = engine.connections()[0].epoch;
        assert_eq!(sockets, [(before, now, true)], "{policy}");
    }
    finish(engine, &server);
}

#[test]
fn a_feed_knows_its_client_and_its_memory() {
    let (server, _record) = exchange(1.0, 10);
    let engine = builder(&server).broadcast_capacity(1024).start().unwrap();
    let client = engine.client("risk").unwrap();
    let before = allocations::live_bytes_of_this_thread();
    let kept = client.feed(trade("KRW-BTC"), Overflow::DropNewest { capacity: 1000 }).unwrap();
    let allocated = (allocations::live_bytes_of_this_thread() - before) as u64;
    let shared = engine.feed(orderbook("KRW-BTC"), Overflow::DropOldest).unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    let [of_client, other] = &engine.feeds()[..] else { panic!("{:?}", engine.feeds()) };
    assert_eq!((of_client.client.as_deref(), of_client.streams), (Some("risk"), 1));
    // The rest is bookkeeping of the client and the subscription.
    assert!((allocated - allocated / 10..=allocated).contains(&of_client.bytes), "{} of {allocated}", of_client.bytes);
    assert_eq!((other.client.as_deref(), other.overflow), (None, Overflow::DropOldest));
    assert!(other.bytes < 1_000, "bookkeeping of one stream");
    eventually("it has joined", || {
        // 1024 books of 30 levels, plus metadata.
        (1_000_000..1_300_000).contains(&engine.feeds()[1].shared_bytes)
    });
    drop((kept, shared));
    assert!(engine.feeds().is_empty());
    finish(engine, &server);
}

/// A reader learns that its feed has ended, even if the stream continues for another client.
#[test]
fn feeds_and_callbacks_end_with_their_client() {
    let (server, _record) = exchange(50.0, 10);
    let engine = builder(&server).start().unwrap();
    let _other = engine.subscribe(trade("KRW-BTC")).unwrap();
    let client = engine.client("risk").unwrap();
    let policies = [Overflow::DROP_NEWEST, Overflow::DropOldest, Overflow::Conflate];
    let mut feeds = policies.map(|overflow| client.feed(trade("KRW-BTC"), overflow).unwrap());
    let callback = client.callback("risk").run(trade("KRW-BTC"), Overflow::default(), |_| ()).unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    drop(client);
    assert!(engine.feeds().is_empty());
    for feed in &mut feeds {
        eventually("it is closed after the messages before", || {
            feed.by_ref().for_each(drop);
            matches!(feed.wait(TIMEOUT), Err(Error::LeaseExpired))
        });
        assert!(feed.is_closed() && feed.blocking().next().is_none());
        checked(feed.counts());
    }
    eventually("it has ended", || callback.state() == hoga::feed::CallbackState::Ended);
    drop(feeds);
    finish(engine, &server);
}

#[test]
fn listing_a_market_repeatedly_does_not_grow_memory() {
    let (server, _record) = exchange(50.0, 10);
    let markets = ["KRW-BTC", "KRW-ETH"].map(|code| code.parse::<Market>().unwrap());
    let engine = builder(&server).universe(markets).start().unwrap();
    let policies = [Overflow::Conflate, Overflow::DropOldest, Overflow::DROP_NEWEST];
    let mut feeds = policies.map(|overflow| engine.feed(ticker("KRW-*"), overflow).unwrap());
    let mut once = engine.feed(ticker("KRW-*").only_realtime(), Overflow::Conflate).unwrap();
    let mut read_of = |market: Market| {
        let is_of_it = |item: &Item<Ticker>| matches!(item, Item::Data(update) if update.value.market == market);
        eventually("it is read", || {
            feeds.iter_mut().chain([&mut once]).all(|feed| feed.by_ref().any(|item| is_of_it(&item)))
        });
    };
    let again = |read_of: &mut dyn FnMut(Market)| {
        engine.set_universe(markets[..1].iter().copied());
        engine.set_universe(markets);
        read_of(markets[1]);
    };
    let bytes = || engine.feeds().iter().map(|feed| (feed.bytes, feed.shared_bytes)).collect::<Vec<_>>();
    again(&mut read_of);
    let before = bytes();
    (0..20).for_each(|_| again(&mut read_of));
    assert_eq!(bytes(), before);
    finish(engine, &server);
}

#[test]
fn invalid_feeds_are_refused_and_subscribe_nothing() {
    let (server, _record) = exchange(1.0, 10);
    let engine = builder(&server).start().unwrap();
    let too_much = Overflow::DropNewest { capacity: 1 << 20 };
    for overflow in [Overflow::Block, Overflow::DropNewest { capacity: 0 }, Overflow::Throttle(Duration::ZERO)] {
        let refused = engine.feed(trade("KRW-BTC"), overflow).err();
        assert!(matches!(&refused, Some(Error::InvalidArgument(_))), "{refused:?}");
    }
    // A million trades are 218 MB; a million of any event are more than a feed may take.
    let refused = engine.feed(trade("KRW-BTC").mixed(), too_much).err();
    assert!(
        matches!(&refused, Some(Error::InvalidArgument(problem)) if problem.to_string().contains("MB")),
        "{refused:?}"
    );
    assert!(engine.subscriptions().stream_demands == 0 && engine.feeds().is_empty());
    for capacity in [0, 1, 1000, 1 << 21] {
        let refused = builder(&server).broadcast_capacity(capacity).start().err();
        assert!(matches!(&refused, Some(Error::Configuration(problems)) if problems[0].contains("power of two")));
    }
    finish(engine, &server);
}
