//! The nouns of a market: what a frame says once it has been read. No parsing, no clock, no thread.

mod bits;
mod candle;
mod event;
mod loss;
mod market;
mod offset;
mod orderbook;
mod side;
mod sink;
mod stamp;
mod stream;
mod ticker;
mod trade;
mod when;
mod words;

pub use candle::Candle;
pub use event::Event;
pub use loss::LossKind;
pub use market::{InvalidMarket, Market};
pub use offset::ClockOffset;
pub use orderbook::{Level, Levels, MAX_LEVELS, Orderbook, Unit};
pub use side::Side;
pub use sink::{Receipt, Sink};
pub use stamp::{Clock, ConnectionId, Epoch, Nanos, Stamps};
pub use stream::{DataType, Format, Grouping, Interval, StreamKey, StreamType};
pub use ticker::{Change, MarketState, MarketWarning, Ticker};
pub use trade::Trade;
pub use when::{Date, DateTime, InvalidTime, Time};
pub use words::Words;
