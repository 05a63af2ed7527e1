//! The desired set that the planner issues to a connection.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::StreamSet;
use crate::model::{Epoch, Format, StreamKey};

/// The complete set of streams that a connection must carry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DesiredSet {
    /// Rises with each desired set. A higher one with the same streams requests snapshots of those that do not run.
    pub revision: u64,
    /// The streams.
    pub streams: StreamSet,
    /// The message format.
    pub format: Format,
    /// The streams that the connection's socket already delivers.
    pub running: Running,
}

/// Streams that a new request may ask for without a snapshot. Their data has arrived since they were requested, so
/// their state is known, and they continue.
///
/// A request that was sent before this desired set, and that the planner does not know of yet, may end or restart some
/// of them. So there are two sets, and the session knows which one applies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Running {
    /// The epoch of the socket. No stream runs on any other socket.
    pub epoch: Epoch,
    /// Streams that run no matter which earlier desired set was sent last.
    pub keys: Arc<BTreeSet<StreamKey>>,
    /// The last sent revision that the planner knows of.
    pub sent: Option<u64>,
    /// Streams that run if no request was sent after that: `keys`, and those that an unsent desired set would end or
    /// restart.
    pub unless_sent: Arc<BTreeSet<StreamKey>>,
}

impl Running {
    /// Returns the streams that run on the socket of `epoch`, on which the revision `sent` was sent last.
    pub fn on(&self, epoch: Epoch, sent: Option<u64>) -> Arc<BTreeSet<StreamKey>> {
        match self.epoch == epoch {
            true if self.sent == sent => Arc::clone(&self.unless_sent),
            true => Arc::clone(&self.keys),
            false => Arc::default(),
        }
    }
}
