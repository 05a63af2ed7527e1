//! The states of a connection and the transitions between them.

use std::fmt;

/// The state of a connection.
///
/// ```text
///                          ┌─► Tunneling ─┐  (with a proxy)
///                          │              ▼
///  Disconnected ─► Connecting ─► TlsHandshake ─► Upgrading ─► Connected ─► Subscribing ─► Active
///       ▲  ▲           │  ▲           │              │            │             │           │
///       │  │           ▼  │           ▼              ▼            ▼             ▼           │
///       │  └─────── Reconnecting ◄────┴──────────────┴────────────┴─────────────┴───────────┤
///       └────────────────────────── Closing ◄──────────────────── (nothing wanted, or stop) ┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// No socket, and none is wanted: no stream is subscribed, or the engine is stopping.
    Disconnected,
    /// The name is being looked up, or TCP is being opened.
    Connecting,
    /// TCP to the proxy is open; the proxy opens a tunnel to the exchange. Only with a proxy, before `TlsHandshake`.
    Tunneling,
    /// TCP is open; the TLS handshake is in progress.
    TlsHandshake,
    /// The WebSocket opening request was sent, or is about to be.
    Upgrading,
    /// The WebSocket is open; no request was sent on it yet.
    Connected,
    /// A request was sent; no data has arrived yet.
    Subscribing,
    /// Data has arrived on this socket.
    Active,
    /// The socket ended or could not be opened; the next attempt is scheduled.
    Reconnecting,
    /// We sent a close frame and wait briefly for the peer's.
    Closing,
}

impl State {
    /// All states, in the usual order.
    pub const ALL: [Self; 10] = [
        Self::Disconnected,
        Self::Connecting,
        Self::Tunneling,
        Self::TlsHandshake,
        Self::Upgrading,
        Self::Connected,
        Self::Subscribing,
        Self::Active,
        Self::Reconnecting,
        Self::Closing,
    ];

    /// Returns a short, stable word for logs and scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Connecting => "connecting",
            Self::Tunneling => "tunneling",
            Self::TlsHandshake => "tls_handshake",
            Self::Upgrading => "upgrading",
            Self::Connected => "connected",
            Self::Subscribing => "subscribing",
            Self::Active => "active",
            Self::Reconnecting => "reconnecting",
            Self::Closing => "closing",
        }
    }

    /// Returns true if the WebSocket is open, so that messages are read and requests may be sent.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Connected | Self::Subscribing | Self::Active)
    }

    /// Returns true if a connection may go from this state to `next`.
    pub const fn may_become(self, next: Self) -> bool {
        use State::*;
        match self {
            Disconnected => matches!(next, Connecting | Reconnecting),
            Connecting => matches!(next, Tunneling | TlsHandshake | Upgrading | Reconnecting | Disconnected),
            Tunneling => matches!(next, TlsHandshake | Upgrading | Reconnecting | Disconnected),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line is a state with all states that may follow it. All other transitions are refused.
    const DRAWN: &str = "\
disconnected: connecting reconnecting
connecting: tunneling tls_handshake upgrading reconnecting disconnected
tunneling: tls_handshake upgrading reconnecting disconnected
tls_handshake: upgrading reconnecting disconnected
upgrading: connected reconnecting disconnected
connected: subscribing reconnecting closing
subscribing: active reconnecting closing
active: reconnecting closing
reconnecting: connecting disconnected
closing: disconnected";

    #[test]
    fn exactly_the_drawn_transitions_are_legal() {
        assert_eq!(DRAWN.lines().count(), State::ALL.len());
        for (from, drawn) in DRAWN.lines().map(|line| line.split_once(": ").unwrap()) {
            let from = State::ALL.into_iter().find(|state| state.as_str() == from).unwrap();
            for to in State::ALL {
                let is_drawn = drawn.split(' ').any(|state| state == to.as_str());
                assert_eq!(from.may_become(to), is_drawn, "{from} -> {to}");
            }
        }
    }
}
