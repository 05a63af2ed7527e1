//! How the planner acts on requests that the exchange refuses.

use super::{ConflictKind, ConflictSubject, Planner};
use crate::model::{Nanos, StreamKey};

impl Planner {
    /// Handles the refusal of a desired set's request, with the exchange's answer. Returns the streams that are left out
    /// from now on.
    pub fn refused(&mut self, now: Nanos, connection: usize, revision: u64, reason: &str) -> Vec<StreamKey> {
        let left_out = self.plans[connection].refused(now, revision, reason);
        for key in &left_out {
            self.conflicts.record(now, ConflictKind::Refused, ConflictSubject::Stream(*key));
        }
        self.changed(now);
        left_out
    }

    /// Returns why the exchange refuses a stream; `None` if it does not.
    pub fn refusal(&self, key: StreamKey) -> Option<&str> {
        self.plans[self.placement.home(key)].refusal_search.reason(key).map(|reason| &**reason)
    }

    /// Lets streams that were left out be tried again if it is time, and forgets those that nobody wants. Returns true if
    /// the requests must change.
    pub(super) fn update_searches(&mut self, now: Nanos) -> bool {
        let demand = &self.demand;
        let active = self.plans.iter_mut().map(|plan| &mut plan.refusal_search).filter(|search| search.is_active());
        active
            .fold(false, |changed, search| changed | search.retain(|key| demand.get(key).is_some()) | search.retry(now))
    }
}
