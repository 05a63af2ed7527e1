//! One stream as somebody wants it.

use crate::model::StreamKey;

/// Which messages of a stream are wanted. The exchange's `is_only_snapshot` and `is_only_realtime`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Mode {
    /// The state when it is asked for and at the start of each socket after that, and every change. The exchange sends no
    /// changes of a stream while it prepares a snapshot of it, so a change may be in a later snapshot alone. Such a snapshot
    /// is delivered too; one that repeats what is known is not.
    #[default]
    All,
    /// The state when it is asked for and at the start of each socket after that, and nothing else.
    SnapshotOnly,
    /// Changes only. A change that is in a later snapshot alone is delivered too, as a change.
    RealtimeOnly,
}

impl Mode {
    /// What serves both: a mode for one of them if they agree, everything if they do not.
    pub fn and(self, other: Self) -> Self {
        if self == other { self } else { Self::All }
    }
}

/// How many levels of an order book are wanted, at least. Other streams have none and ask for [`ALL`](Self::ALL).
///
/// The exchange sends a market's book once per connection, so the deepest demand decides and the others see more levels
/// than they asked for. The totals are those of the whole book in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Depth(u8);

impl Depth {
    /// All that the exchange sends: 30 levels on Upbit.
    pub const ALL: Self = Self(u8::MAX);

    /// So many levels.
    pub const fn levels(levels: u8) -> Self {
        Self(levels)
    }

    /// How many; `None` for all.
    pub fn count(self) -> Option<u8> {
        (self != Self::ALL).then_some(self.0)
    }
}

/// One stream and how it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamSpec {
    /// Which.
    pub key: StreamKey,
    /// Which of its messages.
    pub mode: Mode,
    /// Of order books: how many levels.
    pub depth: Depth,
}

impl StreamSpec {
    /// Everything of a stream.
    pub fn all(key: StreamKey) -> Self {
        Self { key, mode: Mode::All, depth: Depth::ALL }
    }

    /// A running stream that is carried as `self` also serves `other`.
    pub(crate) fn serves(&self, other: &Self) -> bool {
        self.mode != Mode::SnapshotOnly && other.depth <= self.depth
    }
}
