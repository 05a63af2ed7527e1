//! The view of a strategy: handles, readings, health over time, waiting, batches and errors.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::samples::*;
use hoga::model::*;
use hoga::pool::HealthReason::{self, ConnectionSilent, NewSocket, SubscribedAgain};
use hoga::pool::{self, DataPool, Health, PoolError, Publisher, Quote, Timeline};
use hoga::sync::connection::ConnectionState;

const STALE_AFTER: u64 = DataPool::STALE_AFTER.as_nanos() as u64;

fn put(publisher: &mut Publisher<Ticker>, epoch: u32, received: u64, price: f64) {
    publisher.publish(&receipt(epoch, received), &ticker(1, price), &Timeline::new(), || Nanos(received + 1));
}

#[test]
fn a_stream_passes_through_every_health() {
    let clock = ManualClock::at(5);
    let pool = pool::empty(clock.clone(), DataPool::STALE_AFTER);
    let connection = Arc::new(ConnectionState::new(ConnectionId(0), Nanos(5)));
    let mut publisher = pool::open::<Ticker>(&pool, btc(DataType::Ticker), connection.clone());
    let handle = pool.ticker("KRW-BTC").unwrap();
    let health = || handle.load().health();
    let since = |at| Nanos(at);

    assert_eq!(health(), Health::Disconnected { since: since(5) });
    connection.opened(Epoch(1), Nanos(10), None);
    assert_eq!(health(), Health::NoData { since: since(5) });
    put(&mut publisher, 1, 20, 1.0);
    connection.heard_data(Nanos(20));
    assert_eq!(health(), Health::Live);

    // Time alone makes the value stale.
    clock.set(20 + STALE_AFTER);
    assert_eq!(health(), Health::Live);
    clock.set(21 + STALE_AFTER);
    assert_eq!(health(), Health::Stale { since: since(20), reason: ConnectionSilent });
    // Another stream of the connection receives data, so this one is quiet, not stale.
    connection.heard_data(Nanos(21 + STALE_AFTER));
    assert_eq!(health(), Health::Live);

    clock.set(2 * STALE_AFTER);
    connection.disconnected(Nanos(2 * STALE_AFTER));
    assert_eq!(health(), Health::Disconnected { since: since(2 * STALE_AFTER) });
    connection.opened(Epoch(2), Nanos(2 * STALE_AFTER + 5), None);
    connection.heard_data(Nanos(2 * STALE_AFTER + 6));
    assert_eq!(
        health(),
        Health::Resyncing { since: since(2 * STALE_AFTER), reason: NewSocket },
        "the connection is back, the value is not"
    );
    put(&mut publisher, 2, 2 * STALE_AFTER + 7, 2.0);
    assert_eq!(health(), Health::Live);

    pool::set_subscribed(&pool, handle.key(), false);
    assert_eq!(health(), Health::NotSubscribed { since: since(2 * STALE_AFTER) });
    assert_eq!(handle.load().value().unwrap().trade_price, 2.0, "the old value stays readable");
    clock.set(2 * STALE_AFTER + 50);
    pool::set_subscribed(&pool, handle.key(), true);
    assert_eq!(
        health(),
        Health::Resyncing { since: since(2 * STALE_AFTER), reason: SubscribedAgain },
        "requested again, not refreshed yet"
    );
    put(&mut publisher, 2, 2 * STALE_AFTER + 50, 3.0);
    assert_eq!(health(), Health::Live);
}

#[test]
fn a_kept_reading_ages() {
    let (clock, pool, connection, mut publisher) = open(DataType::Ticker);
    let handle = pool.ticker("KRW-BTC").unwrap();
    let mut cached = handle.cached();
    clock.set(30);
    put(&mut publisher, 1, 20, 1.0);
    for reading in [handle.load(), cached.load()] {
        clock.set(30);
        assert_eq!((reading.health(), reading.age()), (Health::Live, Some(Duration::from_nanos(10))));
        clock.set(21 + STALE_AFTER);
        assert_eq!(reading.health(), Health::Stale { since: Nanos(20), reason: ConnectionSilent });
        assert_eq!(reading.age(), Some(Duration::from_nanos(STALE_AFTER + 1)));
    }
    connection.disconnected(Nanos(40));
    assert_eq!(cached.load().health(), Health::Disconnected { since: Nanos(40) });
}

