//! Wire: the structs that messages are read into, one of each, reused for every message.

use crate::model::{Candle, Orderbook, Receipt, Sink, Ticker, Trade};

use super::schema::Record;

/// One struct per data type. Holds garbage between messages; only what was read completely is delivered.
pub(super) struct Records {
    pub(super) ticker: Ticker,
    pub(super) trade: Trade,
    pub(super) orderbook: Orderbook,
    pub(super) candle: Candle,
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
    pub(super) const BLANK: Self =
        Self { ticker: Ticker::BLANK, trade: Trade::BLANK, orderbook: Orderbook::BLANK, candle: Candle::BLANK };

    /// Hands the filled record to `sink`.
    #[inline(always)]
    pub(super) fn deliver(&self, found: Found, receipt: Receipt, sink: &mut impl Sink) {
        match found {
            Found::Ticker => sink.ticker(receipt, &self.ticker),
            Found::Trade => sink.trade(receipt, &self.trade),
            Found::Orderbook => sink.orderbook(receipt, &self.orderbook),
            Found::Candle => sink.candle(receipt, &self.candle),
        }
    }
}
