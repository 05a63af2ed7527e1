//! Why streams had no current data when the time of a wait was over.

use std::fmt;

use crate::model::{ConnectionId, Nanos, StreamKey};
use crate::session::Disconnect;

/// What was missing when the time of a wait was over, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotReady {
    /// The streams without current data, each with the reason.
    pub streams: Vec<(StreamKey, NotReadyReason)>,
    /// Patterns were asked for, and the engine does not know yet which markets exist.
    pub awaits_markets: bool,
}

/// Why a stream has no current data.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotReadyReason {
    /// Nothing went wrong so far; there was too little time.
    NoDataYet,
    /// The connection that carries it has no open socket.
    Disconnected {
        /// Which connection.
        connection: ConnectionId,
        /// How its last socket, or the last try to open one, ended; `None` before the first.
        last: Option<Disconnect>,
    },
    /// The exchange refused the connection, which must not dial or ask before a certain time.
    HeldBack {
        /// Which connection.
        connection: ConnectionId,
        /// Until when, on the engine's clock.
        until: Nanos,
        /// The refusal that ended the last socket, or the last try to open one; `None` if a request was refused on an open
        /// socket.
        by: Option<Disconnect>,
    },
    /// The connection receives messages that cannot be read.
    RefusedMessages {
        /// Which connection.
        connection: ConnectionId,
        /// How many, since the engine started.
        count: u64,
    },
    /// The exchange was asked twice and sent nothing: most likely there is no such market, or it is suspended.
    UnknownMarket,
    /// The connections have no room for it.
    NoRoom,
    /// The engine has stopped, or one of its threads has.
    Stopped,
}

impl NotReady {
    /// The streams, without the reasons.
    pub fn keys(&self) -> impl Iterator<Item = StreamKey> + '_ {
        self.streams.iter().map(|(key, _)| *key)
    }
}

/// The first few streams by name, the rest by number: with a thousand streams the message stays readable. The reasons are
/// those of the streams that are named, each once.
impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 10;
        if self.streams.is_empty() {
            return f
                .write_str("no list of markets yet, which the patterns need; check the market source, or wait longer");
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
                write!(f, "connection {connection} is not open, the last try or socket ended with: {disconnect}")
            }
            Self::HeldBack { connection, by: Some(disconnect), .. } => {
                write!(f, "the exchange refused connection {connection} ({disconnect}), it is tried again later")
            }
            Self::HeldBack { connection, by: None, .. } => {
                write!(f, "the exchange refused a request on connection {connection}, it is sent again later")
            }
            Self::RefusedMessages { connection, count } => write!(
                f,
                "{count} messages on connection {connection} could not be read; the log at level debug says why"
            ),
            Self::UnknownMarket => {
                f.write_str("the exchange was asked twice and sent nothing: an unknown or suspended market")
            }
            Self::NoRoom => f.write_str(
                "the connections have no room for it; use more connections or raise limits.streams_per_connection",
            ),
            Self::Stopped => f.write_str("the engine has stopped"),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::model::DataType;

    fn not_ready(reasons: &[NotReadyReason]) -> NotReady {
        let key = StreamKey::of(DataType::Ticker, "KRW-BTC".parse().unwrap());
        NotReady { streams: reasons.iter().map(|reason| (key, reason.clone())).collect(), awaits_markets: false }
    }

    #[test]
    fn nothing_missing_but_the_list_of_markets_is_said_so() {
        let text = NotReady { streams: Vec::new(), awaits_markets: true }.to_string();
        assert!(text.contains("list of markets"), "{text}");
    }

    #[test]
    fn a_thousand_streams_are_a_few_names_and_a_number_and_each_reason_comes_once() {
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
