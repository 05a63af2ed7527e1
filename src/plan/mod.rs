//! Turns demand into one request per connection. Knows Upbit's overwrite rule; sends nothing itself.
//!
//! A request replaces everything that its connection carried before, so the only unit here is the whole connection:
//! [`Demand`] counts who wants what, [`StreamSet`] is the union of it, and [`request`] is the one place that writes
//! request text. A [`Pattern`] means markets, a [`Universe`] is those that exist.

mod demand;
mod dialect;
mod pattern;
mod request;
mod subscription;
mod universe;

pub use demand::{Demand, StreamSet};
pub use dialect::{BITHUMB, Dialect, UPBIT, UPBIT_INDONESIA};
pub use pattern::{InvalidPattern, Pattern};
pub use request::request;
pub use subscription::{IntoMarkets, InvalidSubscription, Subscription, candle, orderbook, ticker, trade};
pub use universe::Universe;
