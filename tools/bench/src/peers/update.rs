//! What a peer's strategy is given.

use std::sync::Arc;

use super::message::{Orderbook, Ticker, Trade};
use super::parser::Parser;

/// A value that its map and its queue share.
#[derive(Debug, Clone)]
pub enum Update {
    /// Of a ticker.
    Ticker(Arc<Ticker>),
    /// Of trades.
    Trade(Arc<Trade>),
    /// Of an order book.
    Orderbook(Arc<Orderbook>),
}

impl Update {
    /// Reads a message. The type stands first in each, so that nothing has to be read twice. None if it is no data.
    #[inline]
    pub fn read(parser: &mut impl Parser, message: &[u8]) -> Option<Self> {
        if message.starts_with(b"{\"type\":\"ticker\"") {
            parser.parse(message).map(|ticker| Self::Ticker(Arc::new(ticker)))
        } else if message.starts_with(b"{\"type\":\"trade\"") {
            parser.parse(message).map(|trade| Self::Trade(Arc::new(trade)))
        } else if message.starts_with(b"{\"type\":\"orderbook\"") {
            parser.parse(message).map(|orderbook| Self::Orderbook(Arc::new(orderbook)))
        } else {
            None
        }
    }

    /// When it happened, in ms.
    #[inline]
    pub fn timestamp(&self) -> u64 {
        match self {
            Self::Ticker(ticker) => ticker.timestamp,
            Self::Trade(trade) => trade.timestamp,
            Self::Orderbook(orderbook) => orderbook.timestamp,
        }
    }
}
