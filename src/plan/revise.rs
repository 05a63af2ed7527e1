//! Changes of what an existing holder asks for.

use super::planner::Relisted;
use super::{CheckedSubscription, ClientId, DemandId, Planner, Refused, StreamSpec};
use crate::model::Nanos;

impl Planner {
    /// Returns what a holder asks for now; `None` if it does not exist.
    pub fn asked(&self, id: DemandId) -> Option<CheckedSubscription> {
        let specs = || CheckedSubscription { specs: self.held(id).to_vec(), patterns: Vec::new() };
        self.is_held(id).then(|| self.patterned.get(&id).cloned().unwrap_or_else(specs))
    }

    /// Replaces what a holder asks for. Streams that it wants in the same way before and after are not touched.
    pub fn revise(&mut self, now: Nanos, id: DemandId, checked: CheckedSubscription) -> Result<Relisted, Refused> {
        if !self.is_held(id) {
            return Err(Refused::NoSuchClient);
        }
        let specs = self.checked_specs(now, &checked)?;
        self.short.remove(&id);
        if checked.patterns.is_empty() {
            self.patterned.remove(&id);
        } else {
            self.patterned.insert(id, checked);
        }
        let mut relisted = Relisted::default();
        self.replace(now, id, specs, &mut relisted);
        Ok(relisted)
    }

    /// Returns the streams of new demand, or why it is refused.
    pub(super) fn checked_specs(
        &mut self,
        now: Nanos,
        checked: &CheckedSubscription,
    ) -> Result<Vec<StreamSpec>, Refused> {
        if !checked.patterns.is_empty() && !self.knows_markets && self.universe.is_empty() {
            return Err(Refused::NoUniverse);
        }
        let specs = checked.specs_in(&self.universe);
        if let Some(excess) = self.excess(&specs) {
            self.note_excess(now, &excess);
            return Err(Refused::TooManyStreams { streams: excess.streams, limit: excess.limit });
        }
        self.note_conflicts(now, &specs);
        Ok(specs)
    }

    /// Returns the holders of a client, oldest first.
    pub fn holders_of(&self, client: ClientId) -> Vec<DemandId> {
        self.clients.holders_of(client)
    }
}
