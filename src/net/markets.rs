//! The source of the list of markets: the trait that the engine calls, and its errors.

use std::fmt;
use std::time::Duration;

use crate::model::Market;

/// A source of the list of existing markets. The engine calls it on a separate thread, so it may block. Give each call
/// a deadline, because the engine does not interrupt it.
pub trait MarketSource: Send {
    /// Returns every market that exists now, in any order.
    ///
    /// # Errors
    /// If the list cannot be fetched, or is known to be incomplete. A market that is missing from the list counts as
    /// delisted, unless the list is doubtful; see [`Builder::market_source`](crate::Builder::market_source).
    fn markets(&mut self) -> Result<Vec<Market>, SourceError>;

    /// Returns the number of entries in the last list without a valid market code. If there are any, the list is
    /// doubtful.
    fn skipped(&self) -> u64 {
        0
    }
}

/// The list of markets could not be fetched. The previous list stays in use; trying again later is safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceError {
    /// The address of the request.
    pub url: String,
    /// What went wrong.
    pub failure: SourceFailure,
}

/// Why a [`MarketSource`] returned no list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceFailure {
    /// The server responded with this HTTP status instead of 200.
    Status(u16),
    /// The response is longer than the limit.
    TooLarge {
        /// The limit, in bytes.
        limit_bytes: u64,
    },
    /// The response is not a list of markets, for this reason.
    Unreadable(String),
    /// No complete response arrived within this time.
    Timeout(Duration),
    /// The connection failed or broke off, in the look-up, TCP, TLS or HTTP.
    Unreachable(String),
    /// The source panicked with this message.
    Panicked(String),
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot get the list of markets from {}: {}", self.url, self.failure)
    }
}

impl fmt::Display for SourceFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status @ 300..400) => {
                write!(f, "status {status}: redirects are not followed; set the endpoint to the new address")
            }
            Self::Status(status @ (418 | 429)) => {
                write!(f, "status {status}: too many requests from this address; request the list less often")
            }
            Self::Status(status @ 500..) => write!(f, "status {status}: server error at the exchange; try again later"),
            Self::Status(status) => write!(f, "status {status}: check that the endpoint is an exchange"),
            Self::TooLarge { limit_bytes } => {
                write!(f, "the response is longer than {limit_bytes} bytes; check that the endpoint is an exchange")
            }
            Self::Unreadable(why) => write!(f, "{why}; check that the endpoint is an exchange"),
            Self::Timeout(time) => write!(f, "no response within {time:?}; check the network, or try again later"),
            Self::Panicked(why) => write!(f, "it panicked: {}", why.escape_debug()),
            Self::Unreachable(why) => write!(f, "{why}; check the network, the address and the root certificates"),
        }
    }
}

impl std::error::Error for SourceError {}

impl std::error::Error for SourceFailure {}
