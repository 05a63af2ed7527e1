//! What a connection has counted since the engine started.

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
    /// Data objects read out of them. A list frame may hold several.
    pub data: u64,
    /// Text messages; the exchange sends binary ones.
    pub text_messages: u64,
    /// `{"status":"UP"}` messages.
    pub status_messages: u64,
    /// Messages that could not be read.
    pub malformed: u64,
    /// Messages that came between our close frame and the one of the peer. Nobody wants them any more; none was
    /// delivered.
    pub after_close: u64,
    /// Messages that were cut off by the end of their socket. Nothing of them was delivered.
    pub cut_off: u64,
    /// Messages of types that nobody can have asked for here.
    pub other_messages: u64,
    /// Error objects of the exchange.
    pub server_errors: u64,
    /// Of these, requests refused with TOO_MANY_REQUEST. Each keeps the connection from asking for a while.
    pub requests_refused: u64,
    /// Pings received.
    pub pings_received: u64,
    /// Pings that were not answered because earlier answers still waited to be sent.
    pub pings_unanswered: u64,
    /// Subscription requests sent.
    pub requests: u64,
    /// TCP connects tried.
    pub dials: u64,
    /// Sockets on which the WebSocket was opened.
    pub opened: u64,
    /// Sockets, or tries to get one, that ended without being asked to.
    pub disconnects: u64,
    /// Reports dropped because nobody drained them.
    pub events_dropped: u64,
    /// What the decoder counted.
    pub decode: DecodeCounters,
    /// Round trip of the last answered ping.
    pub round_trip: Option<Duration>,
}