#[test]
fn one_load_returns_all_facts_of_one_version() {
    let (clock, pool, _connection, mut publisher) = open(DataType::Ticker);
    let handle = pool.ticker(market("KRW-BTC")).unwrap();
    put(&mut publisher, 1, 2_000_000, 7.0);
    clock.set(5_000_000);
    let reading = handle.load();
    assert_eq!(reading.value().unwrap().trade_price, 7.0);
    assert_eq!(reading.live().unwrap().trade_price, 7.0);
    assert_eq!((reading.version(), reading.epoch(), reading.connection()), (1, Some(Epoch(1)), Some(ConnectionId(0))));
    let stamps = Stamps { exchange_ms: 1, received: Nanos(2_000_000), published: Nanos(2_000_001) };
    assert_eq!(reading.stamps(), Some(stamps));
    assert_eq!(reading.age(), Some(Duration::from_millis(3)));
    assert_eq!(reading.exchange_age(), Some(Duration::from_millis(4)));
    assert_eq!(reading.published_age(), Some(Duration::from_nanos(2_999_999)));
    put(&mut publisher, 1, 6_000_000, 8.0);
    assert_eq!((reading.value().unwrap().trade_price, reading.version()), (7.0, 1), "a reading never changes");
    assert_eq!((handle.load().value().unwrap().trade_price, handle.cached().load().version()), (8.0, 2));
    assert!(format!("{reading:?}").contains("Live"));
    assert_eq!(format!("{handle:?}"), "Handle(ticker KRW-BTC, live, version 2)");
}

#[test]
fn every_accessor_reports_missing_data() {
    let (_clock, pool, _connection, _publisher) = open::<Ticker>(DataType::Ticker);
    let handle = pool.ticker("KRW-BTC").unwrap();
    let reading = handle.load();
    assert_eq!((reading.value(), reading.stamps(), reading.age()), (None, None, None));
    assert_eq!((reading.epoch(), reading.connection(), reading.exchange_age()), (None, None, None));
    assert_eq!(reading.published_age(), None);
    assert_eq!((reading.version(), reading.health()), (0, Health::NoData { since: Nanos(0) }));
    assert!(handle.load_if_newer(0).is_none());
    assert_eq!(handle.cached().load().health(), Health::NoData { since: Nanos(0) });
}

#[test]
fn a_stream_without_subscription_is_an_error_with_advice() {
    let (_clock, pool, _connection, publisher) = open::<Ticker>(DataType::Ticker);
    let missing = pool.ticker("KRW-ETH").unwrap_err();
    assert!(matches!(missing, PoolError::NotSubscribed(key) if key.market() == Some(market("KRW-ETH"))));
    assert!(missing.to_string().starts_with("ticker KRW-ETH is not subscribed: name it when the engine is built"));
    assert!(pool.orderbook("KRW-BTC").is_err(), "the ticker is subscribed, the book is not");

    let misspelled = pool.ticker("krw-btc").unwrap_err();
    assert!(matches!(&misspelled, PoolError::InvalidMarket { code, .. } if code == "krw-btc"));
    assert!(misspelled.to_string().contains("lower case"));

    drop(publisher);
    assert!(matches!(pool.ticker("KRW-BTC"), Err(PoolError::NotSubscribed(_))));
}

#[test]
fn wait_newer_wakes_for_a_new_value_and_returns_at_its_timeout() {
    let (_clock, pool, _connection, mut publisher) = open(DataType::Ticker);
    let (handle, waiters) = (pool.ticker("KRW-BTC").unwrap(), pool::waiters(&pool));
    assert!(handle.wait_newer(0, Duration::from_millis(5)).unwrap().is_none());
    thread::scope(|s| {
        let waiter = s.spawn(|| {
            let reading = handle.wait_newer(0, Duration::from_secs(20)).unwrap()?;
            Some((reading.version(), reading.value()?.trade_price))
        });
        put(&mut publisher, 1, 1, 9.0);
        if waiters.any() {
            publisher.wake();
        }
        assert_eq!(waiter.join().unwrap(), Some((1, 9.0)));
    });
    assert!(handle.wait_newer(1, Duration::from_millis(5)).unwrap().is_none());
    assert_eq!(handle.wait_newer(0, Duration::ZERO).unwrap().map(|r| r.version()), Some(1));
    assert_eq!(handle.load_if_newer(0).map(|r| r.version()), Some(1));
    assert!(handle.load_if_newer(1).is_none());
}

