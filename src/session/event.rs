//! What a session asks its caller to do, and what it reports.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{Disconnect, SocketId, State};
use crate::model::{Epoch, Format, Nanos, StreamKey};
use crate::wire::{DecodeError, Drift, Excerpt, ServerError, SubscriptionList};

/// What the caller should do next. Drain with `poll_action` after each `handle_*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Look up the endpoint's host on another thread; answer with `handle_resolved`.
    Resolve,
    /// Open TCP to this address; answer with `handle_connected` or `handle_closed`.
    Connect(SocketId, SocketAddr),
    /// Start TLS on the open socket; answer with `handle_secured` or `handle_closed`. These bytes of the exchange were
    /// received after a proxy's answer, and come before all that the socket still holds.
    StartTls(SocketId, Vec<u8>),
    /// Send as many of these last bytes as the socket takes at once, then drop the socket (or the attempt to open it).
    Disconnect(SocketId, Vec<u8>),
}

/// What happened to a connection. Drain with `poll_event` after each `handle_*`. Data messages are not events: they go
/// to the sink.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The connection's state changed.
    State {
        /// The time.
        at: Nanos,
        /// The state before.
        from: State,
        /// The state after.
        to: State,
        /// The epoch of the newest socket.
        epoch: Epoch,
    },
    /// A socket or a dial attempt ended.
    Disconnected {
        /// The time.
        at: Nanos,
        /// The reason.
        reason: Disconnect,
        /// The epoch of the socket that ended. If the attempt opened none, the epoch of the newest socket before it.
        epoch: Epoch,
        /// When the next attempt will be made; `None` if none will.
        retry_at: Option<Nanos>,
    },
    /// A subscription request was sent: from now on the socket carries this revision of the desired set.
    Requested {
        /// The time.
        at: Nanos,
        /// The revision of the desired set.
        revision: u64,
        /// The message format from now on. Messages already under way may still be in the format before.
        format: Format,
        /// True if the same request was sent before on this socket; it is repeated to provoke an answer.
        again: bool,
        /// The streams requested without a snapshot, because they run already and continue.
        running: Arc<BTreeSet<StreamKey>>,
    },
    /// The exchange opened the WebSocket and stated the time of its clock.
    Dated {
        /// The earliest time at which the exchange can have read its clock: when we created the request.
        asked: Nanos,
        /// The latest time at which it can have read it: when the answer had arrived.
        answered: Nanos,
        /// The time of the exchange's clock, truncated to whole seconds.
        date: Nanos,
    },
    /// The exchange answered with error objects. It closes the socket after each. The first error of each name is
    /// reported at once. Others are combined into one report per second, and one at the end of the socket. The counts of
    /// all reports add up to [`Counters::server_errors`](super::Counters::server_errors).
    ServerError {
        /// The number of errors since the last such report.
        count: u64,
        /// The last of them.
        last: ServerError,
    },
    /// The exchange refused a subscription request, for a reason that lies in the request itself. It ends the socket and
    /// all streams on it. The engine finds the streams that it refuses and leaves them out.
    RequestRefused {
        /// The time.
        at: Nanos,
        /// The revision of the desired set that was requested.
        revision: u64,
        /// The exchange's answer.
        error: ServerError,
    },
    /// The exchange answered a LIST_SUBSCRIPTIONS request.
    Subscriptions(SubscriptionList),
    /// Messages could not be read. They are counted, and the connection goes on. The first error of each kind and stream
    /// is reported at once. Others are combined into one report per second, and one at the end of the socket. The counts
    /// of all reports add up to [`Counters::malformed`](super::Counters::malformed).
    Malformed {
        /// The number of messages since the last such report.
        count: u64,
        /// Why the last of them was refused.
        last: DecodeError,
    },
    /// The exchange's messages differ from the documented ones. They are delivered. Each connection reports a difference
    /// once, even if it uses several sockets; later, only [`Counters::decode`](super::Counters::decode) counts it.
    Drift(Drift),
    /// The exchange sent a message of a type that this version does not read. Each connection reports at most 16 types,
    /// and each of them once; [`Counters::other_messages`](super::Counters::other_messages) counts all such messages.
    UnknownType {
        /// The exchange's name of the type.
        name: Excerpt,
        /// The beginning of the first message of that type.
        sample: Excerpt,
    },
}

/// How the transport ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// The peer closed its side.
    Eof,
    /// A system call failed.
    Io(std::io::ErrorKind),
    /// TLS was refused or broken, with the reason.
    Tls(String),
    /// The TLS handshake was cut off, with what that may mean.
    TlsEnded(String),
    /// This machine has no file descriptor or no memory left for a socket, with the reason.
    OutOfResources(String),
}
