//! Who says which markets exist: the trait that the engine asks, and what can go wrong.

use std::fmt;
use std::time::Duration;

use crate::model::Market;

/// Says which markets exist. The engine asks it on a thread of its own, so it may block; it should have a deadline,
/// because nothing else ends it.
pub trait MarketSource: Send {
    /// Every market there is now, in any order.
    ///
    /// # Errors
    /// When the answer is not known. An answer that may be incomplete is an error too: what is missing from a list
    /// counts as delisted.
    fn markets(&mut self) -> Result<Vec<Market>, SourceError>;

    /// How many entries of the last list had no market code that can be subscribed. The engine says so in the log.
    fn skipped(&self) -> u64 {
        0
    }
}

/// Which markets exist is not known. What was known before still stands; asking again later is safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceError {
    /// Where it was asked.
    pub url: String,
    /// What went wrong.
    pub failure: SourceFailure,
}

/// Why a [`MarketSource`] has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceFailure {
    /// The server answered with this HTTP status instead of 200.
    Status(u16),
    /// The answer is longer than this many bytes.
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// The answer is not a list of markets, for this reason.
    Unreadable(String),
    /// No complete answer within this time.
    Timeout(Duration),
    /// There was no conversation, or it broke off: look-up, TCP, TLS or HTTP.
    Unreachable(String),
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the list of markets at {} is not known: {}", self.url, self.failure)
    }
}

impl fmt::Display for SourceFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status @ 300..400) => {
                write!(f, "status {status}: redirects are not followed; name the address it moved to")
            }
            Self::Status(status @ (418 | 429)) => {
                write!(f, "status {status}: this address asked too often; ask less often")
            }
            Self::Status(status @ 500..) => write!(f, "status {status}: the exchange is out of order; ask again later"),
            Self::Status(status) => write!(f, "status {status}: check that the endpoint is an exchange"),
            Self::TooLarge { limit_bytes } => {
                write!(f, "the answer is longer than {limit_bytes} bytes; check that the endpoint is an exchange")
            }
            Self::Unreadable(why) => write!(f, "{why}; check that the endpoint is an exchange"),
            Self::Timeout(time) => write!(f, "no answer within {time:?}; check the network, or ask again later"),
            Self::Unreachable(why) => write!(f, "{why}; check the network, the address and the root certificates"),
        }
    }
}

impl std::error::Error for SourceError {}

impl std::error::Error for SourceFailure {}
