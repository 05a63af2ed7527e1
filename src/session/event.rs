//! What a session asks its caller to do, and what it reports.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{Disconnect, SocketId, State};
use crate::model::{Epoch, Format, Nanos, StreamKey};
use crate::wire::{DecodeError, ServerError, SubscriptionList};

/// What the caller should do next. Drain with `poll_action` after each `handle_*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Look up the endpoint's host on another thread; answer with `handle_resolved`.
    Resolve,
    /// Open TCP to this address; answer with `handle_connected` or `handle_closed`.
    Connect(SocketId, SocketAddr),
    /// Start TLS on the open socket; answer with `handle_secured` or `handle_closed`.
    StartTls(SocketId),
    /// Send as many of these last bytes as the socket takes at once, then drop the socket (or the attempt to open it).
    Disconnect(SocketId, Vec<u8>),
}

/// What happened to a connection. Drain with `poll_event` after each `handle_*`. Never on the data path.
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
        /// The epoch of the socket that ended; of the newest earlier socket if none was opened.
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
        /// The earliest time at which the exchange can have read its clock: when the request was created.
        asked: Nanos,
        /// The latest such time: when the answer had arrived.
        answered: Nanos,
        /// The time of the exchange's clock, truncated to whole seconds.
        date: Nanos,
    },
    /// The exchange answered with an error object. It closes the socket after this.
    ServerError(ServerError),
    /// The exchange answered a LIST_SUBSCRIPTIONS request.
    Subscriptions(SubscriptionList),
    /// A message could not be read. It is counted, and the connection goes on.
    Malformed(DecodeError),
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
}
