//! A client: a named component of a program, and everything that was subscribed through it.

use std::fmt;
use std::sync::Arc;

use super::control::Control;
use super::revise::Revision;
use super::{CallbackBuilder, Feed, HeldSubscription, Subscribed};
use crate::error::Result;
use crate::feed::{Overflow, Payload};
use crate::model::{Clock, IntoMarkets};
use crate::plan::{ClientId, DemandId, Heartbeat, Subscription};

/// A named component of a program. It may hold many subscriptions; dropping it, from any thread, releases all of them.
///
/// A client with a lease must renew it, because a leaked handle cannot be detected otherwise. If it does not, it is
/// reported at one clean-up, and everything it holds is released at the next.
pub struct Client {
    control: Arc<Control>,
    id: ClientId,
    name: Box<str>,
    heartbeat: Arc<Heartbeat>,
}

impl Client {
    pub(super) fn new(control: Arc<Control>, id: ClientId, name: &str, heartbeat: Arc<Heartbeat>) -> Self {
        Self { control, id, name: name.into(), heartbeat }
    }

    /// Returns the client's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Renews the lease. This costs about as much as reading the clock: call it where the component does its work.
    pub fn renew(&self) {
        self.heartbeat.renew(self.control.clock.now());
    }

    /// Same as [`Engine::subscribe`](super::Engine::subscribe). This client holds the subscription, in addition to its
    /// others.
    ///
    /// # Errors
    /// The same errors, and [`Error::LeaseExpired`](crate::error::Error::LeaseExpired).
    pub fn subscribe<T>(&self, subscription: Subscription<T>) -> Result<Subscribed> {
        Subscribed::new(self.control.clone(), Some(self.id), subscription.mixed(), None)
    }

    /// Same as [`Engine::feed`](super::Engine::feed). This client holds the feed, and may hold several. A feed ends
    /// with its client: it gets no more updates and reports to its reader that it is closed.
    ///
    /// # Errors
    /// The same errors, and [`Error::LeaseExpired`](crate::error::Error::LeaseExpired).
    pub fn feed<T: Payload>(&self, subscription: Subscription<T>, overflow: Overflow) -> Result<Feed<T>> {
        Feed::open(self.control.clone(), Some(self.id), subscription, overflow, Arc::default())
    }

    /// Returns the subscriptions that this client holds, with those of its feeds and callbacks, oldest first.
    pub fn held(&self) -> Vec<HeldSubscription> {
        self.control.with_planner(|planner| {
            let streams = |id| planner.held(id).iter().map(|spec| spec.key).collect();
            planner.holders_of(self.id).into_iter().map(|id| HeldSubscription { id, streams: streams(id) }).collect()
        })
    }

    /// Ends one of the client's subscriptions, as if its handle were dropped; a feed or callback of it ends. Returns
    /// false if the client holds no subscription with this id.
    pub fn cancel(&self, id: DemandId) -> bool {
        let is_held = self.control.with_planner(|planner| planner.holders_of(self.id).contains(&id));
        if is_held {
            self.control.remove(id);
        }
        is_held
    }

    /// Removes all streams of these markets or patterns from each of the client's subscriptions; see
    /// [`Subscribed::narrow`].
    ///
    /// # Errors
    /// Same as [`Subscribed::narrow`]. Subscriptions opened before the one that fails were changed already.
    pub fn cancel_markets(&self, markets: impl IntoMarkets) -> Result<()> {
        let revision = Revision::narrow(markets)?;
        let held = self.control.with_planner(|planner| planner.holders_of(self.id));
        held.into_iter().try_for_each(|id| self.control.revise(id, revision.clone()).map(drop))
    }

    /// Same as [`Engine::callback`](super::Engine::callback), with demand held by this client.
    pub fn callback(&self, name: &str) -> CallbackBuilder<'_> {
        CallbackBuilder::new(self.control.clone(), Some(self.id), name)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.control.close_client(self.id);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.name).finish()
    }
}
