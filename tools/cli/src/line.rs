//! The lines of `hoga watch`, which `human` prints for people and `json` for scripts.

use std::collections::BTreeMap;
use std::time::Duration;

use hoga::engine::{ConnectionStatus, NetworkStatus};
use hoga::feed::{FeedCounts, Overflow, Update};
use hoga::model::{ConnectionId, DataType, DisconnectKind, Epoch, Nanos};
use hoga::monitor::{GapLog, HealthChange, StreamGap};
use hoga::plan::PlanStats;
use hoga::session::{Disconnect, State};
use hoga::wire::{Drift, Excerpt};

use crate::breakdown::Breakdown;
use crate::tally::Tally;

/// One line of output.
pub enum Line<'a> {
    /// A data message of the exchange.
    Data(&'a Update),
    /// A connection changed its state.
    State(Transition),
    /// The exchange sent errors, or messages that cannot be read.
    Error(Problem),
    /// The exchange's messages differ from the documented ones.
    Drift(ConnectionId, Drift),
    /// The exchange sent a message of an unknown type.
    UnknownType { connection: ConnectionId, name: Excerpt, sample: Excerpt },
    /// The health of a stream's value changed.
    Health(HealthChange),
    /// Updates are missing here, or may be.
    Gap(Gap),
    /// Messages of one stream may be missing in an interval.
    StreamGap(StreamGap),
    /// The summary, which is the last line.
    Summary(Box<Summary>),
}

pub enum Gap {
    /// The feed dropped events, because the output was too slow.
    FeedFull { missed: u64 },
    /// A socket ended and another one followed. The number of messages that the exchange sent in between is unknown.
    NewSocket(NewSocket),
}

/// How many gaps were printed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Gaps {
    /// The number of gaps of both kinds.
    pub count: u64,
    /// The number of events that they reported as dropped.
    pub missed: u64,
}

impl Gaps {
    pub fn add(&mut self, gap: &Gap) {
        self.count += 1;
        if let Gap::FeedFull { missed } = gap {
            self.missed += missed;
        }
    }
}

/// How many intervals there are in which messages of one stream may be missing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StreamGaps {
    /// By cause, those that are still open included. Only the most recent 4096 closed ones are counted.
    pub by_cause: BTreeMap<&'static str, u64>,
    /// The number of those that are open.
    pub open: u64,
    /// The number of earlier ones, whose causes are not known any more.
    pub cut: u64,
}

impl StreamGaps {
    pub fn of(log: &GapLog) -> Self {
        let mut all = Self { cut: log.cut, ..Self::default() };
        for gap in &log.gaps {
            *all.by_cause.entry(gap.cause.as_str()).or_default() += 1;
            all.open += u64::from(gap.to.is_none());
        }
        all
    }
}

#[derive(Debug, PartialEq)]
pub struct NewSocket {
    pub connection: ConnectionId,
    pub old: Epoch,
    pub new: Epoch,
    /// When the last data of the old socket and the first data of the new socket were received.
    pub last: Nanos,
    pub first: Nanos,
    /// Why the socket before the new one ended, if that is known.
    pub disconnect: Option<DisconnectKind>,
}

pub struct Transition {
    pub connection: ConnectionId,
    pub epoch: Epoch,
    pub from: State,
    pub to: State,
    pub at: Nanos,
    /// The reason, if a socket or a connection attempt ended.
    pub disconnected: Option<Disconnected>,
}

pub struct Disconnected {
    pub reason: Disconnect,
    pub retry_at: Option<Nanos>,
}

pub struct Problem {
    pub connection: ConnectionId,
    /// How often it occurred since the last line about it.
    pub count: u64,
    pub reason: String,
    /// The text of the last occurrence.
    pub message: String,
}

pub struct Summary {
    /// A short, stable word for why the command ended.
    pub end: &'static str,
    pub duration: Duration,
    /// The number of events printed, by type.
    pub by_type: BTreeMap<DataType, u64>,
    /// The printed gaps.
    pub gaps: Gaps,
    pub overflow: Overflow,
    /// What the feed received and what happened to it.
    pub counts: FeedCounts,
    /// The largest number of events that waited in the feed.
    pub queue_max: u64,
    /// Memory of the feed alone, and of the rings that it shares, in bytes.
    pub feed_bytes: u64,
    pub shared_bytes: u64,
    /// Where the time of messages went, if `--latencies` is given.
    pub latencies: Option<Breakdown>,
    /// What was requested from the exchange.
    pub plan: PlanStats,
    pub tally: Tally,
    /// The connections just before the engine was shut down, and that time.
    pub connections: Vec<ConnectionStatus>,
    pub ended_at: Nanos,
    /// The proxy and the trusted roots.
    pub network: NetworkStatus,
    pub stream_gaps: StreamGaps,
}
