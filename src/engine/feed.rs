//! A feed together with the demand that fills it.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::Subscribed;
use super::control::Control;
use crate::error::{Error, Result};
use crate::feed;
use crate::plan::{ClientId, Subscription};

/// Every event of some streams, in order. Holds their demand: dropping it releases them.
pub struct Feed {
    items: feed::Feed,
    subscribed: Subscribed,
}

impl Feed {
    /// Items that wait for the reader before the newest are dropped, unless said otherwise.
    pub const CAPACITY: usize = 4096;

    /// The most items that may wait, about 1.2 GB.
    pub const CAPACITY_MAX: usize = 1 << 20;

    pub(super) fn open(
        control: Arc<Control>,
        client: Option<ClientId>,
        subscription: Subscription,
        capacity: usize,
    ) -> Result<Self> {
        if !(1..=Self::CAPACITY_MAX).contains(&capacity) {
            return Err(Error::Configuration(vec![format!("a feed holds from 1 to {} items", Self::CAPACITY_MAX)]));
        }
        let mut items = None;
        let rings = |connections| {
            let (writers, feed) = feed::feed_of(connections, capacity);
            items = Some(feed);
            writers
        };
        let subscribed = Subscribed::new(control, client, subscription, rings)?;
        // Accepted demand made its rings.
        items.map(|items| Self { items, subscribed }).ok_or(Error::Stopped)
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
