//! Rebuilds the planner from the demand of the living holders, after a panic may have left the rest inconsistent.

use std::collections::BTreeSet;

use super::Planner;
use crate::model::{Nanos, StreamKey};

impl Planner {
    /// Keeps the demand of each holder, the clients, and the connection of each market. Everything else is derived from
    /// them again, and each connection requests its streams again, with snapshots.
    pub fn rebuild(&mut self, now: Nanos) {
        self.panics += 1;
        let mut carried: BTreeSet<StreamKey> = self.demand.carried().map(|spec| spec.key).collect();
        carried.extend(self.plans.iter().flat_map(|plan| plan.streams().keys()));
        self.demand.rebuild();
        let demanded: BTreeSet<StreamKey> = self.demand.demanded().collect();
        self.placement.rebuild(demanded.iter().copied());
        self.leaving.extend(&carried - &demanded);
        self.leaving.retain(|key| !demanded.contains(key));
        self.interrupted.clear();
        self.plans.iter_mut().for_each(|plan| plan.rebuild());
        self.changed(now);
    }

    /// Returns the streams that the connections must carry, each with its connection.
    pub fn homes(&self) -> Vec<(StreamKey, usize)> {
        self.with_homes(self.demand.carried().map(|spec| spec.key).collect())
    }
}
