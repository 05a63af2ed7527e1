//! What the engine says about itself.

use std::sync::{Mutex, PoisonError};

use crate::feed::{FeedCounts, Overflow};
use crate::model::{ConnectionId, Epoch, Format, Nanos};
use crate::session::{Counters, Disconnect, FormatReason, State};

/// The engine as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EngineState {
    /// Nothing is subscribed, so nothing is connected.
    Idle,
    /// On the way to the first data.
    Connecting,
    /// Data has come on the current socket.
    Active,
    /// The socket ended; tries to get another never end.
    Reconnecting,
    /// A thread of the engine panicked. Values stay readable; those of a connection whose thread it was say that they are
    /// disconnected.
    Failed,
    /// Shut down.
    Stopped,
}

impl EngineState {
    /// A short, stable word for logs and scripts.
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

    /// Of several connections the one that is worst off speaks for all; those that carry nothing do not count.
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

/// One connection at one moment.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ConnectionStatus {
    /// Which.
    pub id: ConnectionId,
    /// Where in its life it is.
    pub state: State,
    /// Since when.
    pub since: Nanos,
    /// Which socket of this life; 0 before the first.
    pub epoch: Epoch,
    /// Why the last socket, or the last try to get one, ended.
    pub last_disconnect: Option<Disconnect>,
    /// How the exchange writes: as the newest request named it. `None` before the first.
    pub format: Option<Format>,
    /// Why it was chosen. Of a format that no request has named yet, this comes first.
    pub format_reason: FormatReason,
    /// Until when refusals that the exchange gave this connection keep it from dialing or asking. What has passed no
    /// longer counts.
    pub blocked_until: Option<Nanos>,
    /// Exact counts since the start, at most a few ms old.
    pub counters: Counters,
    /// Data messages of streams that the socket was told to drop: they were under way.
    pub unrouted: u64,
}

/// One feed at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FeedStatus {
    /// The component that reads it, if it was opened through one.
    pub client: Option<Box<str>>,
    /// How many streams it carries.
    pub streams: usize,
    /// What becomes of updates that are not read in time.
    pub overflow: Overflow,
    /// What came in and what became of it.
    pub counts: FeedCounts,
    /// The most updates that were seen waiting. Of a conflating feed each stream waits once; see
    /// [`FeedCounts::queued`] for the updates that will be merged.
    pub depth_max: u64,
    /// Memory that belongs to it alone, in bytes.
    pub bytes: u64,
    /// Memory of the rings that it shares with other feeds, in bytes.
    pub shared_bytes: u64,
}

/// The status of a connection as other threads see it.
pub(super) struct SharedStatus(Mutex<ConnectionStatus>);

impl SharedStatus {
    pub fn new(id: ConnectionId, now: Nanos) -> Self {
        Self(Mutex::new(ConnectionStatus {
            id,
            state: State::Disconnected,
            since: now,
            epoch: Epoch::default(),
            last_disconnect: None,
            format: None,
            format_reason: FormatReason::default(),
            blocked_until: None,
            counters: Counters::default(),
            unrouted: 0,
        }))
    }

    pub fn read(&self) -> ConnectionStatus {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// For changes that must not be lost and are rare. Readers hold the lock for the time of a copy.
    pub fn change(&self, write: impl FnOnce(&mut ConnectionStatus)) {
        write(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// For the frequent counters: never waits. If somebody reads just now, the next batch brings them.
    pub fn offer(&self, write: impl FnOnce(&mut ConnectionStatus)) {
        if let Ok(mut status) = self.0.try_lock() {
            write(&mut status);
        }
    }
}
