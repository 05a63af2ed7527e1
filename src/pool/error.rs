//! Why the pool has no handle to give. Missing and stale data are not errors: a reading says them.

use std::fmt;

use crate::model::{InvalidMarket, Market, StreamKey};

/// Why the pool has no handle to give.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolError {
    /// The text is not a market code: correct it.
    InvalidMarket {
        /// The text.
        code: String,
        /// What is wrong with it.
        reason: InvalidMarket,
    },
    /// Nobody asked for this stream: subscribe to it first.
    NotSubscribed(StreamKey),
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidMarket { code, reason } => write!(f, "{code:?} is not a market: {reason}"),
            Self::NotSubscribed(key) => write!(
                f,
                "{key} is not subscribed: name it when the engine is built, or subscribe and keep the subscription"
            ),
        }
    }
}

impl std::error::Error for PoolError {}

/// What names a market: a [`Market`], or a text such as `"KRW-BTC"`, or a reference to either.
pub trait AsMarket {
    /// The market.
    fn as_market(&self) -> Result<Market, PoolError>;
}

impl AsMarket for Market {
    fn as_market(&self) -> Result<Market, PoolError> {
        Ok(*self)
    }
}

impl AsMarket for str {
    fn as_market(&self) -> Result<Market, PoolError> {
        self.parse().map_err(|reason| PoolError::InvalidMarket { code: self.to_owned(), reason })
    }
}

impl AsMarket for String {
    fn as_market(&self) -> Result<Market, PoolError> {
        self.as_str().as_market()
    }
}

impl<M: AsMarket + ?Sized> AsMarket for &M {
    fn as_market(&self) -> Result<Market, PoolError> {
        (**self).as_market()
    }
}
