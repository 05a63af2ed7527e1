//! Demand that somebody holds.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::control::Control;
use super::hub::{Accepted, FeedRequest};
use crate::error::{Error, Result};
use crate::model::{Clock, StreamKey};
use crate::plan::{CheckedSubscription, ClientId, Confirmation, DemandId, Subscription};

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
        feed: Option<FeedRequest<'_>>,
    ) -> Result<Self> {
        let checked = CheckedSubscription::of(subscription, &control.dialect)?;
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
    /// Waits until each of its streams is confirmed on the current socket: it has brought data since it was asked for in
    /// this way. Of a stream of which everybody wants changes only, nothing comes before something changes; there it is
    /// enough that the exchange lists it among what the socket carries. Patterns mean nothing before the engine is told
    /// which markets exist, so this waits for that, too.
    ///
    /// # Errors
    /// [`Error::NotReady`] names the streams that are not confirmed when the time is over, or as soon as the engine has
    /// asked twice for each of them in vain: most likely there are no such markets. It names none if only the list of
    /// markets has not come. [`Error::LeaseExpired`] if the client is gone under which this was subscribed, and with it
    /// all that it held.
    pub fn wait_confirmed(&self, timeout: Duration) -> Result<()> {
        let deadline = self.control.clock.now() + timeout;
        loop {
            let Some(open) = self.open() else { return Err(Error::LeaseExpired) };
            if open.streams.is_empty() && !open.awaits_markets {
                return Ok(());
            }
            if open.is_hopeless() || self.control.clock.now() >= deadline || !self.control.is_alive() {
                let missing = open.streams.into_iter().map(|(key, _)| key).collect();
                return Err(self.control.not_ready(missing, open.awaits_markets));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// What is not confirmed; `None` if what was asked for is not held any more.
    fn open(&self) -> Option<Open> {
        let is_open = |confirmation: Option<Confirmation>| {
            !matches!(confirmation, Some(Confirmation::Data | Confirmation::Listed))
        };
        self.control.with_planner(|planner| {
            let mut streams: Vec<_> =
                planner.confirmations_of(self.id).filter(|(_, confirmation)| is_open(*confirmation)).collect();
            streams.extend(planner.lacking(self.id).into_iter().map(|key| (key, None)));
            let open = Open { streams, awaits_markets: planner.awaits_markets(self.id) };
            planner.is_held(self.id).then_some(open)
        })
    }
}

/// What of a subscription is not confirmed.
struct Open {
    streams: Vec<(StreamKey, Option<Confirmation>)>,
    /// It has patterns, and nobody has said yet which markets exist.
    awaits_markets: bool,
}

impl Open {
    /// The engine has asked twice for all of them, and waits for nothing else.
    fn is_hopeless(&self) -> bool {
        !self.awaits_markets
            && self.streams.iter().all(|(_, confirmation)| *confirmation == Some(Confirmation::Unconfirmed))
    }
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        self.control.remove(self.id);
    }
}

impl fmt::Debug for Subscribed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscribed({} streams, revision {})", self.keys().len(), self.revision())
    }
}
