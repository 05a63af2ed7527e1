//! Demand that somebody holds.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::control::{Accepted, AskedFeed, Control};
use crate::error::{Error, Result};
use crate::model::{Clock, StreamKey};
use crate::plan::{ClientId, DemandId, Proof, Subscription};

/// How often a waiting thread looks.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Holds demand for streams: they stay on the wire as long as this, or another that wants them, lives, and for the grace
/// period after. Dropping it, from any thread, releases exactly what it asked for.
#[must_use = "dropping it ends the subscription"]
pub struct Subscribed {
    control: Arc<Control>,
    id: DemandId,
    revision: u64,
}

impl Subscribed {
    pub(super) fn new(
        control: Arc<Control>,
        client: Option<ClientId>,
        subscription: Subscription,
        feed: Option<AskedFeed<'_>>,
    ) -> Result<Self> {
        let checked = subscription.check(&control.dialect)?;
        let Accepted { id, revision } = control.add(client, checked, feed)?;
        Ok(Self { control, id, revision })
    }

    /// The streams asked for: with patterns, those of the markets that exist now.
    pub fn keys(&self) -> Vec<StreamKey> {
        self.control.held(self.id)
    }

    /// The revision of what is wanted that includes this, see [`Engine::revisions`](super::Engine::revisions).
    pub fn revision(&self) -> u64 {
        self.revision
    }
}

impl Subscribed {
    /// Waits until each of its streams has brought data on the current socket, or is listed by the exchange.
    ///
    /// # Errors
    /// [`Error::NotReady`] names the streams that are not confirmed when the time is over, or as soon as the engine has
    /// asked twice for each of them in vain: most likely there are no such markets. [`Error::LeaseExpired`] if the client
    /// is gone under which this was subscribed, and with it all that it held.
    pub fn wait_confirmed(&self, timeout: Duration) -> Result<()> {
        let deadline = self.control.clock.now() + timeout;
        loop {
            let Some(open) = self.open_streams() else { return Err(Error::LeaseExpired) };
            if open.is_empty() {
                return Ok(());
            }
            let hopeless = open.iter().all(|(_, proof)| *proof == Some(Proof::Unconfirmed));
            if hopeless || self.control.clock.now() >= deadline || !self.control.is_alive() {
                return Err(Error::NotReady(open.into_iter().map(|(key, _)| key).collect()));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// The streams that are not confirmed; `None` if what was asked for is not held any more.
    fn open_streams(&self) -> Option<Vec<(StreamKey, Option<Proof>)>> {
        let is_open = |proof: Option<Proof>| !matches!(proof, Some(Proof::Data | Proof::Listed));
        self.control.with_planner(|planner| {
            planner.is_held(self.id).then(|| planner.proofs_of(self.id).filter(|(_, proof)| is_open(*proof)).collect())
        })
    }
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        self.control.remove(self.id);
    }
}

impl fmt::Debug for Subscribed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Subscribed").field(&self.keys()).finish()
    }
}
