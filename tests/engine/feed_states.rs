//! The first messages of a feed, and the later snapshots that it delivers. The exchange is scripted, so each test knows
//! every message that was sent.

use std::time::Duration;

use crate::scripted::*;
use hoga::feed::Payload;
use hoga::model::StreamType;
use hoga::prelude::*;
use hoga::session::State;

const POLICIES: [Overflow; 4] =
    [Overflow::Conflate, Overflow::DROP_NEWEST, Overflow::DropOldest, Overflow::Throttle(Duration::from_millis(1))];

/// Returns the price of a message.
fn price(event: Event) -> f64 {
    match event {
        Event::Ticker(ticker) => ticker.trade_price,
        Event::Trade(trade) => trade.trade_price,
        Event::Orderbook(book) => book.asks[0].price,
        Event::Candle(candle) => candle.trade_price,
        other => panic!("no such stream is requested: {other:?}"),
    }
}

/// Waits for `count` messages of a feed. Returns their prices.
#[track_caller]
fn take<T: Payload + Into<Event>>(feed: &mut Feed<T>, count: usize) -> Vec<f64> {
    let mut prices = Vec::new();
    while prices.len() < count {
        assert!(feed.wait(TIMEOUT).unwrap(), "only {prices:?} arrived, {:?}", feed.counts());
        for item in feed.by_ref() {
            match item {
                Item::Data(update) => prices.push(price(update.value.into())),
                other => assert!(matches!(other, Item::Epoch { .. }), "{other:?}"),
            }
        }
    }
    prices
}

fn sorted(mut prices: Vec<f64>) -> Vec<f64> {
    prices.sort_by(f64::total_cmp);
    prices
}

/// Starts an engine with one connection that carries KRW-BTC, so that its socket stays open when other streams leave.
fn engine_with_btc(exchange: &Scripted) -> (Engine, Socket) {
    let engine = exchange.builder().ticker("KRW-BTC").start().unwrap();
    let socket = exchange.socket();
    assert_eq!(socket.request().mode("ticker KRW-BTC"), Some("all"));
    socket.send([ticker_json("KRW-BTC", 1.0, 1, SNAPSHOT)]);
    engine.wait_ready(TIMEOUT).unwrap();
    (engine, socket)
}

/// Subscribes to KRW-ETH, whose price is 100, and drops it again.
fn add_and_drop_eth(engine: &Engine, socket: &Socket) {
    let held = engine.subscribe(ticker("KRW-ETH")).unwrap();
    assert_eq!(socket.request().mode("ticker KRW-ETH"), Some("all"));
    socket.send([ticker_json("KRW-ETH", 100.0, 100, SNAPSHOT)]);
    held.wait_confirmed(TIMEOUT).unwrap();
    drop(held);
    assert_eq!(socket.request().mode("ticker KRW-ETH"), None);
}

#[test]
fn messages_in_flight_when_a_stream_leaves_the_wire_are_counted_and_discarded() {
    let exchange = Scripted::start();
    let (engine, socket) = engine_with_btc(&exchange);
    let eth = engine.subscribe(ticker("KRW-ETH")).unwrap();
    socket.request();
    socket.send([ticker_json("KRW-ETH", 100.0, 100, SNAPSHOT)]);
    eth.wait_confirmed(TIMEOUT).unwrap();
    let handle = engine.pool().ticker("KRW-ETH").unwrap();
    drop(eth);
    assert_eq!(socket.request().mode("ticker KRW-ETH"), None);
    assert_eq!(engine.connections()[0].unrouted, 0);
    let late = [101.0, 102.0].map(|price| ticker_json("KRW-ETH", price, price as u64, REALTIME));
    socket.send(late);
    // The counts of a batch are published with a later batch.
    let mut price = 1.0;
    eventually("both are counted", || {
        price += 1.0;
        socket.send([ticker_json("KRW-BTC", price, price as u64, REALTIME)]);
        engine.connections()[0].unrouted == 2
    });
    assert_eq!(handle.load().value().unwrap().trade_price, 100.0, "neither is published");
}

