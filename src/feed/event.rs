//! What a feed carries. Everything is inline: an event crosses threads without an allocation.

use crate::model::{Candle, ConnectionId, DataType, Epoch, Orderbook, Stamps, StreamKey, StreamType, Ticker, Trade};

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

impl Event {
    /// The same as an answer to the question what the state is.
    pub(crate) fn as_snapshot(mut self) -> Self {
        let stream_type = match &mut self {
            Self::Ticker(value) => &mut value.stream_type,
            Self::Trade(value) => &mut value.stream_type,
            Self::Orderbook(value) => &mut value.stream_type,
            Self::Candle(value) => &mut value.stream_type,
        };
        *stream_type = StreamType::Snapshot;
        self
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

/// A message and the proof of where and when it came from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update {
    /// The message.
    pub event: Event,
    /// When it happened, was received and was published.
    pub stamps: Stamps,
    /// The connection that brought it.
    pub connection: ConnectionId,
    /// Which of its sockets.
    pub epoch: Epoch,
    /// The pool's version of the stream when this was sent: its own, or that of the newer value if it came late.
    pub version: u64,
}

/// What a feed hands out.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "see Event")]
pub enum Item {
    /// A message.
    Data(Update),
    /// Messages are missing here: the ring was full when they came.
    Gap {
        /// How many.
        missed: u64,
    },
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_update_is_as_large_as_its_largest_event_and_its_proof() {
        // A ring of 4096 takes this many times 4096 bytes: about 4.5 MB.
        assert_eq!(size_of::<Event>(), 1_048);
        assert_eq!(size_of::<Update>(), 1_088);
    }
}
