//! Reads Upbit's JSON: takes the bytes of a message and returns typed values. No socket, no clock, no request text.
//!
//! Two readers share one table ([`schema`]). The scanner expects the documented fields in the documented order, and reads
//! a ticker in a fraction of the time of a general parser. Fields may be missing, moved, new, or of another type: it
//! learns where, and reads such messages nearly as fast. The tape walk reads any JSON with simd-json; tests compare the
//! scanner's results with its results. [`DecodeCounters`] counts the messages that each of them read. [`Drift`] reports
//! how messages differ from the documentation.
//!
//! Numbers are `f64`, correctly rounded and finite, never a negative zero. Ids and timestamps are `u64` and never pass
//! through a float if they are whole numbers. Timestamps in s, µs and ns become ms.

mod convert;
mod cursor;
mod decoder;
mod detour;
mod differences;
mod drift;
mod error;
mod field;
mod huge;
mod json;
mod key;
mod layout;
mod learn;
mod lenient;
mod loose;
mod message;
mod notes;
mod number;
mod progress;
mod quotient;
mod scan;
pub mod schema;
mod scratch;
mod skip;
mod stand_in;
mod tape;

pub use convert::{Converted, convert};
pub use decoder::{DecodeCounters, Decoder, SLACK};
pub use drift::{Drift, DriftCounts, DriftKind, Excerpt};
pub use error::{DecodeError, DecodeErrorKind};
pub use message::{ErrorName, Message, OtherType, ServerError, Status, SubscriptionEntry, SubscriptionList};
pub use scratch::ObjectCounts;
