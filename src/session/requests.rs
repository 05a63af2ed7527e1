//! What is asked of the exchange: the desired set, and the requests of one socket for it.

use std::sync::Arc;
use std::time::Duration;

use super::entropy::EntropyExt;
use super::liveness::Liveness;
use super::outbox::Outbox;
use super::refusal_backoff::RefusalBackoff;
use super::shared::Shared;
use super::{Budget, Event, Rate, State};
use crate::config::Config;
use crate::model::{Epoch, Nanos};
use crate::plan::{self, DesiredSet, Mode};

/// How long frames of a replaced subscription may still come. Two at most were seen, within a round trip.
const STALE_FRAMES: Duration = Duration::from_secs(1);

/// What is wanted of the exchange, and how it has answered so far, on any socket.
pub(super) struct SubscriptionState {
    desired: DesiredSet,
    /// Holds requests back after the exchange refused one.
    pub refusal_backoff: RefusalBackoff,
    /// Data has come for some stream of the desired set.
    had_data: bool,
    /// Sockets in a row that were replaced because they were mute.
    mute_sockets: u32,
}

impl SubscriptionState {
    /// Nothing is wanted yet.
    pub fn new(config: &Config) -> Self {
        let refusal_backoff = RefusalBackoff::new(config.pacing.margin());
        Self { desired: DesiredSet::default(), refusal_backoff, had_data: false, mute_sockets: 0 }
    }

    /// Something is wanted.
    pub fn has_streams(&self) -> bool {
        !self.desired.streams.is_empty()
    }

    /// Replaces the desired set. The newest socket is that of `epoch`, and was asked for the desired set `sent`. False
    /// if the desired set is the one that is there.
    pub fn set_desired(&mut self, desired: DesiredSet, epoch: Epoch, sent: Option<u64>) -> bool {
        if desired.revision == self.desired.revision {
            return false;
        }
        // Streams that go on have answered already.
        self.had_data &= !desired.running.on(epoch, sent).is_empty();
        self.desired = desired;
        true
    }

    /// Whether data is worth a look at what it answers.
    #[inline]
    fn awaits_data(&self) -> bool {
        !self.had_data || self.refusal_backoff.has_refusals()
    }

    /// Whether a socket on which a probe stayed without an answer is to blame for that.
    pub fn is_mute(&self, liveness: &Liveness) -> bool {
        self.owes_snapshots() && liveness.is_mute(self.had_data, self.mute_sockets)
    }

    /// The exchange answers the request with snapshots, if there are such markets. Where only changes are wanted, nothing
    /// comes before somebody trades, however well the socket is.
    fn owes_snapshots(&self) -> bool {
        self.desired.streams.specs().iter().any(|spec| spec.mode != Mode::RealtimeOnly)
    }

    /// A socket is replaced because it was mute.
    pub fn replaced_mute_socket(&mut self) {
        self.mute_sockets += 1;
    }
}

/// The requests of one socket.
pub(super) struct Requests {
    budget: Budget,
    /// `None` before the first request.
    newest: Option<SentRequest>,
}

/// What the socket carries, as of the newest request on it.
struct SentRequest {
    /// The revision of the desired set.
    revision: u64,
    /// Until when frames of an earlier subscription may still come. `None` if that is not possible.
    stale_until: Option<Nanos>,
    /// When data first came.
    data_since: Option<Nanos>,
    /// The exchange is to be asked what the socket carries.
    list_due: bool,
}

/// The kinds of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    /// For the newest desired set.
    Subscribe,
    /// For the same desired set once more, to provoke an answer.
    Probe,
    /// For a list of what the socket carries. Only after the request for the desired set: so the format that it has to
    /// name is the one that the socket has.
    List,
}

/// The requests that one socket may send.
fn request_budget(config: &Config) -> Budget {
    let Config { pacing, limits, .. } = config;
    let rates = [
        Rate { count: pacing.share_of(limits.requests_per_second), window: Duration::from_secs(1) },
        Rate { count: pacing.share_of(limits.requests_per_minute), window: Duration::from_secs(60) },
    ];
    Budget::with_margin(rates, pacing.margin())
}

impl Requests {
    /// A socket that was asked nothing yet.
    pub fn new(config: &Config) -> Self {
        Self { budget: request_budget(config), newest: None }
    }

    /// The revision of the desired set that the socket carries.
    pub fn sent(&self) -> Option<u64> {
        self.newest.as_ref().map(|newest| newest.revision)
    }

    /// The exchange owes data for a request.
    pub fn expects_data(&self) -> bool {
        self.newest.is_some()
    }

    /// When data first came on the socket.
    pub fn data_since(&self) -> Option<Nanos> {
        self.newest.as_ref()?.data_since
    }

    pub fn state(&self) -> State {
        match &self.newest {
            None => State::Connected,
            Some(SentRequest { data_since: None, .. }) => State::Subscribing,
            Some(SentRequest { data_since: Some(_), .. }) => State::Active,
        }
    }

    /// Has the exchange asked for a list. Without a request on the socket there is nothing to ask about.
    pub fn list(&mut self) {
        if let Some(newest) = &mut self.newest {
            newest.list_due = true;
        }
    }

