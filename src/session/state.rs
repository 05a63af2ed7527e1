//! The states of a connection's life and the steps between them.

use std::fmt;

/// Where a connection is in its life.
///
/// ```text
///  Disconnected ─► Connecting ─► TlsHandshake ─► Upgrading ─► Connected ─► Subscribing ─► Active
///       ▲  ▲           │  ▲           │              │            │             │           │
///       │  │           ▼  │           ▼              ▼            ▼             ▼           │
///       │  └─────── Reconnecting ◄────┴──────────────┴────────────┴─────────────┴───────────┤
///       └────────────────────────── Closing ◄──────────────────── (nothing wanted, or stop) ┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// No socket and none wanted: nothing is subscribed, or the engine stops.
    Disconnected,
    /// Looking up the name, then opening TCP.
    Connecting,
    /// TCP is open; TLS is being agreed.
    TlsHandshake,
    /// The WebSocket opening request is on its way.
    Upgrading,
    /// The socket is open; no request was sent on it yet.
    Connected,
    /// The request was sent; no data came yet.
    Subscribing,
    /// Data has come on this socket.
    Active,
    /// The socket ended or could not be made; the next try has a time.
    Reconnecting,
    /// We sent a close frame and wait, briefly, for the one of the peer.
    Closing,
}

impl State {
    /// Every state, in the order of a life.
    pub const ALL: [Self; 9] = [
        Self::Disconnected,
        Self::Connecting,
        Self::TlsHandshake,
        Self::Upgrading,
        Self::Connected,
        Self::Subscribing,
        Self::Active,
        Self::Reconnecting,
        Self::Closing,
    ];

    /// A short, stable word for logs and scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Connecting => "connecting",
            Self::TlsHandshake => "tls_handshake",
            Self::Upgrading => "upgrading",
            Self::Connected => "connected",
            Self::Subscribing => "subscribing",
            Self::Active => "active",
            Self::Reconnecting => "reconnecting",
            Self::Closing => "closing",
        }
    }

    /// The WebSocket is open: frames may be read and written.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Connected | Self::Subscribing | Self::Active)
    }

    /// Whether a life may go from here to `next`.
    pub const fn may_become(self, next: Self) -> bool {
        use State::*;
        match self {
            Disconnected => matches!(next, Connecting | Reconnecting),
            Connecting => matches!(next, TlsHandshake | Upgrading | Reconnecting | Disconnected),
            TlsHandshake => matches!(next, Upgrading | Reconnecting | Disconnected),
            Upgrading => matches!(next, Connected | Reconnecting | Disconnected),
            Connected => matches!(next, Subscribing | Reconnecting | Closing),
            Subscribing => matches!(next, Active | Reconnecting | Closing),
            Active => matches!(next, Reconnecting | Closing),
            Reconnecting => matches!(next, Connecting | Disconnected),
            Closing => matches!(next, Disconnected),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
