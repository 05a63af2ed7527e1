//! Upbit JSON, pure: bytes of a message in, typed values out. No socket, no clock, no request text.
//!
//! Two readers share one table ([`schema`]). The scanner expects exactly the documented fields in the documented order
//! and reads a ticker in a fraction of the time of a general parser. At the first surprise it gives the whole message
//! to the tape walk, which stands on simd-json, takes any key order and any unknown field, and has the last word.
//! [`DecodeCounters`] says which of the two had to work: rising fallbacks mean that the exchange has changed.
//!
//! Numbers are `f64`, correctly rounded and finite, never a negative zero; ids and timestamps are `u64` and never pass
//! through a float; timestamps in µs become ms.

mod convert;
mod cursor;
mod decoder;
mod error;
mod field;
mod huge;
mod json;
mod message;
mod number;
mod quotient;
mod scan;
pub mod schema;
mod scratch;
mod tape;

pub use convert::{Converted, convert};
pub use decoder::{DecodeCounters, Decoder, SLACK};
pub use error::DecodeError;
pub use message::{ErrorName, Message, OtherType, ServerError, Status, SubscriptionEntry, SubscriptionList};
pub use scratch::ObjectCounts;
