//! Why the pool returns no handle or reading. Missing and stale data are not errors: the reading reports them.

use std::fmt;

use crate::model::{InvalidMarket, Market, StreamKey};

/// Why the pool returns no handle or reading.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolError {
    /// The text is not a market code. Correct it.
    InvalidMarket {
        /// The text.
        code: String,
        /// What is wrong with it.
        reason: InvalidMarket,
    },
    /// The stream is not subscribed. Subscribe to it first.
    NotSubscribed(StreamKey),
    /// The engine was shut down, so nothing newer will arrive. Values stay readable.
    Stopped,
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidMarket { code, reason } => write!(f, "{code:?} is not a market: {reason}"),
            Self::NotSubscribed(key) => write!(
                f,
                "{key} is not subscribed: name it when the engine is built, or subscribe and keep the subscription"
            ),
            Self::Stopped => f.write_str("the engine has stopped; start a new one"),
        }
    }
}

impl std::error::Error for PoolError {}

/// A type that names a market: a [`Market`], a text such as `"KRW-BTC"`, or a reference to either.
pub trait AsMarket {
    /// Returns the market.
    ///
    /// # Errors
    ///
    /// If the text is not a market code.
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
