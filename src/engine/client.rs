//! A client: a named component of a program, and everything that was subscribed through it.

use std::fmt;
use std::sync::Arc;

use super::control::Control;
use super::{CallbackBuilder, Feed, Subscribed};
use crate::error::Result;
use crate::feed::{Overflow, Payload};
use crate::model::Clock;
use crate::plan::{ClientId, Heartbeat, Subscription};

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
