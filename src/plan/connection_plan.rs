//! What was issued to one connection, what it sent, and what has proved to run.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::{Depth, DesiredSet, Mode, Running, StreamSet, StreamSpec};
use crate::model::{Epoch, Format, Nanos, StreamKey};

/// Unsent desired sets that are remembered one by one. There are more only while nothing can be sent and demand goes on
/// changing: for as long as the exchange cannot be reached, that is without end.
const UNSENT_MAX: usize = 8;

/// What is known about a stream on the current socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confirmation {
    /// Asked for, and nothing has come yet.
    Pending,
    /// Its data has come.
    Data,
    /// The exchange says that it carries it. All there can be for changes of a market that does not change.
    Listed,
    /// Asked for twice, and nothing came: an unknown or suspended market.
    Unconfirmed,
}

/// A stream on the current socket.
#[derive(Debug, Clone, Copy)]
struct Carried {
    spec: StreamSpec,
    /// The desired set that first asked for it without a break.
    revision: u64,
    /// When that was sent: data from here on proves that it runs.
    since: Nanos,
    /// When it was last asked for, or looked after.
    asked_at: Nanos,
    confirmation: Confirmation,
    escalation: Escalation,
    /// The first desired set that asks for it again, because somebody needs another snapshot; 0 for none.
    snapshot_by: u64,
}

/// How often was looked after a stream that stays silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escalation {
    Requested,
    /// The exchange was asked what it carries.
    Listed,
    /// The request was sent again for its sake.
    Resent,
}

/// The planner's view of one connection.
#[derive(Debug, Default)]
pub(super) struct ConnectionPlan {
    /// How the exchange shall write from the next desired set on.
    pub format: Format,
    /// The newest desired set.
    desired: DesiredSet,
    /// Desired sets that may be sent next, oldest first; the last is `desired`, which may have been sent already.
    unsent: VecDeque<DesiredSet>,
    /// What is still known of older ones.
    evicted: Option<Evicted>,
    /// The socket, while it is open.
    socket: Option<Epoch>,
    /// The desired set that the socket carries.
    sent: Option<u64>,
    /// A request was sent after that, and what it asked for is not known any more.
    lost_track: bool,
    /// Another snapshot is needed of some stream.
    needs_snapshot: bool,
    carried: BTreeMap<StreamKey, Carried>,
}

/// Unsent desired sets of which only this is remembered.
#[derive(Debug)]
struct Evicted {
    /// Streams that go on whichever of them is sent, and the fewest levels that one of them asks for.
    common: BTreeMap<StreamKey, Depth>,
    /// Streams that any of them asks for.
    any: BTreeSet<StreamKey>,
}

/// What a check of silent streams calls for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct CheckOutcome {
    /// Ask the exchange what it carries.
    pub list: bool,
    /// Send the request again.
    pub resend: bool,
    /// These stay unconfirmed.
    pub unconfirmed: Vec<StreamKey>,
}

impl ConnectionPlan {
    /// Nothing is carried yet.
    pub fn new(format: Format) -> Self {
        Self { format, desired: DesiredSet { format, ..DesiredSet::default() }, ..Self::default() }
    }

    /// The streams of the newest desired set.
    pub fn streams(&self) -> &StreamSet {
        &self.desired.streams
    }

    /// A request is on the current socket.
    pub fn has_sent(&self) -> bool {
        self.sent.is_some()
    }

    /// Nothing newer than what the socket carries.
    pub fn is_settled(&self) -> bool {
        self.desired.streams.is_empty() || self.sent == Some(self.desired.revision)
    }

    /// The desired set that the socket carries; 0 for none.
    pub fn sent(&self) -> u64 {
        self.sent.unwrap_or(0)
    }

    /// The first desired set some stream of which is not confirmed yet.
    pub fn first_pending(&self) -> Option<u64> {
        self.carried.values().filter(|c| c.confirmation == Confirmation::Pending).map(|c| c.revision).min()
    }

