//! The life of one connection, sans-IO: events go in, actions come out. No clock, no socket, no thread.
//!
//! The contract: *after each `handle_*` (and `set_desired`, `list`, `stop`), drain `poll_action`, `poll_event` and
//! `poll_transmit`, then come back no later than `poll_timeout`.* Each call and each action about a socket names its
//! [`SocketId`].
//!
//! [`State`] lists the states and draws the transitions. A [`Session`] dials until it has a socket, opens the
//! WebSocket, and sends the one request that makes the socket carry exactly the desired streams. It passes each decoded
//! message to a [`Sink`](crate::model::Sink), notices when the peer falls silent (nothing arrives) or mute (it answers
//! pings but sends no data), and reconnects as often as needed, but no faster than the exchange allows.

mod addresses;
mod block_time;
mod budget;
mod counters;
mod dialer;
#[cfg(test)]
mod dialogues;
mod disconnect;
mod entropy;
mod event;
mod format;
mod liveness;
mod outbox;
mod patience;
mod proxy;
mod race;
mod recovery;
mod refusal_backoff;
mod refused;
mod repeats;
mod requests;
mod retry;
#[allow(clippy::module_inception, reason = "the file is named after its type")]
mod session;
mod session_phase;
mod shared;
mod socket;
mod socket_id;
mod state;
#[cfg(test)]
pub(crate) mod testing;
mod upgrade;

pub use budget::{Budget, DialBudget, MARGIN, Rate};
pub use counters::Counters;
pub use disconnect::{Disconnect, Stage};
pub use entropy::Entropy;
pub use event::{Action, Closed, Event};
pub use format::{FormatReason, FormatSelector};
pub use patience::OpeningTimes;
pub use proxy::ProxyFailure;
pub use recovery::{Cadence, FailureCause, RecoverableBy, RecoveryAction, RecoveryRule, recovery_table};
pub use refused::{Refused, RefusedMessages};
pub use retry::RETRY_AFTER_MAX;
pub use session::Session;
pub use socket_id::SocketId;
pub use state::State;
