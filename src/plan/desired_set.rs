//! What the planner tells one connection.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::StreamSet;
use crate::model::{Epoch, Format, StreamKey};

/// What a connection shall carry from now on: all of it, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DesiredSet {
    /// Rises with every desired set. A higher one with the same streams asks for snapshots of those that do not run.
    pub revision: u64,
    /// The streams.
    pub streams: StreamSet,
    /// How the exchange shall write them.
    pub format: Format,
    /// What the connection's socket is known to deliver already.
    pub running: Running,
}

/// Streams that a new request may ask for without a snapshot: their data has come since they were asked for, so their
/// state is known, and they go on.
///
/// A request that is sent before this desired set, and that the planner has not heard of, may end or restart some of
/// them. So there are two sets, and the session knows which of them holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Running {
    /// The socket. On any other one nothing runs.
    pub epoch: Epoch,
    /// Streams that run whichever earlier desired set was sent last.
    pub keys: Arc<BTreeSet<StreamKey>>,
    /// The desired set that was sent last, as far as the planner had heard.
    pub sent: Option<u64>,
    /// Streams that run if nothing was sent after that: `keys`, and those that some unsent desired set would end or
    /// restart.
    pub unless_sent: Arc<BTreeSet<StreamKey>>,
}

impl Running {
    /// The streams that run on the socket of `epoch`, to which the desired set `sent` was sent last.
    pub fn on(&self, epoch: Epoch, sent: Option<u64>) -> Arc<BTreeSet<StreamKey>> {
        match self.epoch == epoch {
            true if self.sent == sent => Arc::clone(&self.unless_sent),
            true => Arc::clone(&self.keys),
            false => Arc::default(),
        }
    }
}
