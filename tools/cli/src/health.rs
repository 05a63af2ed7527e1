//! Leaves out the changes of health that are no news: the steps before a stream has its first data.

use std::collections::HashSet;

use hoga::model::StreamKey;
use hoga::monitor::HealthChange;
use hoga::pool::Health;

/// The streams that have had data.
#[derive(Default)]
pub struct Started(HashSet<StreamKey>);

impl Started {
    /// Returns true if the change is to be printed. The steps before a stream is live for the first time are not, unless
    /// one of them is a problem.
    pub fn is_news(&mut self, change: &HealthChange) -> bool {
        let is_step = |health| {
            matches!(health, Health::NoData { .. } | Health::NotSubscribed { .. } | Health::Disconnected { .. })
        };
        let is_first_data = !is_step(change.to) && self.0.insert(change.stream);
        if is_first_data { !change.to.is_live() } else { self.0.contains(&change.stream) }
    }
}
