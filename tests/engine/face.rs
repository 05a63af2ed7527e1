//! The public types of the crate: each has a short `Debug` form, and is `Send` and `Sync` where possible. Compiling
//! this is most of the test. `tests/tidy` checks that no type is missing here.

use std::fmt::Debug;

use hoga::prelude::*;
use hoga::{
    Access, AsMarket, Batch, BatchCursor, BestLevels, Builder, CachedHandle, CallbackBuilder, Change, ConnectionId,
    Currency, Date, DateTime, DisconnectKind, Dispatcher, Grouping, IntoMarkets, Level, Levels, MarketSelector,
    MarketSource, MarketState, MarketWarning, Maybe, Nanos, Nature, Noun, NounKind, Pattern, Payload, Resolve, Scope,
    ShutdownReport, Side, Stamps, StreamType, SystemResolver, Time, Unit, Universe, config, error, offline, status,
};

/// Types that can be cloned, sent and shared.
fn value<T: Debug + Clone + Send + Sync>() {}

/// Types that can be sent and shared, but not cloned.
fn shared<T: Debug + Send + Sync>() {}

/// Types that can be sent, but not shared.
fn sent<T: Debug + Send>() {}

/// Checks each type of the list against the bounds of `$check`.
macro_rules! all {
    ($check:ident: $($type:ty),* $(,)?) => { $($check::<$type>();)* };
}

#[test]
fn types_of_the_crate_root_are_debug_and_send() {
    all!(shared: Engine, Client, hoga::Error, hoga::Result<()>, Subscribed, Callback, Dispatcher, CallbackBuilder<'_>);
    all!(value: EngineState, ShutdownReport, DataPool, Handle<Ticker>, Batch<Trade>, BatchCursor, Health);
    all!(sent: Builder, CachedHandle<Orderbook>, Feed, Feed<Candle>);
    all!(value: Item, Update, Overflow, Subscription, Subscription<Ticker>, Pattern, MarketSelector, Universe, SystemResolver);
    all!(value: Market, DataType, Grouping, Interval, StreamKey, Scope, Currency, Access, Format, Nature, NounKind);
    all!(value: Ticker, Trade, Orderbook, Candle, Event, Level, Levels, Unit, Change, Side, MarketState, MarketWarning);
    all!(value: StreamType, Date, Time, DateTime, Maybe<f64>, Stamps, Nanos, Epoch, ConnectionId, DisconnectKind);
    all!(shared: Reading<'_, Ticker>, Reading<'_, BestLevels>);
    all!(value: BestLevels, Handle<BestLevels>);
}

#[test]
fn types_of_the_public_modules_are_debug_and_send() {
    all!(value: config::Backoff, config::Config, config::ConnectLedger, config::Dialect, config::Endpoint, config::FormatChoice);
    all!(value: config::FormatCosts, config::FormatRule, config::Headers, config::KeepAlive, config::Limits, config::Pacing, config::Proxy, config::ProxyProtocol, config::Roots);
    all!(value: config::ReadCosts, config::Timeouts, config::Wait);
    all!(value: error::InvalidCode, error::InvalidEndpoint, error::InvalidMarket, error::InvalidOption, error::InvalidProxy);
    all!(value: error::InvalidOverflow, error::InvalidPattern, error::InvalidSubscription, error::InvalidTime);
    all!(value: error::NotReady, error::NotReadyReason, error::PoolError, error::Recovery, error::Severity);
    all!(value: error::SourceError, error::SourceFailure);
    all!(value: status::Attribution, status::CallbackState, status::CallbackStatus, status::ClientStatus);
    all!(value: status::ClockOffset, status::CloseCode, status::Conflict, status::ConflictKind);
    all!(value: status::ConflictSubject, status::ConnectionStatus, status::Counters, status::DecodeCounters);
    all!(value: status::DecodeError, status::DecodeErrorKind, status::ObjectCounts, status::ErrorName, status::Event, status::FeedCounts);
    all!(value: status::Drift, status::DriftCounts, status::DriftKind, status::Excerpt, status::Refused, status::RefusedMessages);
    all!(value: status::FeedStatus, status::NetworkStatus, status::ProxyFailure, status::TunnelError, status::FormatReason, status::Latencies, status::Latency, status::LifecycleEvent);
    all!(value: status::GapEdge, status::GapLog, status::HealthChange, status::StreamGap);
    all!(value: status::Disconnect, status::HealthReason, status::MarketListStatus, status::PlanStats, status::Rejection);
    all!(value: status::RejectionKind, status::RetryAfter, status::Cadence, status::FailureCause, status::RecoverableBy);
    all!(value: status::RecoveryAction, status::RecoveryRule, status::EngineHealth, status::EngineProblem);
    all!(value: status::HealthLevel, status::OpeningTimes);
    all!(value: status::Revisions, status::ServerError, status::Stage, status::State, status::StreamStatus);
    all!(value: status::SubscriptionEntry, status::SubscriptionList, status::VerdictCounts, status::Violation);
    all!(shared: status::FeedCounters, status::Lifecycle);
    all!(sent: offline::Feed<Trade>, offline::BlockingWriter<Trade>);
    all!(value: offline::Abandoned<Trade>, offline::SystemClock);
}

/// Traits that users implement or use as bounds.
#[allow(dead_code, reason = "that it compiles is the test")]
fn traits<M: AsMarket + IntoMarkets, N: Noun, P: Payload, A: hoga::CallbackResult>(
    _: &dyn MarketSource,
    _: &dyn Resolve,
    _: &dyn offline::Clock,
) {
}

#[cfg(feature = "rest")]
#[test]
fn the_list_of_markets_is_debug_and_send() {
    all!(sent: hoga::RestMarkets);
    all!(value: error::InvalidRoots);
}

#[test]
fn debug_output_is_short() {
    let mut latencies = status::Latencies::default();
    for ns in 0..100_000 {
        latencies.receive_to_publish.record(std::time::Duration::from_nanos(ns * 37));
    }
    assert!(format!("{latencies:?}").len() < 300, "{latencies:?}");
    let engine = Engine::builder().endpoint(Endpoint::custom("ws://127.0.0.1:1").unwrap());
    assert!(format!("{engine:?}").len() < 300, "{engine:?}");
    let engine = engine.connect_ledger(config::ConnectLedger::Process).ticker(["KRW-BTC", "KRW-ETH"]).start().unwrap();
    let feed = engine.feed(trade("KRW-BTC"), Overflow::default()).unwrap();
    let callback = engine.callback("printer");
    let handle = engine.pool().ticker("KRW-BTC").unwrap();
    let universe: Universe = (0..1000).map(|n| format!("KRW-M{n}").parse::<Market>().unwrap()).collect();
    let shown: [&dyn Debug; 9] = [
        &engine,
        engine.pool(),
        feed.subscribed(),
        &feed,
        &callback,
        &handle,
        &handle.cached(),
        &universe,
        &engine.lifecycle(),
    ];
    for shown in shown {
        let shown = format!("{shown:?}");
        assert!(shown.len() < 300, "{shown}");
    }
}
