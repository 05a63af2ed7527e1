//! What one connection needs to know.

use std::time::Duration;

use super::{Budget, Rate};
use crate::config::{Backoff, Endpoint, KeepAlive, Limits, Pacing, Timeouts};
use crate::model::ConnectionId;
use crate::ws;

/// What one connection needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its number within the engine.
    pub id: ConnectionId,
    /// Where to.
    pub endpoint: Endpoint,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// Pause between tries.
    pub backoff: Backoff,
    /// What the exchange rations.
    pub limits: Limits,
    /// How much of that is used.
    pub pacing: Pacing,
    /// How a quiet socket is kept open.
    pub keep_alive: KeepAlive,
    /// Room for one read from the socket, in bytes.
    pub receive_bytes: usize,
}

impl Config {
    /// The requests that one socket may send.
    pub(super) fn request_budget(&self) -> Budget {
        let rates = [
            Rate { count: self.pacing.share_of(self.limits.requests_per_second), window: Duration::from_secs(1) },
            Rate { count: self.pacing.share_of(self.limits.requests_per_minute), window: Duration::from_secs(60) },
        ];
        Budget::with_margin(rates, self.pacing.margin())
    }

    /// What a peer may make the frame reader hold.
    pub(super) fn frame_limits(&self) -> ws::Limits {
        ws::Limits { max_message: self.limits.message_bytes, ..ws::Limits::default() }
    }
}
