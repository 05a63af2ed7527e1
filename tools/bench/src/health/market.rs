//! A market of the model, with the streams that the exchange sends for it.

use hoga::model::{
    ConnectionId, DataType, Epoch, Market, Nanos, Orderbook, Receipt, StreamKey, StreamType, Ticker, Trade, Words,
};
use hoga::pool::{self, DataPool, Publisher, Timeline};
use hoga::sync::connection::ConnectionState;
use hoga_testing::Rng;
use std::sync::Arc;

use super::faults::Fault;
use super::pauses::{Pauses, unit};

/// The three streams of a market, as indexes.
pub const TICKER: usize = 0;
pub const TRADE: usize = 1;
pub const BOOK: usize = 2;

pub struct ModelMarket {
    pub market: Market,
    /// The mean pause between two trades.
    pub mean_ms: f64,
    pub next_trade: u64,
    pub next_book: u64,
    /// When the ticker that follows a trade is sent.
    pub ticker_due: Option<u64>,
    pub halted_until: u64,
    pub last_trade: u64,
    pub trades: u64,
    pub faults: [Option<Fault>; 3],
    ticker: Publisher<Ticker>,
    trade: Publisher<Trade>,
    book: Publisher<Orderbook>,
}

/// Returns the engine's time of a time of the model.
pub fn at(ms: u64) -> Nanos {
    Nanos::from_millis(1_790_000_000_000 + ms)
}

pub fn key(market: Market, stream: usize) -> StreamKey {
    StreamKey::of([DataType::Ticker, DataType::Trade, DataType::Orderbook][stream], market)
}

impl ModelMarket {
    /// Creates the market of this number. The mean pause between trades is random, from five trades a second to two an
    /// hour. A market that is dead never trades.
    pub fn new(
        number: usize,
        is_dead: bool,
        pauses: &Pauses,
        random: &mut Rng,
        pool: &DataPool,
        connection: &Arc<ConnectionState>,
    ) -> Self {
        let market: Market = format!("KRW-M{number}").parse().expect("a valid code");
        let mean_ms = if is_dead { f64::INFINITY } else { 200.0 * 9000f64.powf(unit(random)) };
        Self {
            market,
            mean_ms,
            next_trade: if is_dead { u64::MAX } else { pauses.of_trades(random, mean_ms) },
            next_book: if is_dead { u64::MAX } else { pauses.of_books(random, mean_ms / 4.0) },
            ticker_due: None,
            halted_until: 0,
            last_trade: 0,
            trades: 0,
            faults: [None; 3],
            ticker: pool::open(pool, key(market, TICKER), connection.clone()),
            trade: pool::open(pool, key(market, TRADE), connection.clone()),
            book: pool::open(pool, key(market, BOOK), connection.clone()),
        }
    }

    /// Publishes the present state of a stream, as received at this time.
    pub fn publish(&mut self, stream: usize, epoch: Epoch, received: Nanos) {
        let receipt = Receipt { connection: ConnectionId(0), epoch, received };
        let (timestamp, last) = (received.as_millis(), at(self.last_trade).as_millis());
        let (market, timeline, stream_type) = (self.market, Timeline::new(), StreamType::Realtime);
        let published = || received;
        match stream {
            TICKER => {
                let blank = Words::take(&mut || 0);
                let value = Ticker { market, timestamp, trade_timestamp: Some(last).into(), stream_type, ..blank };
                self.ticker.publish(&receipt, &value, &timeline, published);
            }
            TRADE => {
                let blank = Words::take(&mut || 0);
                let (trade_timestamp, sequential_id) = (Some(last).into(), Some(self.trades).into());
                let value = Trade { market, timestamp: last, trade_timestamp, sequential_id, stream_type, ..blank };
                self.trade.publish(&receipt, &value, &timeline, published);
            }
            _ => {
                let blank: Orderbook = Words::take(&mut || 0);
                let value = Orderbook { market, timestamp, stream_type, ..blank };
                self.book.publish(&receipt, &value, &timeline, published);
            }
        }
    }
}
