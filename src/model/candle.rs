//! Candle: one interval of a market's trading. Repeated while it grows; a later start closes it.

use super::{DateTime, Interval, Market, StreamType};

/// Open, high, low, close and volume of one interval. The last one received for a start wins; there is no "closed"
/// flag and no frame for an interval without trades. Prices are in the quote currency, timestamps are Unix ms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candle {
    /// Length of the interval, from the message's type (`candle.1m`).
    pub interval: Interval,
    /// The market; `code` of the exchange.
    pub market: Market,
    /// Start of the candle, UTC: the first part of the ordering key.
    pub candle_date_time_utc: DateTime,
    /// The same in Korean time (UTC + 9 h).
    pub candle_date_time_kst: DateTime,
    /// First price.
    pub opening_price: f64,
    /// Highest price.
    pub high_price: f64,
    /// Lowest price.
    pub low_price: f64,
    /// Last price so far.
    pub trade_price: f64,
    /// Volume, in the base currency.
    pub candle_acc_trade_volume: f64,
    /// Turnover, in the quote currency.
    pub candle_acc_trade_price: f64,
    /// Time of the last update, ms: the second part of the ordering key.
    pub timestamp: u64,
    /// Snapshot or realtime.
    pub stream_type: StreamType,
}
