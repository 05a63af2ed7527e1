//! The desired set of a connection, and the requests of one socket for it.

use std::sync::Arc;
use std::time::Duration;

use super::entropy::EntropyExt;
use super::liveness::Liveness;
use super::outbox::Outbox;
use super::refusal_backoff::RefusalBackoff;
use super::shared::Shared;
use super::{Budget, Event, FailureCause, Rate, RecoveryAction, State};
use crate::config::Config;
use crate::model::planted::{Place, reach};
use crate::model::{Epoch, Nanos};
use crate::plan::{self, DesiredSet};
use crate::wire::{ErrorName, ServerError};

/// How long frames of the old subscription may still arrive after a request that replaces it. At most two were
/// observed, within one round trip.
const STALE_FRAMES: Duration = Duration::from_secs(1);

/// The desired set, and how the exchange has answered so far on any socket of the connection.
pub(super) struct SubscriptionState {
    desired: DesiredSet,
    /// Holds requests back after the exchange refused one.
    pub refusal_backoff: RefusalBackoff,
    /// True once data has arrived for a stream of the desired set.
    had_data: bool,
    /// The number of sockets in a row that were replaced because they were mute.
    mute_sockets: u32,
    list_support: ListSupport,
}

/// Whether the exchange answers requests for a list of the subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ListSupport {
    /// None was requested yet, or no conclusion was possible.
    Unknown,
    /// The first list was requested at this time.
    Asked(Nanos),
    Works,
    /// The exchange answered with an error or closed the socket. No list is requested any more.
    Refused,
}

/// An error or a disconnect within this time after a request is the answer to it.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

impl SubscriptionState {
    /// Creates the state of a connection that wants no streams.
    pub fn new(config: &Config) -> Self {
        let refusal_backoff = RefusalBackoff::new(config.pacing.margin());
        Self {
            desired: DesiredSet::default(),
            refusal_backoff,
            had_data: false,
            mute_sockets: 0,
            list_support: ListSupport::Unknown,
        }
    }

    /// Returns true if any stream is wanted.
    pub fn has_streams(&self) -> bool {
        !self.desired.streams.is_empty()
    }

    /// Replaces the desired set. `epoch` is that of the newest socket, and `sent` is the revision it carries. Returns
    /// false if the revision is the current one.
    pub fn set_desired(&mut self, desired: DesiredSet, epoch: Epoch, sent: Option<u64>) -> bool {
        if desired.revision == self.desired.revision {
            return false;
        }
        // Streams that run and stay in the set have already sent data.
        self.had_data &= !desired.running.on(epoch, sent).is_empty();
        self.desired = desired;
        true
    }

    /// Returns true if new data can change this state.
    #[inline]
    fn awaits_data(&self) -> bool {
        !self.had_data || self.refusal_backoff.has_refusals()
    }

    /// Returns true if the unanswered probe means that the socket is mute.
    pub fn is_mute(&self, liveness: &Liveness) -> bool {
        liveness.is_mute(self.had_data, self.mute_sockets)
    }

    /// Records that the exchange answered with a list.
    pub fn listed(&mut self) {
        self.list_support = ListSupport::Works;
    }

    /// Records an error of the exchange, or that the exchange ended the socket. An exchange that does not know requests
    /// for a list does one of these, and is not asked again: each question would cost a socket.
    pub fn refused_something(&mut self, now: Nanos) {
        if let ListSupport::Asked(at) = self.list_support {
            let is_answer = now.since(at) <= ANSWER_WITHIN;
            self.list_support = if is_answer { ListSupport::Refused } else { ListSupport::Unknown };
        }
    }

    /// Records that a socket was replaced because it was mute.
    pub fn replaced_mute_socket(&mut self) {
        self.mute_sockets += 1;
    }
}

/// The requests of one socket.
pub(super) struct Requests {
    budget: Budget,
    /// The newest subscription request. `None` before the first.
    newest: Option<SentRequest>,
    /// The newest error with which the exchange has answered. It closes the socket after each.
    error: Option<ErrorName>,
}

/// What the socket carries since its newest subscription request.
struct SentRequest {
    /// The revision of the desired set.
    revision: u64,
    /// Until when frames of an earlier subscription may still arrive. `None` if there was none.
    stale_until: Option<Nanos>,
    /// When data first arrived on the socket.
    data_since: Option<Nanos>,
    /// True if a list of the subscriptions must be requested.
    list_due: bool,
    /// When the request was sent. `None` once the exchange has refused it, or another request has followed, so that an
    /// error says nothing about this one.
    answerable_since: Option<Nanos>,
}

