//! What the planner tells one connection.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::StreamSet;
use crate::model::{Epoch, Format, StreamKey};

/// What a connection shall carry from now on: all of it, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wish {
    /// Rises with every wish. A higher one with the same streams asks for snapshots of those that do not run.
    pub revision: u64,
    /// The streams.
    pub streams: StreamSet,
    /// How the exchange shall write them.
    pub format: Format,
    /// What the connection's socket is known to deliver already.
    pub running: Running,
}

/// Streams whose data has come on one socket since they were asked for. They need no snapshot when the request is
/// written anew; on any other socket this means nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Running {
    /// The socket.
    pub epoch: Epoch,
    /// The streams.
    pub keys: Arc<BTreeSet<StreamKey>>,
}

impl Running {
    /// The stream is known to run on the socket of `epoch`.
    pub fn has(&self, epoch: Epoch, key: StreamKey) -> bool {
        self.epoch == epoch && self.keys.contains(&key)
    }
}
