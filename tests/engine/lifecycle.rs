//! The lifecycle of engines against the simulated exchange, over real TCP and TLS.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common;
use hoga::config::{Backoff, ConnectLedger, KeepAlive, Limits, Timeouts};
use hoga::engine::{Builder, Lifecycle, LifecycleEvent};
use hoga::error::{Error, NotReadyReason};
use hoga::model::Nanos;
use hoga::net::{MarketSource, Resolve, SourceError, SourceFailure};
use hoga::prelude::*;
use hoga::session;
use hoga::status::{ConnectionStatus, EngineProblem, HealthLevel};
use hoga::ws::Rejection;
use hoga_exchange::{Fault, Server, ServerConfig};

const TIMEOUT: Duration = Duration::from_secs(20);

fn exchange(plain: bool) -> Server {
    let mut config = ServerConfig { plain, ..ServerConfig::default() };
    config.exchange.speed = 20.0;
    config.exchange.markets = 40;
    Server::start(config).unwrap()
}

fn builder(server: &Server) -> Builder {
    // No other process uses the test's exchange.
    let builder =
        Engine::builder().endpoint(Endpoint::custom(&server.url()).unwrap()).connect_ledger(ConnectLedger::Process);
    if server.url().starts_with("wss") { builder.root_certificates(server.ca_pem()) } else { builder }
}

/// Polls until the condition holds.
#[track_caller]
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("never: {what}");
}

/// Returns the code of the next disconnect.
#[track_caller]
fn next_disconnect(lifecycle: &Lifecycle) -> &'static str {
    while let Some(report) = lifecycle.next_within(TIMEOUT) {
        if let LifecycleEvent::Connection { event: session::Event::Disconnected { reason, .. }, .. } = report {
            return reason.code();
        }
    }
    panic!("no socket disconnected");
}

#[test]
fn quotes_arrive_over_tls_in_every_format_and_type() {
    let server = exchange(false);
    for format in [Format::Default, Format::Simple, Format::JsonList, Format::SimpleList] {
        let engine = builder(&server)
            .format(format)
            .ticker(["KRW-BTC", "KRW-ETH"])
            .trade("KRW-BTC")
            .orderbook("KRW-BTC")
            .candle(Interval::Second1, "KRW-BTC")
            .candle(Interval::Minute240, "KRW-BTC")
            .start()
            .unwrap();
        engine.wait_ready(TIMEOUT).unwrap();
        let pool = engine.pool();
        let ticker = pool.ticker("KRW-BTC").unwrap();
        let reading = ticker.load();
        assert!(reading.health().is_live() && reading.trade_price > 0.0);
        let stamps = reading.stamps().unwrap();
        assert!(stamps.published >= stamps.received && stamps.exchange_ms > 1_600_000_000_000);
        assert!(ticker.wait_newer(reading.version(), TIMEOUT).is_some(), "realtime follows the snapshot");
        let book = pool.orderbook("KRW-BTC").unwrap();
        let book = book.load();
        assert!(book.asks.len() == 30 && book.spread().unwrap() > 0.0);
        assert_eq!(pool.candle(Interval::Second1, "KRW-BTC").unwrap().load().interval, Interval::Second1);
        let ConnectionStatus { counters, opened_at, last_heard, opening, .. } = engine.connections().remove(0);
        assert!(counters.malformed == 0);
        assert!(opened_at <= last_heard && last_heard <= Some(engine.now()), "{opened_at:?} {last_heard:?}");
        assert!([opening.connect, opening.tls, opening.upgrade].iter().all(|time| *time > Some(Duration::ZERO)));
        assert_eq!((opening.resolve, opening.tunnel), (None, None), "{opening:?}");
        let health = engine.health();
        assert_eq!((health.level, &health.problems[..]), (HealthLevel::Healthy, &[][..]));
        let streams: Vec<_> = health.streams.iter().map(|(data_type, count)| format!("{data_type} {count}")).collect();
        assert_eq!(streams.join(", "), "ticker 2, trade 1, orderbook 1, candle.1s 1, candle.240m 1");
        engine.shutdown(TIMEOUT).into_result().unwrap();
    }
    assert_eq!(server.stats().violations(), 0, "{:?}", server.stats());
}

