//! What a connection's thread tells the control thread: what was opened, disconnected, sent and listed. Nothing of it
//! may be lost, because the planner knows from it what the wire carries; so what waits is folded together instead of
//! cut off.

use std::collections::BTreeSet;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::Thread;

use crate::model::{Epoch, Nanos, StreamKey};
use crate::route::OpenFeed;

/// The most reports of one connection that are kept one by one. There are more only if the control thread is held up.
const PENDING_MAX: usize = 64;

/// The revision of a desired set that nobody remembers: no desired set has it.
const FORGOTTEN: u64 = 0;

/// Something that the planner has to know.
#[derive(Debug, PartialEq)]
pub(super) enum Report {
    /// A socket was opened.
    Opened(Epoch),
    /// It is gone.
    Disconnected,
    /// The request of a desired set went out.
    Requested {
        /// When.
        at: Nanos,
        /// The revision of the desired set.
        revision: u64,
    },
    /// The exchange says that it carries these streams.
    Listed(BTreeSet<StreamKey>),
}

/// Reports of one connection that the control thread has not taken yet.
#[derive(Default)]
pub(super) struct Reports {
    pending: Mutex<Pending>,
    /// The control thread, if there is one to wake.
    control: OnceLock<Thread>,
}

/// What waits. Bounded, should the control thread not come for long: see [`Pending::add`]. Of feeds that ended there are
/// no more than had been opened.
#[derive(Default)]
pub(super) struct Pending {
    /// In order.
    pub reports: Vec<Report>,
    /// Requests that are not in `reports` any more.
    pub earlier_requests: u64,
    /// What is left of feeds that nobody reads, to be freed where nobody waits for it.
    pub left: Vec<OpenFeed>,
}

impl Reports {
    /// Names the thread that takes them.
    pub fn wake_with(&self, control: Thread) {
        let _ = self.control.set(control);
    }

    pub fn add(&self, report: Report) {
        self.change(|pending| pending.add(report));
        self.wake();
    }

    pub fn add_left(&self, feed: OpenFeed) {
        self.change(|pending| pending.left.push(feed));
        self.wake();
    }

    /// The control thread looks now and then without it.
    fn wake(&self) {
        if let Some(control) = self.control.get() {
            control.unpark();
        }
    }

    pub fn take(&self) -> Pending {
        self.change(std::mem::take)
    }

    /// Locked for a moment: nothing is called here that waits for anybody.
    fn change<R>(&self, change: impl FnOnce(&mut Pending) -> R) -> R {
        change(&mut self.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Pending {
    /// Keeps what still matters: nothing of a socket that is gone but how many requests it took, and of two lists in a row
    /// the newer. If there are too many all the same, the older half becomes the request of a desired set that nobody
    /// remembers: the planner then takes no stream for running before the requests that follow.
    fn add(&mut self, report: Report) {
        match (&report, self.reports.last_mut()) {
            (Report::Opened(_) | Report::Disconnected, _) => {
                self.earlier_requests += requests(&self.reports);
                self.reports.clear();
            }
            (Report::Listed(_), Some(last @ Report::Listed(_))) => {
                *last = report;
                return;
            }
            _ => {}
        }
        self.reports.push(report);
        if self.reports.len() > PENDING_MAX {
            self.fold();
        }
    }

    #[cold]
    fn fold(&mut self) {
        // The socket stays: only the first report can be of one.
        let older = usize::from(matches!(self.reports[0], Report::Opened(_) | Report::Disconnected))..PENDING_MAX / 2;
        let at = self.reports[older.clone()].iter().rev().find_map(|report| match report {
            Report::Requested { at, .. } => Some(*at),
            _ => None,
        });
        self.earlier_requests += requests(&self.reports[older.clone()]);
        let forgotten = at.map(|at| Report::Requested { at, revision: FORGOTTEN });
        // It counts as one when it is applied.
        self.earlier_requests -= u64::from(forgotten.is_some());
        self.reports.splice(older, forgotten);
    }
}

fn requests(reports: &[Report]) -> u64 {
    reports.iter().filter(|report| matches!(report, Report::Requested { .. })).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requested(revision: u64) -> Report {
        Report::Requested { at: Nanos(revision), revision }
    }

    #[test]
    fn what_came_is_told_in_order() {
        let reports = Reports::default();
        [Report::Opened(Epoch(1)), requested(1), Report::Listed(BTreeSet::new()), requested(2)]
            .into_iter()
            .for_each(|report| reports.add(report));
        let pending = reports.take();
        let all = [Report::Opened(Epoch(1)), requested(1), Report::Listed(BTreeSet::new()), requested(2)];
        assert_eq!((pending.reports.as_slice(), pending.earlier_requests), (all.as_slice(), 0));
        assert!(reports.take().reports.is_empty(), "once");
    }

    /// The control thread sleeps while the exchange takes a thousand sockets and lists each a thousand times.
    #[test]
    fn reports_that_nobody_takes_do_not_pile_up() {
        let reports = Reports::default();
        for epoch in 1..=1000 {
            reports.add(Report::Opened(Epoch(epoch)));
            reports.add(requested(7));
            (0..1000).for_each(|_| reports.add(Report::Listed(BTreeSet::new())));
            reports.add(Report::Disconnected);
        }
        reports.add(Report::Opened(Epoch(1001)));
        reports.add(requested(7));
        let pending = reports.take();
        assert_eq!(pending.reports, [Report::Opened(Epoch(1001)), requested(7)]);
        assert_eq!(pending.earlier_requests, 1000, "each is counted all the same");
    }

    /// The same on one socket, with desired sets that never stop changing.
    #[test]
    fn of_too_many_requests_the_older_ones_are_counted_and_forgotten() {
        let reports = Reports::default();
        reports.add(Report::Opened(Epoch(1)));
        for revision in 1..=1000 {
            reports.add(requested(revision));
            reports.add(Report::Listed(BTreeSet::new()));
        }
        let Pending { reports, earlier_requests, .. } = reports.take();
        assert!(reports.len() <= PENDING_MAX);
        assert_eq!(reports[0], Report::Opened(Epoch(1)));
        assert!(matches!(reports[1], Report::Requested { revision: FORGOTTEN, .. }), "{:?}", reports[1]);
        assert_eq!(reports[reports.len() - 2], requested(1000));
        assert_eq!(requests(&reports) + earlier_requests, 1000);
    }
}
