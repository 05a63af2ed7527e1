//! The one error of the engine: each says what to do, and has a code, a severity and a way to recover.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use super::NotReady;
use crate::config::InvalidEndpoint;
use crate::feed::InvalidOverflow;
use crate::model::{InvalidMarket, InvalidTime};
#[cfg(feature = "rest")]
use crate::net::InvalidRoots;
use crate::net::SourceError;
use crate::plan::{InvalidPattern, InvalidSubscription, Refused};
use crate::pool::PoolError;

/// What a call of the engine can end in. Full, empty, stale and not-yet are values elsewhere, not errors.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The configuration contradicts itself or the machine: every problem found, before any thread was started.
    Configuration(Vec<String>),
    /// An argument of a call is not valid, or this engine cannot do what it asks for. Nothing was changed.
    InvalidArgument(Box<dyn StdError + Send + Sync>),
    /// The call asks for something that cannot be subscribed. Nothing was changed.
    Subscription(InvalidSubscription),
    /// More streams than the connections may carry. Nothing was changed.
    TooManyStreams {
        /// How many there would have been.
        streams: usize,
        /// How many there may be.
        limit: usize,
    },
    /// There is a client of that name already.
    NameTaken(Box<str>),
    /// The client is gone, or did not renew its lease in time, and everything it held was released.
    LeaseExpired,
    /// A pattern was asked for, and the engine is not told which markets exist.
    NoUniverse,
    /// The pool has no such stream.
    Pool(PoolError),
    /// The list of markets could not be had.
    MarketList(SourceError),
    /// The system refused something the engine needs to start. What had been started was stopped again.
    Start {
        /// What could not be made.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Streams had no current data when the time was over.
    NotReady(NotReady),
    /// The engine has stopped.
    Stopped,
    /// Some threads did not end in time; they are named.
    ShutdownTimedOut(Vec<String>),
    /// A thread of the engine panicked. That is a bug in hoga.
    ThreadPanicked(String),
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Severity {
    /// One call had no effect.
    Low,
    /// Something is missing for now.
    Medium,
    /// The engine does not work, or no longer.
    High,
}

/// What the caller can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recovery {
    /// Change the call.
    FixCall,
    /// Change the configuration, then start again.
    FixConfiguration,
    /// Ask again later; the engine goes on trying by itself.
    Wait,
    /// Start a new engine.
    Restart,
    /// Nothing; report it.
    Report,
}

impl Error {
    /// The planner refused demand. A method, because the planner's words are not for users.
    pub(crate) fn refused(refused: Refused) -> Self {
        match refused {
            Refused::TooManyStreams { streams, limit } => Self::TooManyStreams { streams, limit },
            Refused::NoUniverse => Self::NoUniverse,
            // Adding demand takes no name: the client is gone.
            Refused::NameTaken | Refused::NoSuchClient => Self::LeaseExpired,
        }
    }

