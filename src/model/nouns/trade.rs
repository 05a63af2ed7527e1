//! Trade: one execution.

use super::{Access, Change, Nature, Noun};
use crate::model::words::words;
use crate::model::{DataType, Date, Market, Side, StreamType, Time};

/// One execution. Prices are in the quote currency, sizes in the base currency, timestamps are Unix ms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trade {
    /// The market; `code` of the exchange.
    pub market: Market,
    /// Event time, ms: the ordering key. Tens of ms after the trade; up to a second in old recordings.
    pub timestamp: u64,
    /// Date of the trade, UTC.
    pub trade_date: Date,
    /// Time of the trade, UTC.
    pub trade_time: Time,
    /// Time of the trade, ms. Whole seconds until about 2022.
    pub trade_timestamp: u64,
    /// Price.
    pub trade_price: f64,
    /// Size.
    pub trade_volume: f64,
    /// Taker side.
    pub ask_bid: Side,
    /// Close of the day before.
    pub prev_closing_price: f64,
    /// Direction compared with `prev_closing_price`.
    pub change: Change,
    /// Absolute change from `prev_closing_price`.
    pub change_price: f64,
    /// Unique within its market only. Not an ordering key: a late trade has a smaller one than the trade before it.
    pub sequential_id: u64,
    /// Best ask at the time of the trade. Absent before 2024-11-27, on Bithumb, and if it is not a number. The same
    /// holds for the three fields below.
    pub best_ask_price: Option<f64>,
    /// Size at the best ask.
    pub best_ask_size: Option<f64>,
    /// Best bid at the time of the trade.
    pub best_bid_price: Option<f64>,
    /// Size at the best bid.
    pub best_bid_size: Option<f64>,
    /// Snapshot (the most recent trade) or realtime.
    pub stream_type: StreamType,
}

impl Noun for Trade {
    const DATA_TYPES: &'static [DataType] = &[DataType::Trade];
    const NATURE: Nature = Nature::Occurrence;
    const ACCESS: Access = Access::Public;
    const BYTES_PER_SECOND: f64 = 450.0 * 0.4;
    const DECODE_NS: [f64; 4] = [135.0, 132.0, 139.0, 136.0];

    type Order = u64;

    common_answers!();

    #[inline]
    fn data_type(&self) -> DataType {
        DataType::Trade
    }

    // Not `sequential_id`: a trade from the previous second arrives with a smaller one.
    #[inline]
    fn order(&self) -> u64 {
        self.timestamp
    }

    #[inline]
    fn id(&self) -> Option<u64> {
        Some(self.sequential_id)
    }
}

words! {
    Trade {
        market timestamp trade_timestamp trade_price trade_volume prev_closing_price change_price sequential_id
        [
            trade_date trade_time ask_bid change stream_type
            | best_ask_price best_ask_size best_bid_price best_bid_size
        ]
    }
}
