//! Trade: one execution.

use super::{Access, Change, Nature, Noun};
use crate::model::words::words;
use crate::model::{DataType, Date, Fingerprint, Market, Maybe, Side, StreamType, Time};

/// One execution. Prices are in the quote currency, sizes in the base currency, timestamps are Unix ms.
///
/// A message always has its market, its price, a time and a stream type. The exchange may drop any other field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trade {
    /// The market; `code` of the exchange.
    pub market: Market,
    /// Event time, ms: the ordering key. Tens of ms after the trade; up to a second in old recordings. If a message has
    /// none, this is `trade_timestamp`.
    pub timestamp: u64,
    /// Date of the trade, UTC.
    pub trade_date: Maybe<Date>,
    /// Time of the trade, UTC.
    pub trade_time: Maybe<Time>,
    /// Time of the trade, ms. Whole seconds until about 2022.
    pub trade_timestamp: Maybe<u64>,
    /// Price.
    pub trade_price: f64,
    /// Size.
    pub trade_volume: Maybe<f64>,
    /// Taker side.
    pub ask_bid: Option<Side>,
    /// Close of the day before.
    pub prev_closing_price: Maybe<f64>,
    /// Direction compared with `prev_closing_price`.
    pub change: Option<Change>,
    /// Absolute change from `prev_closing_price`.
    pub change_price: Maybe<f64>,
    /// The id of the trade, unique within its market only. Not an ordering key: a trade that arrives late has a smaller
    /// id than the trade before it. Without it, a repeated trade cannot be recognized.
    pub sequential_id: Maybe<u64>,
    /// Best ask at the time of the trade. Absent before 2024-11-27, and on Bithumb, like the three fields below.
    pub best_ask_price: Maybe<f64>,
    /// Size at the best ask.
    pub best_ask_size: Maybe<f64>,
    /// Best bid at the time of the trade.
    pub best_bid_price: Maybe<f64>,
    /// Size at the best bid.
    pub best_bid_size: Maybe<f64>,
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

    const SHOWS_TRADES: bool = true;

    fn last_trade_ms(&self) -> Option<u64> {
        self.trade_timestamp.get()
    }

    common_answers!();

    #[inline]
    fn data_type(&self) -> DataType {
        DataType::Trade
    }

    // Not `sequential_id`: a trade from the previous second may arrive after a trade with a greater id.
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
        self.sequential_id.get()
    }

    // Not `timestamp` and `stream_type`: the snapshot of a trade is the same trade, sent again.
    #[inline]
    fn contents(&self) -> Fingerprint {
        Fingerprint::of([
            Some(self.trade_price.to_bits()),
            self.trade_volume.get().map(f64::to_bits),
            self.trade_timestamp.get(),
            self.ask_bid.map(|side| side as u64),
        ])
    }
}

words! {
    Trade {
        market timestamp trade_timestamp trade_price trade_volume prev_closing_price change_price sequential_id
        best_ask_price best_ask_size best_bid_price best_bid_size
        [trade_date trade_time ask_bid change stream_type]
    }
}
