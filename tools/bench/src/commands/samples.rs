//! Messages to measure with. Only their size matters.

use hoga::model::{Change, Date, Level, Levels, MAX_LEVELS, Market, Orderbook, Side, StreamType, Time, Trade};
use hoga_cli::exit::Failure;

fn market() -> Result<Market, Failure> {
    "KRW-BTC".parse().map_err(|e| Failure::Failed(format!("KRW-BTC: {e}")))
}

/// Returns a trade with all optional fields.
pub fn trade() -> Result<Trade, Failure> {
    Ok(Trade {
        market: market()?,
        timestamp: 1,
        trade_date: Date { year: 2026, month: 9, day: 23 },
        trade_time: Time { hour: 12, minute: 0, second: 0 },
        trade_timestamp: 1,
        trade_price: 1.0,
        trade_volume: 1.0,
        ask_bid: Side::Ask,
        prev_closing_price: 1.0,
        change: Change::Even,
        change_price: 0.0,
        sequential_id: 1,
        best_ask_price: Some(1.0),
        best_ask_size: Some(1.0),
        best_bid_price: Some(1.0),
        best_bid_size: Some(1.0),
        stream_type: StreamType::Realtime,
    })
}

/// Returns an order book with the maximum number of levels.
pub fn orderbook() -> Result<Orderbook, Failure> {
    let mut side = Levels::EMPTY;
    for level in 0..MAX_LEVELS {
        side.push(Level { price: level as f64, size: 1.0 });
    }
    Ok(Orderbook {
        market: market()?,
        timestamp: 1,
        total_ask_size: 30.0,
        total_bid_size: 30.0,
        asks: side,
        bids: side,
        stream_type: StreamType::Realtime,
        level: None,
    })
}