    /// The stream is carried as snapshots alone, and a newcomer needs another one.
    pub fn request_snapshot(&mut self, key: StreamKey) {
        if let Some(carried) = self.carried.get_mut(&key) {
            carried.snapshot_by = self.desired.revision + 1;
        }
        // Even if no request for the stream was reported yet: its snapshot may have come before the newcomer.
        self.needs_snapshot = true;
    }

    /// Only another request brings what is wanted, even if the streams stay the same.
    pub fn must_resend(&self) -> bool {
        self.needs_snapshot || self.format != self.desired.format
    }

    /// The stream is on the wire, or an unsent desired set may put it there.
    pub fn may_carry(&self, key: StreamKey) -> bool {
        self.lost_track
            || self.carried.contains_key(&key)
            || self.unsent.iter().any(|desired| desired.streams.get(key).is_some())
            || self.evicted.as_ref().is_some_and(|evicted| evicted.any.contains(&key))
    }

    /// The stream may be on the wire, and an unsent desired set would end it or interrupt it for somebody who wants it
    /// in this way.
    pub fn would_interrupt(&self, spec: &StreamSpec) -> bool {
        self.may_carry(spec.key) && !self.goes_on(spec)
    }

    /// From now on this is wanted.
    pub fn issue(&mut self, revision: u64, streams: StreamSet) -> DesiredSet {
        let running = self.running(&streams);
        self.desired = DesiredSet { revision, streams, format: self.format, running };
        self.needs_snapshot = false;
        if self.socket.is_none() {
            // Only the newest is sent when there is a socket again.
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

    /// Streams that go on as they are: their data has come since they were asked for, and each message carries the
    /// whole state.
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

    /// If the stream runs, it goes on without an interruption whichever unsent desired set is sent next.
    fn goes_on(&self, spec: &StreamSpec) -> bool {
        let by = |desired: &DesiredSet| {
            let other = desired.streams.get(spec.key);
            other.is_some_and(|other| other.depth >= spec.depth && leaves_running(desired, other, self.socket))
        };
        self.common(spec.key).is_none_or(|depth| depth.is_some_and(|depth| depth >= spec.depth))
            && self.unsent.iter().filter(|desired| !self.is_sent(desired)).all(by)
    }

    /// The fewest levels that an evicted desired set asks for of a stream, if the stream goes on whichever of them is
    /// sent.
    fn common(&self, key: StreamKey) -> Option<Option<Depth>> {
        self.evicted.as_ref().map(|evicted| evicted.common.get(&key).copied())
    }

    /// A socket was opened.
    pub fn opened(&mut self, epoch: Epoch) {
        self.disconnected();
        self.socket = Some(epoch);
    }

    /// The socket is gone, and all that ran on it.
    pub fn disconnected(&mut self) {
        self.socket = None;
        self.sent = None;
        self.lost_track = false;
        self.carried.clear();
        self.evicted = None;
        let newest = self.desired.revision;
        self.unsent.retain(|desired| desired.revision == newest);
    }

    /// The request of a desired set was sent. Returns the streams that it took off the wire.
    pub fn requested(&mut self, at: Nanos, revision: u64) -> Vec<StreamKey> {
        let Some(desired) = self.unsent.iter().find(|desired| desired.revision == revision).cloned() else {
            // It is none of those that are remembered. Until the newest one is sent, no stream is known to run.
            self.lost_track = true;
            self.carried.clear();
            return Vec::new();
        };
        let running = desired.running.on(self.socket.unwrap_or_default(), self.sent);
        // Only ever the newest is sent.
        self.evicted = None;
        // Sent again after a reconnect, so the newest one stays.
        self.unsent.retain(|w| w.revision > revision || w.revision == self.desired.revision);
        (self.sent, self.lost_track) = (Some(revision), false);
        let left =
            self.carried.extract_if(.., |key, _| desired.streams.get(*key).is_none()).map(|(key, _)| key).collect();
        for &spec in desired.streams.specs() {
            let (confirmation, escalation) = (Confirmation::Pending, Escalation::Requested);
            let new = Carried { spec, revision, since: at, asked_at: at, confirmation, escalation, snapshot_by: 0 };
            let starts = spec.mode == Mode::All && !running.contains(&spec.key);
            self.carried.entry(spec.key).and_modify(|carried| carried.ask(new, starts)).or_insert(new);
        }
        left
    }

    /// The exchange lists these streams.
    pub fn listed(&mut self, listed: &BTreeSet<StreamKey>) {
        for (key, carried) in &mut self.carried {
            if carried.confirmation == Confirmation::Pending
                && carried.spec.mode == Mode::RealtimeOnly
                && listed.contains(key)
            {
                carried.confirmation = Confirmation::Listed;
            }
        }
    }

    /// Looks after streams that are not confirmed. `heard` says when a stream's data last came on a socket.
    pub fn check(
        &mut self,
        now: Nanos,
        confirm_within: Duration,
        mut heard: impl FnMut(StreamKey) -> Option<(Epoch, Nanos)>,
    ) -> CheckOutcome {
        let mut outcome = CheckOutcome::default();
        let Some(epoch) = self.socket else { return outcome };
        for (key, carried) in &mut self.carried {
            if carried.confirmation == Confirmation::Data {
                continue;
            }
            if heard(*key).is_some_and(|(e, received)| e == epoch && received > carried.since) {
                carried.confirmation = Confirmation::Data;
            } else if carried.confirmation == Confirmation::Pending && now.since(carried.asked_at) >= confirm_within {
                carried.escalate(now, &mut outcome);
            }
        }
        outcome
    }

    /// Streams of the current socket and what is known about them.
    pub fn confirmations(&self) -> impl Iterator<Item = (StreamKey, Confirmation)> + '_ {
        self.carried.values().map(|carried| (carried.spec.key, self.confirmation_now(carried)))
    }

    /// What is known about a stream of the current socket.
    pub fn confirmation(&self, key: StreamKey) -> Option<Confirmation> {
        self.carried.get(&key).map(|carried| self.confirmation_now(carried))
    }

    /// The same for a holder that wants it in this way: [`Confirmation::Pending`] while it is not yet asked for in this
    /// way.
    pub fn confirmation_for(&self, spec: &StreamSpec) -> Option<Confirmation> {
        let carried = self.carried.get(&spec.key)?;
        if covers(&carried.spec, spec) { self.confirmation(spec.key) } else { Some(Confirmation::Pending) }
    }

    /// What is known counts for nothing while an unsent desired set leaves the stream out, because it may be about to
    /// leave the wire, or while another snapshot of it is needed.
    fn confirmation_now(&self, carried: &Carried) -> Confirmation {
        let key = carried.spec.key;
        let is_in = |desired: &DesiredSet| self.is_sent(desired) || desired.streams.get(key).is_some();
        let stays = self.common(key).is_none_or(|depth| depth.is_some()) && self.unsent.iter().all(is_in);
        if stays && carried.snapshot_by == 0 { carried.confirmation } else { Confirmation::Pending }
    }

    /// The least that is known about a stream, if data or time will change it.
    pub fn least_confirmed(&self) -> Option<Confirmation> {
        self.carried.values().map(|c| c.confirmation).filter(|confirmation| *confirmation != Confirmation::Data).min()
    }
}

impl Carried {
    /// It was asked for again with others; `starts`: with a snapshot.
    fn ask(&mut self, new: Self, starts: bool) {
        let is_again = (1..=new.revision).contains(&self.snapshot_by);
        let starts = starts || (is_again && new.spec.mode == Mode::SnapshotOnly);
        let is_new = starts || !continues(&self.spec, &new.spec);
        let snapshot_by = if is_again { 0 } else { self.snapshot_by };
        let (new, same) = (Self { snapshot_by, ..new }, Self { spec: new.spec, snapshot_by, ..*self });
        *self = match self.confirmation {
            // It has brought its state and goes on; or it needs none.
            Confirmation::Data if !is_new => same,
            Confirmation::Listed if !is_new && new.spec.mode == Mode::RealtimeOnly => same,
            Confirmation::Data | Confirmation::Listed => new,
            // Who stayed silent is not looked after from the start.
            silent if !is_new => Self { confirmation: silent, escalation: self.escalation, since: self.since, ..new },
            silent => Self { confirmation: silent, escalation: self.escalation, ..new },
        };
    }

