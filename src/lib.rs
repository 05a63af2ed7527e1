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
//!  ┌──────▼────────┐  one wish     │ socket → TLS → WebSocket frame → decode → publish   │
//!  │ control thread├──────────────►│ session: sans-IO life of the connection             │
//!  └───────────────┘               └─────────────────────────────────────────────────────┘
//! ```
//!
//! A frame goes one way, on one thread, from `recv` to publish. There is no async runtime. Reading the pool never waits
//! for that thread, and it never waits for a reader. What readers cost it is work: a copy for each feed with a ring of its
//! own, a mark for each that conflates, and a system call to wake one that sleeps. One more thread writes the log.
//!
//! # Rooms
//!
//! [`model`] holds the nouns. [`wire`] reads Upbit's JSON, [`ws`] reads frames, [`plan`] turns demand into requests,
//! [`session`] lives the life of a connection; all of these are pure. [`net`] makes the system calls, [`sync`] holds the
//! lock-free parts, [`pool`] and [`feed`] are what readers read, and [`engine`] puts all together.
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
#![allow(clippy::module_inception, reason = "a file bears the name of its type, and a room that of its main type")]

#[cfg(not(unix))]
compile_error!("hoga runs on Unix-like systems only: it uses their sockets, files and permissions directly");

#[cfg(not(target_endian = "little"))]
compile_error!("hoga runs on little-endian processors only: it reads the digits of numbers in place, eight at a time");

// First, because the other rooms use its macros.
#[macro_use]
pub mod model;

pub mod call;
pub mod config;
pub mod engine;
pub mod error;
pub mod feed;
pub mod net;
pub mod plan;
pub mod pool;
pub mod route;
pub mod session;
pub mod sync;
pub mod wire;
pub mod ws;

pub use error::{Error, Result};

/// Compiles the programs in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// What most programs need.
pub mod prelude {
    pub use crate::call::Callback;
    pub use crate::config::{Endpoint, Wait};
    pub use crate::engine::{Client, Engine, EngineState, Feed, Subscribed};
    pub use crate::feed::{Item, Overflow, Update};
    pub use crate::model::{
        Candle, DataType, Epoch, Event, Format, Interval, Market, Orderbook, StreamKey, Ticker, Trade,
    };
    pub use crate::plan::{Subscription, candle, orderbook, ticker, trade};
    pub use crate::pool::{DataPool, Handle, Health, Reading};
}
