//! Turns demand into one request per connection. Knows Upbit's overwrite rule; sends nothing itself.
//!
//! A request replaces everything that its connection carried before, so the only unit here is the whole connection:
//! [`Demand`] counts who wants what, [`StreamSet`] is the union of it, and [`request`] is the one place that writes
//! request text.

mod demand;
mod request;
mod subscription;

pub use demand::{Demand, StreamSet};
pub use request::request;
pub use subscription::{IntoMarkets, InvalidSubscription, Subscription, candle, orderbook, ticker, trade};