#[test]
fn an_engine_is_idle_without_demand_connecting_until_data_arrives_and_then_active() {
    let exchange = Scripted::start();
    let engine = exchange.builder().start().unwrap();
    assert_eq!(engine.state(), EngineState::Idle);
    let held = engine.subscribe(ticker("KRW-BTC")).unwrap();
    let socket = exchange.socket();
    socket.request();
    eventually("connecting: requested, no data yet", || engine.state() == EngineState::Connecting);
    socket.send([ticker_json("KRW-BTC", 1.0, 1, SNAPSHOT)]);
    eventually("active", || engine.state() == EngineState::Active);
    drop(held);
    eventually("idle again", || engine.state() == EngineState::Idle);
    engine.shutdown(TIMEOUT).into_result().unwrap();
    assert_eq!(engine.state(), EngineState::Stopped);
}

/// Regression: the feed began with an outdated price, and treated the current snapshot as a second one.
#[test]
fn a_stream_that_was_off_the_wire_begins_with_the_current_snapshot() {
    for policy in POLICIES {
        for only_snapshot in [false, true] {
            let exchange = Scripted::start();
            let (engine, socket) = engine_with_btc(&exchange);
            add_and_drop_eth(&engine, &socket);
            let wanted = if only_snapshot { ticker("KRW-ETH").only_snapshot() } else { ticker("KRW-ETH") };
            let mut feed = engine.feed(wanted, policy).unwrap();
            assert!(socket.request().mode("ticker KRW-ETH").is_some());
            assert_eq!(feed.pop(), None, "{policy}: no current state yet");
            let eth = engine.pool().ticker("KRW-ETH").unwrap();
            eventually("the known price is stale", || !eth.load().health().is_live());
            socket.send([ticker_json("KRW-ETH", 200.0, 200, SNAPSHOT)]);
            assert_eq!(take(&mut feed, 1), [200.0], "{policy}");
            feed.subscribed().unwrap().wait_confirmed(TIMEOUT).unwrap();
            assert!(eth.load().health().is_live() && eth.load().value().unwrap().trade_price == 200.0);
            let counts = feed.counts();
            assert_eq!((counts.received, counts.delivered, counts.queued), (1, 1, 0), "{policy}");
        }
    }
}

#[test]
fn a_callback_on_a_stream_that_was_off_the_wire_begins_with_the_current_snapshot() {
    let exchange = Scripted::start();
    let (engine, socket) = engine_with_btc(&exchange);
    add_and_drop_eth(&engine, &socket);
    let (heard, prices) = std::sync::mpsc::channel();
    let call = move |item: &Item<Ticker>| {
        if let Item::Data(update) = item {
            heard.send(update.value.trade_price).unwrap();
        }
    };
    let _callback = engine.callback("chart").run(ticker("KRW-ETH"), Overflow::DropOldest, call).unwrap();
    assert_eq!(socket.request().mode("ticker KRW-ETH"), Some("all"));
    socket.send([ticker_json("KRW-ETH", 200.0, 200, SNAPSHOT)]);
    assert_eq!(prices.recv_timeout(TIMEOUT), Ok(200.0));
}

#[test]
fn a_market_that_is_listed_again_begins_with_the_current_snapshot() {
    for policy in POLICIES {
        let exchange = Scripted::start();
        let markets = ["KRW-BTC", "KRW-ETH"].map(|code| code.parse::<Market>().unwrap());
        let engine = exchange.builder().universe(markets).start().unwrap();
        let mut feed = engine.feed(ticker("KRW-*"), policy).unwrap();
        let socket = exchange.socket();
        assert_eq!(socket.request().mode("ticker KRW-ETH"), Some("all"));
        socket.send([ticker_json("KRW-BTC", 1.0, 1, SNAPSHOT), ticker_json("KRW-ETH", 100.0, 100, SNAPSHOT)]);
        feed.subscribed().unwrap().wait_confirmed(TIMEOUT).unwrap();
        assert_eq!(sorted(take(&mut feed, 2)), [1.0, 100.0], "{policy}");
        engine.set_universe(markets[..1].iter().copied());
        assert_eq!(socket.request().mode("ticker KRW-ETH"), None);
        engine.set_universe(markets);
        assert_eq!(socket.request().mode("ticker KRW-ETH"), Some("all"));
        assert_eq!(feed.pop(), None, "{policy}: no current state yet");
        socket.send([ticker_json("KRW-ETH", 200.0, 200, SNAPSHOT)]);
        assert_eq!(take(&mut feed, 1), [200.0], "{policy}");
    }
}