#[test]
fn a_stop_ends_every_wait_and_values_stay_readable() {
    let (_clock, pool, _connection, mut publisher) = open(DataType::Ticker);
    let handle = pool.ticker("KRW-BTC").unwrap();
    thread::scope(|s| {
        let waiter = s.spawn(|| handle.wait_newer(0, Duration::MAX).map(|reading| reading.is_some()));
        // Both a wait that has begun and one that begins later must end.
        pool::stop(&pool);
        assert_eq!(waiter.join().unwrap(), Err(PoolError::Stopped));
    });
    put(&mut publisher, 1, 1, 9.0);
    assert_eq!(handle.wait_newer(0, Duration::MAX).unwrap().unwrap().value().unwrap().trade_price, 9.0);
    assert_eq!(handle.wait_newer(1, Duration::MAX).err(), Some(PoolError::Stopped));
}

#[test]
fn every_change_wakes_a_reader_that_waits_for_each() {
    const VALUES: u64 = 500;
    let (_clock, pool, _connection, mut publisher) = open(DataType::Ticker);
    let waiters = pool::waiters(&pool);
    let (handle, back) = (pool.ticker("KRW-BTC").unwrap(), std::sync::mpsc::sync_channel(0));
    thread::scope(|s| {
        s.spawn(move || {
            let mut version = 0;
            while version < VALUES {
                let reading = handle.wait_newer(version, Duration::from_secs(20)).unwrap().expect("a lost wake-up");
                version = reading.version();
                back.0.send(version).unwrap();
            }
        });
        for version in 1..=VALUES {
            put(&mut publisher, 1, version, version as f64);
            // The engine does the same after a batch: each waiting reader has registered.
            if waiters.any() {
                publisher.wake();
            }
            assert_eq!(back.1.recv(), Ok(version));
        }
    });
}

#[test]
fn a_batch_is_read_in_one_call_and_shows_which_markets_have_data() {
    let clock = ManualClock::at(0);
    let pool = pool::empty(clock, DataPool::STALE_AFTER);
    let connection = Arc::new(ConnectionState::new(ConnectionId(0), Nanos(0)));
    connection.opened(Epoch(1), Nanos(0), None);
    let key = |code| StreamKey::of(DataType::Ticker, market(code));
    let mut first = pool::open::<Ticker>(&pool, key("KRW-BTC"), connection.clone());
    let _second = pool::open::<Ticker>(&pool, key("KRW-ETH"), connection);

    let mut batch = pool.tickers(["KRW-ETH", "KRW-BTC"]);
    put(&mut first, 1, 1, 1.0);
    let read: Vec<_> = batch.load().map(|(market, quote)| (market.to_owned(), word(&quote))).collect();
    assert_eq!(read, [("KRW-ETH".to_owned(), "not yet since 0"), ("KRW-BTC".to_owned(), "value")]);
    assert_eq!(batch.load().len(), 2);
    assert_eq!((batch.len(), batch.is_empty()), (2, false));
    assert!(pool.tickers([""; 0]).is_empty());
}