    /// A short, stable word for logs and scripts.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Configuration(_) => "CONFIGURATION",
            Self::InvalidArgument(_) => "INVALID_ARGUMENT",
            Self::Subscription(_) => "SUBSCRIPTION",
            Self::TooManyStreams { .. } => "TOO_MANY_STREAMS",
            Self::NameTaken(_) => "NAME_TAKEN",
            Self::LeaseExpired => "LEASE_EXPIRED",
            Self::NoUniverse => "NO_UNIVERSE",
            Self::Pool(_) => "NO_SUCH_STREAM",
            Self::MarketList(_) => "MARKET_LIST",
            Self::Start { .. } => "START",
            Self::NotReady(_) => "NOT_READY",
            Self::Stopped => "STOPPED",
            Self::ShutdownTimedOut(_) => "SHUTDOWN_TIMED_OUT",
            Self::ThreadPanicked(_) => "THREAD_PANICKED",
        }
    }

    /// How bad it is.
    pub const fn severity(&self) -> Severity {
        match self {
            Self::InvalidArgument(_)
            | Self::Subscription(_)
            | Self::TooManyStreams { .. }
            | Self::Pool(_)
            | Self::NameTaken(_)
            | Self::NoUniverse => Severity::Low,
            Self::MarketList(_) | Self::NotReady(_) | Self::ShutdownTimedOut(_) | Self::LeaseExpired => {
                Severity::Medium
            }
            Self::Configuration(_) | Self::Start { .. } | Self::Stopped | Self::ThreadPanicked(_) => Severity::High,
        }
    }

    /// What the caller can do.
    pub const fn recovery(&self) -> Recovery {
        match self {
            Self::Configuration(_) => Recovery::FixConfiguration,
            Self::InvalidArgument(_)
            | Self::Subscription(_)
            | Self::TooManyStreams { .. }
            | Self::Pool(_)
            | Self::NameTaken(_)
            | Self::LeaseExpired
            | Self::NoUniverse => Recovery::FixCall,
            Self::MarketList(_) | Self::NotReady(_) => Recovery::Wait,
            Self::Start { .. } | Self::Stopped => Recovery::Restart,
            Self::ShutdownTimedOut(_) | Self::ThreadPanicked(_) => Recovery::Report,
        }
    }
}

/// Says everything but what [`source`](StdError::source) says.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(problems) => write!(f, "the configuration cannot work: {}", problems.join("; ")),
            Self::InvalidArgument(problem) => problem.fmt(f),
            Self::Subscription(invalid) => write!(f, "the subscription was refused: {invalid}"),
            Self::TooManyStreams { streams, limit } => write!(
                f,
                "{streams} streams are more than the {limit} that the connections may carry; \
                 ask for fewer, use more connections or raise limits.streams_per_connection"
            ),
            Self::NameTaken(name) => write!(
                f,
                "there is a client named \"{}\" already; choose another name, or drop that one first",
                name.escape_debug()
            ),
            Self::LeaseExpired => {
                f.write_str("the client is gone, or did not renew its lease, and lost what it held; open it again")
            }
            Self::NoUniverse => f.write_str(
                "a pattern means the markets that exist; say which: Builder::universe or Builder::market_source",
            ),
            Self::Pool(error) => error.fmt(f),
            Self::MarketList(error) => error.fmt(f),
            Self::Start { what, .. } => write!(f, "the engine could not start, the system refused its {what}"),
            Self::NotReady(not_ready) => not_ready.fmt(f),
            Self::Stopped => f.write_str("the engine has stopped; start a new one"),
            Self::ShutdownTimedOut(threads) => write!(f, "still running at the deadline: {}", threads.join(", ")),
            Self::ThreadPanicked(thread) => write!(f, "the thread {thread} panicked; this is a bug in hoga"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Start { source, .. } => Some(source),
            // These are printed whole.
            Self::InvalidArgument(problem) => problem.source(),
            Self::Subscription(invalid) => invalid.source(),
            Self::MarketList(error) => error.source(),
            Self::Pool(error) => error.source(),
            _ => None,
        }
    }
}

impl From<InvalidSubscription> for Error {
    fn from(invalid: InvalidSubscription) -> Self {
        Self::Subscription(invalid)
    }
}

impl From<SourceError> for Error {
    fn from(error: SourceError) -> Self {
        Self::MarketList(error)
    }
}

macro_rules! invalid_argument {
    ($($error:ty),*) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::InvalidArgument(Box::new(error))
            }
        }
    )*};
}

invalid_argument!(InvalidEndpoint, InvalidMarket, InvalidOverflow, InvalidPattern, InvalidTime);
#[cfg(feature = "rest")]
invalid_argument!(InvalidRoots);

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        Self::Pool(error)
    }
}

