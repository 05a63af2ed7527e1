//! Counters of a connection since the engine started.

use std::time::Duration;

use crate::wire::DecodeCounters;

/// Exact counts of one connection since the engine started, across all its sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Bytes received, after TLS.
    pub bytes: u64,
    /// Whole messages received, text or binary.
    pub messages: u64,
    /// Data objects in these messages. A list frame may hold several.
    pub data: u64,
    /// Text messages. The exchange normally sends binary ones.
    pub text_messages: u64,
    /// `{"status":"UP"}` messages.
    pub status_messages: u64,
    /// Messages that could not be read.
    pub malformed: u64,
    /// Messages that arrived between our close frame and the peer's. None was delivered, because no stream was wanted
    /// any more.
    pub after_close: u64,
    /// Messages that were cut off by the end of their socket. No part of them was delivered.
    pub cut_off: u64,
    /// Messages of types that this connection cannot have requested.
    pub other_messages: u64,
    /// Error objects sent by the exchange.
    pub server_errors: u64,
    /// Requests that the exchange refused: with TOO_MANY_REQUEST, followed by a pause in requests, or because of what
    /// they request. Also in `server_errors`.
    pub requests_refused: u64,
    /// Pings received.
    pub pings_received: u64,
    /// Pings that were not answered, because a newer one came while too many bytes were unsent.
    pub pings_unanswered: u64,
    /// Requests sent: subscriptions, probes and lists.
    pub requests: u64,
    /// TCP connects attempted.
    pub dials: u64,
    /// Sockets on which the WebSocket was opened.
    pub opened: u64,
    /// Sockets and dial attempts that ended without being closed on purpose.
    pub disconnects: u64,
    /// Panics of the connection's thread. Each is a bug in hoga; the thread continues with a new socket.
    pub panics: u64,
    /// Events dropped because the caller did not drain them.
    pub events_dropped: u64,
    /// The decoder's counters.
    pub decode: DecodeCounters,
    /// Round trip of the last answered ping.
    pub round_trip: Option<Duration>,
}
