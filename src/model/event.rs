//! Any of the nouns: one message of the exchange. Everything is inline, as they are.

use super::{Candle, DataType, Orderbook, StreamKey, StreamType, Ticker, Trade};

/// One message of the exchange.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a ring of boxes is 20 times slower than one of inline books")]
pub enum Event {
    /// A ticker.
    Ticker(Ticker),
    /// A trade.
    Trade(Trade),
    /// An order book.
    Orderbook(Orderbook),
    /// A candle.
    Candle(Candle),
}

impl Event {
    /// The stream it belongs to.
    pub fn key(&self) -> StreamKey {
        let (data_type, market) = match self {
            Self::Ticker(value) => (DataType::Ticker, value.market),
            Self::Trade(value) => (DataType::Trade, value.market),
            Self::Orderbook(value) => (value.data_type(), value.market),
            Self::Candle(value) => (DataType::Candle(value.interval), value.market),
        };
        StreamKey { data_type, market }
    }

    /// Whether it answers a request or reports a change.
    pub fn stream_type(&self) -> StreamType {
        match self {
            Self::Ticker(value) => value.stream_type,
            Self::Trade(value) => value.stream_type,
            Self::Orderbook(value) => value.stream_type,
            Self::Candle(value) => value.stream_type,
        }
    }
}

/// Each value is one kind of event.
macro_rules! events {
    ($($value:ident),*) => {$(
        impl From<$value> for Event {
            fn from(value: $value) -> Self {
                Self::$value(value)
            }
        }
    )*};
}

events!(Ticker, Trade, Orderbook, Candle);