/// The stream never left the wire, so the pool's value is the state, and no snapshot will arrive.
#[test]
fn a_stream_that_is_wanted_again_within_its_grace_period_begins_with_the_pools_value() {
    for policy in POLICIES {
        let exchange = Scripted::start();
        let engine = exchange.builder().grace(TIMEOUT).start().unwrap();
        let held = engine.subscribe(ticker("KRW-ETH")).unwrap();
        let socket = exchange.socket();
        socket.request();
        socket.send([ticker_json("KRW-ETH", 100.0, 100, SNAPSHOT)]);
        held.wait_confirmed(TIMEOUT).unwrap();
        drop(held);
        let mut feed = engine.feed(ticker("KRW-ETH"), policy).unwrap();
        assert_eq!(take(&mut feed, 1), [100.0], "{policy}");
        let mut once = engine.feed(ticker("KRW-ETH").only_snapshot(), policy).unwrap();
        assert_eq!(take(&mut once, 1), [100.0], "{policy}");
        socket.send([ticker_json("KRW-ETH", 101.0, 101, REALTIME)]);
        assert_eq!(take(&mut feed, 1), [101.0], "{policy}");
    }
}

/// If a stream is carried only as snapshots, the pool's value is as old as the last request.
#[test]
fn each_new_reader_of_a_snapshot_only_stream_gets_a_current_snapshot() {
    for policy in POLICIES {
        for wants_changes in [false, true] {
            let exchange = Scripted::start();
            let (engine, socket) = engine_with_btc(&exchange);
            let mut first = engine.feed(ticker("KRW-ETH").only_snapshot(), policy).unwrap();
            assert_eq!(socket.request().mode("ticker KRW-ETH"), Some("snapshot"));
            socket.send([ticker_json("KRW-ETH", 100.0, 100, SNAPSHOT)]);
            assert_eq!(take(&mut first, 1), [100.0]);
            let wanted = if wants_changes { ticker("KRW-ETH") } else { ticker("KRW-ETH").only_snapshot() };
            let mut second = engine.feed(wanted, policy).unwrap();
            let mode = if wants_changes { "all" } else { "snapshot" };
            assert_eq!(socket.request().mode("ticker KRW-ETH"), Some(mode));
            socket.send([ticker_json("KRW-ETH", 200.0, 200, SNAPSHOT)]);
            assert_eq!(take(&mut second, 1), [200.0], "{policy}");
            assert_eq!(first.pop(), None, "{policy}: it already got its snapshot");
        }
    }
}

/// Regression: only the second snapshot shows the changes made while the exchange sent nothing, and feeds refused it
/// because they already had a snapshot.
#[test]
fn news_of_a_second_snapshot_reaches_every_feed_that_wants_changes() {
    for policy in POLICIES {
        let exchange = Scripted::start();
        let quiet = hoga::config::Timeouts { quiet_after: Duration::from_millis(500), ..long_timeouts() };
        let engine = exchange.builder().timeouts(quiet).start().unwrap();
        let mut feed = engine.feed(ticker("KRW-BTC").and(trade("KRW-BTC")), policy).unwrap();
        let mut changes = engine.feed(trade("KRW-BTC").only_realtime(), policy).unwrap();
        let mut once = engine.feed(trade("KRW-BTC").only_snapshot(), policy).unwrap();
        let socket = exchange.socket();
        socket.request();
        let first = [ticker_json("KRW-BTC", 100.0, 100, SNAPSHOT), trade_json("KRW-BTC", 1001.0, 100, SNAPSHOT)];
        socket.send(first.clone());
        assert_eq!(sorted(take(&mut feed, 2)), [100.0, 1001.0], "{policy}");
        assert_eq!(take(&mut once, 1), [1001.0], "{policy}");
        // In the silence, the connection requests everything again, twice.
        assert_eq!(socket.request().mode("trade KRW-BTC"), Some("all"));
        socket.send(first);
        assert_eq!(socket.request().mode("trade KRW-BTC"), Some("all"));
        socket.send([ticker_json("KRW-BTC", 200.0, 200, SNAPSHOT), trade_json("KRW-BTC", 1002.0, 200, SNAPSHOT)]);
        assert_eq!(sorted(take(&mut feed, 2)), [200.0, 1002.0], "{policy}: repeated values are not delivered again");
        assert_eq!(take(&mut changes, 1), [1002.0], "{policy}: a trade is news in a snapshot too");
        assert_eq!((once.pop(), changes.pop()), (None, None), "{policy}");
    }
}