/// Names what a batch has of a market.
fn word<T>(quote: &Quote<'_, T>) -> &'static str {
    match quote {
        Quote::Value(reading) if reading.value().is_some() => "value",
        Quote::Stale { reading, since: Nanos(50) } if reading.value().is_some() => "stale since 50",
        Quote::NotYet { since: Nanos(0) } => "not yet since 0",
        Quote::NotSubscribed => "not subscribed",
        Quote::NoSuchMarket => "no such market",
        _ => "something else",
    }
}

#[test]
fn a_batch_reports_each_market_and_one_bad_market_does_not_affect_the_others() {
    let pool = pool::empty(ManualClock::at(0), DataPool::STALE_AFTER);
    let connections = [0, 1].map(|id| Arc::new(ConnectionState::new(ConnectionId(id), Nanos(0))));
    connections.iter().for_each(|connection| connection.opened(Epoch(1), Nanos(0), None));
    let key = |code| StreamKey::of(DataType::Ticker, market(code));
    let open = |code, connection: usize| pool::open::<Ticker>(&pool, key(code), connections[connection].clone());
    let (mut value, mut lost, _waiting) = (open("KRW-BTC", 0), open("KRW-ETH", 1), open("KRW-XRP", 0));
    let _nonexistent = open("KRW-NOPE", 0);
    drop(open("KRW-OLD", 0));
    let _delisted = open("KRW-GONE", 0);
    put(&mut value, 1, 1, 1.0);
    put(&mut lost, 1, 1, 1.0);
    connections[1].disconnected(Nanos(50));
    pool::doubt(&pool, key("KRW-NOPE"), HealthReason::Unanswered);
    pool::delist(&pool, key("KRW-GONE"));

    let codes = ["KRW-BTC", "krw_btc", "KRW-ETH", "KRW-XRP", "KRW-NOPE", "KRW-OLD", "KRW-GONE", "KRW-NEW"];
    let expected = [
        "value",
        "no such market",
        "stale since 50",
        "not yet since 0",
        "no such market",
        "not subscribed",
        "no such market",
        "not subscribed",
    ];
    let mut batch = pool.tickers(codes);
    let read: Vec<_> = batch.load().map(|(market, quote)| (market.to_owned(), word(&quote))).collect();
    let expected: Vec<_> = codes.iter().map(|code| code.to_string()).zip(expected).collect();
    assert_eq!(read, expected);
    assert_eq!(batch.load().filter_map(|(_, quote)| Some(quote.value()?.trade_price)).sum::<f64>(), 1.0);

    let _new = open("KRW-NEW", 0);
    assert_eq!(batch.load().last().map(|(_, quote)| word(&quote)), Some("not yet since 0"), "subscribed later");
    assert_eq!(
        pool.orderbooks("KRW-BTC").load().map(|(_, quote)| word(&quote)).collect::<Vec<_>>(),
        ["not subscribed"]
    );
}

#[test]
fn a_batch_of_a_pattern_follows_listings() {
    let pool = pool::empty(ManualClock::at(0), DataPool::STALE_AFTER);
    let connection = Arc::new(ConnectionState::new(ConnectionId(0), Nanos(0)));
    connection.opened(Epoch(1), Nanos(0), None);
    let step = Grouping::krw(1000.0).unwrap();
    let open = |code| {
        let key = StreamKey::of(DataType::GroupedOrderbook(step), market(code));
        pool::open::<Orderbook>(&pool, key, connection.clone())
    };
    let (_eth, _btc, _usdt) = (open("KRW-ETH"), open("KRW-BTC"), open("USDT-BTC"));
    let _plain = pool::open::<Orderbook>(&pool, btc(DataType::Orderbook), connection.clone());
    let mut books = pool.grouped_orderbooks(step, ["KRW-ETH", "KRW-*"]);
    let names =
        |books: &mut pool::Batch<Orderbook>| -> Vec<_> { books.load().map(|(name, _)| name.to_owned()).collect() };
    assert_eq!(names(&mut books), ["KRW-ETH", "KRW-BTC"], "named markets first, each market once");
    let mut cursor = pool::BatchCursor::default();
    let _xrp = open("KRW-XRP");
    assert_eq!(books.changed_since(&mut cursor).count(), 0);
    assert_eq!(names(&mut books), ["KRW-ETH", "KRW-BTC", "KRW-XRP"]);
    assert_eq!(books.handles().len(), 3);
}

#[test]
fn all_streams_are_listed_in_order_with_their_verdicts() {
    let (_clock, pool, connection, mut tickers) = open::<Ticker>(DataType::Ticker);
    let _books = pool::open::<Orderbook>(&pool, btc(DataType::Orderbook), connection.clone());
    let _trades = pool::open::<Trade>(&pool, btc(DataType::Trade), connection);
    put(&mut tickers, 1, 1, 1.0);
    let streams = pool.streams();
    let keys: Vec<_> = streams.iter().map(|s| s.key.data_type).collect();
    assert_eq!(keys, [DataType::Ticker, DataType::Trade, DataType::Orderbook]);
    assert_eq!((streams[0].health, streams[0].version, streams[0].epoch), (Health::Live, 1, Some(Epoch(1))));
    assert_eq!(
        (streams[1].health, streams[1].version, streams[1].epoch),
        (Health::NoData { since: Nanos(0) }, 0, None)
    );
    assert_eq!((streams[0].verdicts.published, streams[1].verdicts.total()), (1, 0));
}

#[test]
fn a_stream_that_is_opened_again_continues_in_the_same_handles() {
    let (clock, pool, connection, mut publisher) = open(DataType::Trade);
    let handle = pool.trade("KRW-BTC").unwrap();
    publisher.publish(&receipt(1, 10), &trade(1, 10), &Timeline::new(), || Nanos(10));
    clock.set(20);
    drop(publisher);
    assert_eq!(handle.load().health(), Health::NotSubscribed { since: Nanos(20) });

    clock.set(30);
    let mut publisher = pool::open::<Trade>(&pool, handle.key(), connection);
    assert_eq!(handle.load().health(), Health::Resyncing { since: Nanos(20), reason: SubscribedAgain });
    // The new subscription's snapshot is the known trade: it is fresh again, and no news.
    let verdict = publisher.publish(&receipt(1, 40), &trade(1, 10), &Timeline::new(), || Nanos(40));
    assert_eq!(verdict, hoga::pool::Verdict::Duplicate);
    assert_eq!((handle.load().health(), handle.version()), (Health::Live, 1));
    publisher.publish(&receipt(1, 41), &trade(2, 11), &Timeline::new(), || Nanos(41));
    assert_eq!(handle.version(), 2, "version numbers continue");
}

#[test]
fn a_stream_that_moves_to_another_connection_takes_the_epochs_of_that_connection() {
    let (clock, pool, connection, mut publisher) = open(DataType::Ticker);
    let handle = pool.ticker("KRW-BTC").unwrap();
    connection.opened(Epoch(9), Nanos(1), None);
    put(&mut publisher, 9, 10, 1.0);
    clock.set(20);
    drop(publisher);

    clock.set(30);
    let other = Arc::new(ConnectionState::new(ConnectionId(0), Nanos(0)));
    other.opened(Epoch(1), Nanos(25), None);
    let mut publisher = pool::open(&pool, handle.key(), other.clone());
    assert_eq!(handle.load().health(), Health::Resyncing { since: Nanos(20), reason: SubscribedAgain });
    put(&mut publisher, 1, 31, 2.0);
    assert_eq!((handle.load().value().unwrap().trade_price, handle.load().health()), (2.0, Health::Live));
    connection.disconnected(Nanos(32));
    assert_eq!(handle.load().health(), Health::Live, "the old connection no longer matters");
    other.disconnected(Nanos(33));
    assert_eq!(handle.load().health(), Health::Disconnected { since: Nanos(33) });
}

/// Regression: a panic leaves the demand unchanged, so the value was not recognized as old, and the epochs of two
/// connections were compared.
#[test]
fn a_value_of_a_connection_that_panicked_is_stale_on_the_next_one() {
    let (clock, pool, connection, mut publisher) = open(DataType::Ticker);
    let handle = pool.ticker("KRW-BTC").unwrap();
    connection.opened(Epoch(5), Nanos(1), None);
    put(&mut publisher, 5, 50, 1.0);
    clock.set(60);
    let crashed = thread::spawn(move || {
        let _publisher = publisher;
        panic!("planted");
    });
    assert!(crashed.join().is_err());

    clock.set(200);
    let next = Arc::new(ConnectionState::new(ConnectionId(0), Nanos(150)));
    let mut publisher = pool::open::<Ticker>(&pool, handle.key(), next.clone());
    assert_eq!(handle.load().health(), Health::Disconnected { since: Nanos(150) });
    next.opened(Epoch(1), Nanos(210), None);
    next.heard_data(Nanos(219));
    clock.set(220);
    assert_eq!(handle.load().health(), Health::Resyncing { since: Nanos(60), reason: SubscribedAgain });
    put(&mut publisher, 1, 221, 2.0);
    assert_eq!(handle.load().health(), Health::Live);
}

#[test]
#[should_panic(expected = "ticker KRW-BTC has a publisher already")]
fn a_second_publisher_of_a_stream_is_refused() {
    let (_clock, pool, connection, _publisher) = open::<Ticker>(DataType::Ticker);
    pool::open::<Ticker>(&pool, btc(DataType::Ticker), connection);
}

#[test]
#[should_panic(expected = "trade KRW-BTC does not carry this type of value")]
fn a_publisher_of_the_wrong_type_is_refused() {
    let (_clock, pool, connection, _publisher) = open::<Ticker>(DataType::Ticker);
    pool::open::<Ticker>(&pool, btc(DataType::Trade), connection);
}

#[test]
fn a_connection_thread_that_panics_leaves_its_streams_disconnected() {
    let (clock, pool, _connection, mut publisher) = open(DataType::Ticker);
    let handle = pool.ticker("KRW-BTC").unwrap();
    put(&mut publisher, 1, 10, 1.0);
    clock.set(20);
    let crashed = thread::spawn(move || {
        let _publisher = publisher;
        panic!("planted");
    });
    assert!(crashed.join().is_err());
    assert_eq!(handle.load().health(), Health::Disconnected { since: Nanos(20) });
}

#[test]
fn the_best_levels_have_the_version_stamps_and_health_of_the_whole_book() {
    let (clock, pool, connection, mut publisher) = open::<Orderbook>(DataType::Orderbook);
    let handle = pool.orderbook("KRW-BTC").unwrap();
    let best = handle.best_levels();
    let mut cached = best.cached();
    assert_eq!((best.load().version(), best.load().health()), (0, Health::NoData { since: Nanos(0) }));
    for price in 1..=3 {
        let book = orderbook(price, 100.0 * price as f64);
        publisher.publish(&receipt(1, price), &book, &Timeline::new(), || Nanos(price));
        let (part, whole) = (best.load(), handle.load());
        assert_eq!(
            (part.value().unwrap().ask, part.value().unwrap().bid, part.value().unwrap().timestamp),
            (whole.value().unwrap().best_ask(), whole.value().unwrap().best_bid(), price)
        );
        assert_eq!((part.version(), part.stamps(), part.epoch()), (whole.version(), whole.stamps(), whole.epoch()));
        assert_eq!((part.key(), part.health()), (whole.key(), Health::Live));
        assert_eq!(cached.load().value().unwrap().spread(), whole.value().unwrap().spread());
        assert_eq!(best.load_if_newer(price - 1).map(|part| part.version()), Some(price));
    }
    clock.set(10 + STALE_AFTER);
    assert!(!best.load().health().is_live(), "judged when it is asked for");
    connection.disconnected(Nanos(10 + STALE_AFTER));
    assert_eq!(best.load().health(), Health::Disconnected { since: Nanos(10 + STALE_AFTER) });
}

#[test]
fn a_reading_does_not_change_and_may_be_sent_to_another_thread() {
    let (_clock, pool, _connection, mut publisher) = open::<Ticker>(DataType::Ticker);
    let handle = pool.ticker("KRW-BTC").unwrap();
    put(&mut publisher, 1, 1, 1.0);
    let reading = handle.load();
    for price in 2..20 {
        publisher.publish(&receipt(1, price), &ticker(price, price as f64), &Timeline::new(), || Nanos(price));
    }
    let seen = thread::scope(|scope| {
        scope.spawn(move || (reading.value().unwrap().trade_price, reading.version())).join().unwrap()
    });
    assert_eq!(seen, (1.0, 1));
    assert_eq!(handle.load().value().unwrap().trade_price, 19.0);
}
