//! The newest value of every stream, read from any thread in nanoseconds, with the proof of how fresh it is.
//!
//! A strategy asks the pool for a [`Handle`] once and reads through it: no string, no map, no lock to wait for.
//! [`Handle::load`] answers with a [`Reading`]: value, stamps, epoch and version of one moment, and a [`Health`] that is
//! judged when it is asked for. The engine writes through one [`Publisher`] for each stream.
//!
//! What a handle reads is settled by its type. This compiles:
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
//! and asking a ticker for the book does not:
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
//! nor does keeping a handle as something else:
//!
//! ```
//! # use hoga::{DataPool, Handle, Trade, error::PoolError};
//! # fn keep(pool: &DataPool) -> Result<(), PoolError> {
//! let trades: Handle<Trade> = pool.trade("KRW-BTC")?;
//! # Ok(()) }
//! ```
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
mod slot;
mod status;

pub use batch::{Batch, BatchCursor};
pub use data_pool::{DataPool, empty, open, set_subscribed, waiters};
pub use error::{AsMarket, PoolError};
pub use handle::{CachedHandle, Handle};
pub use health::Health;
pub use publisher::{Publisher, Verdict};
pub use reading::Reading;
pub use status::{StreamStatus, VerdictCounts};
