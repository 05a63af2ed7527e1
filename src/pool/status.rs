//! One stream as the control path sees it.

use super::Health;
use crate::model::{ConnectionId, Epoch, Stamps, StreamKey};

/// One stream at one moment, for screens and logs. Strategies read through a [`Handle`](super::Handle).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamStatus {
    /// Which.
    pub key: StreamKey,
    /// How far its value may be trusted.
    pub health: Health,
    /// Values published; 0 for none yet.
    pub version: u64,
    /// The socket that brought or last confirmed the newest value.
    pub epoch: Option<Epoch>,
    /// The connection that brought it.
    pub connection: Option<ConnectionId>,
    /// When it happened, was received and was published.
    pub stamps: Option<Stamps>,
    /// What became of the arrivals.
    pub verdicts: VerdictCounts,
}

/// What became of the messages of a stream, since the stream was first opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct VerdictCounts {
    /// Newest when they came.
    pub published: u64,
    /// Older than the newest.
    pub late: u64,
    /// Seen before.
    pub duplicate: u64,
    /// From a socket that had been replaced.
    pub old_epoch: u64,
}

impl VerdictCounts {
    /// All arrivals.
    pub fn total(&self) -> u64 {
        self.published + self.late + self.duplicate + self.old_epoch
    }
}