#[test]
fn handles_share_streams_and_the_wire_carries_their_union() {
    let server = exchange(true);
    let engine = builder(&server).ticker("KRW-BTC").grace(Duration::ZERO).start().unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    let one = engine.subscribe(trade("KRW-ETH")).unwrap();
    let two = engine.subscribe(trade("KRW-ETH").and(ticker("KRW-ETH"))).unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    drop(two);
    let trades = engine.pool().trade("KRW-ETH").unwrap();
    assert!(trades.load().health().is_live(), "another handle still holds it");
    eventually("no handle holds it", || engine.pool().ticker("KRW-ETH").is_err());
    drop(one);
    eventually("no handle holds it", || matches!(trades.load().health(), Health::NotSubscribed { .. }));
    // Subscribed again from another thread: the same handle becomes live again.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let again = engine.subscribe(trade("KRW-ETH")).unwrap();
            eventually("trades are live again", || trades.load().health().is_live());
            drop(again);
        });
    });
    assert_eq!(server.stats().connections, 1, "changes of demand cost no connection");
    engine.shutdown(TIMEOUT).into_result().unwrap();
}

/// A stream that is dropped and subscribed again at once never leaves the wire. Without trades it would stay stale, so
/// the engine must request its snapshot.
#[test]
fn a_stream_dropped_and_subscribed_again_at_once_is_live_again() {
    let mut config = ServerConfig { plain: true, ..ServerConfig::default() };
    config.exchange.speed = 1e-6; // no trades
    let server = Server::start(config).unwrap();
    let engine = builder(&server).ticker("KRW-BTC").grace(Duration::ZERO).start().unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    for _ in 0..3 {
        drop(engine.subscribe(ticker("KRW-ETH")).unwrap());
        let _held = engine.subscribe(ticker("KRW-ETH")).unwrap();
        engine.wait_ready(TIMEOUT).unwrap();
    }
    engine.shutdown(TIMEOUT).into_result().unwrap();
}

#[test]
fn a_feed_delivers_every_event_that_it_requested_and_nothing_else() {
    let (server, record) = common::exchange(20.0, 40);
    let engine = builder(&server).ticker("KRW-BTC").start().unwrap();
    let _others = engine.subscribe(trade(["KRW-XRP", "KRW-SOL"])).unwrap();
    let mut feed = engine.feed(trade(["KRW-BTC", "KRW-ETH"]), Overflow::DROP_NEWEST).unwrap();
    let (mut got, mut versions) = (Vec::new(), BTreeMap::new());
    while got.len() < 200 {
        assert!(feed.wait(TIMEOUT), "only {} arrived", got.len());
        while let Some(item) = feed.pop() {
            let Item::Data(update) = &item else { panic!("{item:?}") };
            let last = versions.insert(update.value.market, update.version);
            assert!(last.is_none_or(|last| update.version == last + 1), "{} after {last:?}", update.version);
            got.push(common::delivered(item));
        }
    }
    common::fall_silent(&server, &engine);
    common::drain(&mut feed, &mut got);
    let streams = ["trade KRW-BTC", "trade KRW-ETH"];
    let sent = record.sent(record.connections()[0], |message| streams.contains(&message.stream.as_str()));
    assert!(got == sent, "{} messages were sent, {} delivered", sent.len(), got.len());
    drop(feed);
    eventually("the demand is released", || engine.pool().trade("KRW-BTC").is_err());
    common::finish(engine, &server);
}