/// The kinds of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    /// Subscribes to the newest desired set.
    Subscribe,
    /// Repeats the request for the same desired set, to provoke an answer.
    Probe,
    /// Asks for a list of what the socket carries. Sent only after the request for the desired set, because it also
    /// sets the format of the socket.
    List,
}

/// Returns the limits on the requests of one socket.
fn request_rates(config: &Config) -> [Rate; 2] {
    let Config { pacing, limits, .. } = config;
    [
        Rate { count: pacing.share_of(limits.requests_per_second), window: Duration::from_secs(1) },
        Rate { count: pacing.share_of(limits.requests_per_minute), window: Duration::from_secs(60) },
    ]
}

impl Requests {
    /// Creates the state of a socket without requests.
    pub fn new(config: &Config) -> Self {
        let budget = Budget::with_margin(request_rates(config), config.pacing.margin());
        Self { budget, newest: None, error: None }
    }

    /// Applies other limits from now on. Earlier requests still count.
    pub fn set_config(&mut self, config: &Config) {
        self.budget.set_rates(request_rates(config), config.pacing.margin());
    }

    /// Returns the revision of the desired set that the socket carries.
    pub fn sent(&self) -> Option<u64> {
        self.newest.as_ref().map(|newest| newest.revision)
    }

    /// Returns true if the exchange owes data for a request.
    pub fn expects_data(&self) -> bool {
        self.newest.is_some()
    }

    /// Returns when data first arrived on the socket.
    pub fn data_since(&self) -> Option<Nanos> {
        self.newest.as_ref()?.data_since
    }

    /// Returns the newest error with which the exchange has answered on this socket.
    pub fn error(&self) -> Option<ErrorName> {
        self.error
    }

    pub fn state(&self) -> State {
        match &self.newest {
            None => State::Connected,
            Some(SentRequest { data_since: None, .. }) => State::Subscribing,
            Some(SentRequest { data_since: Some(_), .. }) => State::Active,
        }
    }

    /// Requests a list of the subscriptions. Has no effect before the first subscription request, and if the exchange has
    /// refused to list them.
    pub fn list(&mut self, subscription: &SubscriptionState) {
        if let Some(newest) = &mut self.newest {
            newest.list_due = subscription.list_support != ListSupport::Refused;
        }
    }

    /// Returns when the next request may be sent; `NEVER` if none is pending.
    pub fn deadline(&self, subscription: &SubscriptionState, liveness: &Liveness) -> Nanos {
        match self.next(subscription, liveness) {
            Some(_) => self.budget.free_at().max(subscription.refusal_backoff.until()),
            None => Nanos::NEVER,
        }
    }

    /// Returns the pending request. A subscription is always for the newest desired set.
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

    /// Takes one request from the budget, if one is free. Each socket has its own budget; a refusal blocks all of them.
    pub fn try_acquire(&mut self, now: Nanos, refusal_backoff: &RefusalBackoff) -> bool {
        refusal_backoff.until() <= now && self.budget.try_acquire(now).is_ok()
    }

    /// Writes the pending request if the budget allows it now, and the outbox has room for it.
    pub fn send_next(
        &mut self,
        now: Nanos,
        epoch: Epoch,
        liveness: &mut Liveness,
        outbox: &mut Outbox,
        shared: &mut Shared,
    ) {
        let Some(next) = self.next(&shared.subscription, liveness) else { return };
        if outbox.is_full() || !self.try_acquire(now, &shared.subscription.refusal_backoff) {
            return;
        }
        shared.reports.counters.requests += 1;
        match next {
            Request::List => self.send_list(now, outbox, shared),
            Request::Subscribe | Request::Probe => {
                let is_probe = self.begin_wait(now, next, liveness);
                self.send_subscription(now, epoch, is_probe, outbox, shared);
            }
        }
    }

