//! What the handles and the publisher of one stream share beside the value.
//!
//! # Synchronization
//!
//! * The value has its own cell (`sync::latest`), the waiters their own signal (`sync::signal`), the demand a timed flag
//!   (`sync::timed_flag`), and the connection its published state (`sync::connection`).
//! * `connection` is replaced only when a publisher is opened on another one, after the interruption of the demand was
//!   noted, and is loaded before the demand: whoever sees the new one knows that the value is from before.
//! * `counts` has one writer, the publisher; readers take each for itself (Relaxed).
//! * `desk` is locked when a publisher is opened or dropped, never between.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam_utils::CachePadded;

use super::health::{Demand, Evidence, Health};
use super::publisher::{Desk, Verdict};
use super::status::VerdictCounts;
use crate::model::{Clock, Noun, StreamKey};
use crate::sync::connection::ConnectionState;
use crate::sync::latest::Version;
use crate::sync::signal::Signal;
use crate::sync::timed_flag::{TimedFlag, TimedFlagState};
use crate::sync::waiters::Waiters;

pub(super) struct Slot<T: Noun> {
    pub key: StreamKey,
    pub clock: Arc<dyn Clock>,
    pub signal: Signal,
    /// Of the whole pool.
    pub waiters: Arc<Waiters>,
    pub connection: ArcSwap<ConnectionState>,
    pub counts: Counts,
    /// The writing end, while no publisher has it. So there is one writer for the life of the cell.
    desk: Mutex<Option<Desk<T>>>,
    stale_after: Duration,
    /// Set while somebody asks for the stream.
    demand: TimedFlag,
}

impl<T: Noun> Slot<T> {
    pub fn new(
        key: StreamKey,
        connection: Arc<ConnectionState>,
        clock: Arc<dyn Clock>,
        waiters: Arc<Waiters>,
        stale_after: Duration,
        desk: Desk<T>,
    ) -> Self {
        Self {
            key,
            clock,
            signal: Signal::new(),
            waiters,
            connection: ArcSwap::new(connection),
            counts: Counts::default(),
            desk: Mutex::new(Some(desk)),
            stale_after,
            demand: TimedFlag::new_set(),
        }
    }

    /// The writing end, if no publisher has it.
    pub fn desk(&self) -> MutexGuard<'_, Option<Desk<T>>> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_subscribed(&self) -> bool {
        self.demand.is_set()
    }

    /// Called on the control path, and by a publisher that goes.
    pub fn set_subscribed(&self, subscribed: bool) {
        if subscribed == self.is_subscribed() {
            return;
        }
        let now = self.clock.now();
        if subscribed { self.demand.set(now) } else { self.demand.clear(now) }
    }

    /// Another connection carries the stream from now on. The value that is there came from before, and its epoch says
    /// nothing on the new one. The demand need not have ended in between: a publisher that is lost in a panic leaves it.
    pub fn move_to(&self, connection: Arc<ConnectionState>) {
        self.demand.interrupt(self.connection.load().snapshot().lost, self.clock.now());
        self.connection.store(connection);
    }

    /// Judges what was loaded. Reads the clock at most once.
    pub fn health(&self, version: Option<&Version<T>>) -> Health {
        // The connection before the demand, see `move_to`.
        let connection = self.connection.load().snapshot();
        let evidence = Evidence {
            connection,
            demand: self.demand(),
            value: version.map(|v| (v.epoch, v.stamps.received)),
            stale_after: self.stale_after,
        };
        evidence.judge(|| self.clock.now())
    }

    pub fn demand(&self) -> Demand {
        let TimedFlagState { is_set, set_at, cleared_at } = self.demand.read();
        Demand { subscribed: is_set, renewed: set_at, dropped: cleared_at }
    }
}

/// How often the gate said what. On a line of their own: each publish stores one.
#[derive(Default)]
pub(super) struct Counts(CachePadded<[AtomicU64; 4]>);

impl Counts {
    /// Counts one verdict. Only the publisher calls this, so a load and a store do for an addition.
    #[inline]
    pub fn add(&self, verdict: Verdict) {
        let count = &self.0[verdict as usize];
        count.store(count.load(Relaxed) + 1, Relaxed);
    }

    pub fn read(&self) -> VerdictCounts {
        let count = |verdict: Verdict| self.0[verdict as usize].load(Relaxed);
        VerdictCounts {
            published: count(Verdict::Published),
            late: count(Verdict::Late),
            duplicate: count(Verdict::Duplicate),
            old_epoch: count(Verdict::OldEpoch),
        }
    }
}
