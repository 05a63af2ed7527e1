//! Delivers events of the engine to watchers. The connection's own thread delivers those about the connection, without
//! waiting, so that each arrives before any data that is received later. The control thread delivers those about streams.

use std::fmt;
use std::iter::{once, repeat_n};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::ConnectionId;
use crate::monitor::{HealthChange, StreamGap};
use crate::session::Event;
use crate::sync::flag::Flag;
use crate::sync::lossy::{self, Reader, Writer};

/// The maximum number of reports per connection that wait for one watcher. More are dropped and counted.
const PENDING_MAX: usize = 1024;
/// The same for the reports about all streams: the loss of a connection causes up to five for each of its streams.
const PENDING_OF_STREAMS_MAX: usize = 4096;

/// An event of the engine.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum LifecycleEvent {
    /// Something happened to a connection.
    Connection {
        /// The connection.
        connection: ConnectionId,
        /// What happened.
        event: Event,
    },
    /// The health of a stream changed.
    Health(HealthChange),
    /// A gap of a stream began or, if it has an end, ended. This is the place to get the missing trades elsewhere.
    Gap(StreamGap),
}

/// A watcher of what happens to the engine's connections and streams. Up to 1024 reports of each connection and 4096
/// about streams wait. A watcher that reads too slowly loses newer reports, which [`dropped`](Self::dropped) counts. It
/// never slows the engine. Refused messages and errors of the exchange cannot fill the queue, because their reports are
/// limited to about one per second.
///
/// Reports of one connection arrive in order, and each arrives before the connection reads its socket again. So at most
/// the data that was read together with the cause of a report arrives before the report.
///
/// Reports about streams arrive in order too. Of a report about a stream and one about its connection, either may come
/// first. The health of all streams is
/// compared up to ten times a second while messages arrive, at least once a second otherwise, and at each new and ended
/// socket. A health that lasts for a shorter time may not be reported. [`Engine::gaps`](super::Engine::gaps) has the gaps
/// of which a watcher lost the reports.
pub struct Lifecycle {
    reports: Reader<LifecycleEvent>,
}

impl Lifecycle {
    /// Returns the next report, if there is one.
    pub fn try_next(&self) -> Option<LifecycleEvent> {
        self.reports.pop()
    }

    /// Returns the next report, waiting for it at most `timeout`. Returns `None` at once if there is no report and the
    /// engine has stopped.
    pub fn next_within(&self, timeout: Duration) -> Option<LifecycleEvent> {
        self.reports.pop_within(timeout)
    }

    /// Returns the number of reports that this watcher lost because it read too slowly.
    pub fn dropped(&self) -> u64 {
        self.reports.lost()
    }
}

impl fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifecycle").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

/// Creates a watcher, its writing end for each connection, and the one for streams, which is the last.
pub(super) fn lifecycle(connections: usize) -> (Vec<Writer<LifecycleEvent>>, Lifecycle) {
    let capacities: Vec<_> = repeat_n(PENDING_MAX, connections).chain(once(PENDING_OF_STREAMS_MAX)).collect();
    let (writers, reports) = lossy::queue(capacities.into_iter());
    (writers, Lifecycle { reports })
}

/// Watchers that the connection's thread has not taken yet. It takes them at its next report, so a watcher misses no
/// report after [`add`](Self::add).
#[derive(Default)]
pub(super) struct NewWatchers {
    any: Flag,
    /// Locked only briefly, and by the connection's thread only if there are new watchers.
    waiting: Mutex<Vec<Writer<LifecycleEvent>>>,
}

impl NewWatchers {
    pub fn add(&self, watcher: Writer<LifecycleEvent>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Without events, the connection's thread does not take watchers, so abandoned ones are removed here.
        waiting.retain(|watcher| !watcher.is_abandoned());
        waiting.push(watcher);
        self.any.raise();
    }

    fn take(&self) -> Vec<Writer<LifecycleEvent>> {
        // While there are no new watchers, which is almost always, this is a plain load.
        if self.any.take() {
            std::mem::take(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
        } else {
            Vec::new()
        }
    }
}

/// The watchers of one connection, on its thread, or of all streams.
#[derive(Default)]
pub(super) struct Watchers(Vec<Writer<LifecycleEvent>>);

impl Watchers {
    /// Takes the watchers that are new.
    pub fn join(&mut self, new: &NewWatchers) {
        self.0.extend(new.take());
    }

    pub fn add(&mut self, watcher: Writer<LifecycleEvent>) {
        self.0.retain(|watcher| !watcher.is_abandoned());
        self.0.push(watcher);
    }

    /// Sends a report to every watcher.
    pub fn report(&mut self, report: &LifecycleEvent) {
        self.0.retain(|watcher| !watcher.is_abandoned());
        self.0.iter_mut().for_each(|watcher| watcher.push(report.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::DecodeErrorKind;

    fn report() -> LifecycleEvent {
        let event = Event::Malformed { count: 1, last: DecodeErrorKind::NotJson.into() };
        LifecycleEvent::Connection { connection: ConnectionId(0), event }
    }

    /// Adds a watcher of one connection.
    fn watch(new: &NewWatchers) -> Lifecycle {
        let (writers, lifecycle) = lifecycle(1);
        writers.into_iter().take(1).for_each(|writer| new.add(writer));
        lifecycle
    }

    #[test]
    fn a_watcher_gets_later_reports_and_a_count_of_those_it_lost() {
        let (new, mut watchers) = (NewWatchers::default(), Watchers::default());
        watchers.report(&report());
        let (reads, sleeps) = (watch(&new), watch(&new));
        for _ in 0..PENDING_MAX + 7 {
            watchers.join(&new);
            watchers.report(&report());
            assert_eq!(reads.try_next(), Some(report()));
        }
        assert_eq!((reads.try_next(), reads.dropped(), sleeps.dropped()), (None, 0, 7));
        assert_eq!(std::iter::from_fn(|| sleeps.try_next()).count(), PENDING_MAX);
    }

    #[test]
    fn abandoned_watchers_take_no_room() {
        let (new, mut watchers) = (NewWatchers::default(), Watchers::default());
        for _ in 0..100 {
            drop(watch(&new));
        }
        assert_eq!(new.waiting.lock().unwrap().len(), 1, "each new watcher replaces the abandoned one");
        let stays = watch(&new);
        watchers.join(&new);
        watchers.report(&report());
        assert_eq!((watchers.0.len(), stays.try_next()), (1, Some(report())));
    }
}
