//! Reports from a connection's thread to the control thread: sockets that opened or ended, requests that were sent,
//! streams that were listed. No report may be lost, because the planner derives from them what the wire carries. So
//! waiting reports are merged instead of dropped.

use std::collections::BTreeSet;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::Thread;

use crate::model::{Epoch, Nanos, StreamKey};
use crate::route::OpenFeed;

/// The maximum number of reports of one connection that are kept individually. More arrive only if the control thread
/// is delayed.
const PENDING_MAX: usize = 64;

/// The revision of merged requests. No desired set has it.
const FORGOTTEN: u64 = 0;

/// An event that the planner must know.
#[derive(Debug, PartialEq)]
pub(super) enum Report {
    /// A socket was opened.
    Opened(Epoch),
    /// The socket ended.
    Disconnected,
    /// The request of a desired set was sent.
    Requested {
        /// When it was sent.
        at: Nanos,
        /// The revision of the desired set.
        revision: u64,
    },
    /// The exchange reports that the socket carries these streams.
    Listed(BTreeSet<StreamKey>),
}

/// Reports of one connection that the control thread has not taken yet.
#[derive(Default)]
pub(super) struct Reports {
    pending: Mutex<Pending>,
    /// The control thread, if there is one to wake.
    control: OnceLock<Thread>,
}

/// The reports that wait. They are bounded even if the control thread does not take them for a long time: see
/// [`Pending::add`]. There are at most as many ended feeds as had been opened.
#[derive(Default)]
pub(super) struct Pending {
    /// The reports, in order.
    pub reports: Vec<Report>,
    /// The number of requests that are no longer in `reports`.
    pub earlier_requests: u64,
    /// The newest refusal of a request. It is kept when the end of its socket is reported.
    pub refusal: Option<RequestRefusal>,
    /// Feeds that have ended, to be freed on a thread that is not time-critical.
    pub ended: Vec<OpenFeed>,
}

/// The exchange's refusal of a request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RequestRefusal {
    /// The revision of the desired set that was requested.
    pub revision: u64,
    /// The exchange's answer.
    pub reason: String,
}

impl Reports {
    /// Sets the thread that takes the reports.
    pub fn wake_with(&self, control: Thread) {
        let _ = self.control.set(control);
    }

    pub fn add(&self, report: Report) {
        self.change(|pending| pending.add(report));
        self.wake();
    }

    pub fn add_refusal(&self, refusal: RequestRefusal) {
        self.change(|pending| pending.refusal = Some(refusal));
        self.wake();
    }

    pub fn add_ended(&self, feed: OpenFeed) {
        self.change(|pending| pending.ended.push(feed));
        self.wake();
    }

    /// Wakes the control thread. Without this it would take the report at its next poll, which may be later.
    fn wake(&self) {
        if let Some(control) = self.control.get() {
            control.unpark();
        }
    }

    pub fn take(&self) -> Pending {
        self.change(std::mem::take)
    }

    /// Locks only briefly: `change` calls nothing that can block.
    fn change<R>(&self, change: impl FnOnce(&mut Pending) -> R) -> R {
        change(&mut self.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Pending {
    /// Adds a report and keeps only what still matters. If a socket has ended, its reports are reduced to the number of
    /// its requests. If two lists follow each other, the newer one is kept. If there are still too many reports, one
    /// request with the revision [`FORGOTTEN`] replaces the older half. The planner then treats no stream as running
    /// before the requests that follow.
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
            self.merge_older();
        }
    }

    #[cold]
    fn merge_older(&mut self) {
        // The report of the socket stays. Only the first report can be one.
        let older = usize::from(matches!(self.reports[0], Report::Opened(_) | Report::Disconnected))..PENDING_MAX / 2;
        let at = self.reports[older.clone()].iter().rev().find_map(|report| match report {
            Report::Requested { at, .. } => Some(*at),
            _ => None,
        });
        self.earlier_requests += requests(&self.reports[older.clone()]);
        let forgotten = at.map(|at| Report::Requested { at, revision: FORGOTTEN });
        // The merged request is itself counted when it is applied.
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
    fn reports_are_taken_in_order() {
        let reports = Reports::default();
        [Report::Opened(Epoch(1)), requested(1), Report::Listed(BTreeSet::new()), requested(2)]
            .into_iter()
            .for_each(|report| reports.add(report));
        let pending = reports.take();
        let all = [Report::Opened(Epoch(1)), requested(1), Report::Listed(BTreeSet::new()), requested(2)];
        assert_eq!((pending.reports.as_slice(), pending.earlier_requests), (all.as_slice(), 0));
        assert!(reports.take().reports.is_empty(), "each report is taken once");
    }

    /// The control thread sleeps while the exchange accepts a thousand sockets and lists each a thousand times.
    #[test]
    fn reports_that_are_not_taken_do_not_pile_up() {
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
        assert_eq!(pending.earlier_requests, 1000, "requests of ended sockets are still counted");
    }

    /// The same on one socket, with desired sets that keep changing.
    #[test]
    fn too_many_requests_are_merged_into_one_and_counted() {
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
