//! Wire: the structs that messages are read into, one of each, reused for every message.

use crate::model::{Candle, Orderbook, Receipt, Sink, Ticker, Trade};

use super::schema::Record;

/// One struct per data type. Holds garbage between messages; only what was read completely is delivered.
pub(super) struct Records {
    pub(super) ticker: Ticker,
    pub(super) trade: Trade,
    pub(super) orderbook: Orderbook,
    pub(super) candle: Candle,
    pub(super) delivered: Delivered,
}

/// Data objects by type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Delivered {
    pub tickers: u64,
    pub trades: u64,
    pub orderbooks: u64,
    /// Units of the order books: of each, the levels of its deeper side.
    pub units: u64,
    pub candles: u64,
}

/// Which of the [`Records`] has been filled.
#[derive(Clone, Copy)]
pub(super) enum Found {
    Ticker,
    Trade,
    Orderbook,
    Candle,
}

impl Records {
    pub(super) const BLANK: Self = Self {
        ticker: Ticker::BLANK,
        trade: Trade::BLANK,
        orderbook: Orderbook::BLANK,
        candle: Candle::BLANK,
        delivered: Delivered { tickers: 0, trades: 0, orderbooks: 0, units: 0, candles: 0 },
    };

    /// Hands the filled record to `sink`.
    #[inline(always)]
    pub(super) fn deliver(&mut self, found: Found, receipt: Receipt, sink: &mut impl Sink) {
        match found {
            Found::Ticker => {
                self.delivered.tickers += 1;
                sink.ticker(receipt, &self.ticker);
            }
            Found::Trade => {
                self.delivered.trades += 1;
                sink.trade(receipt, &self.trade);
            }
            Found::Orderbook => {
                self.delivered.orderbooks += 1;
                self.delivered.units += self.orderbook.asks.len().max(self.orderbook.bids.len()) as u64;
                sink.orderbook(receipt, &self.orderbook);
            }
            Found::Candle => {
                self.delivered.candles += 1;
                sink.candle(receipt, &self.candle);
            }
        }
    }
}
