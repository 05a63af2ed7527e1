//! The updates that a peer passes to its strategy.

use std::sync::Arc;

use super::message::{Orderbook, Ticker, Trade};
use super::parser::Parser;

/// A value shared by a peer's map and its queue.
#[derive(Debug, Clone)]
pub enum Update {
    /// A ticker.
    Ticker(Arc<Ticker>),
    /// A trade.
    Trade(Arc<Trade>),
    /// An order book.
    Orderbook(Arc<Orderbook>),
}

impl Update {
    /// Reads a message, or returns `None` if it has no data. The type comes first in each message, so no message is
    /// parsed twice.
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

    /// Returns the exchange's timestamp, in ms.
    #[inline]
    pub fn timestamp(&self) -> u64 {
        match self {
            Self::Ticker(ticker) => ticker.timestamp,
            Self::Trade(trade) => trade.timestamp,
            Self::Orderbook(orderbook) => orderbook.timestamp,
        }
    }
}
