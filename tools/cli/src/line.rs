//! What `hoga watch` has to say, before it is put into words for people (`human`) or for scripts (`json`).

use std::collections::BTreeMap;
use std::time::Duration;

use hoga::feed::{FeedCounts, Overflow, Update};
use hoga::model::{ConnectionId, DataType, DisconnectKind, Epoch, Nanos, StreamKey};
use hoga::plan::PlanStats;
use hoga::pool::Health;
use hoga::session::{Disconnect, State};

use crate::breakdown::Breakdown;
use crate::tally::Tally;

/// One line of output.
pub enum Line<'a> {
    /// A message of the exchange.
    Data(&'a Update),
    /// A connection went from one state to another.
    State(Turn),
    /// The exchange complained, or sent what cannot be read.
    Error(Problem),
    /// A stream's values may no longer be trusted, or may be again.
    Health(Change),
    /// Something may be missing here.
    Gap(Gap),
    /// The last line.
    Summary(Box<Summary>),
}

pub enum Gap {
    /// Events were dropped, because output was too slow.
    FeedFull { missed: u64 },
    /// One socket ended and another took its place. What the exchange sent in between nobody can count.
    NewSocket(NewSocket),
}

#[derive(Debug, PartialEq)]
pub struct NewSocket {
    pub connection: ConnectionId,
    pub old: Epoch,
    pub new: Epoch,
    /// When the last data of the old one was received, and the first of the new one.
    pub last: Nanos,
    pub first: Nanos,
    /// Why the last socket, or the last try to get one, ended, if that is known.
    pub disconnect: Option<DisconnectKind>,
}

pub struct Turn {
    pub connection: ConnectionId,
    pub epoch: Epoch,
    pub from: State,
    pub to: State,
    pub at: Nanos,
    /// Why, where a socket or the try to get one ended.
    pub disconnected: Option<Disconnected>,
}

pub struct Disconnected {
    pub reason: Disconnect,
    pub retry_at: Option<Nanos>,
}

pub struct Problem {
    pub connection: ConnectionId,
    pub reason: String,
    pub message: String,
}

pub struct Change {
    pub stream: StreamKey,
    pub health: Health,
    /// When it was noticed.
    pub at: Nanos,
}

pub struct Summary {
    /// A short, stable word for what ended it.
    pub end: &'static str,
    pub duration: Duration,
    /// Events that were printed.
    pub by_type: BTreeMap<DataType, u64>,
    /// Events dropped because output was too slow, so far as gaps told of them.
    pub missed: u64,
    pub overflow: Overflow,
    /// What came in and what became of it.
    pub counts: FeedCounts,
    /// The most events that waited.
    pub queue_max: u64,
    /// Memory of the feed alone, and of the rings that it shares.
    pub feed_bytes: u64,
    pub shared_bytes: u64,
    /// Where the time of messages went, if somebody wants to know.
    pub latencies: Option<Breakdown>,
    /// What was asked of the exchange.
    pub plan: PlanStats,
    pub tally: Tally,
}
