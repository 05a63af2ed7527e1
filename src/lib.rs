//! hoga (호가, the quote): a market-data engine for the Upbit WebSocket API, to be linked into latency-sensitive
//! strategy code.
//!
//! ```no_run
//! use hoga::prelude::*;
//! use std::time::Duration;
//!
//! fn main() -> hoga::Result<()> {
//!     let engine = Engine::builder()
//!         .ticker(["KRW-BTC", "KRW-ETH"])
//!         .orderbook(["KRW-BTC"])
//!         .start()?; // reports all configuration errors at once
//!     let btc = engine.pool().ticker("KRW-BTC")?; // looked up once; no strings on the hot path
//!     engine.wait_ready(Duration::from_secs(5))?; // until every stream has data; the error names those without
//!     while engine.is_running() {
//!         let t = btc.load(); // lock-free
//!         if t.health().is_live() {
//!             println!("{} age {:?}", t.trade_price, t.age());
//!         }
//!         btc.wait_newer(t.version(), Duration::from_millis(100));
//!     }
//!     engine.shutdown(Duration::from_secs(2)).into_result()
//! }
//! ```
//!
//! # Threads
//!
//! ```text
//!  strategy threads (yours)                 engine thread, one per connection
//!  ┌───────────────┐   load()      ┌─────────────────────────────────────────────────────┐
//!  │ poll the pool │◄──────────────┤ pool   one cell per (type, market)                  │
//!  │ drain a feed  │◄──────────────┤ feed   broadcast ring · SPSC ring · newest values   │
//!  └──────┬────────┘   pop()       │   ▲ publish: no lock, no allocation, no log         │
//!         │ subscribe / drop       │   │                                                 │
//!  ┌──────▼────────┐  desired set  │ socket → TLS → WebSocket frame → decode → publish   │
//!  │ control thread├──────────────►│ session: sans-IO life of the connection             │
//!  └───────────────┘               └─────────────────────────────────────────────────────┘
//! ```
//!
//! A frame travels one way, on one thread, from `recv` to publish. There is no async runtime. Reading the pool never
//! waits for that thread, and that thread never waits for a reader. Readers cost it work: a copy for each feed with its
//! own ring, a mark in a set for each feed that keeps only newest values, and a system call to wake a sleeping reader.
//! A separate thread writes the log.
//!
//! # What is where
//!
//! This page lists every type that most programs name. [`prelude`] has the most common ones.
//!
//! | for | start at |
//! | --- | --- |
//! | the engine | [`Engine`], made by a [`Builder`]; [`Client`] groups subscriptions under a name |
//! | reading the pool | [`DataPool`], [`Handle`], [`Reading`], [`Health`]; [`Batch`] for many markets at one moment |
//! | feeds and callbacks | [`Feed`], [`Item`], [`Update`], [`Overflow`]; [`CallbackBuilder`], [`Callback`], [`Dispatcher`] |
//! | subscriptions | [`ticker()`], [`trade()`], [`orderbook()`], [`candle()`]; [`Subscription`], [`Subscribed`], [`Pattern`], [`Universe`] |
//! | messages | [`Ticker`], [`Trade`], [`Orderbook`], [`Candle`], or any of them as an [`Event`]; [`Market`], [`StreamKey`], [`Stamps`] |
//! | errors | [`Error`] |
//! | settings | [`config`] |
//! | details of errors | [`error`] |
//! | status of the engine | [`status`] |
//! | feeds without an engine | [`offline`] |
//!
//! The library installs no logger, panic hook or signal handler. It logs through `tracing`, from a separate thread: a
//! slow or stuck subscriber delays the log and nothing else. Lines that do not fit in the thread's queue are dropped,
//! and the log later says how many are missing.
//!
//! # Platforms
//!
//! Unix on little-endian processors. Compiling for other platforms fails. Panics in callbacks and in the engine's
//! threads are caught if the program is built with `panic = "unwind"`, the default. With `"abort"` they end the
//! program.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(feature = "insides"),
    warn(unnameable_types, missing_debug_implementations),
    allow(dead_code, unused_imports, reason = "some items serve only the tests, benchmarks and tools")
)]
#![allow(clippy::module_inception, reason = "a file is named after its type, a room after its main type")]

#[cfg(not(unix))]
compile_error!("hoga runs on Unix-like systems only: it uses their sockets, files and permissions directly");

#[cfg(not(target_endian = "little"))]
compile_error!("hoga runs on little-endian processors only: it reads the digits of numbers in place, eight at a time");

// The rooms are private; users see the re-exports below. The feature `insides` makes the rooms public for the tests,
// benchmarks and tools of this repository, without any promise of stability. `model` comes first because the other
// rooms use its macros. ARCHITECTURE.md explains the rooms.
#[cfg(not(feature = "insides"))]
#[macro_use]
mod model;
#[cfg(feature = "insides")]
#[doc(hidden)]
#[macro_use]
pub mod model;