#[test]
fn a_snapshot_for_another_feeds_deeper_book_delivers_the_changes_before_it() {
    for policy in POLICIES {
        let exchange = Scripted::start();
        let engine = exchange.builder().start().unwrap();
        let mut feed = engine.feed(orderbook("KRW-BTC").levels(5), policy).unwrap();
        let socket = exchange.socket();
        assert!(socket.request().mode("orderbook KRW-BTC.5").is_some());
        socket.send([book_json("KRW-BTC", 100.0, 5, 100, SNAPSHOT)]);
        feed.subscribed().unwrap().wait_confirmed(TIMEOUT).unwrap();
        assert_eq!(take(&mut feed, 1), [100.0]);
        let mut deep = engine.feed(orderbook("KRW-BTC").only_snapshot(), policy).unwrap();
        assert_eq!(socket.request().mode("orderbook KRW-BTC"), Some("all"));
        assert_eq!(deep.pop(), None, "{policy}: it asked for more than five levels");
        socket.send([book_json("KRW-BTC", 200.0, 30, 200, SNAPSHOT)]);
        assert_eq!(take(&mut feed, 1), [200.0], "{policy}");
        assert!(deep.wait(TIMEOUT).unwrap());
        let Some(Item::Data(update)) = deep.pop() else { panic!("{policy}: {:?}", deep.counts()) };
        assert_eq!((update.value.asks.len(), update.value.stream_type), (30, StreamType::Snapshot), "{policy}");
    }
}

/// Regression: a trade that a snapshot repeats was refused for every feed, even for one that had never received it.
#[test]
fn a_trade_feed_that_is_opened_again_gets_the_last_trade_without_a_new_trade() {
    for policy in POLICIES {
        let exchange = Scripted::start();
        let engine = exchange.builder().start().unwrap();
        for round in 1..=3 {
            // Nothing else is desired, so each feed gets a new socket.
            let mut feed = engine.feed(trade("KRW-ETH"), policy).unwrap();
            let socket = exchange.socket();
            assert_eq!(socket.request().mode("trade KRW-ETH"), Some("all"));
            socket.send([trade_json("KRW-ETH", 1001.0, 100, SNAPSHOT)]);
            assert_eq!(take(&mut feed, 1), [1001.0], "{policy}");
            feed.subscribed().unwrap().wait_confirmed(TIMEOUT).unwrap();
            socket.send([trade_json("KRW-ETH", 1001.0, 100, SNAPSHOT)]);
            eventually("the trade has arrived again", || engine.connections()[0].counters.data == 2 * round);
            assert_eq!(feed.pop(), None, "{policy}: the trade is delivered once");
            drop(feed);
            eventually("nothing is desired", || engine.connections()[0].state == State::Disconnected);
        }
    }
}

#[test]
fn a_trade_feed_that_is_opened_while_reconnecting_gets_the_last_trade_and_the_others_do_not_get_it_twice() {
    for policy in POLICIES {
        let exchange = Scripted::start();
        let engine = exchange.builder().start().unwrap();
        let mut old = engine.feed(trade("KRW-BTC"), policy).unwrap();
        let socket = exchange.socket();
        socket.request();
        socket.send([trade_json("KRW-BTC", 1001.0, 100, SNAPSHOT)]);
        assert_eq!(take(&mut old, 1), [1001.0]);
        drop(socket);
        let socket = exchange.socket();
        let mut new = engine.feed(trade("KRW-BTC"), policy).unwrap();
        socket.request();
        socket.send([trade_json("KRW-BTC", 1001.0, 100, SNAPSHOT)]);
        assert_eq!(take(&mut new, 1), [1001.0], "{policy}");
        socket.send([trade_json("KRW-BTC", 1002.0, 200, REALTIME)]);
        assert_eq!(take(&mut old, 1), [1002.0], "{policy}");
        assert_eq!(take(&mut new, 1), [1002.0], "{policy}");
    }
}