/// A result of the engine.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::config::Endpoint;
    use crate::error::NotReadyReason;
    use crate::feed::Overflow;
    use crate::model::{DataType, Date, Market, StreamKey};
    use crate::net::SourceFailure;
    use crate::plan::Pattern;
    use std::collections::HashSet;

    fn every_error() -> Vec<Error> {
        let key = StreamKey::of(DataType::Ticker, "KRW-BTC".parse().unwrap());
        vec![
            Error::Configuration(vec!["one".to_owned(), "two".to_owned()]),
            Error::Subscription(InvalidSubscription {
                offenders: vec![],
                empty_types: vec![DataType::Trade],
                options: vec![],
            }),
            Error::TooManyStreams { streams: 3, limit: 2 },
            Error::NameTaken("chart".into()),
            Error::LeaseExpired,
            Error::NoUniverse,
            Error::Pool(PoolError::NotSubscribed(key)),
            Error::MarketList(SourceError {
                url: "https://exchange.test/v1/market/all".to_owned(),
                failure: SourceFailure::Status(503),
            }),
            Error::Start { what: "thread", source: io::ErrorKind::OutOfMemory.into() },
            Error::NotReady(NotReady { streams: vec![(key, NotReadyReason::NoDataYet)], awaits_markets: false }),
            Error::InvalidArgument("there is no connection 7".into()),
            Error::from("KRW".parse::<Market>().unwrap_err()),
            Error::Stopped,
            Error::ShutdownTimedOut(vec!["hoga-conn-0".to_owned()]),
            Error::ThreadPanicked("hoga-conn-0".to_owned()),
        ]
    }

    #[test]
    fn every_error_has_its_own_code_and_says_what_happened() {
        let errors = every_error();
        let kinds: HashSet<_> = errors.iter().map(std::mem::discriminant).collect();
        assert_eq!(errors.iter().map(Error::code).collect::<HashSet<_>>().len(), kinds.len());
        for error in errors {
            let text = error.to_string();
            assert!((20..400).contains(&text.len()), "{text}");
        }
    }

    /// A chain of causes that is printed line by line says nothing twice.
    #[test]
    fn no_error_repeats_its_source() {
        for error in every_error() {
            let text = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                assert!(!text.contains(&cause.to_string()), "{text} / {cause}");
                source = cause.source();
            }
        }
    }

    #[test]
    fn every_error_of_the_api_becomes_this_one() {
        fn ends(text: &str) -> Result<()> {
            text.parse::<Market>()?;
            text.parse::<Overflow>()?;
            text.parse::<Pattern>()?;
            Endpoint::custom(text)?;
            Date::new(10_000, 1, 1)?;
            Ok(())
        }
        let error = ends("krw-btc").unwrap_err();
        assert_eq!((error.code(), error.recovery()), ("INVALID_ARGUMENT", Recovery::FixCall), "{error}");
    }

    /// Programs act on these words. A change of one is a change of the interface.
    #[test]
    fn code_severity_and_recovery_of_each_error_are_these() {
        let words = |error: Error| format!("{} {:?} {:?}", error.code(), error.severity(), error.recovery());
        let words: Vec<_> = every_error().into_iter().map(words).collect();
        let expected = [
            "CONFIGURATION High FixConfiguration",
            "SUBSCRIPTION Low FixCall",
            "TOO_MANY_STREAMS Low FixCall",
            "NAME_TAKEN Low FixCall",
            "LEASE_EXPIRED Medium FixCall",
            "NO_UNIVERSE Low FixCall",
            "NO_SUCH_STREAM Low FixCall",
            "MARKET_LIST Medium Wait",
            "START High Restart",
            "NOT_READY Medium Wait",
            "INVALID_ARGUMENT Low FixCall",
            "INVALID_ARGUMENT Low FixCall",
            "STOPPED High Restart",
            "SHUTDOWN_TIMED_OUT Medium Report",
            "THREAD_PANICKED High Report",
        ];
        assert_eq!(words, expected);
    }
}