#[cfg(not(feature = "insides"))]
mod call;
#[cfg(feature = "insides")]
#[doc(hidden)]
pub mod call;
pub mod config;
#[cfg(not(feature = "insides"))]
mod engine;
#[cfg(feature = "insides")]
#[doc(hidden)]
pub mod engine;
pub mod error;
#[cfg(not(feature = "insides"))]
mod feed;
#[cfg(feature = "insides")]
#[doc(hidden)]
pub mod feed;
#[cfg(not(feature = "insides"))]
mod monitor;
#[cfg(feature = "insides")]
#[doc(hidden)]
pub mod monitor;
#[cfg(not(feature = "insides"))]
mod net;
#[cfg(feature = "insides")]
#[doc(hidden)]
pub mod net;
#[cfg(not(feature = "insides"))]
mod plan;
#[cfg(feature = "insides")]
#[doc(hidden)]
pub mod plan;
#[cfg(not(feature = "insides"))]
mod pool;
#[cfg(feature = "insides")]
#[doc(hidden)]
pub mod pool;
#[cfg(not(feature = "insides"))]
mod route;
#[cfg(feature = "insides")]
#[doc(hidden)]
pub mod route;
#[cfg(not(feature = "insides"))]
mod session;
#[cfg(feature = "insides")]
#[doc(hidden)]
pub mod session;
#[cfg(not(feature = "insides"))]
mod sync;
#[cfg(feature = "insides")]
#[doc(hidden)]
pub mod sync;
#[cfg(not(feature = "insides"))]
mod wire;
#[cfg(feature = "insides")]
#[doc(hidden)]
pub mod wire;
#[cfg(not(feature = "insides"))]
mod ws;
#[cfg(feature = "insides")]
#[doc(hidden)]
pub mod ws;

// The engine.
pub use engine::{Builder, Client, Engine, EngineState, ShutdownReport};
pub use error::{Error, Result};

// Reading the pool.
pub use pool::{AsMarket, Batch, BatchCursor, CachedHandle, DataPool, Handle, Health, Reading};

// Feeds and callbacks.
pub use call::{Callback, CallbackResult, Dispatcher};
pub use engine::{CallbackBuilder, Feed};
pub use feed::{Item, Overflow, Payload, Update};

// Subscriptions, and the markets that exist.
pub use engine::Subscribed;
pub use model::{Access, Currency, DataType, Grouping, Interval, Market, Scope, StreamKey};
#[cfg(feature = "rest")]
pub use net::RestMarkets;
pub use net::{MarketSource, Resolve, SystemResolver};
pub use plan::{IntoMarkets, MarketSelector, Pattern, Subscription, Universe, candle, orderbook, ticker, trade};

// Messages.
pub use model::{
    BestLevels, Candle, Change, ConnectionId, Date, DateTime, DisconnectKind, Epoch, Event, Format, Level, Levels,
    MAX_LEVELS, MarketState, MarketWarning, Maybe, Nanos, Nature, Noun, NounKind, Orderbook, Side, Stamps, StreamType,
    Ticker, Time, Trade, Unit,
};

/// The status of the engine: connections, feeds, callbacks, demand, the list of markets, and latencies.
pub mod status {
    pub use crate::call::CallbackStatus;
    pub use crate::engine::{
        ConnectionStatus, EngineHealth, EngineProblem, FeedStatus, HealthLevel, Lifecycle, LifecycleEvent,
        MarketListStatus, NetworkStatus,
    };
    pub use crate::feed::{CallbackState, FeedCounters, FeedCounts, Latencies, Latency};
    pub use crate::model::ClockOffset;
    pub use crate::monitor::{GapEdge, GapLog, HealthChange, StreamGap};
    pub use crate::plan::{ClientStatus, Conflict, ConflictKind, ConflictSubject, PlanStats, Revisions};
    pub use crate::pool::{HealthReason, StreamStatus, VerdictCounts};
    pub use crate::route::Attribution;
    pub use crate::session::{
        Cadence, Counters, Disconnect, Event, FailureCause, FormatReason, OpeningTimes, ProxyFailure, RecoverableBy,
        RecoveryAction, RecoveryRule, Refused, RefusedMessages, Stage, State,
    };
    pub use crate::wire::{
        DecodeCounters, DecodeError, DecodeErrorKind, Drift, DriftCounts, DriftKind, ErrorName, Excerpt, ObjectCounts,
        ServerError, SubscriptionEntry, SubscriptionList,
    };
    pub use crate::ws::{CloseCode, Rejection, RejectionKind, RetryAfter, TunnelError, Violation};
}

/// Feeds without an engine, to replay recordings.
pub mod offline {
    pub use crate::feed::{Abandoned, BlockingWriter, Feed, blocking};
    pub use crate::model::Clock;
    pub use crate::net::SystemClock;
}

/// Compiles the programs in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The types and functions that most programs need.
pub mod prelude {
    pub use crate::config::{Endpoint, Wait};
    pub use crate::{
        Callback, Candle, Client, DataPool, DataType, Engine, EngineState, Epoch, Event, Feed, Format, Handle, Health,
        Interval, Item, Market, Orderbook, Overflow, Reading, StreamKey, Subscribed, Subscription, Ticker, Trade,
        Update, candle, orderbook, ticker, trade,
    };
}