#[test]
fn a_disconnected_socket_is_replaced_and_values_show_the_disconnect() {
    let server = exchange(false);
    let engine = builder(&server).ticker("KRW-BTC").start().unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    let btc = engine.pool().ticker("KRW-BTC").unwrap();
    for (fault, code) in
        [(Fault::DropAll, "truncated"), (Fault::CloseAll(1001), "closed_by_peer"), (Fault::Garbage, "protocol_error")]
    {
        let lifecycle = engine.lifecycle();
        let epoch = btc.load().epoch().unwrap();
        // No socket replaces this one until the values were read.
        server.inject(Fault::RefuseConnects(true));
        server.inject(fault);
        assert_eq!(next_disconnect(&lifecycle), code);
        eventually("disconnected", || matches!(btc.load().health(), Health::Disconnected { .. }));
        let reading = btc.load();
        assert!(reading.value().is_some() && reading.epoch() == Some(epoch), "the last value stays readable");
        server.inject(Fault::RefuseConnects(false));
        eventually("data of a higher epoch", || btc.load().epoch() > Some(epoch) && btc.load().health().is_live());
    }
    assert_eq!(server.stats().upgrades, 4, "one WebSocket replaced each");
    engine.shutdown(TIMEOUT).into_result().unwrap();
}

#[test]
fn the_engine_is_reconnecting_while_the_exchange_refuses_it() {
    let server = exchange(true);
    let engine = builder(&server).ticker("KRW-BTC").start().unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    eventually("active", || engine.state() == EngineState::Active);
    server.inject(Fault::RefuseConnects(true));
    server.inject(Fault::DropAll);
    eventually("reconnecting", || engine.state() == EngineState::Reconnecting);
    assert!(engine.is_running());
    server.inject(Fault::RefuseConnects(false));
    eventually("active again", || engine.state() == EngineState::Active);
    engine.shutdown(TIMEOUT).into_result().unwrap();
}

#[test]
fn a_new_socket_names_what_ended_the_one_before_it_and_not_a_failed_attempt() {
    let server = exchange(true);
    let engine = builder(&server).ticker("KRW-BTC").start().unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    let mut feed = engine.feed(ticker("KRW-BTC"), Overflow::DropOldest).unwrap();
    eventually("data", || matches!(feed.pop(), Some(Item::Data(_))));
    server.inject(Fault::RejectUpgrades { count: 2, status: 503, retry_after: None, body: String::new() });
    server.inject(Fault::CloseAll(1001));
    let mut reasons = Vec::new();
    eventually("data of a new socket", || {
        reasons.extend(std::iter::from_fn(|| feed.pop()).filter_map(|item| match item {
            Item::Epoch { reason, .. } => Some(reason),
            _ => None,
        }));
        !reasons.is_empty()
    });
    assert_eq!(reasons, [Some(hoga::DisconnectKind::ClosedByPeer)]);
    assert_eq!(engine.connections()[0].counters.disconnects, 3);
    engine.shutdown(TIMEOUT).into_result().unwrap();
}

#[test]
fn every_byte_of_every_message_is_counted() {
    let (server, record) = common::exchange(20.0, 40);
    let engine = builder(&server).ticker("KRW-BTC").orderbook("KRW-BTC").start().unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    common::fall_silent(&server, &engine);
    let (counters, sent) = (engine.connections()[0].counters, server.stats());
    assert_eq!((counters.data, counters.messages), (sent.data_frames, sent.data_frames));
    assert_eq!(counters.data, record.sent_count() as u64);
    // Each payload has a header of two to four bytes. Pongs and the handshake's response are extra.
    let (least, most) = (sent.data_bytes + 2 * sent.data_frames, sent.data_bytes + 4 * sent.data_frames + 4096);
    assert!((least..most).contains(&counters.bytes), "{} of {least}..{most}", counters.bytes);
    common::finish(engine, &server);
}

#[test]
fn a_stalled_exchange_is_noticed_by_its_silence() {
    let server = exchange(true);
    let engine = builder(&server)
        .ticker("KRW-BTC")
        .timeouts(Timeouts {
            ping_after: Duration::from_millis(100),
            silent_after: Duration::from_millis(400),
            ..Timeouts::default()
        })
        .stale_after(Duration::from_millis(200))
        .start()
        .unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    let lifecycle = engine.lifecycle();
    let btc = engine.pool().ticker("KRW-BTC").unwrap();
    server.inject(Fault::Stall(true));
    eventually("stale before the disconnect is certain", || matches!(btc.load().health(), Health::Stale { .. }));
    assert_eq!(next_disconnect(&lifecycle), "silent");
    eventually("disconnected", || matches!(btc.load().health(), Health::Disconnected { .. }));
    assert!(btc.load().value().is_some(), "the last value stays readable");
    server.inject(Fault::Stall(false));
    eventually("live again", || btc.load().health().is_live());
    engine.shutdown(TIMEOUT).into_result().unwrap();
}

