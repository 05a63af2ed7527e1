//! What a session reports and what it asks for.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{Disconnect, SocketId, State};
use crate::model::{Epoch, Format, Nanos, StreamKey};
use crate::wire::{DecodeError, ServerError, SubscriptionList};

/// What the caller should do next. Drain with `poll_action` after each `handle_*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Look the endpoint's host up, elsewhere than on this thread; answer with `handle_resolved`.
    Resolve,
    /// Open TCP to this address; answer with `handle_connected` or `handle_closed`.
    Connect(SocketId, SocketAddr),
    /// Agree TLS on the open socket; answer with `handle_secured` or `handle_closed`.
    StartTls(SocketId),
    /// Send these last bytes as far as they go at once, then drop the socket (or the attempt to open it).
    Disconnect(SocketId, Vec<u8>),
}

/// What happened, for whoever watches. Drain with `poll_event` after each `handle_*`. Never on the data path.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The connection went from one state to another.
    State {
        /// When.
        at: Nanos,
        /// From.
        from: State,
        /// To.
        to: State,
        /// The epoch of the newest socket.
        epoch: Epoch,
    },
    /// A socket, or the try to get one, ended.
    Disconnected {
        /// When.
        at: Nanos,
        /// Why.
        reason: Disconnect,
        /// The epoch of the socket that ended; of the newest one before, if none was opened.
        epoch: Epoch,
        /// When the next try will be made; `None` if none will.
        retry_at: Option<Nanos>,
    },
    /// A subscription request went out: the socket carries this revision of the wanted streams from here on.
    Requested {
        /// When.
        at: Nanos,
        /// The revision of the desired set.
        revision: u64,
        /// How the exchange writes from here on. What is under way may come in the format before.
        format: Format,
        /// The same request was sent before on this socket, to provoke an answer.
        again: bool,
        /// The streams that were asked for without a snapshot: they run already and go on.
        running: Arc<BTreeSet<StreamKey>>,
    },
    /// The exchange opened the WebSocket and said what its clock showed then.
    Dated {
        /// When it was asked, at the earliest.
        asked: Nanos,
        /// When its answer had come.
        answered: Nanos,
        /// What its clock showed, cut to whole seconds.
        date: Nanos,
    },
    /// The exchange answered with an error object. It closes the socket after that.
    ServerError(ServerError),
    /// The exchange answered a LIST_SUBSCRIPTIONS request.
    Subscriptions(SubscriptionList),
    /// A message could not be read. Counted; the connection goes on.
    Malformed(DecodeError),
}

/// How the transport ended, as the caller saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// The peer closed its side.
    Eof,
    /// A system call failed.
    Io(std::io::ErrorKind),
    /// TLS was refused or broken; says why.
    Tls(String),
}