    /// When the next request may go out; never if none waits.
    pub fn deadline(&self, subscription: &SubscriptionState, liveness: &Liveness) -> Nanos {
        match self.next(subscription, liveness) {
            Some(_) => self.budget.free_at().max(subscription.refusal_backoff.until()),
            None => Nanos::NEVER,
        }
    }

    /// The request that waits. Only ever for the newest desired set.
    fn next(&self, subscription: &SubscriptionState, liveness: &Liveness) -> Option<Request> {
        match &self.newest {
            Some(newest) if newest.revision == subscription.desired.revision => {
                if liveness.is_probe_due() {
                    return Some(Request::Probe);
                }
                newest.list_due.then_some(Request::List)
            }
            _ => Some(Request::Subscribe),
        }
    }

    /// Takes one request from the budget, if there is one. Each socket has its own; a refusal holds for all of them.
    pub fn try_acquire(&mut self, now: Nanos, refusal_backoff: &RefusalBackoff) -> bool {
        refusal_backoff.until() <= now && self.budget.try_acquire(now).is_ok()
    }

    /// Writes the request that waits, as soon as the budget allows.
    pub fn send_next(
        &mut self,
        now: Nanos,
        epoch: Epoch,
        liveness: &mut Liveness,
        outbox: &mut Outbox,
        shared: &mut Shared,
    ) {
        let Some(next) = self.next(&shared.subscription, liveness) else { return };
        if !self.try_acquire(now, &shared.subscription.refusal_backoff) {
            return;
        }
        shared.reports.counters.requests += 1;
        match next {
            Request::List => self.send_list(outbox, shared),
            Request::Subscribe | Request::Probe => {
                let is_probe = self.begin_wait(now, next, liveness);
                self.send_subscription(now, epoch, is_probe, outbox, shared);
            }
        }
    }

    /// A request for the desired set is about to be sent, and the wait for data begins or goes on. True if the request
    /// has to be a probe.
    fn begin_wait(&self, now: Nanos, request: Request, liveness: &mut Liveness) -> bool {
        if self.newest.is_none() {
            liveness.expect_data(now);
            return false;
        }
        if request == Request::Probe {
            liveness.probed(now);
            return true;
        }
        liveness.changed(now)
    }

    fn send_subscription(
        &mut self,
        now: Nanos,
        epoch: Epoch,
        is_probe: bool,
        outbox: &mut Outbox,
        shared: &mut Shared,
    ) {
        let Shared { config, subscription, entropy, reports, .. } = shared;
        let DesiredSet { revision, streams, format, running } = &subscription.desired;
        let (from, sent) = (self.state(), self.sent());
        let again = sent == Some(*revision);
        subscription.refusal_backoff.requested(now);
        // A probe asks for a snapshot of everything.
        let running = if is_probe { Arc::default() } else { running.on(epoch, sent) };
        let ticket = entropy.ticket();
        outbox.text(&plan::request(&ticket, streams, &running, *format, config.endpoint.dialect()), &mut **entropy);
        self.subscribed(now, *revision);
        reports.event(Event::Requested { at: now, revision: *revision, format: *format, again, running });
        if from == State::Connected {
            reports.step(now, from, State::Subscribing, epoch);
        }
    }

    /// The request for this desired set was written.
    fn subscribed(&mut self, now: Nanos, revision: u64) {
        match &mut self.newest {
            Some(newest) => {
                let is_other = newest.revision != revision;
                newest.revision = revision;
                newest.stale_until = is_other.then(|| now + STALE_FRAMES);
            }
            None => {
                let sent = SentRequest { revision, stale_until: None, data_since: None, list_due: false };
                self.newest = Some(sent);
            }
        }
    }

    fn send_list(&mut self, outbox: &mut Outbox, shared: &mut Shared) {
        let ticket = shared.entropy.ticket();
        outbox.text(&plan::list_request(&ticket, shared.subscription.desired.format), &mut *shared.entropy);
        if let Some(newest) = &mut self.newest {
            newest.list_due = false;
        }
    }

    /// Data came.
    #[inline]
    pub fn handle_data(&mut self, now: Nanos, epoch: Epoch, shared: &mut Shared) {
        if self.data_since().is_none() || shared.subscription.awaits_data() {
            self.handle_awaited_data(now, epoch, shared);
        }
    }

    #[cold]
    fn handle_awaited_data(&mut self, now: Nanos, epoch: Epoch, shared: &mut Shared) {
        // Data before our request would be somebody else's; the state says Active only for what we asked for.
        let Some(newest) = &mut self.newest else { return };
        let subscription = &mut shared.subscription;
        // Frames of the subscription before are no answer to this one: it may ask for markets that do not exist.
        subscription.had_data |= newest.stale_until.is_none_or(|until| now > until);
        subscription.refusal_backoff.data(now);
        subscription.mute_sockets = 0;
        if newest.data_since.is_none() {
            newest.data_since = Some(now);
            shared.reports.step(now, State::Subscribing, State::Active, epoch);
        }
    }

    /// The exchange refused a request. It closes the socket after this. Should it not, what it refused is asked for again
    /// after the block.
    pub fn handle_refusal(&self, now: Nanos, liveness: &mut Liveness, subscription: &mut SubscriptionState) {
        subscription.refusal_backoff.refused(now);
        if self.expects_data() {
            // What was under way is not answered, and says nothing.
            liveness.request_probe();
        }
    }
}
