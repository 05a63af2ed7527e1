//! The planner's view of one connection: issued desired sets, sent requests, and confirmed streams.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::list_check::{ListCheck, ListDifference};
use super::refusal_search::RefusalSearch;
use super::{Depth, DesiredSet, Mode, Running, StreamSet, StreamSpec};
use crate::model::{Epoch, Format, Nanos, StreamKey};

/// A request that was not refused within this time counts as accepted.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// The maximum number of unsent desired sets that are kept. While demand changes and the request limit is used up, any
/// number may be issued; older ones are only summarized.
const UNSENT_MAX: usize = 8;

/// What is known about a requested stream on the current socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confirmation {
    /// The stream was requested, and no data has arrived yet.
    Pending,
    /// Its data has arrived.
    Data,
    /// The exchange lists the stream. For the changes of a market without trades, there is no stronger evidence.
    Listed,
    /// The stream was requested twice, and no data arrived: the market is unknown or suspended.
    Unconfirmed,
    /// The exchange refuses requests for the stream, so it is left out.
    Refused,
}

/// A stream on the current socket.
#[derive(Debug, Clone, Copy)]
struct Carried {
    spec: StreamSpec,
    /// The revision of the desired set whose request started the stream, or last repeated it before its first data.
    revision: u64,
    /// When the stream was last started. Data received after this confirms the stream.
    since: Nanos,
    /// When the stream was last requested or escalated.
    asked_at: Nanos,
    confirmation: Confirmation,
    escalation: Escalation,
    /// The revision of the first desired set that requests the stream again because a holder needs another snapshot; 0
    /// if none.
    snapshot_by: u64,
    /// Its data is in doubt, so it is requested with a snapshot, even if only its changes are wanted.
    is_checked: bool,
}

/// The steps already taken for a stream without data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escalation {
    Requested,
    /// The exchange was asked for a list of the connection's subscriptions.
    Listed,
    /// The request was sent again.
    Resent,
}

/// The planner's view of one connection.
#[derive(Debug, Default)]
pub(super) struct ConnectionPlan {
    /// The message format from the next desired set on.
    pub format: Format,
    /// The newest desired set.
    desired: DesiredSet,
    /// The desired sets that may be sent next, oldest first. The last is `desired`, which may have been sent already.
    unsent: VecDeque<DesiredSet>,
    /// The summary of older unsent sets.
    evicted: Option<Evicted>,
    /// The epoch of the open socket.
    socket: Option<Epoch>,
    /// The revision that the socket carries.
    sent: Option<u64>,
    /// True if a request for an evicted desired set was sent after `sent`.
    lost_track: bool,
    /// True if some stream needs another snapshot.
    needs_snapshot: bool,
    carried: BTreeMap<StreamKey, Carried>,
    list_check: ListCheck,
    /// Finds the streams for which the exchange refuses requests.
    pub refusal_search: RefusalSearch,
    /// When the newest request was sent, until the exchange is known to accept it.
    unanswered_since: Option<Nanos>,
}

/// The summary of unsent desired sets that were evicted.
#[derive(Debug)]
struct Evicted {
    /// Streams that continue no matter which of the sets is sent, each with the smallest depth requested.
    common: BTreeMap<StreamKey, Depth>,
    /// Streams that any of the sets requests.
    any: BTreeSet<StreamKey>,
}

/// The actions due after a check of streams without data.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct CheckOutcome {
    /// Ask the exchange for a list of the connection's subscriptions.
    pub list: bool,
    /// Send the request again.
    pub resend: bool,
    /// Request other streams, because the exchange has accepted those that were tried.
    pub next_group: bool,
    /// Streams that have become unconfirmed.
    pub unconfirmed: Vec<StreamKey>,
}

impl ConnectionPlan {
    /// Creates a plan for a connection that carries nothing.
    pub fn new(format: Format) -> Self {
        Self { format, desired: DesiredSet { format, ..DesiredSet::default() }, ..Self::default() }
    }

    /// Returns the streams of the newest desired set.
    pub fn streams(&self) -> &StreamSet {
        &self.desired.streams
    }

    /// Returns true if a request was sent on the current socket.
    pub fn has_sent(&self) -> bool {
        self.sent.is_some()
    }

    /// Returns true if the socket carries the newest desired set, or none is wanted.
    pub fn is_settled(&self) -> bool {
        self.desired.streams.is_empty() || self.sent == Some(self.desired.revision)
    }

