//! Reports about connections, for whoever watches. The connection's own thread hands them over, without waiting, so that a
//! report is there before anything that is received later.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::ConnectionId;
use crate::session::Event;
use crate::sync::flag::Flag;
use crate::sync::lossy::{self, Reader, Writer};

/// Reports of each connection that wait for one watcher; more are dropped and counted.
const PENDING_MAX: usize = 1024;

/// Something happened to a connection.
#[derive(Debug, Clone, PartialEq)]
pub struct LifecycleEvent {
    /// To which.
    pub connection: ConnectionId,
    /// What.
    pub event: Event,
}

/// What happens to the engine's connections from now on. Of each connection, 1024 reports wait; a watcher that reads too
/// slowly loses newer ones, which [`dropped`](Self::dropped) counts. It slows nobody.
///
/// Reports of one connection come in order. Each is there before the connection reads its socket again, so before any data
/// but what was read together with its cause.
pub struct Lifecycle {
    reports: Reader<LifecycleEvent>,
}

impl Lifecycle {
    /// The next report, if there is one.
    pub fn try_next(&self) -> Option<LifecycleEvent> {
        self.reports.pop()
    }

    /// The next report, if one comes in time. `None` at once if there is none and the engine has stopped.
    pub fn next_within(&self, timeout: Duration) -> Option<LifecycleEvent> {
        self.reports.pop_within(timeout)
    }

    /// How many reports this watcher lost because it read too slowly.
    pub fn dropped(&self) -> u64 {
        self.reports.lost()
    }
}

impl fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifecycle").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

/// A watcher of all connections, and its writing end for each of them.
pub(super) fn lifecycle(connections: usize) -> (Vec<Writer<LifecycleEvent>>, Lifecycle) {
    let (writers, reports) = lossy::queue(connections, PENDING_MAX);
    (writers, Lifecycle { reports })
}

/// Watchers that the connection's thread has not met yet. It takes them at its next report, so none misses one that comes
/// after [`add`](Self::add).
#[derive(Default)]
pub(super) struct NewWatchers {
    any: Flag,
    /// Locked for a moment, and by the connection's thread only if there are some.
    waiting: Mutex<Vec<Writer<LifecycleEvent>>>,
}

impl NewWatchers {
    pub fn add(&self, watcher: Writer<LifecycleEvent>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // While nothing happens nobody takes them: who has left already makes room here.
        waiting.retain(|watcher| !watcher.is_abandoned());
        waiting.push(watcher);
        self.any.raise();
    }

    fn take(&self) -> Vec<Writer<LifecycleEvent>> {
        // A plain load while there are none, which is nearly always.
        if self.any.take() {
            std::mem::take(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
        } else {
            Vec::new()
        }
    }
}

/// The watchers of one connection, on its thread.
#[derive(Default)]
pub(super) struct Watchers(Vec<Writer<LifecycleEvent>>);

impl Watchers {
    /// Hands a report to everybody who watches.
    pub fn report(&mut self, new: &NewWatchers, report: &LifecycleEvent) {
        self.0.extend(new.take());
        self.0.retain(|watcher| !watcher.is_abandoned());
        self.0.iter_mut().for_each(|watcher| watcher.push(report.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::DecodeError;

    fn report() -> LifecycleEvent {
        LifecycleEvent { connection: ConnectionId(0), event: Event::Malformed(DecodeError::NotJson) }
    }

    /// A watcher of one connection.
    fn watch(new: &NewWatchers) -> Lifecycle {
        let (writers, lifecycle) = lifecycle(1);
        writers.into_iter().for_each(|writer| new.add(writer));
        lifecycle
    }

    #[test]
    fn a_watcher_sees_what_comes_after_it_and_is_told_what_it_lost() {
        let (new, mut watchers) = (NewWatchers::default(), Watchers::default());
        watchers.report(&new, &report());
        let (reads, sleeps) = (watch(&new), watch(&new));
        for _ in 0..PENDING_MAX + 7 {
            watchers.report(&new, &report());
            assert_eq!(reads.try_next(), Some(report()));
        }
        assert_eq!((reads.try_next(), reads.dropped(), sleeps.dropped()), (None, 0, 7));
        assert_eq!(std::iter::from_fn(|| sleeps.try_next()).count(), PENDING_MAX);
    }

    #[test]
    fn watchers_that_left_take_no_room() {
        let (new, mut watchers) = (NewWatchers::default(), Watchers::default());
        for _ in 0..100 {
            drop(watch(&new));
        }
        assert_eq!(new.waiting.lock().unwrap().len(), 1, "the next one takes its place");
        let stays = watch(&new);
        watchers.report(&new, &report());
        assert_eq!((watchers.0.len(), stays.try_next()), (1, Some(report())));
    }
}
