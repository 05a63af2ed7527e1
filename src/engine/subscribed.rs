//! Demand that somebody holds.

use std::fmt;
use std::sync::Arc;

use super::control::Control;
use crate::error::Result;
use crate::feed::FeedWriter;
use crate::model::StreamKey;

/// Holds demand for streams: they stay on the wire as long as this, or another that wants them, lives. Dropping it, from
/// any thread, releases exactly what it asked for.
#[must_use = "dropping it ends the subscription"]
pub struct Subscribed {
    control: Arc<Control>,
    keys: Vec<StreamKey>,
}

impl Subscribed {
    pub(super) fn new(control: Arc<Control>, keys: Vec<StreamKey>, feed: Option<FeedWriter>) -> Result<Self> {
        control.add(&keys, feed)?;
        Ok(Self { control, keys })
    }

    /// The streams asked for.
    pub fn keys(&self) -> &[StreamKey] {
        &self.keys
    }
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        self.control.remove(&self.keys);
    }
}

impl fmt::Debug for Subscribed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Subscribed").field(&self.keys).finish()
    }
}
