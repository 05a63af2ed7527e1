//! Why a connection ended or was never made, as one word.

use std::fmt;

/// A kind of disconnect. What else is known of one, `session::Disconnect` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum DisconnectKind {
    /// The name has no address, or could not be looked up.
    DnsFailed,
    /// Looking up the name took too long.
    DnsTimeout,
    /// Nobody listens at that address.
    ConnectRefused,
    /// TCP could not be opened for another reason.
    ConnectFailed,
    /// Opening TCP took too long.
    ConnectTimeout,
    /// The TLS handshake or the certificate was refused.
    TlsFailed,
    /// The TLS handshake took too long.
    TlsTimeout,
    /// The server answered the opening request with another status than 101.
    UpgradeRejected,
    /// The opening request was not answered in time.
    UpgradeTimeout,
    /// The server's opening answer breaks the protocol.
    HandshakeFailed,
    /// The peer sent a close frame.
    ClosedByPeer,
    /// The peer closed TCP without a close frame.
    Eof,
    /// The connection was reset.
    Reset,
    /// The stream ended where more had to come.
    Truncated,
    /// The network broke the connection in another way.
    IoFailed,
    /// The peer broke the WebSocket protocol.
    ProtocolError,
    /// Nothing arrived, not even the answer to a ping.
    Silent,
    /// Pings were answered, but no data came.
    Mute,
    /// Nobody wants a stream of this connection any more.
    Unwanted,
    /// The engine was told to stop.
    Stopped,
}

impl DisconnectKind {
    /// Every kind, each at its number: `ALL[kind as usize] == kind`.
    pub const ALL: [Self; 20] = [
        Self::DnsFailed,
        Self::DnsTimeout,
        Self::ConnectRefused,
        Self::ConnectFailed,
        Self::ConnectTimeout,
        Self::TlsFailed,
        Self::TlsTimeout,
        Self::UpgradeRejected,
        Self::UpgradeTimeout,
        Self::HandshakeFailed,
        Self::ClosedByPeer,
        Self::Eof,
        Self::Reset,
        Self::Truncated,
        Self::IoFailed,
        Self::ProtocolError,
        Self::Silent,
        Self::Mute,
        Self::Unwanted,
        Self::Stopped,
    ];

    /// The kind with this number, `kind as u8`.
    pub fn from_index(index: u8) -> Option<Self> {
        Self::ALL.get(usize::from(index)).copied()
    }

    /// A short, stable word for logs and scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DnsFailed => "dns_failed",
            Self::DnsTimeout => "dns_timeout",
            Self::ConnectRefused => "connect_refused",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::TlsFailed => "tls_failed",
            Self::TlsTimeout => "tls_timeout",
            Self::UpgradeRejected => "upgrade_rejected",
            Self::UpgradeTimeout => "upgrade_timeout",
            Self::HandshakeFailed => "handshake_failed",
            Self::ClosedByPeer => "closed_by_peer",
            Self::Eof => "eof",
            Self::Reset => "reset",
            Self::Truncated => "truncated",
            Self::IoFailed => "io_failed",
            Self::ProtocolError => "protocol_error",
            Self::Silent => "silent",
            Self::Mute => "mute",
            Self::Unwanted => "unwanted",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for DisconnectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_kind_stands_at_its_number_and_has_its_own_word() {
        for (index, kind) in (0..).zip(DisconnectKind::ALL) {
            assert_eq!((kind as u8, DisconnectKind::from_index(index)), (index, Some(kind)));
        }
        assert_eq!(DisconnectKind::from_index(DisconnectKind::ALL.len() as u8), None);
        let words: HashSet<_> = DisconnectKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(words.len(), DisconnectKind::ALL.len());
    }
}
