//! What a feed begins with, and what of later snapshots it is shown. The exchange is scripted: each test knows every
//! message that was sent.

use std::time::Duration;

use crate::scripted::*;
use hoga::feed::Payload;
use hoga::model::StreamType;
use hoga::prelude::*;
use hoga::session::State;

const POLICIES: [Overflow; 4] =
    [Overflow::Conflate, Overflow::DROP_NEWEST, Overflow::DropOldest, Overflow::Throttle(Duration::from_millis(1))];

/// The price of any message.
fn price(event: Event) -> f64 {
    match event {
        Event::Ticker(ticker) => ticker.trade_price,
        Event::Trade(trade) => trade.trade_price,
        Event::Orderbook(book) => book.asks[0].price,
        Event::Candle(candle) => candle.trade_price,
        other => panic!("no such stream is asked for: {other:?}"),
    }
}

/// The prices of the next messages of a feed, as soon as so many have come.
#[track_caller]
fn take<T: Payload + Into<Event>>(feed: &mut Feed<T>, count: usize) -> Vec<f64> {
    let mut prices = Vec::new();
    while prices.len() < count {
        assert!(feed.wait(PATIENCE), "only {prices:?} came, {:?}", feed.counts());
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

/// An engine whose one connection carries KRW-BTC, so that its socket lives on whatever becomes of other streams.
fn engine_with_btc(exchange: &Scripted) -> (Engine, Socket) {
    let engine = exchange.builder().ticker("KRW-BTC").start().unwrap();
    let socket = exchange.socket();
    assert_eq!(socket.request().way("ticker KRW-BTC"), Some("all"));
    socket.say([ticker_says("KRW-BTC", 1.0, 1, SNAPSHOT)]);
    engine.wait_ready(PATIENCE).unwrap();
    (engine, socket)
}

/// KRW-ETH was on the wire, where its price was 100, and has left it.
fn eth_comes_and_goes(engine: &Engine, socket: &Socket) {
    let held = engine.subscribe(ticker("KRW-ETH")).unwrap();
    assert_eq!(socket.request().way("ticker KRW-ETH"), Some("all"));
    socket.say([ticker_says("KRW-ETH", 100.0, 100, SNAPSHOT)]);
    held.wait_confirmed(PATIENCE).unwrap();
    drop(held);
    assert_eq!(socket.request().way("ticker KRW-ETH"), None);
}

#[test]
fn what_was_under_way_when_a_stream_left_the_wire_is_counted_and_thrown_away() {
    let exchange = Scripted::start();
    let (engine, socket) = engine_with_btc(&exchange);
    let eth = engine.subscribe(ticker("KRW-ETH")).unwrap();
    socket.request();
    socket.say([ticker_says("KRW-ETH", 100.0, 100, SNAPSHOT)]);
    eth.wait_confirmed(PATIENCE).unwrap();
    let handle = engine.pool().ticker("KRW-ETH").unwrap();
    drop(eth);
    assert_eq!(socket.request().way("ticker KRW-ETH"), None);
    assert_eq!(engine.connections()[0].unrouted, 0);
    let late = [101.0, 102.0].map(|price| ticker_says("KRW-ETH", price, price as u64, REALTIME));
    socket.say(late);
    // The counts of a batch are offered with a later one.
    let mut price = 1.0;
    eventually("both are counted", || {
        price += 1.0;
        socket.say([ticker_says("KRW-BTC", price, price as u64, REALTIME)]);
        engine.connections()[0].unrouted == 2
    });
    assert_eq!(handle.load().trade_price, 100.0, "and not published");
}

#[test]
fn an_engine_is_idle_without_demand_connecting_until_data_comes_and_then_active() {
    let exchange = Scripted::start();
    let engine = exchange.builder().start().unwrap();
    assert_eq!(engine.state(), EngineState::Idle);
    let held = engine.subscribe(ticker("KRW-BTC")).unwrap();
    let socket = exchange.socket();
    socket.request();
    eventually("connecting: asked, and nothing has come", || engine.state() == EngineState::Connecting);
    socket.say([ticker_says("KRW-BTC", 1.0, 1, SNAPSHOT)]);
    eventually("active", || engine.state() == EngineState::Active);
    drop(held);
    eventually("idle again", || engine.state() == EngineState::Idle);
    engine.shutdown(PATIENCE).into_result().unwrap();
    assert_eq!(engine.state(), EngineState::Stopped);
}

/// The feed was given the price of long ago as the state, and the snapshot of now was taken for a second one.
#[test]
fn a_stream_that_was_off_the_wire_begins_with_the_snapshot_of_now() {
    for policy in POLICIES {
        for only_snapshot in [false, true] {
            let exchange = Scripted::start();
            let (engine, socket) = engine_with_btc(&exchange);
            eth_comes_and_goes(&engine, &socket);
            let wanted = if only_snapshot { ticker("KRW-ETH").only_snapshot() } else { ticker("KRW-ETH") };
            let mut feed = engine.feed(wanted, policy).unwrap();
            assert!(socket.request().way("ticker KRW-ETH").is_some());
            assert_eq!(feed.pop(), None, "{policy}: nothing is known yet");
            let eth = engine.pool().ticker("KRW-ETH").unwrap();
            eventually("what is known is old", || !eth.load().health().is_live());
            socket.say([ticker_says("KRW-ETH", 200.0, 200, SNAPSHOT)]);
            assert_eq!(take(&mut feed, 1), [200.0], "{policy}");
            feed.subscribed().wait_confirmed(PATIENCE).unwrap();
            assert!(eth.load().health().is_live() && eth.load().trade_price == 200.0);
            let counts = feed.counts();
            assert_eq!((counts.received, counts.delivered, counts.queued), (1, 1, 0), "{policy}");
        }
    }
}

#[test]
fn a_callback_on_a_stream_that_was_off_the_wire_begins_with_the_snapshot_of_now() {
    let exchange = Scripted::start();
    let (engine, socket) = engine_with_btc(&exchange);
    eth_comes_and_goes(&engine, &socket);
    let (heard, prices) = std::sync::mpsc::channel();
    let call = move |item: &Item<Ticker>| {
        if let Item::Data(update) = item {
            heard.send(update.value.trade_price).unwrap();
        }
    };
    let _callback = engine.callback("chart").run(ticker("KRW-ETH"), Overflow::DropOldest, call).unwrap();
    assert_eq!(socket.request().way("ticker KRW-ETH"), Some("all"));
    socket.say([ticker_says("KRW-ETH", 200.0, 200, SNAPSHOT)]);
    assert_eq!(prices.recv_timeout(PATIENCE), Ok(200.0));
}

#[test]
fn a_market_that_was_delisted_begins_with_the_snapshot_of_now_when_it_is_listed_again() {
    for policy in POLICIES {
        let exchange = Scripted::start();
        let markets = ["KRW-BTC", "KRW-ETH"].map(|code| code.parse::<Market>().unwrap());
        let engine = exchange.builder().universe(markets).start().unwrap();
        let mut feed = engine.feed(ticker("KRW-*"), policy).unwrap();
        let socket = exchange.socket();
        assert_eq!(socket.request().way("ticker KRW-ETH"), Some("all"));
        socket.say([ticker_says("KRW-BTC", 1.0, 1, SNAPSHOT), ticker_says("KRW-ETH", 100.0, 100, SNAPSHOT)]);
        feed.subscribed().wait_confirmed(PATIENCE).unwrap();
        assert_eq!(sorted(take(&mut feed, 2)), [1.0, 100.0], "{policy}");
        engine.set_universe(markets[..1].iter().copied());
        assert_eq!(socket.request().way("ticker KRW-ETH"), None);
        engine.set_universe(markets);
        assert_eq!(socket.request().way("ticker KRW-ETH"), Some("all"));
        assert_eq!(feed.pop(), None, "{policy}: nothing is known yet");
        socket.say([ticker_says("KRW-ETH", 200.0, 200, SNAPSHOT)]);
        assert_eq!(take(&mut feed, 1), [200.0], "{policy}");
    }
}

/// The stream never left the wire, so what the pool has is the state, and nothing else will bring it.
#[test]
fn a_stream_that_is_wanted_again_within_its_grace_period_begins_with_what_the_pool_has() {
    for policy in POLICIES {
        let exchange = Scripted::start();
        let engine = exchange.builder().grace(PATIENCE).start().unwrap();
        let held = engine.subscribe(ticker("KRW-ETH")).unwrap();
        let socket = exchange.socket();
        socket.request();
        socket.say([ticker_says("KRW-ETH", 100.0, 100, SNAPSHOT)]);
        held.wait_confirmed(PATIENCE).unwrap();
        drop(held);
        let mut feed = engine.feed(ticker("KRW-ETH"), policy).unwrap();
        assert_eq!(take(&mut feed, 1), [100.0], "{policy}");
        let mut once = engine.feed(ticker("KRW-ETH").only_snapshot(), policy).unwrap();
        assert_eq!(take(&mut once, 1), [100.0], "{policy}");
        socket.say([ticker_says("KRW-ETH", 101.0, 101, REALTIME)]);
        assert_eq!(take(&mut feed, 1), [101.0], "{policy}");
    }
}

/// Of a stream that is carried as snapshots alone, the pool has the price of when somebody asked last.
#[test]
fn where_only_snapshots_are_carried_each_newcomer_gets_one_of_now() {
    for policy in POLICIES {
        for wants_changes in [false, true] {
            let exchange = Scripted::start();
            let (engine, socket) = engine_with_btc(&exchange);
            let mut first = engine.feed(ticker("KRW-ETH").only_snapshot(), policy).unwrap();
            assert_eq!(socket.request().way("ticker KRW-ETH"), Some("snapshot"));
            socket.say([ticker_says("KRW-ETH", 100.0, 100, SNAPSHOT)]);
            assert_eq!(take(&mut first, 1), [100.0]);
            let wanted = if wants_changes { ticker("KRW-ETH") } else { ticker("KRW-ETH").only_snapshot() };
            let mut second = engine.feed(wanted, policy).unwrap();
            let way = if wants_changes { "all" } else { "snapshot" };
            assert_eq!(socket.request().way("ticker KRW-ETH"), Some(way));
            socket.say([ticker_says("KRW-ETH", 200.0, 200, SNAPSHOT)]);
            assert_eq!(take(&mut second, 1), [200.0], "{policy}");
            assert_eq!(first.pop(), None, "{policy}: it has had its snapshot");
        }
    }
}

/// What changed while the exchange sent nothing is in that snapshot alone, and the feeds refused it as a second one.
#[test]
fn what_only_a_second_snapshot_brings_reaches_every_feed_that_wants_changes() {
    for policy in POLICIES {
        let exchange = Scripted::start();
        let quiet = hoga::config::Timeouts { quiet_after: Duration::from_millis(500), ..patient() };
        let engine = exchange.builder().timeouts(quiet).start().unwrap();
        let mut feed = engine.feed(ticker("KRW-BTC").and(trade("KRW-BTC")), policy).unwrap();
        let mut changes = engine.feed(trade("KRW-BTC").only_realtime(), policy).unwrap();
        let mut once = engine.feed(trade("KRW-BTC").only_snapshot(), policy).unwrap();
        let socket = exchange.socket();
        socket.request();
        let first = [ticker_says("KRW-BTC", 100.0, 100, SNAPSHOT), trade_says("KRW-BTC", 1001.0, 100, SNAPSHOT)];
        socket.say(first.clone());
        assert_eq!(sorted(take(&mut feed, 2)), [100.0, 1001.0], "{policy}");
        assert_eq!(take(&mut once, 1), [1001.0], "{policy}");
        // Silence: the connection asks for everything once more, twice.
        assert_eq!(socket.request().way("trade KRW-BTC"), Some("all"));
        socket.say(first);
        assert_eq!(socket.request().way("trade KRW-BTC"), Some("all"));
        socket.say([ticker_says("KRW-BTC", 200.0, 200, SNAPSHOT), trade_says("KRW-BTC", 1002.0, 200, SNAPSHOT)]);
        assert_eq!(sorted(take(&mut feed, 2)), [200.0, 1002.0], "{policy}: what repeats is not shown again");
        assert_eq!(take(&mut changes, 1), [1002.0], "{policy}: a trade is a trade");
        assert_eq!((once.pop(), changes.pop()), (None, None), "{policy}");
    }
}

#[test]
fn a_deeper_book_for_somebody_else_shows_a_feed_what_changed_meanwhile() {
    for policy in POLICIES {
        let exchange = Scripted::start();
        let engine = exchange.builder().start().unwrap();
        let mut feed = engine.feed(orderbook("KRW-BTC").levels(5), policy).unwrap();
        let socket = exchange.socket();
        assert!(socket.request().way("orderbook KRW-BTC.5").is_some());
        socket.say([book_says("KRW-BTC", 100.0, 5, 100, SNAPSHOT)]);
        feed.subscribed().wait_confirmed(PATIENCE).unwrap();
        assert_eq!(take(&mut feed, 1), [100.0]);
        let mut deep = engine.feed(orderbook("KRW-BTC").only_snapshot(), policy).unwrap();
        assert_eq!(socket.request().way("orderbook KRW-BTC"), Some("all"));
        assert_eq!(deep.pop(), None, "{policy}: five levels are not what it asked for");
        socket.say([book_says("KRW-BTC", 200.0, 30, 200, SNAPSHOT)]);
        assert_eq!(take(&mut feed, 1), [200.0], "{policy}");
        assert!(deep.wait(PATIENCE));
        let Some(Item::Data(update)) = deep.pop() else { panic!("{policy}: {:?}", deep.counts()) };
        assert_eq!((update.value.asks.len(), update.value.stream_type), (30, StreamType::Snapshot), "{policy}");
    }
}

/// The trade that a snapshot repeats was refused for everybody, also for a feed that had never had it.
#[test]
fn a_trade_feed_that_is_opened_again_gets_the_last_trade_although_nobody_traded_meanwhile() {
    for policy in POLICIES {
        let exchange = Scripted::start();
        let engine = exchange.builder().start().unwrap();
        for round in 1..=3 {
            // Nothing else is wanted, so each feed has a socket of its own.
            let mut feed = engine.feed(trade("KRW-ETH"), policy).unwrap();
            let socket = exchange.socket();
            assert_eq!(socket.request().way("trade KRW-ETH"), Some("all"));
            socket.say([trade_says("KRW-ETH", 1001.0, 100, SNAPSHOT)]);
            assert_eq!(take(&mut feed, 1), [1001.0], "{policy}");
            feed.subscribed().wait_confirmed(PATIENCE).unwrap();
            socket.say([trade_says("KRW-ETH", 1001.0, 100, SNAPSHOT)]);
            eventually("it has come once more", || engine.connections()[0].counters.data == 2 * round);
            assert_eq!(feed.pop(), None, "{policy}: once is enough");
            drop(feed);
            eventually("nothing is wanted", || engine.connections()[0].state == State::Disconnected);
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
        socket.say([trade_says("KRW-BTC", 1001.0, 100, SNAPSHOT)]);
        assert_eq!(take(&mut old, 1), [1001.0]);
        drop(socket);
        let socket = exchange.socket();
        let mut new = engine.feed(trade("KRW-BTC"), policy).unwrap();
        socket.request();
        socket.say([trade_says("KRW-BTC", 1001.0, 100, SNAPSHOT)]);
        assert_eq!(take(&mut new, 1), [1001.0], "{policy}");
        socket.say([trade_says("KRW-BTC", 1002.0, 200, REALTIME)]);
        assert_eq!(take(&mut old, 1), [1002.0], "{policy}");
        assert_eq!(take(&mut new, 1), [1002.0], "{policy}");
    }
}