#[test]
fn a_mute_connection_is_requested_again_and_then_replaced() {
    let server = exchange(true);
    let quiet = Duration::from_millis(300);
    let engine = builder(&server)
        .ticker("KRW-BTC")
        .timeouts(Timeouts { quiet_after: quiet, probe: quiet, ..Timeouts::default() })
        .stale_after(Duration::from_millis(200))
        .start()
        .unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    let lifecycle = engine.lifecycle();
    let btc = engine.pool().ticker("KRW-BTC").unwrap();
    server.inject(Fault::Mute(true));
    eventually("stale", || matches!(btc.load().health(), Health::Stale { .. }));
    assert_eq!(next_disconnect(&lifecycle), "mute");
    server.inject(Fault::Mute(false));
    eventually("data of a higher epoch", || btc.load().health().is_live() && btc.load().epoch().unwrap().0 > 1);
    engine.shutdown(TIMEOUT).into_result().unwrap();
}

#[test]
fn the_engine_waits_after_refusals() {
    let server = exchange(true);
    for (status, retry_after) in [(429, Some(1)), (503, Some(1)), (503, None), (301, None)] {
        server.inject(Fault::RejectUpgrades { count: 1, status, retry_after, body: "wait".to_owned() });
        let engine = builder(&server).start().unwrap();
        let lifecycle = engine.lifecycle();
        let _held = engine.subscribe(ticker("KRW-BTC")).unwrap();
        let (at, rejection, retry_at) = next_rejection(&lifecycle);
        assert_eq!((rejection.status, &*rejection.body), (status, "wait"));
        let asked = Duration::from_secs(retry_after.unwrap_or_default().into());
        assert!(retry_at > at && retry_at >= at + asked, "{status}: refused at {at:?}, again at {retry_at:?}");
        assert!(next_dial(&lifecycle) >= retry_at, "{status}: it did not wait");
        engine.wait_ready(TIMEOUT).unwrap();
        assert_eq!(engine.connections()[0].last_disconnect, Some(session::Disconnect::Rejected(rejection)));
        engine.shutdown(TIMEOUT).into_result().unwrap();
    }
}

#[test]
fn a_block_of_the_exchange_shows() {
    let server = exchange(true);
    server.inject(Fault::RejectUpgrades { count: 1, status: 429, retry_after: Some(3600), body: String::new() });
    let engine = builder(&server).ticker("KRW-BTC").start().unwrap();
    eventually("the block shows", || engine.connections()[0].blocked_until.is_some());
    assert!(engine.connections()[0].blocked_until > Some(engine.now()));
    engine.shutdown(TIMEOUT).into_result().unwrap();
}

/// Returns the time of the next rejection, the rejection, and the time of the next attempt.
#[track_caller]
fn next_rejection(lifecycle: &Lifecycle) -> (Nanos, Box<Rejection>, Nanos) {
    while let Some(report) = lifecycle.next_within(TIMEOUT) {
        let LifecycleEvent::Connection { event, .. } = report else { continue };
        if let session::Event::Disconnected { at, reason, retry_at, .. } = event {
            let session::Disconnect::Rejected(rejection) = reason else { panic!("{reason}") };
            return (at, rejection, retry_at.expect("another attempt"));
        }
    }
    panic!("nothing was rejected");
}

/// Returns the time of the next connect.
#[track_caller]
fn next_dial(lifecycle: &Lifecycle) -> Nanos {
    while let Some(report) = lifecycle.next_within(TIMEOUT) {
        let LifecycleEvent::Connection { event, .. } = report else { continue };
        if let session::Event::State { at, to: session::State::Connecting, .. } = event {
            return at;
        }
    }
    panic!("no connect");
}

