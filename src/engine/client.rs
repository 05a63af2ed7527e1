//! A component of a program: a name, and everything that was subscribed under it.

use std::fmt;
use std::sync::Arc;

use super::control::Control;
use super::{Feed, Subscribed};
use crate::error::Result;
use crate::model::Clock;
use crate::plan::{ClientId, Pulse, Subscription};

/// A component of a program. It may hold many subscriptions; dropping it, from any thread, releases them all.
///
/// One with a lease must say now and then that it is alive, because a leaked handle cannot: if it does not, it is
/// reported at one clean-up and everything it holds is released at the next.
pub struct Client {
    control: Arc<Control>,
    id: ClientId,
    name: Box<str>,
    pulse: Arc<Pulse>,
}

impl Client {
    pub(super) fn new(control: Arc<Control>, id: ClientId, name: &str, pulse: Arc<Pulse>) -> Self {
        Self { control, id, name: name.into(), pulse }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Renews the lease. About as dear as reading the clock: call it where the component does its work.
    pub fn renew(&self) {
        self.pulse.renew(self.control.clock.now());
    }

    /// As [`Engine::subscribe`](super::Engine::subscribe), held by this component besides what it holds already.
    ///
    /// # Errors
    /// The same, and [`Error::LeaseExpired`](crate::error::Error::LeaseExpired).
    pub fn subscribe(&self, subscription: Subscription) -> Result<Subscribed> {
        Subscribed::new(self.control.clone(), Some(self.id), subscription, |_| Vec::new())
    }

    /// As [`Engine::feed`](super::Engine::feed), held by this component.
    ///
    /// # Errors
    /// The same, and [`Error::LeaseExpired`](crate::error::Error::LeaseExpired).
    pub fn feed(&self, subscription: Subscription) -> Result<Feed> {
        Feed::open(self.control.clone(), Some(self.id), subscription, Feed::CAPACITY)
    }

    /// As [`Engine::feed_with_capacity`](super::Engine::feed_with_capacity), held by this component.
    ///
    /// # Errors
    /// The same, and [`Error::LeaseExpired`](crate::error::Error::LeaseExpired).
    pub fn feed_with_capacity(&self, subscription: Subscription, capacity: usize) -> Result<Feed> {
        Feed::open(self.control.clone(), Some(self.id), subscription, capacity)
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