    /// Returns the revision that the socket carries; 0 if none.
    pub fn sent(&self) -> u64 {
        self.sent.unwrap_or(0)
    }

    /// Returns the first revision with a stream that is not confirmed yet.
    pub fn first_pending(&self) -> Option<u64> {
        self.carried.values().filter(|c| c.confirmation == Confirmation::Pending).map(|c| c.revision).min()
    }

    /// Requests another snapshot of a stream that is carried as snapshots only, for a new holder.
    pub fn request_snapshot(&mut self, key: StreamKey) {
        if let Some(carried) = self.carried.get_mut(&key) {
            carried.snapshot_by = self.desired.revision + 1;
        }
        // Needed even if no request for the stream was reported yet: the snapshot of that request may be older than the
        // new holder.
        self.needs_snapshot = true;
    }

    /// Requests a stream again, with a snapshot, because its data is in doubt. Returns false if it is not carried, or if
    /// its data is awaited already.
    pub fn check_stream(&mut self, now: Nanos, key: StreamKey) -> bool {
        let Some(carried) = self.carried.get_mut(&key) else { return false };
        if carried.confirmation == Confirmation::Pending {
            return false;
        }
        // A list would not prove that the stream still works.
        let (confirmation, escalation) = (Confirmation::Pending, Escalation::Listed);
        *carried = Carried { since: now, asked_at: now, confirmation, escalation, is_checked: true, ..*carried };
        if carried.spec.mode == Mode::SnapshotOnly {
            carried.snapshot_by = self.desired.revision + 1;
        }
        self.needs_snapshot = true;
        true
    }

    /// Returns true if a new request is needed even if the streams are unchanged.
    pub fn must_resend(&self) -> bool {
        self.needs_snapshot || self.format != self.desired.format
    }

    /// Returns true if the stream is on the wire, or an unsent desired set may put it there.
    pub fn may_carry(&self, key: StreamKey) -> bool {
        self.lost_track
            || self.carried.contains_key(&key)
            || self.unsent.iter().any(|desired| desired.streams.get(key).is_some())
            || self.evicted.as_ref().is_some_and(|evicted| evicted.any.contains(&key))
    }

    /// Returns true if the stream may be on the wire, and an unsent desired set would end or interrupt it for a holder
    /// that wants it as `spec`.
    pub fn would_interrupt(&self, spec: &StreamSpec) -> bool {
        self.may_carry(spec.key) && !self.goes_on(spec)
    }

    /// Issues a desired set with these streams.
    pub fn issue(&mut self, revision: u64, streams: StreamSet) -> DesiredSet {
        let running = self.running(&streams);
        let checked = self.carried.values().filter(|carried| carried.is_checked).map(|carried| carried.spec.key);
        let checked = Arc::new(checked.collect());
        self.desired = DesiredSet { revision, streams, format: self.format, running, checked };
        self.needs_snapshot = false;
        if self.socket.is_none() {
            // Only the newest set is sent after a reconnect.
            self.unsent.clear();
        } else if self.unsent.len() == UNSENT_MAX {
            self.evict_oldest();
        }
        self.unsent.push_back(self.desired.clone());
        self.desired.clone()
    }

    fn evict_oldest(&mut self) {
        let Some(oldest) = self.unsent.pop_front().filter(|desired| !self.is_sent(desired)) else { return };
        let going_on = oldest.streams.specs().iter().filter(|spec| leaves_running(&oldest, spec, self.socket));
        match &mut self.evicted {
            None => {
                let common = going_on.map(|spec| (spec.key, spec.depth)).collect();
                self.evicted = Some(Evicted { common, any: oldest.streams.keys().collect() });
            }
            Some(Evicted { common, any }) => {
                let depth = |spec: &StreamSpec| Some((spec.key, spec.depth.min(*common.get(&spec.key)?)));
                *common = going_on.filter_map(depth).collect();
                any.extend(oldest.streams.keys());
            }
        }
    }

    fn is_sent(&self, desired: &DesiredSet) -> bool {
        self.sent == Some(desired.revision)
    }