#[test]
fn strange_but_legal_streams_change_nothing() {
    let server = exchange(true);
    server.inject(Fault::SendText(true));
    server.inject(Fault::Fragment(true));
    server.inject(Fault::UnknownKeys(true));
    server.inject(Fault::EarlyData(true));
    server.inject(Fault::MultiElementLists(true));
    let engine = builder(&server)
        .format(Format::SimpleList)
        .keep_alive(KeepAlive::PingAndStatus)
        .ticker(["KRW-BTC", "KRW-ETH"])
        .orderbook("KRW-BTC")
        .start()
        .unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    let counters = engine.connections()[0].counters;
    assert_eq!((counters.malformed, counters.disconnects), (0, 0));
    assert!(counters.status_messages >= 1, "the message that arrived with the 101 was not lost");
    engine.shutdown(TIMEOUT).into_result().unwrap();
}

#[test]
fn an_untrusted_certificate_is_refused() {
    let server = exchange(false);
    let endpoint = Endpoint::custom(&server.url()).unwrap();
    let engine =
        Engine::builder().endpoint(endpoint).connect_ledger(ConnectLedger::Process).ticker("KRW-BTC").start().unwrap();
    let lifecycle = engine.lifecycle();
    assert_eq!(next_disconnect(&lifecycle), "tls_failed");
    let error = engine.wait_ready(Duration::from_millis(100)).unwrap_err();
    let Error::NotReady(missing) = &error else { panic!("{error}") };
    let [(_, NotReadyReason::Disconnected { last: Some(reason), .. })] = &missing.streams[..] else {
        panic!("{error}")
    };
    assert_eq!(reason.code(), "tls_failed", "the wait has the same reason as the connection");
    assert_eq!(server.stats().upgrades, 0);
    engine.shutdown(TIMEOUT).into_result().unwrap();
}

#[test]
fn unknown_markets_are_named_and_do_not_block_others() {
    let server = exchange(true);
    let engine = builder(&server).ticker(["KRW-BTC", "KRW-NOPE"]).start().unwrap();
    eventually("the known market is live", || engine.pool().ticker("KRW-BTC").unwrap().load().health().is_live());
    let error = engine.wait_ready(Duration::from_millis(50)).unwrap_err();
    assert!(error.to_string().starts_with("no current data for ticker KRW-NOPE: "), "{error}");
    let nope = engine.pool().ticker("KRW-NOPE").unwrap().load().health();
    assert!(matches!(nope, Health::NoData { .. }), "{nope}");
    engine.shutdown(TIMEOUT).into_result().unwrap();
}

#[test]
fn every_problem_of_the_configuration_is_reported_before_anything_starts() {
    let error = Engine::builder()
        .ticker("krw-btc")
        .pin([9999])
        .root_certificates("no pem")
        .root_certificates_file("/does/not/exist.pem")
        .timeouts(Timeouts { ping_after: Duration::from_secs(30), ..Timeouts::default() })
        .backoff(Backoff::constant(Duration::ZERO))
        .receive_bytes(1)
        .stale_after(Duration::ZERO)
        .start()
        .unwrap_err();
    let Error::Configuration(problems) = &error else { panic!("{error}") };
    for word in ["krw-btc", "9999", "PEM", "exist.pem", "ping_after", "backoff", "receive_bytes", "stale_after"] {
        assert!(problems.iter().any(|p| p.contains(word)), "{word} is missing in {problems:#?}");
    }
}

#[test]
fn headers_that_would_break_the_handshake_are_refused_and_no_value_is_printed() {
    let builder = Engine::builder().header("Origin", "canary").header("Host", "canary").header("X-Key", "canary\0");
    assert!(!format!("{builder:?}").contains("canary"));
    let Err(Error::Configuration(problems)) = builder.header("Authorization", "canary").start() else { panic!() };
    let [origin, host, key] = &problems[..] else { panic!("{problems:#?}") };
    assert!(origin.contains("Origin") && host.contains("Host") && key.contains("X-Key"), "{problems:#?}");
    assert!(!problems.concat().contains("canary"), "{problems:#?}");
}

