//! Lists and delists markets while clients are connected.

use super::{Exchange, nanos};
use crate::subscription::Context;

impl Exchange {
    /// Lists or delists a market. Returns false if there is no such market to delist, or if the code is invalid. A
    /// valid code is `KRW-`, `BTC-` or `USDT-` followed by an asset.
    ///
    /// The messages of a delisted market end silently. A market that is listed, for the first time or again, is served
    /// to every client that has requested it, starting with a snapshot. Upbit documents this for its indicators but not
    /// for other types. Replayed lines are not affected.
    pub fn set_listed(&mut self, now: u64, code: &str, on: bool) -> bool {
        self.now = now;
        if on { self.list_market(code) } else { self.delist_market(code) }
    }

    fn list_market(&mut self, code: &str) -> bool {
        if self.floor.listings.index(code).is_some() {
            return true;
        }
        let Some(index) = self.floor.listings.list(code) else { return false };
        let [_, last_snapshots] = self.config.snapshot_delays.map(nanos);
        let replay = self.config.replay.as_deref();
        let context = Context { listings: &self.floor.listings, replay, dialect: self.config.dialect };
        let mut is_wanted = false;
        for subscription in self.connections.values_mut().filter_map(|connection| connection.subscription.as_mut()) {
            subscription.list(code, &context, self.now + last_snapshots);
            is_wanted |= subscription.markets().any(|market| market == index);
        }
        if is_wanted {
            self.floor.wake(index, self.now);
        }
        true
    }

    fn delist_market(&mut self, code: &str) -> bool {
        let Some(index) = self.floor.delist(code) else { return false };
        for connection in self.connections.values_mut() {
            let stale = connection.stale.iter_mut().map(|stale| &mut stale.subscription);
            connection.subscription.iter_mut().chain(stale).for_each(|subscription| subscription.delist(index));
        }
        true
    }
}
