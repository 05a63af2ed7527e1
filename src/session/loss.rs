//! Why a connection ended, or was never made.

use std::fmt;
use std::io;
use std::time::Duration;

use super::Closed;
use crate::model::LossKind;
use crate::ws::{Rejection, RejectionKind, Violation};

/// A step of making or ending a connection that has its own deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub enum Stage {
    Resolve,
    Connect,
    Tls,
    Upgrade,
}

impl Stage {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Upgrade => "upgrade",
        }
    }
}

/// Why a connection ended, or was never made. Every one is followed by another try, except the last two.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// The name has no address, or could not be looked up.
    Resolve(Box<str>),
    /// TCP could not be opened.
    Connect(io::ErrorKind),
    /// The TLS handshake or the certificate was refused. Verification is never relaxed.
    Tls(Box<str>),
    /// The server answered the opening request with another status than 101.
    Rejected(Box<Rejection>),
    /// The server's opening answer breaks the protocol.
    Handshake(Box<str>),
    /// A step took longer than its deadline.
    Timeout(Stage),
    /// The peer sent a close frame.
    ClosedByPeer {
        /// Its close code; 1005 stands for none.
        code: u16,
        /// What it said, bounded.
        reason: Box<str>,
    },
    /// The peer closed TCP without a close frame.
    Eof,
    /// The network broke the connection.
    Io(io::ErrorKind),
    /// The peer broke the WebSocket protocol.
    Violation(Violation),
    /// Nothing arrived, not even the answer to a ping.
    Silent(Duration),
    /// Pings were answered, but no data came, not even snapshots after the subscription was sent again.
    Mute(Duration),
    /// Nobody wants a stream of this connection any more.
    Unwanted,
    /// The engine was told to stop.
    Stopped,
}

impl Loss {
    /// Text from outside, cut to a length that may stand in a report.
    pub(super) fn bounded(text: &str) -> Box<str> {
        text.chars().take(200).collect::<String>().into()
    }

    /// The exchange counts the connects of this address and found too many: nobody here should dial.
    pub(super) fn is_rationing(&self) -> bool {
        matches!(self, Self::Rejected(r) if matches!(r.kind, RejectionKind::TooManyRequests | RejectionKind::Banned))
    }

    /// What kind of loss it is: the same without its particulars.
    pub const fn kind(&self) -> LossKind {
        match self {
            Self::Resolve(_) => LossKind::DnsFailed,
            Self::Connect(io::ErrorKind::ConnectionRefused) => LossKind::ConnectRefused,
            Self::Connect(_) => LossKind::ConnectFailed,
            Self::Tls(_) => LossKind::TlsFailed,
            Self::Rejected(_) => LossKind::UpgradeRejected,
            Self::Handshake(_) => LossKind::HandshakeFailed,
            Self::Timeout(Stage::Resolve) => LossKind::DnsTimeout,
            Self::Timeout(Stage::Connect) => LossKind::ConnectTimeout,
            Self::Timeout(Stage::Tls) => LossKind::TlsTimeout,
            Self::Timeout(Stage::Upgrade) => LossKind::UpgradeTimeout,
            Self::ClosedByPeer { .. } => LossKind::ClosedByPeer,
            Self::Eof => LossKind::Eof,
            Self::Io(io::ErrorKind::ConnectionReset) => LossKind::Reset,
            Self::Io(io::ErrorKind::UnexpectedEof) => LossKind::Truncated,
            Self::Io(_) => LossKind::IoFailed,
            Self::Violation(_) => LossKind::ProtocolError,
            Self::Silent(_) => LossKind::Silent,
            Self::Mute(_) => LossKind::Mute,
            Self::Unwanted => LossKind::Unwanted,
            Self::Stopped => LossKind::Stopped,
        }
    }

    /// A short, stable word for logs and scripts.
    pub const fn code(&self) -> &'static str {
        self.kind().as_str()
    }
}

impl Loss {
    /// The transport ended.
    pub(super) fn closed(how: Closed) -> Self {
        match how {
            Closed::Eof => Self::Eof,
            Closed::Io(kind) => Self::Io(kind),
            Closed::Tls(why) => Self::Tls(Self::bounded(&why)),
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve(why) => write!(f, "the name could not be looked up: {why}"),
            Self::Connect(kind) => write!(f, "TCP could not be opened: {kind}"),
            Self::Tls(why) => write!(f, "TLS failed: {why}"),
            Self::Rejected(rejection) => write!(f, "the exchange refused the connection: {rejection}"),
            Self::Handshake(why) => write!(f, "the opening handshake failed: {why}"),
            Self::Timeout(stage) => write!(f, "the {} step took too long", stage.as_str()),
            Self::ClosedByPeer { code, reason } if reason.is_empty() => {
                write!(f, "the exchange closed with code {code}")
            }
            Self::ClosedByPeer { code, reason } => {
                write!(f, "the exchange closed with code {code}: {}", reason.escape_debug())
            }
            Self::Eof => f.write_str("the exchange closed the socket without a close frame"),
            Self::Io(kind) => write!(f, "the network broke the connection: {kind}"),
            Self::Violation(violation) => write!(f, "the exchange broke the WebSocket protocol: {violation}"),
            Self::Silent(time) => write!(f, "nothing arrived for {time:?}, not even the answer to a ping"),
            Self::Mute(time) => write!(f, "no data for {time:?}, although the socket answers"),
            Self::Unwanted => f.write_str("nothing is subscribed on this connection"),
            Self::Stopped => f.write_str("the engine stops"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_loss_has_its_own_word_and_a_sentence() {
        let rejection = Rejection {
            status: 503,
            kind: RejectionKind::ServerError,
            retry_after: None,
            retry_after_text: None,
            body: "down".into(),
        };
        let losses = [
            Loss::Resolve("why".into()),
            Loss::Connect(io::ErrorKind::ConnectionRefused),
            Loss::Connect(io::ErrorKind::NetworkUnreachable),
            Loss::Tls("why".into()),
            Loss::Rejected(Box::new(rejection)),
            Loss::Handshake("why".into()),
            Loss::Timeout(Stage::Resolve),
            Loss::Timeout(Stage::Connect),
            Loss::Timeout(Stage::Tls),
            Loss::Timeout(Stage::Upgrade),
            Loss::ClosedByPeer { code: 1001, reason: "why".into() },
            Loss::Eof,
            Loss::Io(io::ErrorKind::ConnectionReset),
            Loss::Io(io::ErrorKind::UnexpectedEof),
            Loss::Io(io::ErrorKind::BrokenPipe),
            Loss::Violation(Violation::Masked),
            Loss::Silent(Duration::from_secs(1)),
            Loss::Mute(Duration::from_secs(1)),
            Loss::Unwanted,
            Loss::Stopped,
        ];
        let codes: HashSet<_> = losses.iter().map(Loss::code).collect();
        assert_eq!(codes, LossKind::ALL.map(LossKind::as_str).into());
        assert_eq!(codes.len(), losses.len());
        assert!(losses.iter().all(|loss| loss.to_string().len() > 10));
    }

    #[test]
    fn what_the_peer_says_cannot_drive_a_terminal() {
        let loss = Loss::ClosedByPeer { code: 4000, reason: "\u{1b}[2J\n".into() };
        assert!(!loss.to_string().contains(['\u{1b}', '\n']));
    }
}
