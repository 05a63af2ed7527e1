//! One stream and how it is wanted.

use crate::model::StreamKey;

/// Which messages of a stream are wanted. Corresponds to the exchange's `is_only_snapshot` and `is_only_realtime`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Mode {
    /// A snapshot when the stream is requested and at the start of each later socket, and every update. The exchange
    /// sends no updates of a stream while it prepares a snapshot of it, so a change may appear only in a later
    /// snapshot. Such a snapshot is delivered too; a snapshot that repeats the known state is not.
    #[default]
    All,
    /// Only the snapshots: when the stream is requested and at the start of each later socket.
    SnapshotOnly,
    /// Only updates. A change that appears only in a later snapshot is delivered as an update.
    RealtimeOnly,
}

impl Mode {
    /// Returns the mode that serves both: the same mode if they are equal, otherwise [`All`](Self::All).
    pub fn and(self, other: Self) -> Self {
        if self == other { self } else { Self::All }
    }
}

/// The least number of order book levels that is wanted. Other types have no levels and use [`ALL`](Self::ALL).
///
/// The exchange sends a market's book once per connection, so the deepest demand decides, and the other readers see
/// more levels than they requested. The totals are always those of the whole book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Depth(u8);

impl Depth {
    /// All levels that the exchange sends: 30 on Upbit.
    pub const ALL: Self = Self(u8::MAX);

    /// Returns the depth of this many levels.
    pub const fn levels(levels: u8) -> Self {
        Self(levels)
    }

    /// Returns the number of levels; `None` for all.
    pub fn count(self) -> Option<u8> {
        (self != Self::ALL).then_some(self.0)
    }
}

/// One stream and how it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamSpec {
    /// The stream.
    pub key: StreamKey,
    /// The wanted messages.
    pub mode: Mode,
    /// The wanted depth, for order books.
    pub depth: Depth,
}

impl StreamSpec {
    /// Requests all messages of a stream, in full depth.
    pub fn all(key: StreamKey) -> Self {
        Self { key, mode: Mode::All, depth: Depth::ALL }
    }

    /// Returns true if a running stream that is carried as `self` also serves `other`.
    pub(crate) fn serves(&self, other: &Self) -> bool {
        self.mode != Mode::SnapshotOnly && other.depth <= self.depth
    }
}
