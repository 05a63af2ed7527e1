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
        trade_date: Date { year: 2026, month: 9, day: 23 }.into(),
        trade_time: Time { hour: 12, minute: 0, second: 0 }.into(),
        trade_timestamp: 1.into(),
        trade_price: 1.0,
        trade_volume: 1.0.into(),
        ask_bid: Some(Side::Ask),
        prev_closing_price: 1.0.into(),
        change: Some(Change::Even),
        change_price: 0.0.into(),
        sequential_id: 1.into(),
        best_ask_price: Some(1.0).into(),
        best_ask_size: Some(1.0).into(),
        best_bid_price: Some(1.0).into(),
        best_bid_size: Some(1.0).into(),
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
        total_ask_size: 30.0.into(),
        total_bid_size: 30.0.into(),
        asks: side,
        bids: side,
        stream_type: StreamType::Realtime,
        level: None.into(),
    })
}
