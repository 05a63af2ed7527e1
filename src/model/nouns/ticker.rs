//! Ticker: the last price of a market and its statistics of the day. On Upbit a day starts at 00:00 UTC.

use super::{Access, Nature, Noun};
use crate::model::words::words;
use crate::model::{DataType, Date, Fingerprint, Market, Maybe, Side, StreamType, Time};

/// Last price and statistics of a market. Field names are the exchange's; prices are in the quote currency (KRW for
/// `KRW-BTC`), volumes in the base currency (BTC), rates are fractions (0.01 is 1 %), timestamps are Unix ms.
///
/// A message always has its market, its price, a time and a stream type. All other fields are a [`Maybe`] or an
/// [`Option`], because the exchange may drop them. It has announced that it will drop `is_trading_suspended` and
/// `market_warning`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ticker {
    /// The market; `code` of the exchange.
    pub market: Market,
    /// Open of the day.
    pub opening_price: Maybe<f64>,
    /// High of the day.
    pub high_price: Maybe<f64>,
    /// Low of the day.
    pub low_price: Maybe<f64>,
    /// The last price.
    pub trade_price: f64,
    /// Close of the day before.
    pub prev_closing_price: Maybe<f64>,
    /// Turnover of the day, in the quote currency.
    pub acc_trade_price: Maybe<f64>,
    /// Direction compared with `prev_closing_price`.
    pub change: Option<Change>,
    /// Absolute change from `prev_closing_price`.
    pub change_price: Maybe<f64>,
    /// Signed change from `prev_closing_price`.
    pub signed_change_price: Maybe<f64>,
    /// Absolute change as a fraction.
    pub change_rate: Maybe<f64>,
    /// Signed change as a fraction.
    pub signed_change_rate: Maybe<f64>,
    /// Taker side of the last trade.
    pub ask_bid: Option<Side>,
    /// Size of the last trade.
    pub trade_volume: Maybe<f64>,
    /// Volume of the day.
    pub acc_trade_volume: Maybe<f64>,
    /// Date of the last trade, UTC.
    pub trade_date: Maybe<Date>,
    /// Time of the last trade, UTC.
    pub trade_time: Maybe<Time>,
    /// Time of the last trade, ms.
    pub trade_timestamp: Maybe<u64>,
    /// Volume sold by takers since the start of the day.
    pub acc_ask_volume: Maybe<f64>,
    /// Volume bought by takers since the start of the day.
    pub acc_bid_volume: Maybe<f64>,
    /// Highest price in 52 weeks.
    pub highest_52_week_price: Maybe<f64>,
    /// Date of the highest price.
    pub highest_52_week_date: Maybe<Date>,
    /// Lowest price in 52 weeks.
    pub lowest_52_week_price: Maybe<f64>,
    /// Date of the lowest price.
    pub lowest_52_week_date: Maybe<Date>,
    /// The stage of the market's life.
    pub market_state: Option<MarketState>,
    /// Whether trading is halted.
    pub is_trading_suspended: Option<bool>,
    /// Date on which trading ends. Absent if no end is announced, or if the date cannot be read.
    pub delisting_date: Maybe<Date>,
    /// The exchange's warning flag.
    pub market_warning: Option<MarketWarning>,
    /// Event time, ms: the ordering key. If a message has none (seen in 2022), this is `trade_timestamp`.
    pub timestamp: u64,
    /// Turnover of the last 24 hours, in the quote currency.
    pub acc_trade_price_24h: Maybe<f64>,
    /// Volume of the last 24 hours.
    pub acc_trade_volume_24h: Maybe<f64>,
    /// Snapshot or realtime.
    pub stream_type: StreamType,
}

impl Noun for Ticker {
    const DATA_TYPES: &'static [DataType] = &[DataType::Ticker];
    const NATURE: Nature = Nature::State;
    const ACCESS: Access = Access::Public;
    const BYTES_PER_SECOND: f64 = 965.0 * 0.5;
    const DECODE_NS: [f64; 4] = [300.0, 290.0, 304.0, 294.0];

    type Order = u64;

    const SHOWS_TRADES: bool = true;

    fn last_trade_ms(&self) -> Option<u64> {
        self.trade_timestamp.get()
    }

    common_answers!();

    #[inline]
    fn data_type(&self) -> DataType {
        DataType::Ticker
    }

    #[inline]
    fn order(&self) -> u64 {
        self.timestamp
    }

    #[inline]
    fn latest_ms(order: u64) -> u64 {
        order
    }

    #[inline]
    fn id(&self) -> Option<u64> {
        None
    }

    #[inline]
    fn contents(&self) -> Fingerprint {
        Fingerprint::default()
    }
}

words! {
    Ticker {
        market opening_price high_price low_price trade_price prev_closing_price acc_trade_price change_price
        signed_change_price change_rate signed_change_rate trade_volume acc_trade_volume trade_timestamp acc_ask_volume
        acc_bid_volume highest_52_week_price lowest_52_week_price timestamp acc_trade_price_24h acc_trade_volume_24h
        [trade_date highest_52_week_date]
        [lowest_52_week_date trade_time change ask_bid market_state]
        [delisting_date market_warning is_trading_suspended stream_type]
    }
}

/// Direction of the price compared with the previous close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Change {
    /// Above.
    Rise,
    /// Equal.
    Even,
    /// Below.
    Fall,
    /// A word this version does not know.
    Unknown,
}

impl Change {
    /// The exchange's spelling; `UNKNOWN` for [`Unknown`](Self::Unknown).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rise => "RISE",
            Self::Even => "EVEN",
            Self::Fall => "FALL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// The stage of a market's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MarketState {
    /// Announced, not yet trading.
    Preview,
    /// Trading.
    Active,
    /// No longer trading.
    Delisted,
    /// A word this version does not know.
    Unknown,
}

impl MarketState {
    /// The exchange's spelling; `UNKNOWN` for [`Unknown`](Self::Unknown).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preview => "PREVIEW",
            Self::Active => "ACTIVE",
            Self::Delisted => "DELISTED",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// The exchange's warning flag of a market.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MarketWarning {
    /// No warning.
    None,
    /// The exchange advises investors to be careful.
    Caution,
    /// A word this version does not know.
    Unknown,
}

impl MarketWarning {
    /// The exchange's spelling; `UNKNOWN` for [`Unknown`](Self::Unknown).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Caution => "CAUTION",
            Self::Unknown => "UNKNOWN",
        }
    }
}
