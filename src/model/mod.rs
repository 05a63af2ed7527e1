//! The types of market data: the messages of the exchange, the values in them, and the traits that other rooms
//! implement. Reads no clock and starts no threads.

#[macro_use]
mod nouns;

mod bits;
mod currency;
mod datetime;
mod disconnect;
mod event;
mod fingerprint;
mod key;
mod market;
mod maybe;
mod offset;
mod panic;
pub mod planted;
mod printable;
mod severity;
mod side;
mod sink;
mod stamp;
mod stream;
mod suggestion;
mod words;

pub use currency::Currency;
pub use datetime::{Date, DateTime, InvalidTime, Time};
pub use disconnect::DisconnectKind;
pub use event::Event;
pub use fingerprint::Fingerprint;
pub use key::{Scope, StreamKey};
pub use market::{InvalidMarket, Market};
pub use maybe::{Maybe, Niche};
pub use nouns::*;
pub(crate) use nouns::{AnyNoun, EachNoun, Family, Placed};
pub use offset::ClockOffset;
pub(crate) use panic::panic_message;
pub(crate) use printable::is_misleading;
pub use severity::Severity;
pub use side::Side;
pub use sink::{Receipt, Sink};
pub(crate) use stamp::saturating_ns;
pub use stamp::{Clock, ConnectionId, Epoch, Nanos, Stamps};
pub use stream::{DataType, Format, Grouping, Interval, StreamType};
pub use words::{FromWords, Words};
