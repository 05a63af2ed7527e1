//! The error of a wait for streams that timed out.

use std::fmt;
use std::time::Duration;

use crate::model::{ConnectionId, Nanos, StreamKey};
use crate::net::SourceError;
use crate::session::{Disconnect, Refused};

/// The streams that were not ready when a wait timed out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotReady {
    /// The streams without current data, each with its reason.
    pub streams: Vec<(StreamKey, NotReadyReason)>,
    /// Whether patterns are subscribed and the list of markets has not been loaded yet.
    pub awaits_markets: bool,
    /// If that list is missing, why the last request for it failed; `None` if no request has ended yet.
    pub market_list: Option<SourceError>,
}

/// Why a stream has no current data.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotReadyReason {
    /// Nothing has gone wrong so far; the wait was too short.
    NoDataYet,
    /// The connection that carries it has no open socket.
    Disconnected {
        /// The connection.
        connection: ConnectionId,
        /// How its last socket or attempt ended; `None` before the first attempt.
        last: Option<Disconnect>,
    },
    /// The exchange refused a connect or a request, so the connection must wait before it connects or sends again.
    HeldBack {
        /// The connection.
        connection: ConnectionId,
        /// The end of the wait, on the engine's clock: comparable with [`Stamps::received`](crate::Stamps::received).
        until: Nanos,
        /// The refusal that ended the last socket or attempt; `None` if a request was refused on an open socket.
        by: Option<Disconnect>,
    },
    /// The budget of connects, which the processes at this address share, allows no connect yet: it is used up, or the
    /// exchange has refused one of the processes.
    ConnectBudget {
        /// The connection.
        connection: ConnectionId,
        /// How long it waits at most.
        wait: Duration,
    },
    /// The connection is open, and messages of the stream could not be read. If there are none, messages whose stream
    /// could not be read.
    RefusedMessages {
        /// The connection.
        connection: ConnectionId,
        /// These messages, since the WebSocket was opened.
        refused: Refused,
    },
    /// The stream was requested twice and the exchange sent nothing. Most likely the market does not exist or is
    /// suspended.
    UnknownMarket,
    /// The exchange refuses requests for the stream, with this answer. It is left out, so that all others flow.
    RefusedByExchange(Box<str>),
    /// The connections have no room for the stream.
    NoRoom,
    /// The engine has stopped, or one of its threads has ended.
    Stopped,
}

impl NotReady {
    /// Returns the streams without the reasons.
    pub fn keys(&self) -> impl Iterator<Item = StreamKey> + '_ {
        self.streams.iter().map(|(key, _)| *key)
    }
}

/// Prints at most ten streams by name and the number of the others, so that the text stays readable with a thousand
/// streams. Prints each reason of the named streams once.
impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 10;
        if self.awaits_markets {
            f.write_str("the patterns have no list of markets yet")?;
            match &self.market_list {
                Some(failure) => write!(f, ": {failure}")?,
                None => f.write_str("; check the market source, or wait longer")?,
            }
        }
        if self.streams.is_empty() {
            return Ok(());
        }
        if self.awaits_markets {
            f.write_str("; and ")?;
        }
        let shown = &self.streams[..self.streams.len().min(SHOWN)];
        let names: Vec<_> = shown.iter().map(|(key, _)| key.to_string()).collect();
        write!(f, "no current data for {}", names.join(", "))?;
        match self.streams.len().saturating_sub(SHOWN) {
            0 => {}
            more => write!(f, " and {more} more")?,
        }
        let mut reasons: Vec<&NotReadyReason> = Vec::new();
        for (_, reason) in shown {
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        for (number, reason) in reasons.into_iter().enumerate() {
            write!(f, "{}{reason}", if number == 0 { ": " } else { "; " })?;
        }
        Ok(())
    }
}

impl fmt::Display for NotReadyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDataYet => f.write_str("nothing has arrived yet; wait longer"),
            Self::Disconnected { connection, last: None } => {
                write!(f, "connection {connection} has not been opened yet; wait longer")
            }
            Self::Disconnected { connection, last: Some(disconnect) } => {
                write!(f, "connection {connection} is not open; its last socket or attempt ended with: {disconnect}")
            }
            Self::HeldBack { connection, by: Some(disconnect), .. } => {
                write!(f, "the exchange refused connection {connection} ({disconnect}); the engine tries again later")
            }
            Self::HeldBack { connection, by: None, .. } => {
                write!(f, "the exchange refused a request on connection {connection}; the engine sends it again later")
            }
            Self::ConnectBudget { connection, wait } => write!(
                f,
                "connection {connection} waits for {wait:.0?}: the processes at this address share a budget of connects, \
                 and it is used up, or the exchange has refused one of them"
            ),
            Self::RefusedMessages { connection, refused } => write!(f, "connection {connection} is {refused}"),
            Self::UnknownMarket => {
                f.write_str("two requests brought no data; the market is unknown or suspended")
            }
            Self::RefusedByExchange(reason) => write!(f, "the exchange refuses requests for it: {reason}"),
            Self::NoRoom => f.write_str(
                "the connections have no room for the stream; use more connections or raise limits.streams_per_connection",
            ),
            Self::Stopped => f.write_str("the engine has stopped"),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::model::DataType;
    use crate::net::SourceFailure;

    fn not_ready(reasons: &[NotReadyReason]) -> NotReady {
        let key = StreamKey::of(DataType::Ticker, "KRW-BTC".parse().unwrap());
        let streams = reasons.iter().map(|reason| (key, reason.clone())).collect();
        NotReady { streams, awaits_markets: false, market_list: None }
    }

    #[test]
    fn a_missing_list_of_markets_is_reported() {
        let mut missing = NotReady { streams: Vec::new(), awaits_markets: true, market_list: None };
        assert!(missing.to_string().contains("list of markets"), "{missing}");
        let failure = SourceError { url: "http://x".to_owned(), failure: SourceFailure::Status(503) };
        missing.market_list = Some(failure.clone());
        assert!(missing.to_string().ends_with(&failure.to_string()), "{missing}");
        missing.streams = not_ready(&[NotReadyReason::NoDataYet]).streams;
        let text = missing.to_string();
        assert!(text.contains("status 503") && text.contains("; and no current data for ticker KRW-BTC"), "{text}");
    }

    #[test]
    fn many_streams_print_as_a_few_names_and_a_count_with_each_reason_once() {
        let text = not_ready(&vec![NotReadyReason::UnknownMarket; 1000]).to_string();
        assert!(text.contains("and 990 more") && text.len() < 400, "{text}");
        assert_eq!(text.matches("unknown or suspended").count(), 1, "{text}");
        let two = not_ready(&[NotReadyReason::NoDataYet, NotReadyReason::Stopped]).to_string();
        assert!(
            two.ends_with(
                "ticker KRW-BTC, ticker KRW-BTC: nothing has arrived yet; wait longer; the engine has stopped"
            )
        );
    }
}
