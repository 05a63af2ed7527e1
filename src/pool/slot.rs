//! What the handles and the publisher of one stream share beside the value.
//!
//! # Synchronization
//!
//! * The value has its own cell (`sync::latest`), the sleepers their own signal (`sync::signal`).
//! * `subscribed` is stored by the control path after `renewed` or `dropped` (DEMAND-TIMES, Release) and loaded by
//!   readers before them (Acquire): whoever sees a stream subscribed again knows which values are from before.
//! * `link` is replaced only when a publisher is opened on another connection, after `renewed` and `dropped` were stored,
//!   and is loaded before them: whoever sees the new link knows that the value is from before.
//! * `counts` has one writer, the publisher; readers take each for itself (Relaxed).
//! * `desk` is locked when a publisher is opened or dropped, never between.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam_utils::CachePadded;

use super::health::{Demand, Evidence, Health};
use super::link::Link;
use super::publisher::{Desk, Verdict};
use super::status::VerdictCounts;
use crate::model::{Clock, Nanos, Noun, StreamKey};
use crate::sync::latest::Version;
use crate::sync::signal::Signal;
use crate::sync::sleepers::Sleepers;

pub(super) struct Slot<T: Noun> {
    pub key: StreamKey,
    pub clock: Arc<dyn Clock>,
    pub signal: Signal,
    /// Of the whole pool.
    pub sleepers: Arc<Sleepers>,
    pub link: ArcSwap<Link>,
    pub counts: Counts,
    /// The writing end, while no publisher has it. So there is one writer for the life of the cell.
    desk: Mutex<Option<Desk<T>>>,
    stale_after: Duration,
    subscribed: AtomicBool,
    renewed: AtomicU64,
    dropped: AtomicU64,
}

impl<T: Noun> Slot<T> {
    pub fn new(
        key: StreamKey,
        link: Arc<Link>,
        clock: Arc<dyn Clock>,
        sleepers: Arc<Sleepers>,
        stale_after: Duration,
        desk: Desk<T>,
    ) -> Self {
        Self {
            key,
            clock,
            signal: Signal::new(),
            sleepers,
            link: ArcSwap::new(link),
            counts: Counts::default(),
            desk: Mutex::new(Some(desk)),
            stale_after,
            subscribed: AtomicBool::new(true),
            renewed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// The writing end, if no publisher has it.
    pub fn desk(&self) -> MutexGuard<'_, Option<Desk<T>>> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_subscribed(&self) -> bool {
        self.subscribed.load(Relaxed)
    }

    /// Called on the control path, and by a publisher that goes.
    pub fn set_subscribed(&self, subscribed: bool) {
        if subscribed == self.is_subscribed() {
            return;
        }
        let changed = if subscribed { &self.renewed } else { &self.dropped };
        changed.store(self.clock.now().0, Relaxed);
        // DEMAND-TIMES: Release, pairs with the Acquire in `demand`.
        self.subscribed.store(subscribed, Release);
    }

    /// Another connection carries the stream from now on. The value that is there came from before, and its epoch says
    /// nothing on the new one. The demand need not have ended in between: a publisher that is lost in a panic leaves it.
    pub fn move_to(&self, link: Arc<Link>) {
        if self.is_subscribed() {
            self.dropped.store(self.link.load().state().lost.0, Relaxed);
        }
        self.renewed.store(self.clock.now().0, Relaxed);
        self.link.store(link);
    }

    /// Judges what was loaded. Reads the clock at most once.
    pub fn health(&self, version: Option<&Version<T>>) -> Health {
        // The link before the demand, see `move_to`.
        let link = self.link.load().state();
        let evidence = Evidence {
            link,
            demand: self.demand(),
            value: version.map(|v| (v.epoch, v.stamps.received)),
            stale_after: self.stale_after,
        };
        evidence.judge(|| self.clock.now())
    }

    pub fn demand(&self) -> Demand {
        // Acquire, pairs with DEMAND-TIMES in `set_subscribed`.
        let subscribed = self.subscribed.load(Acquire);
        let time = |at: &AtomicU64| Nanos(at.load(Relaxed));
        Demand { subscribed, renewed: time(&self.renewed), dropped: time(&self.dropped) }
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
