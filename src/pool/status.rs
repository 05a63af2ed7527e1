//! The status of one stream, for screens and logs.

use super::{Health, HealthReason};
use crate::model::{ConnectionId, Epoch, Nanos, Stamps, StreamKey};

/// The state of one stream at one moment, for screens and logs. Strategies read through a [`Handle`](super::Handle).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamStatus {
    /// The key of the stream.
    pub key: StreamKey,
    /// How far its value can be trusted.
    pub health: Health,
    /// The number of values published; 0 before the first.
    pub version: u64,
    /// The epoch of the socket that brought or last confirmed the newest value.
    pub epoch: Option<Epoch>,
    /// The connection that brought or last confirmed the newest value.
    pub connection: Option<ConnectionId>,
    /// The exchange, receive and publish stamps of the newest value.
    pub stamps: Option<Stamps>,
    /// The number of arrivals with each verdict, and of suspicious ones.
    pub verdicts: VerdictCounts,
}

/// What the monitor needs to know of one stream at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glance {
    /// The stream.
    pub stream: StreamKey,
    /// The health of its newest value.
    pub health: Health,
    /// The number of its messages so far.
    pub arrivals: u64,
    /// The socket that brought or last confirmed the newest value, and when it did.
    pub newest: Option<(Epoch, Nanos)>,
    /// The exchange's time of the newest value, ms; 0 before the first.
    pub exchange_ms: u64,
    /// The time of the newest trade that the value shows, ms.
    pub last_trade_ms: Option<u64>,
    /// The newest evidence against any of its values, and when it was found.
    pub doubt: Option<(Nanos, HealthReason)>,
}

/// The number of arrivals with each verdict, since the stream was first opened. Each arrival has one verdict;
/// [`implausible`](Self::implausible) and [`id_clashes`](Self::id_clashes) count some of them again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct VerdictCounts {
    /// Published as the newest.
    pub published: u64,
    /// Older than the newest.
    pub late: u64,
    /// Seen before.
    pub duplicate: u64,
    /// From a socket that had been replaced.
    pub old_epoch: u64,
    /// Arrivals with a time more than 10 s ahead of what other messages of the connection suggested. They are published,
    /// because the clock may have been set, but do not make later values late, unless the following messages confirm
    /// the time. A recording that is replayed faster than it was recorded may also cause a few.
    pub implausible: u64,
    /// Trades whose id was seen before, but with another price, size, side or time of the trade. They count as different
    /// trades.
    pub id_clashes: u64,
}

impl VerdictCounts {
    /// Returns the number of all arrivals.
    pub fn total(&self) -> u64 {
        self.published + self.late + self.duplicate + self.old_epoch
    }
}
