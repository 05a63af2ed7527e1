//! Why a connection ended or could not be opened.

use std::fmt;
use std::io;
use std::time::Duration;

use super::{Closed, ProxyFailure};
use crate::model::DisconnectKind;
use crate::ws::{HandshakeError, Rejection, RejectionKind, Violation};

/// A step of opening a connection that has its own deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are self-explanatory")]
#[non_exhaustive]
pub enum Stage {
    Resolve,
    Connect,
    Tunnel,
    Tls,
    Upgrade,
}

impl Stage {
    pub(super) const ALL: [Self; 5] = [Self::Resolve, Self::Connect, Self::Tunnel, Self::Tls, Self::Upgrade];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tunnel => "tunnel",
            Self::Tls => "tls",
            Self::Upgrade => "upgrade",
        }
    }
}

/// Why a connection ended or could not be opened. Another attempt follows each one except the last two.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disconnect {
    /// The name has no address, or could not be looked up.
    Resolve(Box<str>),
    /// TCP could not be opened.
    Connect(io::ErrorKind),
    /// This machine has no file descriptor or no memory left for a socket.
    OutOfResources(Box<str>),
    /// The exchange could not be reached through the proxy.
    Proxy {
        /// The proxy, without its user name and password.
        proxy: Box<str>,
        /// The reason.
        why: ProxyFailure,
    },
    /// The TLS handshake or the certificate was refused. Verification is never relaxed.
    Tls(Box<str>),
    /// The TLS handshake was cut off: the server closed, or the network broke.
    TlsEnded(Box<str>),
    /// The server answered the opening request with a status other than 101.
    Rejected(Box<Rejection>),
    /// The server's opening answer breaks the protocol.
    Handshake(Box<str>),
    /// A step took longer than its deadline.
    Timeout(Stage),
    /// The peer sent a close frame.
    ClosedByPeer {
        /// Its close code; 1005 if it sent none.
        code: u16,
        /// The reason it sent, at most 123 bytes.
        reason: Box<str>,
    },
    /// The peer closed TCP without a close frame.
    Eof,
    /// The network broke the connection. `UnexpectedEof` is an end inside a message, or without the end of TLS.
    Io(io::ErrorKind),
    /// The peer broke the WebSocket protocol.
    Violation(Violation),
    /// Nothing arrived for this long, not even an answer to a ping.
    Silent(Duration),
    /// Pings were answered, but no data arrived for this long, not even snapshots after the subscription was sent
    /// again.
    Mute(Duration),
    /// The peer does not read: a request was due, and more than 1 MiB of earlier requests and pongs was still unsent.
    NotReading {
        /// The number of unsent bytes.
        unsent: usize,
    },
    /// The connection's thread panicked with this message, which is a bug in hoga. The socket is replaced.
    Panicked(Box<str>),
    /// No stream of this connection is wanted any more.
    Unwanted,
    /// The engine was stopped.
    Stopped,
}

impl Disconnect {
    /// Cuts text from outside to 200 characters, so that it fits into a report.
    pub(super) fn bounded(text: &str) -> Box<str> {
        Self::cut(text, 200)
    }

    fn cut(text: &str, chars: usize) -> Box<str> {
        text.chars().take(chars).collect::<String>().into()
    }

    /// Returns true if the exchange refused because this address connected too often. If so, no connection should dial.
    pub(super) fn is_rate_limit(&self) -> bool {
        matches!(self, Self::Rejected(r) if matches!(r.kind, RejectionKind::TooManyRequests | RejectionKind::Banned))
    }

    /// Returns the step that took too long, if that is the reason.
    pub(super) fn slow_stage(&self) -> Option<Stage> {
        match self {
            Self::Timeout(stage) | Self::Proxy { why: ProxyFailure::Timeout(stage), .. } => Some(*stage),
            _ => None,
        }
    }

    /// Returns true if the peer ended the socket.
    pub(super) fn is_end_by_peer(&self) -> bool {
        matches!(self, Self::ClosedByPeer { .. } | Self::Eof | Self::Io(_))
    }

