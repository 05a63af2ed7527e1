//! A feed together with the demand that fills it.

use std::ops::{Deref, DerefMut};

use super::Subscribed;
use crate::feed;

/// Every event of some streams, in order. Holds their demand: dropping it releases them.
pub struct Feed {
    items: feed::Feed,
    subscribed: Subscribed,
}

impl Feed {
    pub(super) fn new(items: feed::Feed, subscribed: Subscribed) -> Self {
        Self { items, subscribed }
    }

    /// The streams it carries.
    pub fn subscribed(&self) -> &Subscribed {
        &self.subscribed
    }
}

impl Deref for Feed {
    type Target = feed::Feed;
    fn deref(&self) -> &feed::Feed {
        &self.items
    }
}

impl DerefMut for Feed {
    fn deref_mut(&mut self) -> &mut feed::Feed {
        &mut self.items
    }
}
