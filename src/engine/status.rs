//! What the engine says about itself.

use crate::model::{ConnectionId, Epoch, Nanos};
use crate::session::{Counters, Loss, State};

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
    /// The socket was lost; tries to get another never end.
    Reconnecting,
    /// A thread of the engine panicked. Values stay readable and say that they are disconnected.
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

    pub(super) fn of(state: State) -> Self {
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
    pub last_loss: Option<Loss>,
    /// Until when refusals that the exchange gave this connection keep it from dialing or asking. What has passed no
    /// longer counts.
    pub blocked_until: Option<Nanos>,
    /// Exact counts since the start, at most a few ms old.
    pub counters: Counters,
    /// Data messages of streams that nobody wants any more: what was under way when they were dropped.
    pub unrouted: u64,
}