    /// Returns the streams that continue without a new snapshot: their data has arrived since they were requested, and
    /// each message carries the whole state.
    fn running(&self, streams: &StreamSet) -> Running {
        let runs = |spec: &&StreamSpec| {
            let carried = self.carried.get(&spec.key).filter(|carried| carried.confirmation == Confirmation::Data);
            spec.mode == Mode::All && carried.is_some_and(|carried| continues(&carried.spec, spec))
        };
        let running: Vec<_> = streams.specs().iter().filter(runs).collect();
        Running {
            epoch: self.socket.unwrap_or_default(),
            keys: Arc::new(running.iter().filter(|spec| self.goes_on(spec)).map(|spec| spec.key).collect()),
            sent: self.sent,
            unless_sent: Arc::new(running.iter().map(|spec| spec.key).collect()),
        }
    }

    /// Returns true if the stream, if it runs, continues no matter which unsent desired set is sent next.
    fn goes_on(&self, spec: &StreamSpec) -> bool {
        let by = |desired: &DesiredSet| {
            let other = desired.streams.get(spec.key);
            other.is_some_and(|other| other.depth >= spec.depth && leaves_running(desired, other, self.socket))
        };
        self.common(spec.key).is_none_or(|depth| depth.is_some_and(|depth| depth >= spec.depth))
            && self.unsent.iter().filter(|desired| !self.is_sent(desired)).all(by)
    }

    /// Returns the smallest depth that the evicted sets request for a stream: `None` if no set was evicted,
    /// `Some(None)` if the stream does not continue under all of them.
    fn common(&self, key: StreamKey) -> Option<Option<Depth>> {
        self.evicted.as_ref().map(|evicted| evicted.common.get(&key).copied())
    }

    /// Handles the opening of a socket.
    pub fn opened(&mut self, epoch: Epoch) {
        self.disconnected();
        self.socket = Some(epoch);
    }

    /// Forgets what the socket carries, after a panic. Until the next desired set is sent, no stream is known to run.
    pub fn rebuild(&mut self) {
        (self.lost_track, self.needs_snapshot) = (self.socket.is_some(), true);
        self.carried.clear();
        self.unsent.clear();
        self.evicted = None;
    }

    /// Handles the end of the socket and of all streams on it.
    pub fn disconnected(&mut self) {
        self.socket = None;
        self.sent = None;
        self.list_check.disconnected();
        self.unanswered_since = None;
        self.lost_track = false;
        self.carried.clear();
        self.evicted = None;
        let newest = self.desired.revision;
        self.unsent.retain(|desired| desired.revision == newest);
    }

    /// Handles the sending of a request. Returns the streams that it removed from the wire.
    pub fn requested(&mut self, at: Nanos, revision: u64) -> Vec<StreamKey> {
        self.list_check.requested(at);
        let Some(desired) = self.unsent.iter().find(|desired| desired.revision == revision).cloned() else {
            // The set was evicted. Until the newest set is sent, no stream is known to run.
            self.lost_track = true;
            self.carried.clear();
            return Vec::new();
        };
        let running = desired.running.on(self.socket.unwrap_or_default(), self.sent);
        // Later requests are only for newer sets, never for an evicted one.
        self.evicted = None;
        // Keep the newest set, which is sent again after a reconnect.
        self.unsent.retain(|w| w.revision > revision || w.revision == self.desired.revision);
        (self.sent, self.lost_track) = (Some(revision), false);
        self.unanswered_since = Some(at);
        let left =
            self.carried.extract_if(.., |key, _| desired.streams.get(*key).is_none()).map(|(key, _)| key).collect();
        for &spec in desired.streams.specs() {
            let (confirmation, escalation) = (Confirmation::Pending, Escalation::Requested);
            let (snapshot_by, is_checked) = (0, false);
            let new =
                Carried { spec, revision, since: at, asked_at: at, confirmation, escalation, snapshot_by, is_checked };
            let starts = spec.mode == Mode::All && !running.contains(&spec.key);
            self.carried.entry(spec.key).and_modify(|carried| carried.ask(new, starts)).or_insert(new);
        }
        left
    }

    /// Returns true if the exchange's list must be requested now, to compare it with what was requested. While a desired
    /// set waits to be sent, the answer would say nothing.
    pub fn is_list_due(&mut self, now: Nanos) -> bool {
        self.is_settled() && self.socket.is_some() && self.list_check.is_due(now)
    }

    /// Returns when the exchange's list must be requested next.
    pub fn next_list(&self) -> Nanos {
        if self.is_settled() { self.list_check.next() } else { Nanos::NEVER }
    }

