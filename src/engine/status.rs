//! The status of the engine, its connections and its feeds.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Proxy;
use crate::feed::{FeedCounts, Overflow};
use crate::model::{ConnectionId, Epoch, Format, Nanos};
use crate::session::{Counters, Disconnect, FormatReason, OpeningTimes, RefusedMessages, State};

/// The state of the engine as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EngineState {
    /// Nothing is subscribed, so nothing is connected.
    Idle,
    /// Connecting, and no data has arrived yet.
    Connecting,
    /// Data has arrived on the current socket.
    Active,
    /// The socket ended. The engine tries to reconnect, without a limit on attempts.
    Reconnecting,
    /// A thread of the engine panicked. Values stay readable. If it was a connection's thread, the values of that
    /// connection are marked as disconnected.
    Failed,
    /// The engine was shut down.
    Stopped,
}

impl EngineState {
    /// Returns a short, stable name for logs and scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::Active => "active",
            Self::Reconnecting => "reconnecting",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }

    /// Returns the state of the engine: the worst state of its connections, except those that carry nothing.
    pub(super) fn of(states: impl Iterator<Item = State>) -> Self {
        let rank = |state: &Self| match state {
            Self::Reconnecting => 3,
            Self::Connecting => 2,
            Self::Active => 1,
            _ => 0,
        };
        states.map(Self::of_one).max_by_key(rank).unwrap_or(Self::Idle)
    }

    fn of_one(state: State) -> Self {
        match state {
            State::Disconnected | State::Closing => Self::Idle,
            State::Active => Self::Active,
            State::Reconnecting => Self::Reconnecting,
            _ => Self::Connecting,
        }
    }
}

/// How the engine reaches the exchange, and which certificates it trusts. Does not change while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetworkStatus {
    /// The proxy in force for the connections; `None` if there is none, or if its exceptions contain the exchange.
    /// Printing it shows the environment variable that it comes from, and never its user name or password.
    pub proxy: Option<Proxy>,
    /// The sources of the trusted root certificates, with their numbers, for people. Names the environment variables
    /// that they come from.
    pub roots: Arc<str>,
}

impl fmt::Display for NetworkStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.proxy {
            Some(proxy) => write!(f, "proxy: {proxy}; ")?,
            None => f.write_str("proxy: none; ")?,
        }
        write!(f, "trusted: {}", self.roots)
    }
}

/// The status of one connection at one moment.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ConnectionStatus {
    /// The connection.
    pub id: ConnectionId,
    /// The connection's state.
    pub state: State,
    /// When the connection entered this state.
    pub since: Nanos,
    /// The epoch of its newest socket; 0 before the first.
    pub epoch: Epoch,
    /// Why the last socket, or the last connection attempt, ended.
    pub last_disconnect: Option<Disconnect>,
    /// When the WebSocket opened; `None` unless it is open.
    pub opened_at: Option<Nanos>,
    /// When a message, a ping or the answer to a ping last arrived on the open WebSocket, at most a few ms old.
    pub last_heard: Option<Nanos>,
    /// How long the steps of opening the newest WebSocket took.
    pub opening: OpeningTimes,
    /// The messages that were refused since the newest WebSocket was opened.
    pub refused: RefusedMessages,
    /// The message format, as named in the newest request. `None` before the first request.
    pub format: Option<Format>,
    /// Why the format was chosen. If the format has changed, this is updated before a request names the new format.
    pub format_reason: FormatReason,
    /// Until when the exchange's refusals keep this connection from dialing or sending requests. `None` if that time
    /// has passed.
    pub blocked_until: Option<Nanos>,
    /// Until when this connection waits because the budget of connects allows no dial. All processes at this address that
    /// share a connect ledger share the budget, and wait together after a refusal of one of them.
    pub dial_held_until: Option<Nanos>,
    /// Exact counts since the start, at most a few ms old.
    pub counters: Counters,
    /// The number of data messages of streams that the socket was not asked for, or is no longer asked for. They were
    /// in flight when the request was sent.
    pub unrouted: u64,
}

/// The status of one feed at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FeedStatus {
    /// The client that holds the feed, if it was opened through one.
    pub client: Option<Box<str>>,
    /// The number of streams that the feed reads.
    pub streams: usize,
    /// What happens to updates that are not read in time.
    pub overflow: Overflow,
    /// What the feed received and what happened to it.
    pub counts: FeedCounts,
    /// The highest observed number of waiting updates. In a conflating feed, each stream counts once; see
    /// [`FeedCounts::queued`] for the updates that will be merged.
    pub depth_max: u64,
    /// Memory that belongs to this feed alone, in bytes.
    pub bytes: u64,
    /// Memory of the rings that the feed shares with other feeds, in bytes.
    pub shared_bytes: u64,
}

/// The status of a connection, shared with other threads.
pub(super) struct SharedStatus(Mutex<ConnectionStatus>);

impl SharedStatus {
    pub fn new(id: ConnectionId, now: Nanos) -> Self {
        Self(Mutex::new(ConnectionStatus {
            id,
            state: State::Disconnected,
            since: now,
            epoch: Epoch::default(),
            last_disconnect: None,
            opened_at: None,
            last_heard: None,
            opening: OpeningTimes::default(),
            refused: RefusedMessages::default(),
            format: None,
            format_reason: FormatReason::default(),
            blocked_until: None,
            dial_held_until: None,
            counters: Counters::default(),
            unrouted: 0,
        }))
    }

    pub fn read(&self) -> ConnectionStatus {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes a change that is rare and must not be lost. Readers hold the lock for the time of a copy.
    pub fn change(&self, write: impl FnOnce(&mut ConnectionStatus)) {
        write(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Updates the frequently changing counters without waiting. If a reader holds the lock, the next batch updates
    /// them.
    pub fn offer(&self, write: impl FnOnce(&mut ConnectionStatus)) {
        if let Ok(mut status) = self.0.try_lock() {
            write(&mut status);
        }
    }
}
