//! Demands that contradict each other or the exchange, and how each was settled.

use std::collections::VecDeque;
use std::fmt;

use crate::model::{Nanos, StreamKey};

/// Conflicts that are remembered one by one; all are counted.
const REMEMBERED: usize = 256;

/// Two demands that cannot both be sent as they are, or one that cannot be sent at all. That one component's request
/// overwrites another's is not among them: only the planner writes requests, and each carries the union.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConflictKind {
    /// One wants snapshots only, another changes only, of the same stream.
    Mode,
    /// One wants more levels of the same order book than another.
    Depth,
    /// A component of that name exists already.
    Identity,
    /// More streams than the connections may carry.
    Limit,
}

impl ConflictKind {
    /// Each kind.
    pub const ALL: [Self; 4] = [Self::Mode, Self::Depth, Self::Identity, Self::Limit];

    /// A short, stable word for logs and scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mode => "mode",
            Self::Depth => "depth",
            Self::Identity => "identity",
            Self::Limit => "limit",
        }
    }

    /// How it is always settled.
    pub const fn resolution(self) -> &'static str {
        match self {
            Self::Mode => "both are sent; each feed delivers only what it asked for",
            Self::Depth => "the deepest is sent; the others see more levels than they asked for",
            Self::Identity => "the newcomer is refused",
            Self::Limit => "the newcomer is refused",
        }
    }
}

/// One conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Conflict {
    /// When.
    pub at: Nanos,
    /// What contradicted what.
    pub kind: ConflictKind,
    /// The stream or the component.
    pub about: ConflictSubject,
}

/// What a conflict is about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConflictSubject {
    /// A stream.
    Stream(StreamKey),
    /// A component, by its name.
    Client(Box<str>),
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, resolution) = (self.kind.as_str(), self.kind.resolution());
        match &self.about {
            ConflictSubject::Stream(key) => write!(f, "{kind} conflict about {key}: {resolution}"),
            ConflictSubject::Client(name) => write!(f, "{kind} conflict about \"{name}\": {resolution}"),
        }
    }
}

/// The newest conflicts, and how many there were of each kind.
#[derive(Debug, Clone, Default)]
pub struct ConflictLog {
    newest: VecDeque<Conflict>,
    counts: [u64; ConflictKind::ALL.len()],
}

impl ConflictLog {
    pub(super) fn record(&mut self, at: Nanos, kind: ConflictKind, about: ConflictSubject) {
        if self.newest.len() == REMEMBERED {
            self.newest.pop_front();
        }
        self.newest.push_back(Conflict { at, kind, about });
        self.counts[kind as usize] += 1;
    }

    /// The newest, oldest first.
    pub fn newest(&self) -> impl ExactSizeIterator<Item = &Conflict> {
        self.newest.iter()
    }

    /// How many there were of a kind.
    pub fn count(&self, kind: ConflictKind) -> u64 {
        self.counts[kind as usize]
    }
}
