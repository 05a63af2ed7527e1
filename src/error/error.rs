//! The engine's error type. Each error states how to fix it, and has a code, a severity and a recovery.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use super::NotReady;
use crate::config::{InvalidEndpoint, InvalidProxy};
use crate::feed::InvalidOverflow;
use crate::model::{InvalidMarket, InvalidTime, Severity};
#[cfg(feature = "rest")]
use crate::net::InvalidRoots;
use crate::net::SourceError;
use crate::plan::{InvalidPattern, InvalidSubscription, Refused};
use crate::pool::PoolError;

/// The error of every call of the engine. Conditions such as full, empty, stale and not yet ready are return values,
/// not errors.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The configuration is invalid, or does not fit the machine. Lists every problem. No thread was started.
    Configuration(Vec<String>),
    /// An argument is invalid, or this engine does not support the call. Nothing was changed.
    InvalidArgument(Box<dyn StdError + Send + Sync>),
    /// The subscription is invalid. Nothing was changed.
    Subscription(InvalidSubscription),
    /// There would be more streams than the connections may carry. Nothing was changed.
    TooManyStreams {
        /// The number of streams that there would be.
        streams: usize,
        /// The maximum number of streams.
        limit: usize,
    },
    /// A client with this name already exists.
    NameTaken(Box<str>),
    /// The client was closed, or did not renew its lease in time. All its subscriptions were released.
    LeaseExpired,
    /// A pattern was subscribed, but the engine has no source of markets.
    NoUniverse,
    /// The pool has no such stream.
    Pool(PoolError),
    /// The list of markets could not be loaded.
    MarketList(SourceError),
    /// The operating system refused a resource that the engine needs to start. What had been started was stopped again.
    Start {
        /// The resource that was refused.
        what: &'static str,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Some streams had no current data when the wait timed out. Names them, each with the reason.
    NotReady(NotReady),
    /// The engine has stopped, and cannot be started again.
    Stopped,
    /// The named threads did not end before the deadline of the shutdown.
    ShutdownTimedOut(Vec<String>),
    /// The named thread of the engine panicked. This is a bug in hoga.
    ThreadPanicked(String),
}

/// How the caller can recover from an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recovery {
    /// Change the call.
    FixCall,
    /// Change the configuration, then start again.
    FixConfiguration,
    /// Try again later. The engine keeps trying by itself.
    Wait,
    /// Start a new engine.
    Restart,
    /// None; report it.
    Report,
}

impl Error {
    /// Converts the planner's refusal of demand. Not a `From` impl, because users do not see the planner's types.
    pub(crate) fn refused(refused: Refused) -> Self {
        match refused {
            Refused::TooManyStreams { streams, limit } => Self::TooManyStreams { streams, limit },
            Refused::NoUniverse => Self::NoUniverse,
            // The client was closed. `NameTaken` does not occur, because adding demand takes no name.
            Refused::NameTaken | Refused::NoSuchClient => Self::LeaseExpired,
        }
    }

    /// Returns a short, stable name for logs and scripts.
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

    /// Returns how severe the error is.
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

    /// Returns how the caller can recover.
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

/// Does not print the text of [`source`](StdError::source).
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(problems) => write!(f, "the configuration is invalid: {}", problems.join("; ")),
            Self::InvalidArgument(problem) => problem.fmt(f),
            Self::Subscription(invalid) => write!(f, "the subscription is invalid: {invalid}"),
            Self::TooManyStreams { streams, limit } => write!(
                f,
                "{streams} streams are more than the {limit} that the connections may carry; \
                 subscribe to fewer, use more connections or raise limits.streams_per_connection"
            ),
            Self::NameTaken(name) => write!(
                f,
                "a client named \"{}\" already exists; choose another name, or drop that client first",
                name.escape_debug()
            ),
            Self::LeaseExpired => {
                f.write_str("the client was closed or its lease expired, and its streams were released; open it again")
            }
            Self::NoUniverse => {
                f.write_str("patterns need the list of markets; set Builder::universe or Builder::market_source")
            }
            Self::Pool(error) => error.fmt(f),
            Self::MarketList(error) => error.fmt(f),
            Self::Start { what, .. } => {
                write!(f, "the engine could not start: the operating system refused the {what}")
            }
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
            // `Display` prints these in full, so the chain continues with their sources.
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

invalid_argument!(InvalidEndpoint, InvalidProxy, InvalidMarket, InvalidOverflow, InvalidPattern, InvalidTime);
#[cfg(feature = "rest")]
invalid_argument!(InvalidRoots);

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        Self::Pool(error)
    }
}

/// The result of every call of the engine.
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
            Error::NotReady(NotReady {
                streams: vec![(key, NotReadyReason::NoDataYet)],
                awaits_markets: false,
                market_list: None,
            }),
            Error::InvalidArgument("there is no connection 7".into()),
            Error::from("KRW".parse::<Market>().unwrap_err()),
            Error::Stopped,
            Error::ShutdownTimedOut(vec!["hoga-conn-0".to_owned()]),
            Error::ThreadPanicked("hoga-conn-0".to_owned()),
        ]
    }

    #[test]
    fn every_error_has_a_unique_code_and_a_message() {
        let errors = every_error();
        let kinds: HashSet<_> = errors.iter().map(std::mem::discriminant).collect();
        assert_eq!(errors.iter().map(Error::code).collect::<HashSet<_>>().len(), kinds.len());
        for error in errors {
            let text = error.to_string();
            assert!((20..400).contains(&text.len()), "{text}");
        }
    }

    #[test]
    fn a_name_in_an_error_cannot_control_a_terminal() {
        let text = Error::NameTaken("a\x1b[2J\n".into()).to_string();
        assert!(text.contains("[2J") && !text.contains(|c: char| c.is_control()), "{text:?}");
    }

    /// A program that prints the whole chain of causes must not print a text twice.
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
    fn every_error_of_the_api_converts_to_this_one() {
        fn parse_all(text: &str) -> Result<()> {
            text.parse::<Market>()?;
            text.parse::<Overflow>()?;
            text.parse::<Pattern>()?;
            Endpoint::custom(text)?;
            Date::new(10_000, 1, 1)?;
            Ok(())
        }
        let error = parse_all("krw-btc").unwrap_err();
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
