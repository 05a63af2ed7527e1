//! Reports about connections, for whoever watches.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::model::ConnectionId;
use crate::session::Event;

/// Reports that wait for one watcher; more are dropped.
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
pub struct Lifecycle(Receiver<LifecycleEvent>);

impl Lifecycle {
    /// The next report, if there is one.
    pub fn try_next(&self) -> Option<LifecycleEvent> {
        self.0.try_recv().ok()
    }

    /// The next report, if one comes in time.
    pub fn next_within(&self, timeout: Duration) -> Option<LifecycleEvent> {
        self.0.recv_timeout(timeout).ok()
    }
}

/// Hands reports to all watchers.
#[derive(Default)]
pub(super) struct Watchers(Mutex<Vec<Sender<LifecycleEvent>>>);

impl Watchers {
    pub fn watch(&self) -> Lifecycle {
        let (to, from) = bounded(PENDING_MAX);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(to);
        Lifecycle(from)
    }

    pub fn report(&self, report: &LifecycleEvent) {
        let mut watchers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.retain(|to| !matches!(to.try_send(report.clone()), Err(TrySendError::Disconnected(_))));
    }
}
