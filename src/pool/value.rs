//! What the pool holds: the four market nouns, and what orders each of them.

use super::Handle;
use super::data_pool::Stream;
use crate::model::{Candle, DataType, DateTime, Orderbook, Ticker, Trade};

/// A value that the pool holds: [`Ticker`], [`Trade`], [`Orderbook`] or [`Candle`]. Closed to other types.
pub trait Value: sealed::Sealed + Copy + Send + Sync + 'static {}

impl Value for Ticker {}
impl Value for Trade {}
impl Value for Orderbook {}
impl Value for Candle {}

pub(crate) mod sealed {
    use super::{DataType, Handle, Stream, Value};

    /// The private half of [`Value`].
    pub trait Sealed: Sized {
        /// What orders the values of one stream; the later one is newer.
        type Order: Ord + Copy + Send;

        /// Every value is an event of its own, so a late one is still news. Otherwise a value is a state, and a late
        /// one is history.
        const EVENT: bool = false;

        /// It still says something to those who have seen `newest`, which is later.
        fn is_news_after(&self, _newest: Self::Order) -> bool {
            Self::EVENT
        }

        /// Its place in the order.
        fn order(&self) -> Self::Order;

        /// When the exchange says it happened, in Unix ms.
        fn exchange_ms(&self) -> u64;

        /// Unique in its stream, for events that the exchange may send twice.
        fn event_id(&self) -> Option<u64> {
            None
        }

        /// A stream of this data type carries this type of value.
        fn comes_as(data_type: DataType) -> bool;

        /// The handle, if the stream carries this type.
        fn handle(stream: &Stream) -> Option<&Handle<Self>>
        where
            Self: Value;

        /// The stream of a handle.
        fn stream(handle: Handle<Self>) -> Stream
        where
            Self: Value;
    }
}

/// Ties a type to the data types and to the variant of [`Stream`] that carry it.
macro_rules! carried_by {
    ($variant:ident, $data_type:pat) => {
        fn comes_as(data_type: DataType) -> bool {
            matches!(data_type, $data_type)
        }

        fn handle(stream: &Stream) -> Option<&Handle<Self>> {
            if let Stream::$variant(handle) = stream { Some(handle) } else { None }
        }

        fn stream(handle: Handle<Self>) -> Stream {
            Stream::$variant(handle)
        }

        #[inline]
        fn exchange_ms(&self) -> u64 {
            self.timestamp
        }
    };
}

impl sealed::Sealed for Ticker {
    type Order = u64;

    carried_by!(Ticker, DataType::Ticker);

    #[inline]
    fn order(&self) -> u64 {
        self.timestamp
    }
}

impl sealed::Sealed for Trade {
    type Order = u64;

    const EVENT: bool = true;

    carried_by!(Trade, DataType::Trade);

    // Not `sequential_id`: a trade of the second before arrives with a smaller one.
    #[inline]
    fn order(&self) -> u64 {
        self.timestamp
    }

    #[inline]
    fn event_id(&self) -> Option<u64> {
        Some(self.sequential_id)
    }
}

impl sealed::Sealed for Orderbook {
    type Order = u64;

    carried_by!(Orderbook, DataType::Orderbook | DataType::GroupedOrderbook(_));

    #[inline]
    fn order(&self) -> u64 {
        self.timestamp
    }
}

impl sealed::Sealed for Candle {
    type Order = (DateTime, u64);

    fn is_news_after(&self, (newest_start, _): (DateTime, u64)) -> bool {
        self.candle_date_time_utc != newest_start
    }

    carried_by!(Candle, DataType::Candle(_));

    #[inline]
    fn order(&self) -> (DateTime, u64) {
        (self.candle_date_time_utc, self.timestamp)
    }
}
