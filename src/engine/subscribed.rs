//! The handle that holds demand.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::control::Control;
use super::hub::{Accepted, FeedRequest};
use super::revise::Revision;
use crate::error::{Error, Result};
use crate::model::{Clock, IntoMarkets, StreamKey};
use crate::plan::{CheckedSubscription, ClientId, Confirmation, DemandId, Subscription};

/// How often a waiting thread checks its condition.
pub(super) const POLL_EVERY: Duration = Duration::from_millis(5);

/// Holds demand for streams. They stay on the wire as long as this handle, or another one that wants them, lives, and
/// for the grace period after that. Dropping it, from any thread, releases exactly what it asked for.
#[must_use = "dropping it ends the subscription"]
pub struct Subscribed {
    control: Arc<Control>,
    id: DemandId,
    revision: AtomicU64,
}

/// A subscription of a client; see [`Client::held`](super::Client::held).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldSubscription {
    /// The id of the subscription.
    pub id: DemandId,
    /// Its streams. Patterns stand for the markets that exist now.
    pub streams: Vec<StreamKey>,
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
        Ok(Self { control, id, revision: AtomicU64::new(revision) })
    }

    /// Returns the requested streams. Patterns stand for the markets that exist now.
    pub fn keys(&self) -> Vec<StreamKey> {
        self.control.held(self.id)
    }

    /// Returns the revision of the demand that includes this one; see [`Engine::revisions`](super::Engine::revisions).
    pub fn revision(&self) -> u64 {
        // Relaxed: no other data depends on it.
        self.revision.load(Relaxed)
    }

    /// Returns the id of the subscription.
    pub fn id(&self) -> DemandId {
        self.id
    }

    /// Adds streams to the subscription. Streams that it has already are not touched. The subscription of a feed cannot
    /// be widened, because a feed keeps the rings that it was opened with: open another feed.
    ///
    /// # Errors
    /// Same as [`Engine::subscribe`](super::Engine::subscribe), [`Error::InvalidArgument`] if this is the subscription
    /// of a feed, and [`Error::LeaseExpired`] if it is not held any more. In that case nothing was changed.
    pub fn widen<T>(&self, more: Subscription<T>) -> Result<()> {
        self.revise(Revision::Widen(CheckedSubscription::of(more, &self.control.dialect)?))
    }

    /// Removes all streams of these markets or patterns from the subscription; markets that it does not have are
    /// ignored. The streams leave the wire after the grace period, unless another subscription wants them. What remains
    /// may be empty. A feed gets no more of their updates.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if a code is invalid, or if a pattern of the subscription selects one of the markets:
    /// remove the pattern. [`Error::LeaseExpired`] if it is not held any more. In that case nothing was changed.
    pub fn narrow(&self, markets: impl IntoMarkets) -> Result<()> {
        self.revise(Revision::narrow(markets)?)
    }

    fn revise(&self, revision: Revision) -> Result<()> {
        self.revision.store(self.control.revise(self.id, revision)?, Relaxed);
        Ok(())
    }
}

impl Subscribed {
    /// Waits until each of the streams is confirmed on the current socket, which means that it has brought data since
    /// it was requested in this mode. If all holders of a stream want changes only, nothing may arrive until something
    /// changes; in that case it is enough that the exchange lists the stream among those that the socket carries.
    /// Patterns have no streams until the engine knows which markets exist, so this waits for that list too.
    ///
    /// # Errors
    /// [`Error::NotReady`] names the streams that are not confirmed when the timeout expires, or as soon as the engine
    /// has requested each of them twice without an answer, or the exchange refuses them: most likely there are no such
    /// markets. It names none if only the list of markets is missing. [`Error::LeaseExpired`] if the client of this
    /// subscription is gone, and its demand with it. [`Error::Stopped`] as soon as the engine does not run any more.
    pub fn wait_confirmed(&self, timeout: Duration) -> Result<()> {
        let deadline = self.control.clock.now() + timeout;
        loop {
            self.control.check_runs()?;
            let Some(open) = self.open() else { return Err(Error::LeaseExpired) };
            if open.streams.is_empty() && !open.awaits_markets {
                return Ok(());
            }
            if open.is_hopeless() || self.control.clock.now() >= deadline {
                let missing = open.streams.into_iter().map(|(key, _)| key).collect();
                return Err(self.control.not_ready(missing, open.awaits_markets));
            }
            std::thread::sleep(POLL_EVERY);
        }
    }

    /// Returns an error if the engine does not run any more.
    pub(super) fn check_runs(&self) -> Result<()> {
        self.control.check_runs()
    }

    /// Returns what is not confirmed, or `None` if the demand is no longer held.
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

/// The unconfirmed part of a subscription.
struct Open {
    streams: Vec<(StreamKey, Option<Confirmation>)>,
    /// The subscription has patterns, and the list of markets is not known yet.
    awaits_markets: bool,
}

impl Open {
    /// Returns true if the engine has requested all of the streams twice, and nothing else is awaited.
    fn is_hopeless(&self) -> bool {
        !self.awaits_markets
            && self.streams.iter().all(|(_, confirmation)| {
                matches!(confirmation, Some(Confirmation::Unconfirmed | Confirmation::Refused))
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
        write!(f, "Subscribed({} streams, revision {})", self.keys().len(), self.revision())
    }
}
