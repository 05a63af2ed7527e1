//! The newest value of every stream, with evidence of how fresh it is. Any thread reads it in nanoseconds.
//!
//! A strategy gets a [`Handle`] from the pool once and then reads through it, without strings, maps or blocking locks.
//! [`Handle::load`] returns a [`Reading`]: a copy of the value, stamps, epoch and version of one moment. Its [`Health`]
//! is computed on request. The engine writes each stream through one [`Publisher`].
//!
//! The type of a handle determines what it reads. This compiles:
//!
//! ```
//! use hoga::{DataPool, error::PoolError};
//!
//! fn best_ask(pool: &DataPool) -> Result<Option<f64>, PoolError> {
//!     let book = pool.orderbook("KRW-BTC")?;
//!     let reading = book.load();
//!     Ok(reading.value().and_then(|book| book.best_ask()).map(|ask| ask.price))
//! }
//! ```
//!
//! Using a ticker as an order book does not compile:
//!
//! ```compile_fail
//! use hoga::{DataPool, error::PoolError};
//!
//! fn best_ask(pool: &DataPool) -> Result<Option<f64>, PoolError> {
//!     let book = pool.ticker("KRW-BTC")?;
//!     let reading = book.load();
//!     Ok(reading.value().and_then(|book| book.best_ask()).map(|ask| ask.price))
//! }
//! ```
//!
//! A handle keeps its type. This compiles:
//!
//! ```
//! # use hoga::{DataPool, Handle, Trade, error::PoolError};
//! # fn keep(pool: &DataPool) -> Result<(), PoolError> {
//! let trades: Handle<Trade> = pool.trade("KRW-BTC")?;
//! # Ok(()) }
//! ```
//!
//! This does not:
//!
//! ```compile_fail
//! # use hoga::{DataPool, Handle, Trade, error::PoolError};
//! # fn keep(pool: &DataPool) -> Result<(), PoolError> {
//! let trades: Handle<Trade> = pool.ticker("KRW-BTC")?;
//! # Ok(()) }
//! ```

mod batch;
mod data_pool;
mod error;
mod gate;
mod handle;
mod health;
mod publisher;
mod reading;
mod status;
mod stream_state;
mod timeline;

pub use batch::{Batch, BatchCursor};
pub use data_pool::{
    DataPool, delist, doubt, empty, glances, open, set_stale_after, set_subscribed, set_usual_silence, waiters,
};
pub use error::{AsMarket, PoolError};
pub use handle::{CachedHandle, Handle};
pub use health::{Health, HealthReason};
pub use publisher::{Publisher, Verdict};
pub use reading::Reading;
pub use status::{Glance, StreamStatus, VerdictCounts};
pub use timeline::Timeline;
