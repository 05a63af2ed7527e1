//! What can go wrong, and what to do about it.

mod error;
mod not_ready;

pub use error::{Error, Recovery, Result, Severity};
pub use not_ready::{NotReady, NotReadyReason};

// What the other rooms refuse with.
pub use crate::config::InvalidEndpoint;
pub use crate::feed::InvalidOverflow;
pub use crate::model::{InvalidMarket, InvalidTime};
#[cfg(feature = "rest")]
pub use crate::net::InvalidRoots;
pub use crate::net::{SourceError, SourceFailure};
pub use crate::plan::{InvalidCode, InvalidOption, InvalidPattern, InvalidSubscription};
pub use crate::pool::PoolError;
