//! Demands that conflict with each other or with a limit, and how each conflict is resolved.

use std::collections::VecDeque;
use std::fmt;

use crate::model::{Nanos, StreamKey};

/// The number of conflicts that the log keeps. It counts all of them.
const REMEMBERED: usize = 256;

/// Two demands that cannot both be sent unchanged, or one demand that cannot be met. Clients never overwrite each
/// other's requests: all demand of a connection goes into one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConflictKind {
    /// A stream is wanted in different modes.
    Mode,
    /// An order book is wanted with different depths.
    Depth,
    /// The name of the client is taken.
    Identity,
    /// There are more streams than the connections may carry.
    Limit,
    /// The exchange refuses requests for the stream.
    Refused,
}

impl ConflictKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Mode, Self::Depth, Self::Identity, Self::Limit, Self::Refused];

    /// Returns a short, stable word for logs and scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mode => "mode",
            Self::Depth => "depth",
            Self::Identity => "identity",
            Self::Limit => "limit",
            Self::Refused => "refused",
        }
    }

    /// Returns how a conflict of this kind is always resolved.
    pub const fn resolution(self) -> &'static str {
        match self {
            Self::Mode => "both are sent; each feed delivers only the messages it requested",
            Self::Depth => "the deepest is sent; the other readers see more levels than they requested",
            Self::Identity => "the new client is refused",
            Self::Limit => "the new demand is refused",
            Self::Refused => {
                "the stream is left out of the requests, so that all others flow, and is seldom tried again"
            }
        }
    }
}

/// One conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Conflict {
    /// When it occurred.
    pub at: Nanos,
    /// The kind of conflict.
    pub kind: ConflictKind,
    /// The stream or the client in conflict.
    pub about: ConflictSubject,
}

/// What a conflict is about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConflictSubject {
    /// A stream.
    Stream(StreamKey),
    /// A client, by its name.
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

/// The newest conflicts, and the number of conflicts of each kind.
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

    /// Returns the newest conflicts, oldest first.
    pub fn newest(&self) -> impl ExactSizeIterator<Item = &Conflict> {
        self.newest.iter()
    }

    /// Returns the number of conflicts of a kind.
    pub fn count(&self, kind: ConflictKind) -> u64 {
        self.counts[kind as usize]
    }
}