    /// Returns the kind of this disconnect, without its details.
    pub const fn kind(&self) -> DisconnectKind {
        match self {
            Self::Resolve(_) => DisconnectKind::DnsFailed,
            Self::Connect(io::ErrorKind::ConnectionRefused) => DisconnectKind::ConnectRefused,
            Self::Connect(_) => DisconnectKind::ConnectFailed,
            Self::OutOfResources(_) => DisconnectKind::OutOfResources,
            Self::Proxy { why, .. } => why.kind(),
            Self::Tls(_) => DisconnectKind::TlsFailed,
            Self::TlsEnded(_) => DisconnectKind::TlsEnded,
            Self::Rejected(_) => DisconnectKind::UpgradeRejected,
            Self::Handshake(_) => DisconnectKind::HandshakeFailed,
            Self::Timeout(Stage::Resolve) => DisconnectKind::DnsTimeout,
            Self::Timeout(Stage::Connect) => DisconnectKind::ConnectTimeout,
            Self::Timeout(Stage::Tunnel) => DisconnectKind::ProxyTimeout,
            Self::Timeout(Stage::Tls) => DisconnectKind::TlsTimeout,
            Self::Timeout(Stage::Upgrade) => DisconnectKind::UpgradeTimeout,
            Self::ClosedByPeer { .. } => DisconnectKind::ClosedByPeer,
            Self::Eof => DisconnectKind::Eof,
            Self::Io(io::ErrorKind::ConnectionReset) => DisconnectKind::Reset,
            Self::Io(io::ErrorKind::UnexpectedEof) => DisconnectKind::Truncated,
            Self::Io(_) => DisconnectKind::IoFailed,
            Self::Violation(_) => DisconnectKind::ProtocolError,
            Self::Silent(_) => DisconnectKind::Silent,
            Self::Mute(_) => DisconnectKind::Mute,
            Self::NotReading { .. } => DisconnectKind::NotReading,
            Self::Panicked(_) => DisconnectKind::Panicked,
            Self::Unwanted => DisconnectKind::Unwanted,
            Self::Stopped => DisconnectKind::Stopped,
        }
    }

    /// Returns a short, stable word for logs and scripts.
    pub const fn code(&self) -> &'static str {
        self.kind().as_str()
    }
}

impl Disconnect {
    /// Converts the failure of an opening handshake.
    pub(super) fn handshake(error: HandshakeError) -> Self {
        match error {
            HandshakeError::Rejected(rejection) => Self::Rejected(Box::new(rejection)),
            other => Self::Handshake(Self::bounded(&other.to_string())),
        }
    }

    /// Converts the end of the transport.
    pub(super) fn closed(how: Closed) -> Self {
        match how {
            Closed::Eof => Self::Eof,
            Closed::Io(kind) => Self::Io(kind),
            // These texts have several sentences, and bounded parts from outside.
            Closed::Tls(why) => Self::Tls(Self::cut(&why, 600)),
            Closed::TlsEnded(why) => Self::TlsEnded(Self::cut(&why, 600)),
            Closed::OutOfResources(why) => Self::OutOfResources(Self::bounded(&why)),
        }
    }
}

