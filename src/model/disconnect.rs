//! The reason why a socket ended or could not be opened, as a code without details.

use std::fmt;

/// The kind of a disconnect: why a socket ended or could not be opened. `status::Disconnect` has the details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum DisconnectKind {
    /// The host name has no address, or the lookup failed.
    DnsFailed,
    /// The DNS lookup took too long.
    DnsTimeout,
    /// Nothing listens at that address.
    ConnectRefused,
    /// TCP could not connect for another reason.
    ConnectFailed,
    /// Connecting TCP took too long.
    ConnectTimeout,
    /// This machine has no file descriptor or no memory left for a socket.
    OutOfResources,
    /// The proxy could not be reached, or could not reach the exchange.
    ProxyFailed,
    /// The proxy refused the user name, the password or the exchange's address, or is not such a proxy.
    ProxyRefused,
    /// The proxy could not be reached, or opened no tunnel, in time.
    ProxyTimeout,
    /// The TLS handshake failed, or the certificate was refused.
    TlsFailed,
    /// The TLS handshake was cut off: the server closed, or the network broke.
    TlsEnded,
    /// The TLS handshake took too long.
    TlsTimeout,
    /// The server answered the upgrade request with a status other than 101.
    UpgradeRejected,
    /// The upgrade request was not answered in time.
    UpgradeTimeout,
    /// The server's answer to the upgrade request violates the protocol.
    HandshakeFailed,
    /// The peer sent a close frame.
    ClosedByPeer,
    /// The peer closed TCP without a close frame.
    Eof,
    /// The peer reset the TCP connection.
    Reset,
    /// The socket ended inside a message, or without the end of TLS.
    Truncated,
    /// The socket failed with another I/O error.
    IoFailed,
    /// The peer violated the WebSocket protocol.
    ProtocolError,
    /// Nothing arrived, not even a pong.
    Silent,
    /// Pings were answered, but no data arrived.
    Mute,
    /// The peer did not read what was sent to it.
    NotReading,
    /// The connection's thread panicked, which is a bug in hoga, and continued.
    Panicked,
    /// The connection has no stream left to carry, so the engine closed the socket.
    Unwanted,
    /// The engine was stopped.
    Stopped,
}

impl DisconnectKind {
    /// All kinds, in numeric order: `ALL[kind as usize] == kind`.
    pub const ALL: [Self; 27] = [
        Self::DnsFailed,
        Self::DnsTimeout,
        Self::ConnectRefused,
        Self::ConnectFailed,
        Self::ConnectTimeout,
        Self::OutOfResources,
        Self::ProxyFailed,
        Self::ProxyRefused,
        Self::ProxyTimeout,
        Self::TlsFailed,
        Self::TlsEnded,
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
        Self::NotReading,
        Self::Panicked,
        Self::Unwanted,
        Self::Stopped,
    ];

    /// Returns the kind with this number, `kind as u8`.
    pub fn from_index(index: u8) -> Option<Self> {
        Self::ALL.get(usize::from(index)).copied()
    }

    /// A short, stable name for logs and scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DnsFailed => "dns_failed",
            Self::DnsTimeout => "dns_timeout",
            Self::ConnectRefused => "connect_refused",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::OutOfResources => "out_of_resources",
            Self::ProxyFailed => "proxy_failed",
            Self::ProxyRefused => "proxy_refused",
            Self::ProxyTimeout => "proxy_timeout",
            Self::TlsFailed => "tls_failed",
            Self::TlsEnded => "tls_ended",
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
            Self::NotReading => "not_reading",
            Self::Panicked => "panicked",
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
    fn kinds_are_in_numeric_order_and_have_unique_names() {
        for (index, kind) in (0..).zip(DisconnectKind::ALL) {
            assert_eq!((kind as u8, DisconnectKind::from_index(index)), (index, Some(kind)));
        }
        assert_eq!(DisconnectKind::from_index(DisconnectKind::ALL.len() as u8), None);
        let words: HashSet<_> = DisconnectKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(words.len(), DisconnectKind::ALL.len());
    }
}
