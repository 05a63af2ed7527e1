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
//!         .start()?; // every configuration error at once, before any thread
//!     let btc = engine.pool().ticker("KRW-BTC")?; // resolved once; no string on the hot path
//!     engine.wait_ready(Duration::from_secs(5))?; // every stream has data, or the error names those that have not
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
//! A frame goes one way, on one thread, from `recv` to publish. There is no async runtime. Reading the pool never waits
//! for that thread, and it never waits for a reader. What readers cost it is work: a copy for each feed with a ring of its
//! own, a mark for each that conflates, and a system call to wake one that sleeps. One more thread writes the log.
//!
//! # What is where
//!
//! Everything that most programs name is on this page; [`prelude`] brings the most common of it.
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
//! | what the engine says about itself | [`status`] |
//! | feeds without an engine | [`offline`] |
//!
//! The library installs no logger, panic hook or signal handler. Its log goes through `tracing`, from a thread of its own:
//! a log that is slow or stuck delays the log and nothing else, and lines that do not fit are counted there.
//!
//! # Platforms
//!
//! Unix on little-endian processors; others are refused when the library is compiled. Panics of callbacks and of the
//! engine's own threads are caught where the program is built with `panic = "unwind"`, which is the default; with `"abort"`
//! they end the program.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(feature = "insides"),
    warn(unnameable_types, missing_debug_implementations),
    allow(dead_code, unused_imports, reason = "some of the rooms' items serve only the tests, benchmarks and tools")
)]
#![allow(clippy::module_inception, reason = "a file bears the name of its type, and a room that of its main type")]

#[cfg(not(unix))]
compile_error!("hoga runs on Unix-like systems only: it uses their sockets, files and permissions directly");

#[cfg(not(target_endian = "little"))]
compile_error!("hoga runs on little-endian processors only: it reads the digits of numbers in place, eight at a time");

// The rooms. Users meet what is re-exported below. The feature `insides` opens the rooms themselves to the tests, benchmarks
// and tools of this repository, and promises nothing. `model` comes first, because the others use its macros.
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
    Candle, Change, ConnectionId, Date, DateTime, DisconnectKind, Epoch, Event, Format, Level, Levels, MAX_LEVELS,
    MarketState, MarketWarning, Nanos, Nature, Noun, NounKind, Orderbook, Side, Stamps, StreamType, Ticker, Time,
    Trade, Unit,
};

/// What the engine says about itself: its connections, feeds, callbacks, demand, and where time went.
pub mod status {
    pub use crate::call::CallbackStatus;
    pub use crate::engine::{ConnectionStatus, FeedStatus, Lifecycle, LifecycleEvent};
    pub use crate::feed::{CallbackState, FeedCounters, FeedCounts, Latencies, Latency};
    pub use crate::model::ClockOffset;
    pub use crate::plan::{ClientStatus, Conflict, ConflictKind, ConflictSubject, PlanStats, Revisions};
    pub use crate::pool::{StreamStatus, VerdictCounts};
    pub use crate::route::Attribution;
    pub use crate::session::{Counters, Disconnect, Event, FormatReason, Stage, State};
    pub use crate::wire::{
        DecodeCounters, DecodeError, ErrorName, ObjectCounts, ServerError, SubscriptionEntry, SubscriptionList,
    };
    pub use crate::ws::{CloseCode, Rejection, RejectionKind, RetryAfter, Violation};
}

/// Feeds without an engine, for recordings.
pub mod offline {
    pub use crate::feed::{Abandoned, BlockingWriter, Feed, blocking};
    pub use crate::model::Clock;
    pub use crate::net::SystemClock;
}

/// Compiles the programs in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// What most programs need.
pub mod prelude {
    pub use crate::config::{Endpoint, Wait};
    pub use crate::{
        Callback, Candle, Client, DataPool, DataType, Engine, EngineState, Epoch, Event, Feed, Format, Handle, Health,
        Interval, Item, Market, Orderbook, Overflow, Reading, StreamKey, Subscribed, Subscription, Ticker, Trade,
        Update, candle, orderbook, ticker, trade,
    };
}
