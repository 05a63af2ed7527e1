//! Sample values of market data, and a clock that the test sets.
#![allow(dead_code, reason = "each test crate uses its part")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use hoga::model::*;
use hoga::pool::{self, DataPool, Publisher};
use hoga::sync::connection::ConnectionState;

/// A clock that the test sets, in ns.
#[derive(Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    pub fn at(now: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(now)))
    }

    pub fn set(&self, now: u64) {
        self.0.store(now, SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Nanos {
        Nanos(self.0.load(SeqCst))
    }
}

pub fn market(code: &str) -> Market {
    code.parse().unwrap()
}

pub fn btc(data_type: DataType) -> StreamKey {
    StreamKey::of(data_type, market("KRW-BTC"))
}

/// Opens a pool with one stream of KRW-BTC on a connection that is open in epoch 1.
pub fn open<T: Noun>(data_type: DataType) -> (Arc<ManualClock>, DataPool, Arc<ConnectionState>, Publisher<T>) {
    let clock = ManualClock::at(0);
    let pool = pool::empty(clock.clone(), DataPool::STALE_AFTER);
    let connection = Arc::new(ConnectionState::new(ConnectionId(0), Nanos(0)));
    connection.opened(Epoch(1), Nanos(0), None);
    let publisher = pool::open(&pool, btc(data_type), connection.clone());
    (clock, pool, connection, publisher)
}

pub fn receipt(epoch: u32, received: u64) -> Receipt {
    Receipt { connection: ConnectionId(0), epoch: Epoch(epoch), received: Nanos(received) }
}

const DAY: Date = Date { year: 2026, month: 9, day: 23 };
const NOON: Time = Time { hour: 12, minute: 0, second: 0 };

pub fn ticker(timestamp: u64, trade_price: f64) -> Ticker {
    Ticker {
        market: market("KRW-BTC"),
        opening_price: 1.0.into(),
        high_price: 2.0.into(),
        low_price: 0.5.into(),
        trade_price,
        prev_closing_price: 1.0.into(),
        acc_trade_price: 10.0.into(),
        change: Some(Change::Rise),
        change_price: 0.5.into(),
        signed_change_price: 0.5.into(),
        change_rate: 0.5.into(),
        signed_change_rate: 0.5.into(),
        ask_bid: Some(Side::Bid),
        trade_volume: 1.0.into(),
        acc_trade_volume: 10.0.into(),
        trade_date: DAY.into(),
        trade_time: NOON.into(),
        trade_timestamp: timestamp.into(),
        acc_ask_volume: 5.0.into(),
        acc_bid_volume: 5.0.into(),
        highest_52_week_price: 3.0.into(),
        highest_52_week_date: DAY.into(),
        lowest_52_week_price: 0.1.into(),
        lowest_52_week_date: DAY.into(),
        market_state: Some(MarketState::Active),
        is_trading_suspended: Some(false),
        delisting_date: None.into(),
        market_warning: Some(MarketWarning::None),
        timestamp,
        acc_trade_price_24h: 10.0.into(),
        acc_trade_volume_24h: 10.0.into(),
        stream_type: StreamType::Realtime,
    }
}

pub fn trade(sequential_id: u64, timestamp: u64) -> Trade {
    Trade {
        market: market("KRW-BTC"),
        timestamp,
        trade_date: DAY.into(),
        trade_time: NOON.into(),
        trade_timestamp: timestamp.into(),
        trade_price: 1.0,
        trade_volume: 1.0.into(),
        ask_bid: Some(Side::Ask),
        prev_closing_price: 1.0.into(),
        change: Some(Change::Even),
        change_price: 0.0.into(),
        sequential_id: sequential_id.into(),
        best_ask_price: None.into(),
        best_ask_size: None.into(),
        best_bid_price: None.into(),
        best_bid_size: None.into(),
        stream_type: StreamType::Realtime,
    }
}

pub fn orderbook(timestamp: u64, best_ask: f64) -> Orderbook {
    let mut asks = Levels::EMPTY;
    let mut bids = Levels::EMPTY;
    for i in 0..MAX_LEVELS {
        asks.push(Level { price: best_ask + i as f64, size: 1.0 });
        bids.push(Level { price: best_ask - 1.0 - i as f64, size: 1.0 });
    }
    Orderbook {
        market: market("KRW-BTC"),
        timestamp,
        total_ask_size: 30.0.into(),
        total_bid_size: 30.0.into(),
        asks,
        bids,
        stream_type: StreamType::Realtime,
        level: None.into(),
    }
}

pub fn candle(minute: u8, timestamp: u64) -> Candle {
    let start = DateTime { date: DAY, time: Time { minute, ..NOON } };
    Candle {
        interval: Interval::Minute1,
        market: market("KRW-BTC"),
        candle_date_time_utc: start,
        candle_date_time_kst: start.into(),
        opening_price: 1.0,
        high_price: 1.0,
        low_price: 1.0,
        trade_price: 1.0,
        candle_acc_trade_volume: 1.0.into(),
        candle_acc_trade_price: 1.0.into(),
        timestamp,
        stream_type: StreamType::Realtime,
    }
}
