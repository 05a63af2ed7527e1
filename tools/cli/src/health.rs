//! Notices when the health of a stream changes.

use std::collections::HashMap;
use std::mem::discriminant;

use hoga::model::{Nanos, StreamKey};
use hoga::pool::{Health, StreamStatus};

use crate::line::Change;

/// The last reported health of each stream. The steps before a stream is live for the first time are not reported,
/// unless one of them is a problem.
#[derive(Default)]
pub struct Healths(HashMap<StreamKey, Health>);

impl Healths {
    /// Returns the change of a stream's health since the last call, if there is one.
    pub fn change(&mut self, stream: &StreamStatus, now: Nanos) -> Option<Change> {
        let (key, to) = (stream.key, stream.health);
        let from = *self.0.entry(key).or_insert(to);
        if is_same(from, to) || (is_start(from) && is_start(to)) {
            return None;
        }
        self.0.insert(key, to);
        // The first data of a stream is no news.
        (!is_start(from) || !to.is_live()).then_some(Change { stream: key, from, to, at: now })
    }
}

fn is_same(from: Health, to: Health) -> bool {
    discriminant(&from) == discriminant(&to) && from.reason() == to.reason()
}

/// Returns true for the healths of a stream that has had no data yet. A stream that was live is not one of them, even if
/// it is disconnected.
fn is_start(health: Health) -> bool {
    matches!(health, Health::NoData { .. } | Health::NotSubscribed { .. })
}
