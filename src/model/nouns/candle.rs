//! Candle: the trading of a market in one interval. The exchange sends it again whenever it changes, until a candle
//! with a later start replaces it.

use super::{Access, Nature, Noun};
use crate::model::words::words;
use crate::model::{DataType, DateTime, Fingerprint, Interval, Market, Maybe, StreamType};

/// Open, high, low, close and volume of one interval. The last message for a start is the final one: there is no
/// "closed" flag, and no message for an interval without trades. Prices are in the quote currency, timestamps are Unix
/// ms.
///
/// A message always has its market, its four prices, a time and a stream type. The exchange may drop any other field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candle {
    /// Length of the interval, from the message's `type` (`candle.1m`).
    pub interval: Interval,
    /// The market; `code` of the exchange.
    pub market: Market,
    /// Start of the candle, UTC: the first part of the ordering key. If a message has none, this is computed from
    /// `candle_date_time_kst`, or else it is the start of the interval that `timestamp` falls into.
    pub candle_date_time_utc: DateTime,
    /// Start of the candle in Korean time (UTC + 9 h).
    pub candle_date_time_kst: Maybe<DateTime>,
    /// First price.
    pub opening_price: f64,
    /// Highest price.
    pub high_price: f64,
    /// Lowest price.
    pub low_price: f64,
    /// Last price so far.
    pub trade_price: f64,
    /// Volume, in the base currency.
    pub candle_acc_trade_volume: Maybe<f64>,
    /// Turnover, in the quote currency.
    pub candle_acc_trade_price: Maybe<f64>,
    /// Time of the last update, ms: the second part of the ordering key. If a message has none, this is the start of the
    /// candle.
    pub timestamp: u64,
    /// Snapshot or realtime.
    pub stream_type: StreamType,
}

impl Noun for Candle {
    const DATA_TYPES: &'static [DataType] = &[
        DataType::Candle(Interval::Second1),
        DataType::Candle(Interval::Minute1),
        DataType::Candle(Interval::Minute3),
        DataType::Candle(Interval::Minute5),
        DataType::Candle(Interval::Minute10),
        DataType::Candle(Interval::Minute15),
        DataType::Candle(Interval::Minute30),
        DataType::Candle(Interval::Minute60),
        DataType::Candle(Interval::Minute240),
    ];
    const NATURE: Nature = Nature::State;
    const ACCESS: Access = Access::Public;
    const BYTES_PER_SECOND: f64 = 385.0 * 0.4;
    const DECODE_NS: [f64; 4] = [118.0, 115.0, 122.0, 119.0];

    type Order = (DateTime, u64);

    common_answers!();

    #[inline]
    fn data_type(&self) -> DataType {
        DataType::Candle(self.interval)
    }

    #[inline]
    fn order(&self) -> (DateTime, u64) {
        (self.candle_date_time_utc, self.timestamp)
    }

    // A wrong start bars later candles as a wrong timestamp does.
    #[inline]
    fn latest_ms((start, timestamp): (DateTime, u64)) -> u64 {
        let start_ms = u64::try_from(start.to_unix() * 1000).unwrap_or(0);
        timestamp.max(start_ms)
    }

    #[inline]
    fn id(&self) -> Option<u64> {
        None
    }

    #[inline]
    fn contents(&self) -> Fingerprint {
        Fingerprint::default()
    }

    // A late message with another start may be the final one for that start.
    #[inline]
    fn is_news_after(&self, (newest_start, _): (DateTime, u64)) -> bool {
        self.candle_date_time_utc != newest_start
    }

    #[inline]
    fn set_data_type(&mut self, data_type: DataType) {
        if let DataType::Candle(interval) = data_type {
            self.interval = interval;
        }
    }
}

words! {
    Candle {
        market opening_price high_price low_price trade_price candle_acc_trade_volume candle_acc_trade_price timestamp
        [candle_date_time_utc interval stream_type]
        [candle_date_time_kst]
    }
}