/// Regression: the planner was consulted only after the threads had started, and one of its refusals hid all other
/// problems.
#[test]
fn refusals_of_the_planner_are_reported_with_the_other_problems() {
    let problems = |builder: Builder| match builder.receive_bytes(1).start() {
        Err(Error::Configuration(problems)) => problems.join("; "),
        other => panic!("{other:?}"),
    };
    let pattern = problems(Engine::builder().ticker("KRW-*"));
    assert!(pattern.contains("market_source") && pattern.contains("receive_bytes"), "{pattern}");

    let one = Limits { streams_per_connection: 1, ..Limits::default() };
    let many = problems(Engine::builder().ticker(["KRW-BTC", "KRW-ETH"]).limits(one));
    assert!(many.contains("2 streams are more than the 1") && many.contains("receive_bytes"), "{many}");

    let universe = ["KRW-BTC", "KRW-ETH", "KRW-XRP"].map(|code| code.parse().unwrap());
    let called = Arc::new(AtomicUsize::new(0));
    let source = UncalledSource(called.clone());
    let builder = Engine::builder().ticker("*").universe(universe).market_source(source, TIMEOUT).limits(one);
    let listed = problems(builder.connections(2));
    assert!(listed.contains("3 streams are more than the 2"), "{listed}");
    assert_eq!(called.load(Ordering::Relaxed), 0, "no thread has called it");

    // Without connections there is no stream limit to report.
    let none = problems(Engine::builder().ticker("KRW-*").connections(0));
    assert!(none.contains("connections is 0: "), "{none}");
}

/// A source of markets that must not be called.
struct UncalledSource(Arc<AtomicUsize>);

impl MarketSource for UncalledSource {
    fn markets(&mut self) -> Result<Vec<Market>, SourceError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Vec::new())
    }
}

#[test]
fn a_refused_subscription_changes_nothing() {
    let server = exchange(true);
    let engine = builder(&server).ticker("KRW-BTC").start().unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    let error = engine.subscribe(ticker(["KRW-ETH", "eth"])).unwrap_err();
    assert_eq!(error.code(), "SUBSCRIPTION");
    assert!(engine.pool().ticker("KRW-ETH").is_err());
    assert!(engine.feed(ticker("KRW-ETH"), Overflow::DropNewest { capacity: 0 }).is_err());
    engine.shutdown(TIMEOUT).into_result().unwrap();
}

#[test]
fn an_engine_can_be_started_and_stopped_repeatedly() {
    let server = exchange(false);
    for _ in 0..5 {
        let engine = builder(&server).ticker("KRW-BTC").start().unwrap();
        engine.wait_ready(TIMEOUT).unwrap();
        let report = engine.shutdown(TIMEOUT);
        assert_eq!((report.joined.len(), report.running.len(), report.hanging_lookups), (3, 0, 0));
    }
    assert_eq!(server.stats().connections, 5);
    assert_eq!(server.stats().violations(), 0);
}

#[test]
fn demand_after_the_end_is_refused() {
    let server = exchange(true);
    let engine = builder(&server).ticker("KRW-BTC").start().unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    let held = engine.subscribe(trade("KRW-BTC")).unwrap();
    let btc = engine.pool().ticker("KRW-BTC").unwrap();
    engine.shutdown(TIMEOUT).into_result().unwrap();
    assert_eq!((engine.state(), engine.is_running()), (EngineState::Stopped, false));
    assert!(matches!(engine.subscribe(trade("KRW-BTC")), Err(Error::Stopped)));
    assert!(matches!(engine.feed(trade("KRW-BTC"), Overflow::DROP_NEWEST).err(), Some(Error::Stopped)));
    assert_eq!(engine.shutdown(TIMEOUT).joined.len(), 0, "no thread is left to join");
    drop(engine);
    assert!(btc.load().value().is_some() && !btc.load().health().is_live(), "the last value outlives its engine");
    drop(held); // a subscription outlives the engine, too
}