    /// Handles the exchange's list of subscriptions, and returns how it differs from what was requested. If the
    /// socket carries unwanted streams, the request is sent again, which ends them.
    pub fn listed(
        &mut self,
        listed: &BTreeSet<StreamKey>,
        heard: impl Fn(StreamKey) -> Option<Nanos>,
    ) -> ListDifference {
        self.confirm_listed(listed);
        let difference = match self.is_settled() {
            true => self.list_check.compare(self.carried.keys().copied(), listed, heard),
            false => ListDifference::default(),
        };
        self.needs_snapshot |= !difference.unwanted.is_empty();
        difference
    }

    fn confirm_listed(&mut self, listed: &BTreeSet<StreamKey>) {
        for (key, carried) in &mut self.carried {
            if carried.confirmation == Confirmation::Pending
                && carried.spec.mode == Mode::RealtimeOnly
                && !carried.is_checked
                && listed.contains(key)
            {
                carried.confirmation = Confirmation::Listed;
            }
        }
    }

    /// Checks unconfirmed streams. `heard` returns the time of a stream's newest data and its socket's epoch.
    pub fn check(
        &mut self,
        now: Nanos,
        confirm_within: Duration,
        mut heard: impl FnMut(StreamKey) -> Option<(Epoch, Nanos)>,
    ) -> CheckOutcome {
        let mut outcome = CheckOutcome::default();
        let Some(epoch) = self.socket else { return outcome };
        let mut is_answered = self.unanswered_since.is_some_and(|since| now.since(since) > ANSWER_WITHIN);
        for (key, carried) in &mut self.carried {
            if carried.confirmation == Confirmation::Data {
                continue;
            }
            if heard(*key).is_some_and(|(e, received)| e == epoch && received > carried.since) {
                (carried.confirmation, carried.is_checked) = (Confirmation::Data, false);
                is_answered |= self.unanswered_since == Some(carried.since);
            } else if carried.confirmation == Confirmation::Pending && now.since(carried.asked_at) >= confirm_within {
                carried.escalate(now, &mut outcome);
            }
        }
        if is_answered {
            self.unanswered_since = None;
            outcome.next_group = self.is_accepted();
        }
        outcome
    }

    /// Records that the exchange has accepted the newest request. Returns true if other streams must be requested now.
    fn is_accepted(&mut self) -> bool {
        let streams = self.carried.keys().copied();
        self.refusal_search.awaits(streams.clone()) && self.refusal_search.accept(streams)
    }

    /// Records that the exchange has refused the request of a desired set. Returns the streams that are left out from
    /// now on.
    pub fn refused(&mut self, now: Nanos, revision: u64, reason: &str) -> Vec<StreamKey> {
        self.unanswered_since = None;
        let streams = match self.unsent.iter().find(|desired| desired.revision == revision) {
            Some(desired) => desired.streams.clone(),
            None if self.sent == Some(revision) => self.carried.values().map(|carried| carried.spec).collect(),
            None => return Vec::new(),
        };
        self.refusal_search.refuse(now, &streams, reason)
    }

    /// Returns the streams of the current socket and their confirmations.
    pub fn confirmations(&self) -> impl Iterator<Item = (StreamKey, Confirmation)> + '_ {
        self.carried.values().map(|carried| (carried.spec.key, self.confirmation_now(carried)))
    }

    /// Returns the confirmation of a stream on the current socket.
    pub fn confirmation(&self, key: StreamKey) -> Option<Confirmation> {
        if self.refusal_search.reason(key).is_some() {
            return Some(Confirmation::Refused);
        }
        self.carried.get(&key).map(|carried| self.confirmation_now(carried))
    }

    /// Returns the confirmation of a stream for a holder that wants it as `spec`: [`Confirmation::Pending`] until it is
    /// requested in that way.
    pub fn confirmation_for(&self, spec: &StreamSpec) -> Option<Confirmation> {
        if self.refusal_search.reason(spec.key).is_some() {
            return Some(Confirmation::Refused);
        }
        let carried = self.carried.get(&spec.key)?;
        if covers(&carried.spec, spec) { self.confirmation(spec.key) } else { Some(Confirmation::Pending) }
    }

    /// Returns `Pending` instead of the stored confirmation if an unsent desired set omits the stream, which may then
    /// leave the wire, or if another snapshot of it is needed.
    fn confirmation_now(&self, carried: &Carried) -> Confirmation {
        let key = carried.spec.key;
        let is_in = |desired: &DesiredSet| self.is_sent(desired) || desired.streams.get(key).is_some();
        let stays = self.common(key).is_none_or(|depth| depth.is_some()) && self.unsent.iter().all(is_in);
        if stays && carried.snapshot_by == 0 { carried.confirmation } else { Confirmation::Pending }
    }

    /// Returns the lowest confirmation among the streams without data, which may still change; `None` if all have data.
    pub fn least_confirmed(&self) -> Option<Confirmation> {
        self.carried.values().map(|c| c.confirmation).filter(|confirmation| *confirmation != Confirmation::Data).min()
    }
}

