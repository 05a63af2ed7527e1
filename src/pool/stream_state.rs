//! The state that the handles and the publisher of one stream share, except the value.
//!
//! # Synchronization
//!
//! * The value has its own cell (`sync::latest`), the waiters have their own signal (`sync::signal`), the subscription
//!   is a timed flag (`sync::timed_flag`), and the connection has its published state (`sync::connection`).
//! * `connection` is replaced only when a publisher is opened on another connection, and after the interruption of the
//!   subscription is recorded. Readers load it before the subscription, so a reader that sees the new connection also
//!   sees the interruption, and that the value is older.
//! * `delisted` is stored before the flag is cleared and loaded after the flag was found cleared, so a reader that sees
//!   the end of a subscription sees its cause, or that of a later end.
//! * `counts` has one writer, the publisher. Readers load each count separately (Relaxed).

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam_utils::CachePadded;

use super::health::{Health, HealthInputs, HealthReason, SubscriptionState};
use super::publisher::Verdict;
use super::status::VerdictCounts;
use crate::model::{Clock, Nanos, StreamKey, saturating_ns};
use crate::sync::connection::{ConnectionSnapshot, ConnectionState};
use crate::sync::latest::Version;
use crate::sync::signal::Signal;
use crate::sync::timed_flag::{TimedFlag, TimedFlagState};
use crate::sync::waiters::Waiters;

/// The state that the handles and the publisher of one stream share.
pub(super) struct StreamState {
    pub key: StreamKey,
    pub clock: Arc<dyn Clock>,
    pub signal: Signal,
    /// Shared by the whole pool.
    pub waiters: Arc<Waiters>,
    pub connection: ArcSwap<ConnectionState>,
    /// The first connection, and whether the stream has moved to another. Almost no stream ever moves, and a load of an
    /// `ArcSwap` takes longer than all other reads of [`health`](Self::health).
    first: Arc<ConnectionState>,
    has_moved: AtomicBool,
    pub counts: Counts,
    /// In ns.
    stale_after: AtomicU64,
    /// The newest evidence against the stream's values, see [`pack`].
    doubt: AtomicU64,
    /// The longest time without a message that is usual for the stream, in ns.
    usual_silence: AtomicU64,
    /// Whether only snapshots are requested.
    only_snapshots: AtomicBool,
    /// Set while the stream is subscribed.
    subscription: TimedFlag,
    /// Whether the subscription ended because the market left the list of markets.
    delisted: AtomicBool,
}

impl StreamState {
    pub fn new(
        key: StreamKey,
        connection: Arc<ConnectionState>,
        clock: Arc<dyn Clock>,
        waiters: Arc<Waiters>,
        stale_after: Duration,
    ) -> Self {
        let now = clock.now();
        Self {
            key,
            clock,
            signal: Signal::new(),
            waiters,
            connection: ArcSwap::new(connection.clone()),
            first: connection,
            has_moved: AtomicBool::new(false),
            counts: Counts::default(),
            stale_after: AtomicU64::new(saturating_ns(stale_after)),
            doubt: AtomicU64::new(0),
            usual_silence: AtomicU64::new(u64::MAX),
            only_snapshots: AtomicBool::new(false),
            subscription: TimedFlag::new_set(now),
            delisted: AtomicBool::new(false),
        }
    }

    pub fn is_subscribed(&self) -> bool {
        self.subscription.is_set()
    }

    /// Marks the stream subscribed or not. Called when demand changes, and by a publisher that is dropped.
    pub fn set_subscribed(&self, subscribed: bool) {
        if subscribed == self.is_subscribed() {
            return;
        }
        let now = self.clock.now();
        if subscribed {
            self.subscription.set(now);
            self.delisted.store(false, Relaxed);
        } else {
            self.subscription.clear(now);
        }
    }

    /// Marks the stream not subscribed, because its market has left the list of markets.
    pub fn delist(&self) {
        self.delisted.store(true, Relaxed);
        self.set_subscribed(false);
    }

    /// Moves the stream to another connection. The existing value was received on the old connection, and its epoch
    /// means nothing on the new one. So this records an interruption of the subscription, which makes the value stale.
    /// The subscription may still be set, because a publisher that is dropped in a panic leaves it set.
    pub fn move_to(&self, connection: Arc<ConnectionState>) {
        self.subscription.interrupt(self.connection.load().snapshot().disconnected_at, self.clock.now());
        self.connection.store(connection);
        // Relaxed: a reader that does not see it yet judges by the old connection, as it would have a moment ago.
        self.has_moved.store(true, Relaxed);
    }

    fn connection_snapshot(&self) -> ConnectionSnapshot {
        if self.has_moved.load(Relaxed) { self.connection.load().snapshot() } else { self.first.snapshot() }
    }

    /// Records evidence, found at `now`, against all values received until then. If evidence against the newest value,
    /// which was received at `newest`, is known already, that is kept. May be called by any thread: if two do so at the
    /// same time, one of the two remains.
    pub fn doubt(&self, now: Nanos, reason: HealthReason, newest: Option<Nanos>) {
        let known = unpack(self.doubt.load(Relaxed)).is_some_and(|(at, _)| at >= newest.unwrap_or_default());
        if !known {
            self.doubt.store(pack(now, reason), Relaxed);
        }
    }