/// A source of markets that panics.
#[test]
fn a_running_engine_takes_another_configuration_without_a_new_socket() {
    let server = exchange(true);
    let engine = builder(&server).ticker("KRW-BTC").start().unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    let error = engine.reconfigure(|config| {
        (config.connections, config.stale_after) = (3, Duration::ZERO);
        config.limits.connects_per_second += 1;
    });
    let Err(Error::Configuration(problems)) = error else { panic!("{error:?}") };
    for word in ["connections cannot be changed", "stale_after is 0ns", "connects_per_second cannot"] {
        assert!(problems.iter().any(|problem| problem.contains(word)), "{word}: {problems:?}");
    }
    assert_eq!(engine.config().connections, 1);

    // With the default of 12 s, the value would be live for longer than this test takes.
    engine.reconfigure(|config| config.stale_after = Duration::from_millis(50)).unwrap();
    server.inject(Fault::Mute(true));
    let handle = engine.pool().ticker("KRW-BTC").unwrap();
    eventually("the value is stale", || matches!(handle.load().health(), Health::Stale { .. }));
    assert_eq!(engine.connections()[0].counters.disconnects, 0);
    engine.shutdown(TIMEOUT).into_result().unwrap();
    assert!(matches!(engine.reconfigure(|_| {}), Err(Error::Stopped)));
}

struct PanickingSource;

impl MarketSource for PanickingSource {
    fn markets(&mut self) -> Result<Vec<Market>, SourceError> {
        panic!("a bug of the program");
    }
}

/// The panic once ended the thread that asks for the list, so no list ever followed.
#[test]
fn a_source_of_markets_that_panics_fails_by_name_and_is_asked_again() {
    let server = exchange(true);
    let builder = builder(&server).market_source(PanickingSource, Duration::from_millis(10)).ticker("KRW-BTC");
    let engine = builder.start().unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    eventually("the failure is reported", || engine.market_list().failure.is_some());
    let failure = engine.market_list().failure.unwrap();
    assert!(matches!(&failure.failure, SourceFailure::Panicked(why) if why == "a bug of the program"), "{failure}");
    let health = engine.health();
    assert_eq!((health.level, &health.problems[..]), (HealthLevel::Degraded, &[EngineProblem::MarketList][..]));
    engine.shutdown(TIMEOUT).into_result().unwrap();
    let health = engine.health();
    assert_eq!((health.level, &health.problems[0]), (HealthLevel::Critical, &EngineProblem::Stopped));
}

/// A source of markets that blocks until it is released.
struct StuckSource(std::sync::mpsc::Receiver<()>);

impl MarketSource for StuckSource {
    fn markets(&mut self) -> Result<Vec<Market>, SourceError> {
        let _ = self.0.recv();
        Ok(Vec::new())
    }
}

#[test]
fn a_thread_that_still_runs_at_the_deadline_is_named() {
    let server = exchange(true);
    let (release, released) = std::sync::mpsc::channel();
    let engine = builder(&server).market_source(StuckSource(released), TIMEOUT).ticker("KRW-BTC").start().unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    let error = engine.shutdown(Duration::from_millis(50)).into_result().unwrap_err();
    let Error::ShutdownTimedOut(running) = &error else { panic!("{error}") };
    assert!(running.iter().any(|thread| thread == "hoga-markets"), "{running:?}");
    drop(release);
}

/// A resolver that hangs on the first lookup, as if its server were gone.
struct HangingResolver(Arc<AtomicUsize>, std::net::SocketAddr);

impl Resolve for HangingResolver {
    fn resolve(&self, _: &str, _: u16) -> std::io::Result<Vec<std::net::SocketAddr>> {
        if self.0.fetch_add(1, Ordering::Relaxed) == 0 {
            std::thread::sleep(Duration::from_secs(3));
        }
        Ok(vec![self.1])
    }
}

#[test]
fn a_hanging_resolver_blocks_nothing() {
    let server = exchange(false);
    let calls = Arc::new(AtomicUsize::new(0));
    let url = server.url().replace("127.0.0.1", "localhost");
    let engine = Engine::builder()
        .endpoint(Endpoint::custom(&url).unwrap())
        .connect_ledger(ConnectLedger::Process)
        .root_certificates(server.ca_pem())
        .resolver(HangingResolver(calls.clone(), server.address()))
        .timeouts(Timeouts { resolve: Duration::from_millis(200), ..Timeouts::default() })
        .ticker("KRW-BTC")
        .start()
        .unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 2, "the second lookup returned while the first one hung");
    let report = engine.shutdown(Duration::from_secs(2));
    assert_eq!(report.joined, ["hoga-control", "hoga-conn-0", "hoga-log"]);
}