    /// Prepares for a subscription request: begins the wait for data, or continues it. Returns true if the request must
    /// be a probe.
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
        let DesiredSet { revision, streams, format, running, checked } = &subscription.desired;
        reach(Place::Request, |code| streams.keys().any(|key| key.scope.to_string() == code));
        let (from, sent) = (self.state(), self.sent());
        let again = sent == Some(*revision);
        subscription.refusal_backoff.requested(now);
        // A probe requests a snapshot of every stream.
        let (running, checked) = match is_probe {
            true => (Arc::default(), Arc::new(streams.keys().collect())),
            false => (running.on(epoch, sent), Arc::clone(checked)),
        };
        let (ticket, dialect) = (entropy.ticket(), config.endpoint.dialect());
        outbox.text(&plan::request(&ticket, streams, &running, &checked, *format, dialect), &mut **entropy);
        self.subscribed(now, *revision);
        reports.event(Event::Requested { at: now, revision: *revision, format: *format, again, running });
        if from == State::Connected {
            reports.step(now, from, State::Subscribing, epoch);
        }
    }

    /// Records that the request for this revision was written.
    fn subscribed(&mut self, now: Nanos, revision: u64) {
        match &mut self.newest {
            Some(newest) => {
                let is_other = newest.revision != revision;
                newest.revision = revision;
                newest.stale_until = is_other.then(|| now + STALE_FRAMES);
                newest.answerable_since = Some(now);
            }
            None => {
                self.newest = Some(SentRequest {
                    revision,
                    stale_until: None,
                    data_since: None,
                    list_due: false,
                    answerable_since: Some(now),
                });
            }
        }
    }

    fn send_list(&mut self, now: Nanos, outbox: &mut Outbox, shared: &mut Shared) {
        if shared.subscription.list_support == ListSupport::Unknown {
            shared.subscription.list_support = ListSupport::Asked(now);
        }
        let ticket = shared.entropy.ticket();
        outbox.text(&plan::list_request(&ticket, shared.subscription.desired.format), &mut *shared.entropy);
        if let Some(newest) = &mut self.newest {
            (newest.list_due, newest.answerable_since) = (false, None);
        }
    }

    /// Handles the arrival of data.
    #[inline]
    pub fn handle_data(&mut self, now: Nanos, epoch: Epoch, shared: &mut Shared) {
        if self.data_since().is_none() || shared.subscription.awaits_data() {
            self.handle_awaited_data(now, epoch, shared);
        }
    }

    #[cold]
    fn handle_awaited_data(&mut self, now: Nanos, epoch: Epoch, shared: &mut Shared) {
        // Data that arrives before the first request is ignored here: only requested data makes the state Active.
        let Some(newest) = &mut self.newest else { return };
        let subscription = &mut shared.subscription;
        // Frames of the replaced subscription say nothing about this one, which may name only markets that do not
        // exist.
        subscription.had_data |= newest.stale_until.is_none_or(|until| now > until);
        subscription.refusal_backoff.data(now);
        subscription.mute_sockets = 0;
        if newest.data_since.is_none() {
            newest.data_since = Some(now);
            shared.reports.step(now, State::Subscribing, State::Active, epoch);
        }
    }

    /// Handles an error of the exchange. The exchange closes the socket after each. If it does not, a request that came
    /// too early is sent again after the block.
    #[cold]
    pub fn handle_error(&mut self, now: Nanos, error: ServerError, liveness: &mut Liveness, shared: &mut Shared) {
        self.error = Some(error.name);
        shared.subscription.refused_something(now);
        match FailureCause::ServerError(error.name).rule().action {
            RecoveryAction::HoldRequests => {
                shared.reports.counters.requests_refused += 1;
                shared.subscription.refusal_backoff.refused(now);
                if self.expects_data() {
                    // An unanswered probe proves nothing now, so a new one is due.
                    liveness.request_probe();
                }
            }
            RecoveryAction::SplitRequest => self.report_refusal(now, &error, shared),
            _ => {}
        }
        shared.reports.server_error(now, error);
    }

    /// Reports that the exchange has refused the newest subscription request, if the error can be the answer to it.
    fn report_refusal(&mut self, now: Nanos, error: &ServerError, shared: &mut Shared) {
        let Some(newest) = &mut self.newest else { return };
        if newest.answerable_since.take().is_some_and(|since| now.since(since) <= ANSWER_WITHIN) {
            shared.reports.counters.requests_refused += 1;
            let (revision, error) = (newest.revision, error.clone());
            shared.reports.event(Event::RequestRefused { at: now, revision, error });
        }
    }
}
