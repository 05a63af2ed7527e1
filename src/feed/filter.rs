//! Which messages of a stream a reader asked for.

use crate::model::{Epoch, StreamType};

/// What one reader wants of one stream, and what it has had of it.
#[derive(Debug, Clone, Copy)]
pub struct Filter {
    snapshots: bool,
    changes: bool,
    /// The socket whose snapshot it has had.
    snapshot_of: Epoch,
}

impl Filter {
    /// Snapshots, changes, or both.
    pub fn new(snapshots: bool, changes: bool) -> Self {
        Self { snapshots, changes, snapshot_of: Epoch::default() }
    }

    /// Of a stream that the reader does not want any more, and may want again.
    pub fn nothing() -> Self {
        Self::new(false, false)
    }

    /// The reader asked for this. It gets one snapshot of each socket: another was sent for somebody else's sake, and is
    /// none of its business.
    #[inline]
    pub fn wants(&mut self, stream_type: StreamType, epoch: Epoch) -> bool {
        match stream_type {
            StreamType::Realtime => self.changes,
            StreamType::Snapshot => self.snapshots && std::mem::replace(&mut self.snapshot_of, epoch) != epoch,
        }
    }

    /// It waits for a snapshot and for nothing else, and this is one. That of a running trade stream is a trade long
    /// known: no news for the others, but all that this reader will get.
    pub fn awaits(&self, stream_type: StreamType, epoch: Epoch) -> bool {
        self.is_of_snapshots() && stream_type == StreamType::Snapshot && self.snapshot_of != epoch
    }

    /// It wants snapshots and nothing else.
    pub fn is_of_snapshots(&self) -> bool {
        self.snapshots && !self.changes
    }

    /// It wants snapshots and changes, so any value of the stream will do.
    pub fn is_of_all(&self) -> bool {
        self.snapshots && self.changes
    }

    /// It has been given the state on this socket.
    pub fn had_snapshot(&mut self, epoch: Epoch) {
        self.snapshot_of = epoch;
    }

    /// It wants the state of a stream that runs already.
    pub fn wants_state(&self) -> bool {
        self.snapshots
    }
}
