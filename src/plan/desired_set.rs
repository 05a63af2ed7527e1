//! The desired set that the planner issues to a connection.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::StreamSet;
use crate::model::{Epoch, Format, StreamKey};

/// The complete set of streams that a connection must carry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DesiredSet {
    /// Rises with each desired set. A set with the same streams and a higher revision sends the request again, for
    /// snapshots of the streams that do not run.
    pub revision: u64,
    /// The streams.
    pub streams: StreamSet,
    /// The message format.
    pub format: Format,
    /// The streams that the connection's socket already delivers.
    pub running: Running,
    /// Streams of which only changes are wanted, and of which a snapshot is requested nevertheless, because the exchange
    /// may have stopped sending their changes.
    pub checked: Arc<BTreeSet<StreamKey>>,
}

/// The running streams of a desired set: its request asks for them without a snapshot. Their data has arrived since
/// they were requested, so their state is known, and they continue.
///
/// The session may have sent a request that the planner does not know of yet, and that request may end or restart some
/// of these streams. So there are two sets, and the session knows which one applies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Running {
    /// The epoch of the socket. No stream runs on any other socket.
    pub epoch: Epoch,
    /// Streams that run in any case, no matter which earlier desired set was sent last.
    pub keys: Arc<BTreeSet<StreamKey>>,
    /// The last sent revision that the planner knows of.
    pub sent: Option<u64>,
    /// Streams that run if no request was sent after `sent`: those in `keys`, and those that an unsent desired set
    /// would end or restart.
    pub unless_sent: Arc<BTreeSet<StreamKey>>,
}

impl Running {
    /// Returns the streams that run on the socket of `epoch` if the revision `sent` was the last one sent on it.
    pub fn on(&self, epoch: Epoch, sent: Option<u64>) -> Arc<BTreeSet<StreamKey>> {
        match self.epoch == epoch {
            true if self.sent == sent => Arc::clone(&self.unless_sent),
            true => Arc::clone(&self.keys),
            false => Arc::default(),
        }
    }
}