    /// It stayed silent for too long: takes the next step.
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
        // Until it was sent, which says so itself, or answered.
        self.asked_at = now;
    }
}

/// A stream carried for `old` serves `new` without being asked for from the start.
fn continues(old: &StreamSpec, new: &StreamSpec) -> bool {
    old == new || old.serves(new)
}

/// A stream carried for `carried` brings everything that `spec` asks for.
fn covers(carried: &StreamSpec, spec: &StreamSpec) -> bool {
    (carried.mode == Mode::All || carried.mode == spec.mode) && spec.depth <= carried.depth
}

/// A running stream goes on when this desired set is sent on the socket, which asks for it as `spec`: its changes are
/// not ended, and not held back until another snapshot is ready.
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

    /// A plan whose socket carries `codes`, and all of them run.
    fn running(codes: &[&str]) -> ConnectionPlan {
        let mut plan = ConnectionPlan::default();
        plan.opened(Epoch(1));
        plan.issue(1, streams(codes));
        plan.requested(at(0), 1);
        plan.check(at(1), Duration::from_secs(3), |_| Some((Epoch(1), at(1))));
        plan
    }

    /// Demand that changes while nothing can be sent left a copy of everything wanted behind for each change.
    #[test]
    fn desired_sets_that_nobody_sends_do_not_pile_up() {
        let mut offline = ConnectionPlan::default();
        let mut held_back = running(&["KRW-BTC"]);
        for revision in 2..10_000 {
            offline.issue(revision, streams(&["KRW-BTC"]));
            held_back.issue(revision, streams(&["KRW-BTC"]));
        }
        assert!(offline.unsent.len() <= UNSENT_MAX && held_back.unsent.len() <= UNSENT_MAX);
        let btc = streams(&["KRW-BTC"]);
        assert_eq!(held_back.issue(10_000, btc).running.keys.len(), 1, "what every one of them carries still runs");
    }

    #[test]
    fn a_stream_that_some_evicted_desired_set_leaves_out_does_not_run() {
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
        // None of them was sent but the newest, and time has shown that all runs again.
        plan.requested(at(3), 99);
        plan.check(at(4), Duration::from_secs(3), |_| Some((Epoch(1), at(4))));
        assert_eq!(plan.issue(100, both()).running.keys.len(), 2);
    }

    #[test]
    fn the_request_of_an_evicted_desired_set_leaves_nothing_running() {
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

    /// A plan whose socket carries a book of ten levels, which runs.
    fn running_book() -> ConnectionPlan {
        let mut plan = ConnectionPlan::default();
        plan.opened(Epoch(1));
        plan.issue(1, btc(Mode::All, Depth::levels(10)));
        plan.requested(at(0), 1);
        plan.check(at(1), Duration::from_secs(3), |_| Some((Epoch(1), at(1))));
        plan
    }

    /// How many streams run if the first desired set was sent last, and if one since then was.
    fn runs(desired: &DesiredSet) -> (usize, usize) {
        (desired.running.on(Epoch(1), Some(1)).len(), desired.running.on(Epoch(1), Some(2)).len())
    }

    /// What changes between the two requests is in no message.
    #[test]
    fn a_stream_does_not_run_after_a_request_that_ends_its_changes() {
        let mut plan = running_book();
        plan.issue(2, btc(Mode::SnapshotOnly, Depth::levels(10)));
        assert_eq!(runs(&plan.issue(3, btc(Mode::All, Depth::levels(10)))), (1, 0));
    }

    /// The newest change may have had fewer levels.
    #[test]
    fn a_stream_does_not_run_after_a_request_for_fewer_levels() {
        let mut plan = running_book();
        plan.issue(2, btc(Mode::All, Depth::levels(5)));
        assert_eq!(runs(&plan.issue(3, btc(Mode::All, Depth::levels(10)))), (1, 0));
        assert_eq!(runs(&plan.issue(4, btc(Mode::All, Depth::levels(5)))), (1, 0), "the set between them restarts it");
    }

    /// The exchange sends no changes while it prepares a snapshot, and forgets the snapshot at the next request.
    #[test]
    fn a_stream_does_not_run_after_a_request_that_starts_it_anew() {
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
            "its snapshot is to come"
        );
    }

    #[test]
    fn a_stream_runs_after_a_request_for_changes_only() {
        let mut plan = running_book();
        plan.issue(2, btc(Mode::RealtimeOnly, Depth::levels(10)));
        assert_eq!(runs(&plan.issue(3, btc(Mode::All, Depth::levels(10)))), (1, 1));
    }

    #[test]
    fn evicted_desired_sets_are_judged_like_those_that_are_remembered() {
        let variants = [(Mode::SnapshotOnly, 10), (Mode::All, 5), (Mode::RealtimeOnly, 10)];
        for (variant, still_runs) in variants.into_iter().zip([0, 0, 1]) {
            let mut plan = running_book();
            plan.issue(2, btc(variant.0, Depth::levels(variant.1)));
            for revision in 3..3 + UNSENT_MAX as u64 {
                let issued = plan.issue(revision, btc(Mode::RealtimeOnly, Depth::levels(10)));
                assert_eq!(runs(&issued), (0, 0), "no snapshot is asked for where only changes are wanted");
            }
            assert!(plan.evicted.is_some());
            assert_eq!(runs(&plan.issue(100, btc(Mode::All, Depth::levels(10)))), (1, still_runs), "{variant:?}");
        }
    }

    #[test]
    fn a_stream_proves_nothing_while_a_desired_set_without_it_may_be_sent() {
        let mut plan = running(&["KRW-BTC", "KRW-ETH"]);
        let eth = streams(&["KRW-ETH"]).specs()[0];
        assert_eq!(plan.confirmation(eth.key), Some(Confirmation::Data));
        plan.issue(2, streams(&["KRW-BTC"]));
        assert!(plan.would_interrupt(&eth));
        let issued = plan.issue(3, streams(&["KRW-BTC", "KRW-ETH"]));
        assert_eq!(plan.confirmation(eth.key), Some(Confirmation::Pending), "the second set may be on its way");
        assert!(issued.running.on(Epoch(1), Some(1)).contains(&eth.key), "if it was not sent, all goes on");
        assert!(!issued.running.on(Epoch(1), Some(2)).contains(&eth.key));
        assert_eq!(plan.requested(at(3), 3), []);
        assert_eq!(plan.confirmation(eth.key), Some(Confirmation::Data));
    }

    #[test]
    fn a_request_says_what_it_took_off_the_wire() {
        let mut plan = running(&["KRW-BTC", "KRW-ETH"]);
        let eth = streams(&["KRW-ETH"]).specs()[0];
        plan.issue(2, streams(&["KRW-BTC"]));
        assert!(plan.may_carry(eth.key));
        assert_eq!(plan.requested(at(3), 2), [eth.key]);
        assert!(!plan.may_carry(eth.key) && plan.confirmation(eth.key).is_none());
    }

    #[test]
    fn what_an_evicted_request_left_on_the_wire_is_not_known() {
        let mut plan = running(&["KRW-BTC"]);
        let (btc, eth) = (streams(&["KRW-BTC"]), streams(&["KRW-ETH"]).specs()[0].key);
        plan.issue(2, streams(&["KRW-ETH"]));
        (3..100).for_each(|revision| drop(plan.issue(revision, btc.clone())));
        assert!(plan.may_carry(eth), "of an evicted set it is known that it had this stream");
        plan.requested(at(3), 2);
        assert!(plan.may_carry(eth));
        plan.requested(at(4), 99);
        assert!(!plan.may_carry(eth));
    }

    #[test]
    fn a_stream_proves_itself_only_to_those_whom_it_serves() {
        let plan = running_book();
        let confirmation = |mode, levels| plan.confirmation_for(&btc(mode, Depth::levels(levels)).specs()[0]);
        assert_eq!(confirmation(Mode::All, 10), Some(Confirmation::Data));
        assert_eq!(confirmation(Mode::RealtimeOnly, 5), Some(Confirmation::Data));
        assert_eq!(confirmation(Mode::All, 15), Some(Confirmation::Pending), "more levels are to be asked for");
    }
}