impl Carried {
    /// Records another request for the stream. `starts` is true if the request asks for a snapshot.
    fn ask(&mut self, new: Self, starts: bool) {
        let is_again = (1..=new.revision).contains(&self.snapshot_by);
        let starts = starts || (is_again && new.spec.mode == Mode::SnapshotOnly);
        let is_new = starts || !continues(&self.spec, &new.spec);
        let snapshot_by = if is_again { 0 } else { self.snapshot_by };
        let is_checked = self.is_checked;
        let new = Self { snapshot_by, is_checked, ..new };
        let same = Self { spec: new.spec, snapshot_by, ..*self };
        *self = match self.confirmation {
            // The stream has its state and continues, or it needs none.
            Confirmation::Data if !is_new => same,
            Confirmation::Listed if !is_new && new.spec.mode == Mode::RealtimeOnly => same,
            Confirmation::Data | Confirmation::Listed => new,
            // Keep the escalation of a stream without data.
            silent if !is_new => Self { confirmation: silent, escalation: self.escalation, since: self.since, ..new },
            silent => Self { confirmation: silent, escalation: self.escalation, ..new },
        };
    }

    /// Takes the next step of the escalation of a stream that has brought no data for too long.
    fn escalate(&mut self, now: Nanos, outcome: &mut CheckOutcome) {
        let realtime_only = self.spec.mode == Mode::RealtimeOnly;
        self.escalation = match self.escalation {
            Escalation::Requested if realtime_only => {
                outcome.list = true;
                Escalation::Listed
            }
            Escalation::Requested | Escalation::Listed => {
                outcome.resend = true;
                Escalation::Resent
            }
            Escalation::Resent => {
                self.confirmation = Confirmation::Unconfirmed;
                outcome.unconfirmed.push(self.spec.key);
                return;
            }
        };
        // Wait for the new request, which sets `asked_at` again, or for the answer.
        self.asked_at = now;
    }
}

/// Returns true if a stream carried as `old` serves `new` without being started again.
fn continues(old: &StreamSpec, new: &StreamSpec) -> bool {
    old == new || old.serves(new)
}

/// Returns true if a stream carried as `carried` delivers everything that `spec` requests.
fn covers(carried: &StreamSpec, spec: &StreamSpec) -> bool {
    (carried.mode == Mode::All || carried.mode == spec.mode) && spec.depth <= carried.depth
}

