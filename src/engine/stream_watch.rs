//! Reports to watchers what the control thread sees of streams: changes of health, and gaps.

use super::lifecycle::{LifecycleEvent, Watchers};
use crate::model::Nanos;
use crate::monitor::{GapLog, Gaps, HealthChanges};
use crate::pool::Glance;
use crate::sync::lossy::Writer;

/// What is remembered of all streams, and the watchers of the changes.
#[derive(Default)]
pub(super) struct StreamWatch {
    health_changes: HealthChanges,
    gaps: Gaps,
    watchers: Watchers,
    is_over: bool,
}

impl StreamWatch {
    pub fn add(&mut self, watcher: Writer<LifecycleEvent>) {
        if !self.is_over {
            self.watchers.add(watcher);
        }
    }

    /// Compares all streams with the last look.
    pub fn look(&mut self, now: Nanos, glances: &[Glance]) {
        if self.is_over {
            return;
        }
        for glance in glances {
            if let Some(change) = self.health_changes.look(now, glance) {
                self.watchers.report(&LifecycleEvent::Health(change));
            }
            if let Some(gap) = self.gaps.look(glance) {
                self.watchers.report(&LifecycleEvent::Gap(gap));
            }
        }
    }

    /// Returns the gaps of all streams.
    pub fn gaps(&self) -> GapLog {
        self.gaps.log()
    }

    /// Ends all reports: the engine stops, which is no change of a stream.
    pub fn end(&mut self) {
        self.is_over = true;
        self.watchers = Watchers::default();
    }
}
