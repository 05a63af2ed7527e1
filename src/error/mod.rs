//! The engine's error type, and the errors of other rooms that it wraps.

mod error;
mod not_ready;

pub use error::{Error, Recovery, Result};
pub use not_ready::{NotReady, NotReadyReason};

// The errors of other rooms.
pub use crate::config::{InvalidEndpoint, InvalidProxy};
pub use crate::feed::InvalidOverflow;
pub use crate::model::{InvalidMarket, InvalidTime, Severity};
#[cfg(feature = "rest")]
pub use crate::net::InvalidRoots;
pub use crate::net::{SourceError, SourceFailure};
pub use crate::plan::{InvalidCode, InvalidOption, InvalidPattern, InvalidSubscription};
pub use crate::pool::PoolError;
