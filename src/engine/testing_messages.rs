//! Messages for tests of strategies.

use super::testing::Source;
use crate::model::{
    Candle, Date, DateTime, Interval, Level, Market, Orderbook, StreamType, Ticker, Time, Trade, Words,
};

/// Returns a ticker of the source's time, but at least 1 ms later than the message made before, so that it is newer. All
/// other fields are zero or missing.
///
/// # Panics
///
/// If the text is not a market code. This holds for all functions of this module.
#[track_caller]
pub fn ticker(source: &Source, code: &str, price: f64) -> Ticker {
    let timestamp = source.next_ms();
    let (market, trade_timestamp, stream_type) = (market(code), timestamp.into(), StreamType::Realtime);
    Ticker { market, trade_price: price, timestamp, trade_timestamp, stream_type, ..blank() }
}

/// Returns a trade of the source's time, with an id that differs from those of other trades of the test. All other
/// fields are zero or missing.
#[track_caller]
pub fn trade(source: &Source, code: &str, price: f64, volume: f64) -> Trade {
    let timestamp = source.next_ms();
    let (trade_timestamp, sequential_id) = (timestamp.into(), timestamp.into());
    let (market, stream_type) = (market(code), StreamType::Realtime);
    let trade_volume = volume.into();
    Trade {
        market,
        trade_price: price,
        trade_volume,
        timestamp,
        trade_timestamp,
        sequential_id,
        stream_type,
        ..blank()
    }
}

/// Returns an order book of the source's time with one level on each side, given as price and size.
#[track_caller]
pub fn orderbook(source: &Source, code: &str, bid: (f64, f64), ask: (f64, f64)) -> Orderbook {
    let (timestamp, stream_type) = (source.next_ms(), StreamType::Realtime);
    let mut book = Orderbook { market: market(code), timestamp, stream_type, ..blank() };
    book.asks.push(Level { price: ask.0, size: ask.1 });
    book.bids.push(Level { price: bid.0, size: bid.1 });
    (book.total_ask_size, book.total_bid_size) = (ask.1.into(), bid.1.into());
    book
}

/// Returns a candle of the source's time that starts at midnight, with one price for open, high, low and close.
#[track_caller]
pub fn candle(source: &Source, interval: Interval, code: &str, price: f64) -> Candle {
    let (timestamp, stream_type) = (source.next_ms(), StreamType::Realtime);
    let date = Date { year: 2023, month: 11, day: 14 };
    let candle_date_time_utc = DateTime { date, time: Time { hour: 0, minute: 0, second: 0 } };
    Candle {
        interval,
        market: market(code),
        candle_date_time_utc,
        opening_price: price,
        high_price: price,
        low_price: price,
        trade_price: price,
        timestamp,
        stream_type,
        ..blank()
    }
}

#[track_caller]
fn market(code: &str) -> Market {
    match code.parse() {
        Ok(market) => market,
        Err(reason) => panic!("{code:?} is not a market: {reason}"),
    }
}

fn blank<T: Words>() -> T {
    T::take(&mut || 0)
}
