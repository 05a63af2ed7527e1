//! Reports about connections, for whoever watches.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::model::ConnectionId;
use crate::session::Event;

/// Reports that wait for one watcher; more are dropped and counted.
const PENDING_MAX: usize = 1024;

/// Something happened to a connection.
#[derive(Debug, Clone, PartialEq)]
pub struct LifecycleEvent {
    /// To which.
    pub connection: ConnectionId,
    /// What.
    pub event: Event,
}

/// What happens to the engine's connections from now on. A watcher that does not look loses reports, and slows nobody.
pub struct Lifecycle {
    reports: Receiver<LifecycleEvent>,
    dropped: Arc<AtomicU64>,
}

impl Lifecycle {
    /// The next report, if there is one.
    pub fn try_next(&self) -> Option<LifecycleEvent> {
        self.reports.try_recv().ok()
    }

    /// The next report, if one comes in time.
    pub fn next_within(&self, timeout: Duration) -> Option<LifecycleEvent> {
        self.reports.recv_timeout(timeout).ok()
    }

    /// Reports that this watcher lost because it did not look.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

struct Watcher {
    to: Sender<LifecycleEvent>,
    dropped: Arc<AtomicU64>,
}

/// Hands reports to all watchers.
#[derive(Default)]
pub(super) struct Watchers(Mutex<Vec<Watcher>>);

impl Watchers {
    pub fn watch(&self) -> Lifecycle {
        let (to, reports) = bounded(PENDING_MAX);
        let dropped = Arc::<AtomicU64>::default();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Watcher { to, dropped: dropped.clone() });
        Lifecycle { reports, dropped }
    }

    pub fn report(&self, report: &LifecycleEvent) {
        let mut watchers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.retain(|watcher| match watcher.to.try_send(report.clone()) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                watcher.dropped.fetch_add(1, Relaxed);
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        });
    }
}