    /// Returns the newest evidence against any of the stream's values, whether or not a newer value has arrived.
    pub fn newest_doubt(&self) -> Option<(Nanos, HealthReason)> {
        let unnamed = (self.connection_snapshot().refused_at, HealthReason::RefusedUnnamed);
        let own = unpack(self.doubt.load(Relaxed)).filter(|(at, _)| *at >= unnamed.0);
        // Zero: never.
        own.or_else(|| (unnamed.0 > Nanos(0)).then_some(unnamed))
    }

    /// Sets the longest time without data on the connection during which the value counts as live.
    pub fn set_stale_after(&self, stale_after: Duration) {
        self.stale_after.store(saturating_ns(stale_after), Relaxed);
    }

    /// Sets the longest time without a message that is usual for the stream.
    pub fn set_usual_silence(&self, silence: Option<Duration>) {
        let ns = silence.map_or(u64::MAX, saturating_ns);
        self.usual_silence.store(ns, Relaxed);
    }

    /// Sets whether only snapshots of the stream are requested.
    pub fn set_only_snapshots(&self, only_snapshots: bool) {
        self.only_snapshots.store(only_snapshots, Relaxed);
    }

    /// Returns the health of a loaded version. Reads the clock at most once.
    pub fn health<V>(&self, version: Option<&Version<V>>) -> Health {
        // The connection must be loaded before the subscription, see `move_to`.
        let connection = self.connection_snapshot();
        let inputs = HealthInputs {
            connection,
            subscription: self.subscription(),
            value: version.map(|v| (v.epoch, v.stamps.received)),
            // Relaxed: a reader that sees an older doubt or limit only judges as it would have a moment ago.
            doubt: unpack(self.doubt.load(Relaxed)),
            usual_silence: self.usual_silence.load(Relaxed),
            stale_after: self.stale_after.load(Relaxed),
        };
        inputs.judge(|| self.clock.coarse())
    }

    pub fn subscription(&self) -> SubscriptionState {
        let TimedFlagState { is_set, set_at, cleared_at } = self.subscription.read();
        let delisted = !is_set && self.delisted.load(Relaxed);
        let only_snapshots = self.only_snapshots.load(Relaxed);
        SubscriptionState { subscribed: is_set, delisted, only_snapshots, renewed: set_at, dropped: cleared_at }
    }
}

/// The bits of a packed doubt that hold its reason. They replace the lowest bits of its time, which is rounded up to
/// them.
const REASON: u64 = 7;

/// The reasons for a doubt about one stream. Each is stored as its index plus 1; 0 means no doubt.
const REASONS: [HealthReason; 5] = [
    HealthReason::Refused,
    HealthReason::BehindTrades,
    HealthReason::MissingTrade,
    HealthReason::NotCarried,
    HealthReason::Unanswered,
];

/// Stores the time of a doubt and its reason in one word, so that readers see both or neither.
fn pack(at: Nanos, reason: HealthReason) -> u64 {
    let index = REASONS.iter().position(|known| *known == reason);
    debug_assert!(index.is_some(), "{reason:?} is not about one stream");
    index.map_or(0, |index| (at.0.saturating_add(REASON) & !REASON) | (index as u64 + 1))
}

fn unpack(doubt: u64) -> Option<(Nanos, HealthReason)> {
    let index = (doubt & REASON).checked_sub(1)?;
    REASONS.get(index as usize).map(|reason| (Nanos(doubt & !REASON), *reason))
}

/// The counts of a stream's arrivals. On a cache line of their own, because each publish stores to it.
#[derive(Default)]
pub(super) struct Counts(CachePadded<CountFields>);

#[derive(Default)]
struct CountFields {
    verdicts: [AtomicU64; 4],
    implausible: AtomicU64,
    id_clashes: AtomicU64,
}

// Only the publisher counts, so a load and a store suffice.
impl Counts {
    #[inline]
    pub fn add(&self, verdict: Verdict) {
        let count = &self.0.verdicts[verdict as usize];
        count.store(count.load(Relaxed) + 1, Relaxed);
    }

    pub fn add_implausible(&self) {
        self.0.implausible.store(self.0.implausible.load(Relaxed) + 1, Relaxed);
    }

    #[inline]
    pub fn set_id_clashes(&self, clashes: u64) {
        self.0.id_clashes.store(clashes, Relaxed);
    }

    pub fn read(&self) -> VerdictCounts {
        let count = |verdict: Verdict| self.0.verdicts[verdict as usize].load(Relaxed);
        VerdictCounts {
            published: count(Verdict::Published),
            late: count(Verdict::Late),
            duplicate: count(Verdict::Duplicate),
            old_epoch: count(Verdict::OldEpoch),
            implausible: self.0.implausible.load(Relaxed),
            id_clashes: self.0.id_clashes.load(Relaxed),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_packed_doubt_keeps_its_reason_and_is_never_earlier() {
        assert_eq!(unpack(0), None);
        for reason in REASONS {
            for at in [Nanos(0), Nanos(1), Nanos(7), Nanos(8), Nanos::from_millis(1_900_000_000_000)] {
                let (unpacked, kept) = unpack(pack(at, reason)).unwrap();
                assert_eq!(kept, reason);
                assert!(unpacked >= at && unpacked.0 - at.0 <= REASON);
            }
        }
    }
}
