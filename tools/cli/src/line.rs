//! What `hoga watch` has to say, before it is put into words for people (`human`) or for scripts (`json`).

use std::collections::BTreeMap;
use std::time::Duration;

use hoga::feed::Update;
use hoga::model::{ConnectionId, DataType, Epoch, Nanos, StreamKey};
use hoga::plan::PlanStats;
use hoga::pool::Health;
use hoga::session::{Loss, State};

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
    NewSocket { connection: ConnectionId, old: Epoch, new: Epoch, last: Nanos, first: Nanos },
}

pub struct Turn {
    pub connection: ConnectionId,
    pub epoch: Epoch,
    pub from: State,
    pub to: State,
    pub at: Nanos,
    /// Why, where a socket or the try to get one ended.
    pub lost: Option<Lost>,
}

pub struct Lost {
    pub loss: Loss,
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
    pub by_type: BTreeMap<DataType, u64>,
    /// Events dropped because output was too slow.
    pub missed: u64,
    /// Snapshots and changes that were not asked for.
    pub filtered: u64,
    /// Events that had arrived and were not wanted any more.
    pub unread: u64,
    /// What was asked of the exchange.
    pub plan: PlanStats,
    pub tally: Tally,
}

impl Summary {
    /// Events that were printed.
    pub fn received(&self) -> u64 {
        self.by_type.values().sum()
    }
}
