//! A component of a program: a name, and everything that was subscribed under it.

use std::fmt;
use std::sync::Arc;

use super::control::Control;
use super::{CallbackBuilder, Feed, Subscribed};
use crate::error::Result;
use crate::feed::{Overflow, Payload};
use crate::model::Clock;
use crate::plan::{ClientId, Heartbeat, Subscription};

/// A component of a program. It may hold many subscriptions; dropping it, from any thread, releases them all.
///
/// One with a lease must say now and then that it is alive, because a leaked handle cannot: if it does not, it is
/// reported at one clean-up and everything it holds is released at the next.
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

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Renews the lease. About as dear as reading the clock: call it where the component does its work.
    pub fn renew(&self) {
        self.heartbeat.renew(self.control.clock.now());
    }

    /// As [`Engine::subscribe`](super::Engine::subscribe), held by this component besides what it holds already.
    ///
    /// # Errors
    /// The same, and [`Error::LeaseExpired`](crate::error::Error::LeaseExpired).
    pub fn subscribe<T>(&self, subscription: Subscription<T>) -> Result<Subscribed> {
        Subscribed::new(self.control.clone(), Some(self.id), subscription.mixed(), None)
    }

    /// As [`Engine::feed`](super::Engine::feed), held by this component, which may have several. It ends with the component:
    /// nothing more comes in, and whoever reads it learns that it is closed.
    ///
    /// # Errors
    /// The same, and [`Error::LeaseExpired`](crate::error::Error::LeaseExpired).
    pub fn feed<T: Payload>(&self, subscription: Subscription<T>, overflow: Overflow) -> Result<Feed<T>> {
        Feed::open(self.control.clone(), Some(self.id), subscription, overflow, Arc::default())
    }

    /// As [`Engine::callback`](super::Engine::callback), with demand that is held by this component.
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
