//! Notices when the health of a stream changes.

use std::collections::HashMap;
use std::mem::discriminant;

use foldhash::fast::FixedState;

use crate::model::{Nanos, StreamKey};
use crate::pool::{Glance, Health};

/// A change of a stream's health. Two healths are different if their kinds or their reasons are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthChange {
    /// The stream.
    pub stream: StreamKey,
    /// The health at the look before.
    pub from: Health,
    /// The health now, with its reason, and since when the value has it.
    pub to: Health,
    /// When the change was noticed.
    pub at: Nanos,
}

/// The health of each stream at the last look.
#[derive(Debug, Default)]
pub struct HealthChanges(HashMap<StreamKey, Health, FixedState>);

impl HealthChanges {
    /// Returns the change of a stream's health since the last look, if there is one. The first look at a stream is
    /// none.
    pub fn look(&mut self, now: Nanos, glance: &Glance) -> Option<HealthChange> {
        let (stream, to) = (glance.stream, glance.health);
        let from = self.0.insert(stream, to)?;
        let is_same = discriminant(&from) == discriminant(&to) && from.reason() == to.reason();
        (!is_same).then_some(HealthChange { stream, from, to, at: now })
    }
}