/// Returns true if a running stream continues when this desired set, which contains it as `spec`, is sent on the
/// socket: its changes do not end, and they do not wait for another snapshot.
fn leaves_running(desired: &DesiredSet, spec: &StreamSpec, socket: Option<Epoch>) -> bool {
    match spec.mode {
        Mode::SnapshotOnly => false,
        Mode::RealtimeOnly => true,
        Mode::All => socket == Some(desired.running.epoch) && desired.running.keys.contains(&spec.key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DataType;

    fn streams(codes: &[&str]) -> StreamSet {
        codes.iter().map(|code| StreamKey::of(DataType::Ticker, code.parse().unwrap())).collect()
    }

    fn at(s: u64) -> Nanos {
        Nanos::from_millis(1_000_000 + s * 1000)
    }

    /// Returns a plan whose socket carries `codes`, which all run.
    fn running(codes: &[&str]) -> ConnectionPlan {
        let mut plan = ConnectionPlan::default();
        plan.opened(Epoch(1));
        plan.issue(1, streams(codes));
        plan.requested(at(0), 1);
        plan.check(at(1), Duration::from_secs(3), |_| Some((Epoch(1), at(1))));
        plan
    }

    /// Regression test: while no request could be sent, each change of demand left a copy of the whole desired set.
    #[test]
    fn unsent_desired_sets_do_not_pile_up() {
        let mut offline = ConnectionPlan::default();
        let mut held_back = running(&["KRW-BTC"]);
        for revision in 2..10_000 {
            offline.issue(revision, streams(&["KRW-BTC"]));
            held_back.issue(revision, streams(&["KRW-BTC"]));
        }
        assert!(offline.unsent.len() <= UNSENT_MAX && held_back.unsent.len() <= UNSENT_MAX);
        let btc = streams(&["KRW-BTC"]);
        assert_eq!(held_back.issue(10_000, btc).running.keys.len(), 1, "a stream in all the unsent sets still runs");
    }

    #[test]
    fn a_stream_that_an_evicted_desired_set_omits_does_not_run() {
        let mut plan = running(&["KRW-BTC", "KRW-ETH"]);
        plan.issue(2, streams(&["KRW-BTC"]));
        let both = || streams(&["KRW-BTC", "KRW-ETH"]);
        for revision in 3..100 {
            let issued = plan.issue(revision, both());
            assert_eq!(
                issued.running.keys.len(),
                1,
                "the exchange may have dropped one of them by revision {revision}"
            );
        }
        // Only the newest set was sent, and later data shows that both streams run again.
        plan.requested(at(3), 99);
        plan.check(at(4), Duration::from_secs(3), |_| Some((Epoch(1), at(4))));
        assert_eq!(plan.issue(100, both()).running.keys.len(), 2);
    }

    #[test]
    fn no_stream_runs_after_the_request_of_an_evicted_desired_set() {
        let mut plan = running(&["KRW-BTC"]);
        for revision in 2..100 {
            plan.issue(revision, streams(&["KRW-BTC"]));
        }
        plan.requested(at(3), 2);
        assert_eq!(plan.issue(100, streams(&["KRW-BTC"])).running.keys.len(), 0);
    }

    fn btc(mode: Mode, levels: Depth) -> StreamSet {
        let key = StreamKey::of(DataType::Orderbook, "KRW-BTC".parse().unwrap());
        [StreamSpec { key, mode, depth: levels }].into_iter().collect()
    }

    /// Returns a plan whose socket carries a running book of ten levels.
    fn running_book() -> ConnectionPlan {
        let mut plan = ConnectionPlan::default();
        plan.opened(Epoch(1));
        plan.issue(1, btc(Mode::All, Depth::levels(10)));
        plan.requested(at(0), 1);
        plan.check(at(1), Duration::from_secs(3), |_| Some((Epoch(1), at(1))));
        plan
    }

    /// Returns the number of running streams if the first desired set was sent last, and if a later one was.
    fn runs(desired: &DesiredSet) -> (usize, usize) {
        (desired.running.on(Epoch(1), Some(1)).len(), desired.running.on(Epoch(1), Some(2)).len())
    }

    /// No message contains the changes between the two requests.
    #[test]
    fn a_stream_does_not_run_after_a_request_that_ends_its_changes() {
        let mut plan = running_book();
        plan.issue(2, btc(Mode::SnapshotOnly, Depth::levels(10)));
        assert_eq!(runs(&plan.issue(3, btc(Mode::All, Depth::levels(10)))), (1, 0));
    }

    /// The newest message may have had fewer levels.
    #[test]
    fn a_stream_does_not_run_after_a_request_for_fewer_levels() {
        let mut plan = running_book();
        plan.issue(2, btc(Mode::All, Depth::levels(5)));
        assert_eq!(runs(&plan.issue(3, btc(Mode::All, Depth::levels(10)))), (1, 0));
        assert_eq!(runs(&plan.issue(4, btc(Mode::All, Depth::levels(5)))), (1, 0), "the set between them restarts it");
    }

    /// The exchange sends no changes of a stream while it prepares its snapshot, and drops the snapshot at the next
    /// request.
    #[test]
    fn a_stream_does_not_run_after_a_request_that_restarts_it() {
        let mut plan = ConnectionPlan::default();
        plan.opened(Epoch(1));
        plan.issue(1, streams(&["KRW-BTC"]));
        plan.requested(at(0), 1);
        plan.issue(2, streams(&["KRW-BTC"]));
        plan.check(at(1), Duration::from_secs(3), |_| Some((Epoch(1), at(1))));
        assert_eq!(runs(&plan.issue(3, streams(&["KRW-BTC"]))), (1, 0));
        plan.requested(at(2), 2);
        assert_eq!(
            plan.confirmation(streams(&["KRW-BTC"]).specs()[0].key),
            Some(Confirmation::Pending),
            "its snapshot has not arrived"
        );
    }

    #[test]
    fn a_stream_runs_after_a_request_for_its_changes_only() {
        let mut plan = running_book();
        plan.issue(2, btc(Mode::RealtimeOnly, Depth::levels(10)));
        assert_eq!(runs(&plan.issue(3, btc(Mode::All, Depth::levels(10)))), (1, 1));
    }

    #[test]
    fn evicted_desired_sets_affect_streams_like_kept_ones() {
        let variants = [(Mode::SnapshotOnly, 10), (Mode::All, 5), (Mode::RealtimeOnly, 10)];
        for (variant, still_runs) in variants.into_iter().zip([0, 0, 1]) {
            let mut plan = running_book();
            plan.issue(2, btc(variant.0, Depth::levels(variant.1)));
            for revision in 3..3 + UNSENT_MAX as u64 {
                let issued = plan.issue(revision, btc(Mode::RealtimeOnly, Depth::levels(10)));
                assert_eq!(runs(&issued), (0, 0), "a stream of changes only needs no snapshot");
            }
            assert!(plan.evicted.is_some());
            assert_eq!(runs(&plan.issue(100, btc(Mode::All, Depth::levels(10)))), (1, still_runs), "{variant:?}");
        }
    }

    #[test]
    fn a_stream_is_pending_while_a_desired_set_without_it_may_be_sent() {
        let mut plan = running(&["KRW-BTC", "KRW-ETH"]);
        let eth = streams(&["KRW-ETH"]).specs()[0];
        assert_eq!(plan.confirmation(eth.key), Some(Confirmation::Data));
        plan.issue(2, streams(&["KRW-BTC"]));
        assert!(plan.would_interrupt(&eth));
        let issued = plan.issue(3, streams(&["KRW-BTC", "KRW-ETH"]));
        assert_eq!(plan.confirmation(eth.key), Some(Confirmation::Pending), "the second set may be under way");
        assert!(issued.running.on(Epoch(1), Some(1)).contains(&eth.key), "if it was not sent, the stream continues");
        assert!(!issued.running.on(Epoch(1), Some(2)).contains(&eth.key));
        assert_eq!(plan.requested(at(3), 3), []);
        assert_eq!(plan.confirmation(eth.key), Some(Confirmation::Data));
    }

    #[test]
    fn a_request_returns_the_streams_it_removed_from_the_wire() {
        let mut plan = running(&["KRW-BTC", "KRW-ETH"]);
        let eth = streams(&["KRW-ETH"]).specs()[0];
        plan.issue(2, streams(&["KRW-BTC"]));
        assert!(plan.may_carry(eth.key));
        assert_eq!(plan.requested(at(3), 2), [eth.key]);
        assert!(!plan.may_carry(eth.key) && plan.confirmation(eth.key).is_none());
    }

    #[test]
    fn every_stream_may_be_carried_after_the_request_of_an_evicted_set() {
        let mut plan = running(&["KRW-BTC"]);
        let (btc, eth) = (streams(&["KRW-BTC"]), streams(&["KRW-ETH"]).specs()[0].key);
        plan.issue(2, streams(&["KRW-ETH"]));
        (3..100).for_each(|revision| drop(plan.issue(revision, btc.clone())));
        assert!(plan.may_carry(eth), "the summary contains the streams of evicted sets");
        plan.requested(at(3), 2);
        assert!(plan.may_carry(eth));
        plan.requested(at(4), 99);
        assert!(!plan.may_carry(eth));
    }

    #[test]
    fn a_stream_is_confirmed_only_for_the_holders_it_serves() {
        let plan = running_book();
        let confirmation = |mode, levels| plan.confirmation_for(&btc(mode, Depth::levels(levels)).specs()[0]);
        assert_eq!(confirmation(Mode::All, 10), Some(Confirmation::Data));
        assert_eq!(confirmation(Mode::RealtimeOnly, 5), Some(Confirmation::Data));
        assert_eq!(confirmation(Mode::All, 15), Some(Confirmation::Pending), "more levels must be requested first");
    }
}