impl fmt::Display for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve(why) => write!(f, "the name could not be looked up: {why}"),
            Self::Connect(kind) => write!(f, "TCP could not be opened: {kind}"),
            Self::OutOfResources(why) => write!(f, "this machine could not create a socket: {why}"),
            Self::Proxy { proxy, why } => write!(f, "the proxy {proxy} {why}"),
            Self::Tls(why) | Self::TlsEnded(why) => write!(f, "TLS failed: {why}"),
            Self::Rejected(rejection) => write!(f, "the exchange refused the connection: {rejection}"),
            Self::Handshake(why) => write!(f, "the opening handshake failed: {why}"),
            Self::Timeout(Stage::Tls) => f.write_str(
                "the tls step took too long: the server accepted TCP but did not complete the TLS handshake; check that \
                 this port is for wss://",
            ),
            Self::Timeout(stage) => write!(f, "the {} step took too long", stage.as_str()),
            Self::ClosedByPeer { code: 1005, .. } => f.write_str("the exchange closed without a code"),
            Self::ClosedByPeer { code, reason } if reason.is_empty() => {
                write!(f, "the exchange closed with code {code}")
            }
            Self::ClosedByPeer { code, reason } => {
                write!(f, "the exchange closed with code {code}: {}", reason.escape_debug())
            }
            Self::Eof => f.write_str("the exchange closed the socket without a close frame"),
            Self::Io(io::ErrorKind::UnexpectedEof) => {
                f.write_str("the data was cut off: the socket ended inside a message, or without the end of TLS")
            }
            Self::Io(kind) => write!(f, "the network broke the connection: {kind}"),
            Self::Violation(violation) => write!(f, "the exchange broke the WebSocket protocol: {violation}"),
            Self::Silent(time) => write!(f, "nothing arrived for {time:?}, not even the answer to a ping"),
            Self::Mute(time) => write!(f, "no data for {time:?}, although the socket answers"),
            Self::NotReading { unsent } => {
                write!(f, "the exchange does not read what is sent to it: {unsent} bytes are unsent")
            }
            Self::Panicked(message) => {
                write!(f, "the connection's thread panicked, which is a bug in hoga: {}", message.escape_debug())
            }
            Self::Unwanted => f.write_str("nothing is subscribed on this connection"),
            Self::Stopped => f.write_str("the engine was stopped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::TunnelError;
    use std::collections::HashSet;

    #[test]
    fn every_disconnect_has_its_own_code_and_a_sentence() {
        let rejection = Rejection {
            status: 503,
            kind: RejectionKind::ServerError,
            retry_after: None,
            retry_after_text: None,
            body: "down".into(),
        };
        let disconnects = [
            Disconnect::Resolve("why".into()),
            Disconnect::Connect(io::ErrorKind::ConnectionRefused),
            Disconnect::Connect(io::ErrorKind::NetworkUnreachable),
            Disconnect::OutOfResources("why".into()),
            Disconnect::Proxy { proxy: "p".into(), why: ProxyFailure::Resolve("why".into()) },
            Disconnect::Proxy { proxy: "p".into(), why: ProxyFailure::Timeout(Stage::Tunnel) },
            Disconnect::Proxy { proxy: "p".into(), why: ProxyFailure::Tunnel(TunnelError::CredentialsMissing) },
            Disconnect::Tls("why".into()),
            Disconnect::TlsEnded("why".into()),
            Disconnect::Rejected(Box::new(rejection)),
            Disconnect::Handshake("why".into()),
            Disconnect::Timeout(Stage::Resolve),
            Disconnect::Timeout(Stage::Connect),
            Disconnect::Timeout(Stage::Tls),
            Disconnect::Timeout(Stage::Upgrade),
            Disconnect::ClosedByPeer { code: 1001, reason: "why".into() },
            Disconnect::Eof,
            Disconnect::Io(io::ErrorKind::ConnectionReset),
            Disconnect::Io(io::ErrorKind::UnexpectedEof),
            Disconnect::Io(io::ErrorKind::BrokenPipe),
            Disconnect::Violation(Violation::Masked),
            Disconnect::Silent(Duration::from_secs(1)),
            Disconnect::Mute(Duration::from_secs(1)),
            Disconnect::NotReading { unsent: 1 },
            Disconnect::Panicked("why".into()),
            Disconnect::Unwanted,
            Disconnect::Stopped,
        ];
        let codes: HashSet<_> = disconnects.iter().map(Disconnect::code).collect();
        assert_eq!(codes, DisconnectKind::ALL.map(DisconnectKind::as_str).into());
        assert_eq!(codes.len(), disconnects.len());
        assert!(disconnects.iter().all(|disconnect| disconnect.to_string().len() > 10));
    }

    #[test]
    fn a_close_without_a_code_and_a_cut_have_their_own_words() {
        let close = Disconnect::ClosedByPeer { code: 1005, reason: "".into() };
        assert_eq!(close.to_string(), "the exchange closed without a code");
        assert!(Disconnect::Io(io::ErrorKind::UnexpectedEof).to_string().contains("cut off"));
    }

    #[test]
    fn a_close_reason_cannot_control_a_terminal() {
        let disconnect = Disconnect::ClosedByPeer { code: 4000, reason: "\u{1b}[2J\n".into() };
        assert!(!disconnect.to_string().contains(['\u{1b}', '\n']));
    }
}
