//! Decodes the bytes of Upbit's JSON messages into typed values. Uses no socket and no clock, and writes no requests.
//!
//! Two readers share one table ([`schema`]). The scanner expects exactly the documented fields in the documented order
//! and reads a ticker in a fraction of the time of a general parser. If anything is unexpected, the tape walk reads the
//! whole message instead. It uses simd-json, accepts any key order and any unknown field, and makes the final decision.
//! [`DecodeCounters`] counts the messages of each reader: rising fallbacks mean that the exchange has changed.
//!
//! Numbers are `f64`: correctly rounded, finite and never a negative zero. Ids and timestamps are `u64` and never pass
//! through a float. Timestamps in µs become ms.

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
