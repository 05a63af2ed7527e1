//! Turns demand into requests: which streams each connection must carry, when a desired set is issued, and which
//! streams are confirmed. Time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::client::Clients;
use super::connection_plan::ConnectionPlan;
use super::demand::{Added, Demand, Replaced};
use super::stats::ChangeRate;
use super::{
    CheckedSubscription, ClientId, Confirmation, Conflict, ConflictKind, ConflictLog, ConflictSubject, DemandId,
    DesiredSet, Heartbeat, ListDifference, Mode, Placement, PlanStats, Revisions, StreamSet, StreamSpec, Universe,
};
use crate::config::Config;
use crate::model::{Epoch, Format, Nanos, StreamKey};

/// The interval between checks of streams that wait for their first data.
const CHECK_EVERY: Duration = Duration::from_millis(20);

/// The same, after the last escalation of all these streams. Their markets may still be listed or resume.
const SLOW_CHECK_EVERY: Duration = Duration::from_secs(1);

/// Why a call was refused. A refused call changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There are more streams than the connections may carry.
    TooManyStreams {
        /// The number of streams there would have been.
        streams: usize,
        /// The most streams that are allowed.
        limit: usize,
    },
    /// The name of the client is taken.
    NameTaken,
    /// The subscription has a pattern, and no source reports which markets exist.
    NoUniverse,
    /// The client did not renew its lease in time, and everything it held was released.
    NoSuchClient,
}

/// The result of adding demand.
#[derive(Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The id to pass to [`Planner::remove`].
    pub id: DemandId,
    /// Streams that were not carried before, with the connections that will carry them.
    pub new: Vec<(StreamKey, usize)>,
    /// Desired sets to send, as in [`Decisions::carry`]. Connections must receive them before the streams are read:
    /// otherwise an older unsent desired set could remove a stream that is wanted again.
    pub carry: Vec<(usize, DesiredSet)>,
    /// The revision that includes this demand.
    pub revision: u64,
}

/// The result of a new list of markets, or of room for more streams.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Relisted {
    /// See [`Admitted::new`].
    pub new: Vec<(StreamKey, usize)>,
    /// See [`Admitted::carry`].
    pub carry: Vec<(usize, DesiredSet)>,
    /// The changes of each holder's demand.
    pub changes: Vec<DemandChange>,
}

/// A change of a holder's demand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemandChange {
    /// The holder.
    pub id: DemandId,
    /// Streams that the holder did not want before, or not in this way.
    pub more: Vec<StreamSpec>,
    /// Streams that the holder no longer wants.
    pub less: Vec<StreamKey>,
}

/// The actions that are due. Connections are numbered from 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decisions {
    /// New desired sets, each with its connection.
    pub carry: Vec<(usize, DesiredSet)>,
    /// Connections that must ask the exchange for a list of their subscriptions.
    pub list: Vec<usize>,
    /// Clients that did not renew their leases in time.
    pub overdue: Vec<Box<str>>,
    /// Clients that were overdue before and are now removed, with all the demand they held.
    pub reaped: Vec<Box<str>>,
    /// Streams that no holder wants and that have left the wire.
    pub expired: Vec<StreamKey>,
    /// Streams that are wanted but have left the wire, because the request without them was sent just before they were
    /// wanted again. They are requested again, with a snapshot.
    pub interrupted: Vec<StreamKey>,
    /// Changes of the demand of patterns, because streams have left and made room.
    pub relisted: Relisted,
    /// Streams that were requested twice and have brought no data. Each is reported once per socket.
    pub unconfirmed: Vec<StreamKey>,
    /// Streams that were left out because the exchange refused them, and that it accepts now.
    pub restored: Vec<StreamKey>,
}

/// Keeps each connection's subscription equal to the union of demand, with as few requests as possible.
#[derive(Debug)]
pub struct Planner {
    config: Arc<Config>,
    /// True if some source reports which markets exist.
    knows_markets: bool,
    pub(super) demand: Demand,
    /// The known markets.
    universe: Universe,
    /// Holders whose subscriptions have patterns.
    patterned: BTreeMap<DemandId, CheckedSubscription>,
    /// The holders in `patterned` that lack some of their streams, because the connections may not carry more.
    short: BTreeSet<DemandId>,
    clients: Clients,
    pub(super) placement: Placement,
    pub(super) plans: Vec<ConnectionPlan>,
    /// Streams whose grace period has ended, and that may still be on the wire.
    pub(super) leaving: BTreeSet<StreamKey>,
    /// See [`Decisions::interrupted`].
    pub(super) interrupted: Vec<StreamKey>,
    pub(super) conflicts: ConflictLog,
    rate: ChangeRate,
    /// The number of the newest change. See [`Revisions`].
    desired: u64,
    /// The number of the last change that was issued to all connections.
    issued: u64,
    /// When the first change was made that is not issued to all connections yet.
    changed_at: Option<Nanos>,
    requests: u64,
    last_check: Nanos,
    /// When leases are checked next.
    next_clean_up: Nanos,
    /// The number of times that the planner was rebuilt after a panic.
    pub(super) panics: u64,
}

impl Planner {
    /// Creates a planner without demand. `knows_markets` is true if some source reports which markets exist.
    pub fn new(config: Arc<Config>, knows_markets: bool) -> Self {
        let format = config.format.first();
        Self {
            demand: Demand::default(),
            universe: Universe::default(),
            patterned: BTreeMap::new(),
            short: BTreeSet::new(),
            clients: Clients::default(),
            placement: Placement::new(config.connections),
            plans: (0..config.connections).map(|_| ConnectionPlan::new(format)).collect(),
            leaving: BTreeSet::new(),
            interrupted: Vec::new(),
            conflicts: ConflictLog::default(),
            rate: ChangeRate::default(),
            desired: 0,
            issued: 0,
            changed_at: None,
            requests: 0,
            last_check: Nanos::default(),
            next_clean_up: Nanos::default(),
            panics: 0,
            config,
            knows_markets,
        }
    }

    /// Applies another configuration from now on.
    pub fn set_config(&mut self, config: Arc<Config>) {
        self.config = config;
    }

    // ---- demand ----

    /// Adds a holder of these streams. If `client` is given, that client holds the demand.
    ///
    /// # Errors
    /// Fails, and changes nothing, if there are too many streams, no source of markets for a pattern, or no such
    /// client.
    pub fn add(
        &mut self,
        now: Nanos,
        client: Option<ClientId>,
        checked: CheckedSubscription,
    ) -> Result<Admitted, Refused> {
        if client.is_some_and(|id| !self.clients.has(id)) {
            return Err(Refused::NoSuchClient);
        }
        if !checked.patterns.is_empty() && !self.knows_markets && self.universe.is_empty() {
            return Err(Refused::NoUniverse);
        }
        let specs = checked.specs_in(&self.universe);
        if let Some(excess) = self.excess(&specs) {
            self.note_excess(now, &excess);
            return Err(Refused::TooManyStreams { streams: excess.streams, limit: excess.limit });
        }
        self.note_conflicts(now, &specs);
        let (id, added) = self.demand.add(specs);
        if let Some(client) = client {
            self.clients.hold(client, id);
        }
        if !checked.patterns.is_empty() {
            self.patterned.insert(id, checked);
        }
        let carry = self.admit(now, &added);
        Ok(Admitted { id, new: self.with_homes(added.new), carry, revision: self.desired })
    }

    /// Applies an addition of demand. Returns the desired sets that must be sent at once.
    fn admit(&mut self, now: Nanos, added: &Added) -> Vec<(usize, DesiredSet)> {
        for key in &added.new {
            self.placement.add(*key);
            self.leaving.remove(key);
        }
        for key in added.new.iter().chain(&added.need_snapshot) {
            let is_of_snapshots = self.demand.get(*key).is_some_and(|spec| spec.mode == Mode::SnapshotOnly);
            let plan = &mut self.plans[self.placement.home(*key)];
            // The exchange does not repeat a snapshot unless it gets another request.
            if is_of_snapshots && plan.may_carry(*key) {
                plan.request_snapshot(*key);
            }
        }
        self.rate.count(now);
        if added.changes_wire() {
            self.changed(now);
        }
        self.recall(added.new.iter().chain(&added.widened))
    }

    pub(super) fn with_homes(&self, keys: Vec<StreamKey>) -> Vec<(StreamKey, usize)> {
        keys.into_iter().map(|key| (key, self.placement.home(key))).collect()
    }

    /// Issues new desired sets to connections with an unsent set that would interrupt one of these streams.
    fn recall<'a>(&mut self, keys: impl Iterator<Item = &'a StreamKey>) -> Vec<(usize, DesiredSet)> {
        let home = |key: &StreamKey| {
            let (home, spec) = (self.placement.home(*key), self.demand.get(*key)?);
            self.plans[home].would_interrupt(&spec).then_some(home)
        };
        let connections: BTreeSet<usize> = keys.filter_map(home).collect();
        if connections.is_empty() {
            return Vec::new();
        }
        let mut shares = self.shares();
        let desired = |connection: usize| {
            (connection, self.plans[connection].issue(self.desired, std::mem::take(&mut shares[connection])))
        };
        connections.into_iter().map(desired).collect()
    }

    /// Replaces the list of existing markets, and updates the streams of patterns.
    ///
    /// If a holder's new streams are more than the connections may carry, the holder gets none of them until there is
    /// room for all. This is recorded as a conflict, once.
    pub fn set_universe(&mut self, now: Nanos, universe: Universe) -> Relisted {
        self.universe = universe;
        let holders: Vec<_> = self.patterned.keys().copied().collect();
        self.relist(now, holders)
    }

    /// Updates the streams of these holders to the markets that their patterns match now.
    fn relist(&mut self, now: Nanos, holders: impl IntoIterator<Item = DemandId>) -> Relisted {
        let mut relisted = Relisted::default();
        for id in holders {
            let Some(checked) = self.patterned.get(&id) else { continue };
            let mut specs = checked.specs_in(&self.universe);
            if let Some(excess) = self.excess(&specs) {
                // Keep the streams that are carried already: they need no more room.
                specs.retain(|spec| self.demand.get(spec.key).is_some());
                if self.short.insert(id) {
                    self.note_excess(now, &excess);
                }
            } else {
                self.short.remove(&id);
            }
            if specs == self.demand.held(id) {
                continue;
            }
            let (placement, plans, grace) = (&self.placement, &self.plans, self.config.grace);
            let leaves_at = |key| leaves_at(now, grace, placement, plans, key);
            let Replaced { added, narrowed, more, less } = self.demand.replace(id, specs, leaves_at);
            relisted.carry.extend(self.admit(now, &added));
            relisted.new.extend(self.with_homes(added.new));
            if narrowed {
                self.changed(now);
            }
            relisted.changes.push(DemandChange { id, more, less });
        }
        relisted
    }

    /// Returns the known markets.
    pub fn universe(&self) -> &Universe {
        &self.universe
    }

    /// Removes a holder. Streams that no other holder wants are dropped when their grace period ends, and leave the
    /// wire with the next request. Streams that were not issued to a connection yet are never requested.
    pub fn remove(&mut self, now: Nanos, id: DemandId) {
        if !self.demand.is_held(id) {
            return; // released already, with the client that held it
        }
        self.clients.release(id);
        self.release(now, id);
    }

    fn release(&mut self, now: Nanos, id: DemandId) {
        self.patterned.remove(&id);
        self.short.remove(&id);
        let (placement, plans, grace) = (&self.placement, &self.plans, self.config.grace);
        let narrowed = self.demand.remove(id, |key| leaves_at(now, grace, placement, plans, key));
        self.rate.count(now);
        if narrowed {
            self.changed(now);
        }
    }

    /// Returns true if the holder exists: neither it nor its client was removed.
    pub fn is_held(&self, id: DemandId) -> bool {
        self.demand.is_held(id)
    }

    /// Returns the name of a client.
    pub fn client_name(&self, id: ClientId) -> Option<&str> {
        self.clients.name(id)
    }

    /// Returns the streams that a holder wants.
    pub fn held(&self, id: DemandId) -> &[StreamSpec] {
        self.demand.held(id)
    }

    /// Returns the streams that any holder wants or lacks, and whether any pattern still waits for the list of markets.
    pub fn expected(&self) -> (Vec<StreamKey>, bool) {
        let lacking = self.short.iter().flat_map(|id| self.lacking(*id));
        let streams: BTreeSet<_> = self.demand.demanded().chain(lacking).collect();
        (streams.into_iter().collect(), self.patterned.keys().any(|id| self.awaits_markets(*id)))
    }

    /// Returns true if a holder wants the stream, and it has a place on a connection.
    pub fn is_wanted(&self, key: StreamKey) -> bool {
        self.demand.demanded_as(key).is_some()
    }

    /// Returns the streams of a holder's patterns that it lacks, because the connections may not carry more.
    pub fn lacking(&self, id: DemandId) -> Vec<StreamKey> {
        let Some(checked) = self.patterned.get(&id).filter(|_| self.short.contains(&id)) else { return Vec::new() };
        let is_held = |spec: &StreamSpec| self.held(id).binary_search_by_key(&spec.key, |held| held.key).is_ok();
        checked.specs_in(&self.universe).into_iter().filter(|spec| !is_held(spec)).map(|spec| spec.key).collect()
    }

    /// Returns true if the holder has a pattern, and no list of markets has been received yet.
    pub fn awaits_markets(&self, id: DemandId) -> bool {
        self.universe.is_empty() && self.patterned.contains_key(&id)
    }

    /// Returns the message format of a connection.
    pub fn format(&self, connection: usize) -> Format {
        self.plans[connection].format
    }

    /// Returns the connection that carries a stream, or that would carry it.
    pub fn home(&self, key: StreamKey) -> usize {
        self.placement.home(key)
    }

    /// Opens a client. If it has a lease, it must renew its heartbeat at least once in this time.
    ///
    /// # Errors
    /// Returns an error if the name is taken. The existing client keeps it.
    pub fn open_client(
        &mut self,
        now: Nanos,
        name: &str,
        lease: Option<Duration>,
    ) -> Result<(ClientId, Arc<Heartbeat>), Refused> {
        self.clients.open(now, name, lease).ok_or_else(|| {
            self.conflicts.record(now, ConflictKind::Identity, ConflictSubject::Client(name.into()));
            Refused::NameTaken
        })
    }

    /// Removes a client, and all the demand it holds.
    pub fn close_client(&mut self, now: Nanos, id: ClientId) {
        for demand in self.clients.close(id) {
            self.release(now, demand);
        }
    }

    /// Returns the excess if the connections may not carry these streams in addition.
    fn excess(&self, specs: &[StreamSpec]) -> Option<Excess> {
        let new: Vec<_> = specs.iter().filter(|spec| self.demand.get(spec.key).is_none()).collect();
        let carried: usize = self.placement.streams().iter().sum();
        let each = self.config.limits.streams_per_connection;
        let (streams, limit) = (carried + new.len(), each.saturating_mul(self.plans.len()));
        let offender = if streams > limit {
            new.first()
        } else if streams > each {
            // The connection of each stream depends on the streams before it.
            let mut placement = self.placement.clone();
            new.iter().find(|spec| {
                let home = placement.add(spec.key);
                placement.streams()[home] > each
            })
        } else {
            None
        };
        offender.map(|offender| Excess { streams, limit, offender: offender.key })
    }

    fn note_excess(&mut self, now: Nanos, excess: &Excess) {
        self.conflicts.record(now, ConflictKind::Limit, ConflictSubject::Stream(excess.offender));
    }

    fn note_conflicts(&mut self, now: Nanos, specs: &[StreamSpec]) {
        for spec in specs {
            let Some(carried) = self.demand.demanded_as(spec.key) else { continue };
            if carried.mode != spec.mode {
                self.conflicts.record(now, ConflictKind::Mode, ConflictSubject::Stream(spec.key));
            }
            if carried.depth != spec.depth {
                self.conflicts.record(now, ConflictKind::Depth, ConflictSubject::Stream(spec.key));
            }
        }
    }

    /// Sets the message format of a connection from its next request on. This request repeats all the streams of the
    /// connection, so it waits for the window like any change. Running streams continue.
    pub fn set_format(&mut self, now: Nanos, connection: usize, format: Format) {
        let plan = &mut self.plans[connection];
        if plan.format != format {
            plan.format = format;
            self.changed(now);
        }
    }

    pub(super) fn changed(&mut self, now: Nanos) {
        self.desired += 1;
        self.changed_at.get_or_insert(now);
    }

    // ---- events of connections ----

    /// Requests streams again, with a snapshot each, because their data is in doubt. The other streams continue.
    pub fn check_streams(&mut self, now: Nanos, keys: impl IntoIterator<Item = StreamKey>) {
        let mut any = false;
        for key in keys {
            any |= self.plans[self.placement.home(key)].check_stream(now, key);
        }
        if any {
            self.changed(now);
        }
    }

    /// Returns how the connection carries a stream; `None` if it is not wanted.
    pub fn mode(&self, key: StreamKey) -> Option<Mode> {
        self.demand.get(key).map(|spec| spec.mode)
    }

    /// Handles the opening of a connection's socket.
    pub fn opened(&mut self, connection: usize, epoch: Epoch) {
        self.plans[connection].opened(epoch);
    }

    /// Handles the end of a connection's socket.
    pub fn disconnected(&mut self, connection: usize) {
        self.plans[connection].disconnected();
    }

    /// Handles the sending of a desired set's request.
    pub fn requested(&mut self, connection: usize, at: Nanos, revision: u64) {
        self.requests += 1;
        let plan = &mut self.plans[connection];
        let left = plan.requested(at, revision);
        let is_wanted = |key: &StreamKey| self.demand.get(*key).is_some() && plan.refusal_search.reason(*key).is_none();
        self.interrupted.extend(left.into_iter().filter(is_wanted));
    }

    /// Counts requests that were sent and whose reports were merged, so that only their number is known.
    pub fn count_requests(&mut self, requests: u64) {
        self.requests += requests;
    }

    /// Handles the exchange's list of a connection's subscriptions, and returns how it differs from the request. `heard`
    /// returns when data of a stream last arrived.
    pub fn listed(
        &mut self,
        now: Nanos,
        connection: usize,
        streams: &BTreeSet<StreamKey>,
        heard: impl Fn(StreamKey) -> Option<Nanos>,
    ) -> ListDifference {
        let difference = self.plans[connection].listed(streams, heard);
        if !difference.unwanted.is_empty() {
            self.changed(now);
        }
        difference
    }

    // ---- decisions ----

    /// Returns the actions that are due. `heard` returns the time of a stream's newest data and the epoch of its
    /// socket.
    pub fn poll(&mut self, now: Nanos, mut heard: impl FnMut(StreamKey) -> Option<(Epoch, Nanos)>) -> Decisions {
        let mut decisions = Decisions::default();
        self.clean_up(now, &mut decisions);
        decisions.relisted = self.expire(now);
        let resend = self.check(now, &mut heard, &mut decisions);
        self.issue(now, &resend, &mut decisions);
        let (placement, plans) = (&self.placement, &self.plans);
        let has_left = |key: &StreamKey| !plans[placement.home(*key)].may_carry(*key);
        decisions.expired = self.leaving.extract_if(.., has_left).collect();
        decisions.interrupted = std::mem::take(&mut self.interrupted);
        decisions.restored = self.plans.iter_mut().flat_map(|plan| plan.refusal_search.take_restored()).collect();
        decisions
    }

    /// Removes the streams whose grace period has ended. Other streams may have room then.
    fn expire(&mut self, now: Nanos) -> Relisted {
        let expired = self.demand.expire(now);
        if expired.is_empty() {
            return Relisted::default();
        }
        for key in &expired {
            self.placement.remove(*key);
        }
        self.leaving.extend(expired);
        self.changed(now);
        self.relist(now, self.short.clone())
    }

    /// Returns when to call [`poll`](Self::poll) again if nothing happens before.
    pub fn next_poll(&self) -> Nanos {
        let window = self.changed_at.map_or(Nanos::NEVER, |at| at + self.config.effective_window());
        let check = match self.plans.iter().filter_map(ConnectionPlan::least_confirmed).min() {
            Some(Confirmation::Pending) => self.last_check + CHECK_EVERY,
            Some(_) => self.last_check + SLOW_CHECK_EVERY,
            None => Nanos::NEVER,
        };
        let list = self.next_list();
        let retry = self.plans.iter().map(|plan| plan.refusal_search.next_retry()).min().unwrap_or(Nanos::NEVER);
        let retry = retry.max(self.last_check + CHECK_EVERY);
        window.min(check).min(list).min(retry).min(self.demand.next_expiry()).min(self.next_clean_up)
    }

    /// Returns when the exchange's list of a connection must be requested next.
    fn next_list(&self) -> Nanos {
        let next = self.plans.iter().map(ConnectionPlan::next_list).min();
        let next = next.filter(|_| self.config.endpoint.dialect().has_list).unwrap_or(Nanos::NEVER);
        // Never earlier than the check that requests it.
        next.max(self.last_check + CHECK_EVERY)
    }

    /// Checks the leases, if a check is due.
    fn clean_up(&mut self, now: Nanos, decisions: &mut Decisions) {
        if now < self.next_clean_up {
            return;
        }
        self.next_clean_up = now + self.config.clean_up_every;
        let swept = self.clients.sweep(now);
        (decisions.overdue, decisions.reaped) = (swept.overdue, swept.reaped);
        for demand in swept.released {
            self.release(now, demand);
        }
    }

    /// Checks unconfirmed streams. Returns the connections whose request must be sent again.
    fn check(
        &mut self,
        now: Nanos,
        heard: &mut impl FnMut(StreamKey) -> Option<(Epoch, Nanos)>,
        decisions: &mut Decisions,
    ) -> BTreeSet<usize> {
        let mut resend = BTreeSet::new();
        if now < self.last_check + CHECK_EVERY {
            return resend;
        }
        self.last_check = now;
        if self.config.endpoint.dialect().has_list {
            let due = self.plans.iter_mut().enumerate().filter_map(|(n, plan)| plan.is_list_due(now).then_some(n));
            decisions.list.extend(due);
        }
        let mut is_changed = self.update_searches(now);
        for (connection, plan) in self.plans.iter_mut().enumerate() {
            let outcome = plan.check(now, self.config.confirm_within, &mut *heard);
            decisions.unconfirmed.extend(outcome.unconfirmed);
            if outcome.list {
                decisions.list.push(connection);
            }
            if outcome.resend {
                resend.insert(connection);
            }
            is_changed |= outcome.next_group;
        }
        if is_changed {
            self.changed(now);
        }
        resend
    }

    /// Issues changes when the window is over, or at once to a connection that has sent no request yet.
    fn issue(&mut self, now: Nanos, resend: &BTreeSet<usize>, decisions: &mut Decisions) {
        let due = self.changed_at.is_some_and(|at| now >= at + self.config.effective_window());
        let any_early = self.changed_at.is_some() && self.plans.iter().any(|plan| !plan.has_sent());
        if !due && !any_early && resend.is_empty() {
            return;
        }
        if !resend.is_empty() {
            self.desired += 1;
        }
        let mut all_issued = true;
        for (connection, streams) in self.shares().into_iter().enumerate() {
            let plan = &mut self.plans[connection];
            let changed = plan.must_resend() || streams != *plan.streams();
            let may_issue = due || !plan.has_sent() || resend.contains(&connection);
            if changed && !may_issue {
                all_issued = false;
            } else if changed || resend.contains(&connection) {
                decisions.carry.push((connection, plan.issue(self.desired, streams)));
            }
        }
        if all_issued {
            (self.changed_at, self.issued) = (None, self.desired);
        }
    }

    /// Returns the streams that each connection must carry.
    fn shares(&self) -> Vec<StreamSet> {
        let mut shares = vec![Vec::new(); self.plans.len()];
        for spec in self.demand.carried() {
            let home = self.placement.home(spec.key);
            if self.plans[home].refusal_search.allows(spec.key) {
                shares[home].push(spec);
            }
        }
        shares.into_iter().map(StreamSet::from_iter).collect()
    }

    // ---- queries ----

    /// Returns the progress of changes of demand.
    pub fn revisions(&self) -> Revisions {
        let sent = self.plans.iter().map(|plan| if plan.is_settled() { self.issued } else { plan.sent() }).min();
        let sent = sent.unwrap_or(0);
        let pending = self.plans.iter().filter_map(ConnectionPlan::first_pending).min();
        let confirmed = pending.map_or(sent, |first| sent.min(first.saturating_sub(1)));
        Revisions { desired: self.desired, sent, confirmed }
    }

    /// Returns the confirmation of each stream on its current socket.
    pub fn confirmations(&self) -> impl Iterator<Item = (StreamKey, Confirmation)> + '_ {
        self.plans.iter().flat_map(ConnectionPlan::confirmations)
    }

    /// Returns the confirmation of a stream on its current socket; `None` before it was requested there.
    pub fn confirmation(&self, key: StreamKey) -> Option<Confirmation> {
        self.plans[self.placement.home(key)].confirmation(key)
    }

    /// Returns the confirmation of each stream of a holder: [`Confirmation::Pending`] until the stream is requested in
    /// the way the holder wants it.
    pub fn confirmations_of(&self, id: DemandId) -> impl Iterator<Item = (StreamKey, Option<Confirmation>)> + '_ {
        let confirmation = |spec: &StreamSpec| self.plans[self.placement.home(spec.key)].confirmation_for(spec);
        self.held(id).iter().map(move |spec| (spec.key, confirmation(spec)))
    }

    /// Returns the newest conflicts, oldest first.
    pub fn conflicts(&self) -> Vec<Conflict> {
        self.conflicts.newest().cloned().collect()
    }

    /// Returns the statistics at `now`.
    pub fn stats(&self, now: Nanos) -> PlanStats {
        let wire_streams = self.plans.iter().map(|plan| plan.streams().specs().len()).sum();
        PlanStats {
            clients: self.clients.status(),
            holders: self.demand.holders(),
            stream_demands: self.demand.stream_demands(),
            wire_streams,
            streams_per_connection: self.placement.streams().to_vec(),
            changes: self.rate.total(),
            changes_per_second: self.rate.per_second(now),
            requests: self.requests,
            panics: self.panics,
            conflicts: ConflictKind::ALL.map(|kind| (kind, self.conflicts.count(kind))),
            revisions: self.revisions(),
            unconfirmed: self
                .confirmations()
                .filter(|(_, confirmation)| *confirmation == Confirmation::Unconfirmed)
                .map(|(key, _)| key)
                .collect(),
        }
    }
}

/// The refusal of streams because the connections may not carry more.
struct Excess {
    streams: usize,
    limit: usize,
    /// The first stream without room.
    offender: StreamKey,
}

/// Returns when a stream leaves the wire if no holder wants it from now on: after its grace period, or at once if it
/// was not issued to a connection yet.
fn leaves_at(now: Nanos, grace: Duration, placement: &Placement, plans: &[ConnectionPlan], key: StreamKey) -> Nanos {
    let is_issued = plans[placement.home(key)].streams().get(key).is_some();
    if is_issued { now + grace } else { now }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Limits, UPBIT};
    use crate::model::{DataType, Market};
    use crate::plan::ticker;

    /// Regression test: each new stream was checked against the streams carried before, not against other new ones.
    #[test]
    fn no_connection_carries_more_than_it_may() {
        let limits = Limits { streams_per_connection: 6, ..Limits::default() };
        let config = Arc::new(Config { connections: 4, limits, ..Config::default() });
        let mut accepted = 0;
        for (busy, quiet) in (1..=4).flat_map(|busy| (1..=20).map(move |quiet| (busy, quiet))) {
            // Three busy markets fill the shares of three connections, so all other markets go to the fourth.
            let busy = (0..busy).map(|n| format!("KRW-N{n}"));
            let codes: Vec<_> = busy.chain((0..quiet).map(|n| format!("USDT-N{n}"))).collect();
            let mut planner = Planner::new(config.clone(), false);
            accepted += usize::from(
                planner.add(Nanos(0), None, CheckedSubscription::of(ticker(&codes), &UPBIT).unwrap()).is_ok(),
            );
            let streams = planner.stats(Nanos(0)).streams_per_connection;
            assert!(streams.iter().all(|n| *n <= 6), "{streams:?}");
        }
        assert!(accepted >= 20, "{accepted}");
    }

    const SECOND: Duration = Duration::from_secs(1);

    /// Returns a planner of one connection and without a grace period.
    fn limited(streams_per_connection: usize) -> Planner {
        let limits = Limits { streams_per_connection, ..Limits::default() };
        Planner::new(Arc::new(Config { grace: Duration::ZERO, limits, ..Config::default() }), true)
    }

    fn planner() -> Planner {
        limited(1_000_000)
    }

    fn at(ms: u64) -> Nanos {
        Nanos::from_millis(1_000_000 + ms)
    }

    fn key(code: &str) -> StreamKey {
        StreamKey::of(DataType::Ticker, code.parse().unwrap())
    }

    fn asked(codes: &[&str]) -> CheckedSubscription {
        CheckedSubscription::of(ticker(codes), &UPBIT).unwrap()
    }

    fn universe(codes: &[&str]) -> Universe {
        codes.iter().map(|code| code.parse::<Market>().unwrap()).collect()
    }

    fn codes(desired: &DesiredSet) -> Vec<String> {
        desired.streams.keys().map(|key| key.scope.to_string()).collect()
    }

    /// Returns a planner whose socket carries BTC and ETH since 0 ms, both running at 100 ms, and the holder of ETH.
    fn with_two() -> (Planner, DemandId) {
        let mut planner = planner();
        planner.add(at(0), None, asked(&["KRW-BTC"])).unwrap();
        let eth = planner.add(at(0), None, asked(&["KRW-ETH"])).unwrap().id;
        planner.opened(0, Epoch(1));
        let desired = planner.poll(at(0), |_| None).carry.pop().unwrap().1;
        planner.requested(0, at(0), desired.revision);
        planner.poll(at(100), |_| Some((Epoch(1), at(50))));
        assert_eq!(planner.confirmation(key("KRW-ETH")), Some(Confirmation::Data));
        (planner, eth)
    }

    /// Regression test: the list was due, but the planner looks only once in 20 ms, and asked to be polled at once until
    /// then.
    #[test]
    fn the_next_poll_is_never_in_the_past() {
        let (mut planner, _) = with_two();
        let mut listed = Vec::new();
        for ms in 9_900..10_100 {
            let decisions = planner.poll(at(ms), |_| Some((Epoch(1), at(50))));
            listed.extend(decisions.list.iter().map(|_| ms));
            assert!(planner.next_poll() > at(ms), "{ms}");
        }
        let [ms] = listed[..] else { panic!("{listed:?}") };
        assert!((10_000..=10_020).contains(&ms), "{ms}");
    }

    #[test]
    fn with_a_longer_window_five_changes_in_400_ms_make_one_request() {
        let window = Some(Duration::from_millis(500));
        let mut planner = Planner::new(Arc::new(Config { window, ..Config::default() }), true);
        planner.add(at(0), None, asked(&["KRW-BTC"])).unwrap();
        planner.opened(0, Epoch(1));
        let first = planner.poll(at(0), |_| None).carry.pop().unwrap().1;
        planner.requested(0, at(0), first.revision);
        let mut carried = Vec::new();
        for ms in 1000..1600 {
            if ms <= 1400 && ms % 100 == 0 {
                planner.add(at(ms), None, asked(&[&format!("KRW-C{ms}")])).unwrap();
            }
            carried
                .extend(planner.poll(at(ms), |_| Some((Epoch(1), at(50)))).carry.into_iter().map(|(_, set)| (ms, set)));
        }
        let [(1500, set)] = &carried[..] else { panic!("{carried:?}") };
        assert_eq!(set.streams.specs().len(), 6);
    }

    #[test]
    fn a_stream_wanted_again_before_the_removal_is_issued_causes_no_request() {
        let (mut planner, eth) = with_two();
        planner.remove(at(200), eth);
        assert_eq!(planner.poll(at(200), |_| None), Decisions::default(), "the stream is still on the wire");
        let again = planner.add(at(210), None, asked(&["KRW-ETH"])).unwrap();
        assert_eq!((again.new.len(), again.carry), (1, vec![]));
        assert_eq!(planner.poll(at(1000), |_| None), Decisions::default());
        let revisions = planner.revisions();
        assert_eq!((revisions.sent, revisions.confirmed), (again.revision, again.revision));
    }

    /// The request without the stream might have been sent in between, and changes would have been missing.
    #[test]
    fn a_stream_wanted_again_is_issued_at_once_if_an_unsent_desired_set_omits_it() {
        let (mut planner, eth) = with_two();
        planner.remove(at(200), eth);
        planner.poll(at(200), |_| None);
        let without = planner.poll(at(250), |_| None).carry.pop().unwrap().1;
        assert_eq!(codes(&without), ["KRW-BTC"]);

        let again = planner.add(at(300), None, asked(&["KRW-ETH"])).unwrap();
        let [(0, with)] = &again.carry[..] else { panic!("{again:?}") };
        assert_eq!(codes(with), ["KRW-BTC", "KRW-ETH"]);
        assert!(with.running.on(Epoch(1), with.running.sent).contains(&key("KRW-ETH")), "the stream continues");
        assert_eq!(
            planner.confirmation(key("KRW-ETH")),
            Some(Confirmation::Pending),
            "the set without it may be on its way"
        );
        assert!(planner.revisions().confirmed < again.revision);

        planner.requested(0, at(400), with.revision);
        assert_eq!(planner.poll(at(410), |_| None), Decisions::default(), "the stream never left the wire");
        assert_eq!(planner.confirmation(key("KRW-ETH")), Some(Confirmation::Data));
    }

    /// The exchange does not repeat the snapshot of the first holder unless it gets another request.
    #[test]
    fn each_holder_of_snapshots_only_gets_a_snapshot() {
        let mut planner = planner();
        let snapshot = || CheckedSubscription::of(ticker("KRW-BTC").only_snapshot(), &UPBIT).unwrap();
        planner.opened(0, Epoch(1));
        let mut held = Vec::new();
        for n in 0..4 {
            let now = at(n * 1000);
            if n == 3 {
                // No holder wants the stream any more, and it is still on the wire.
                held.drain(..).for_each(|id| planner.remove(now, id));
                assert_eq!(planner.poll(now, |_| None).expired, []);
            }
            held.push(planner.add(now, None, snapshot()).unwrap().id);
            assert_ne!(planner.confirmation(key("KRW-BTC")), Some(Confirmation::Data), "its snapshot has not arrived");
            let later = now + Duration::from_millis(50);
            let desired = planner.poll(later, |_| None).carry.pop().expect("another request").1;
            planner.requested(0, later, desired.revision);
            let heard = later + Duration::from_millis(1);
            planner.poll(later + SECOND / 2, |_| Some((Epoch(1), heard)));
            assert_eq!(planner.confirmation(key("KRW-BTC")), Some(Confirmation::Data));
        }
    }

    #[test]
    fn a_stream_expires_when_the_request_without_it_was_sent() {
        let (mut planner, eth) = with_two();
        planner.remove(at(200), eth);
        let without = planner.poll(at(250), |_| None).carry;
        assert!(without.is_empty(), "the window begins when the grace period ends");
        let decisions = planner.poll(at(300), |_| None);
        assert_eq!(decisions.expired, []);
        planner.requested(0, at(900), decisions.carry[0].1.revision);
        assert_eq!(planner.poll(at(900), |_| None).expired, [key("KRW-ETH")]);
    }

    #[test]
    fn a_stream_expires_at_once_if_no_socket_carries_it() {
        let (mut planner, eth) = with_two();
        planner.disconnected(0);
        planner.remove(at(200), eth);
        let decisions = planner.poll(at(200), |_| None);
        assert_eq!((decisions.carry.len(), decisions.expired), (1, vec![key("KRW-ETH")]));
    }

    /// Regression test: the pool reported its value as live, although the stream was not on the wire.
    #[test]
    fn a_stream_that_left_the_wire_just_before_it_was_wanted_again_is_interrupted() {
        let (mut planner, eth) = with_two();
        planner.remove(at(200), eth);
        planner.poll(at(200), |_| None);
        let without = planner.poll(at(250), |_| None).carry.pop().unwrap().1;
        let again = planner.add(at(300), None, asked(&["KRW-ETH"])).unwrap();
        planner.requested(0, at(299), without.revision);
        let decisions = planner.poll(at(301), |_| None);
        assert_eq!((decisions.interrupted, decisions.expired), (vec![key("KRW-ETH")], vec![]));
        assert!(!again.carry[0].1.running.on(Epoch(1), Some(without.revision)).contains(&key("KRW-ETH")));
    }

    /// Regression test: each holder's list was searched again for each of its streams. That took 32 ms for 4,250
    /// streams, and would take an hour for these.
    #[test]
    fn relisting_many_markets_takes_linear_time() {
        let mut planner = planner();
        let listed = |count: usize| (0..count).map(|n| format!("KRW-C{n}").parse::<Market>().unwrap());
        planner.set_universe(at(0), listed(400_000).collect());
        let held = planner.add(at(0), None, asked(&["*"])).unwrap();
        assert_eq!(held.new.len(), 400_000);
        let relisted = planner.set_universe(at(1), listed(400_001).skip(1).collect());
        assert_eq!(relisted.new, [(key("KRW-C400000"), 0)]);
        let (more, less) = (vec![StreamSpec::all(key("KRW-C400000"))], vec![key("KRW-C0")]);
        assert_eq!(relisted.changes, [DemandChange { id: held.id, more, less }]);
        assert_eq!(planner.held(held.id).len(), 400_000);
    }

    fn held(planner: &Planner, id: DemandId) -> Vec<String> {
        planner.held(id).iter().map(|spec| spec.key.scope.to_string()).collect()
    }

    #[test]
    fn a_holder_that_lacks_streams_gets_them_when_there_is_room() {
        let mut planner = limited(3);
        planner.set_universe(at(0), universe(&["KRW-A"]));
        let all = planner.add(at(0), None, asked(&["*"])).unwrap().id;
        let other = planner.add(at(0), None, asked(&["BTC-X", "BTC-Y"])).unwrap().id;
        let relisted = planner.set_universe(at(10), universe(&["KRW-A", "KRW-B", "KRW-C"]));
        assert_eq!((relisted, held(&planner, all)), (Relisted::default(), vec!["KRW-A".to_owned()]));
        assert_eq!(planner.lacking(all), [key("KRW-B"), key("KRW-C")]);
        assert_eq!(planner.stats(at(10)).conflicts[ConflictKind::Limit as usize], (ConflictKind::Limit, 1));
        planner.set_universe(at(20), universe(&["KRW-A", "KRW-B", "KRW-C"]));
        assert_eq!(planner.conflicts().len(), 1, "the same conflict is logged once");

        planner.remove(at(30), other);
        let decisions = planner.poll(at(30), |_| None);
        assert_eq!(decisions.relisted.new, [(key("KRW-B"), 0), (key("KRW-C"), 0)]);
        assert_eq!(held(&planner, all), ["KRW-A", "KRW-B", "KRW-C"]);
        assert_eq!((planner.lacking(all), planner.expected().0.len()), (vec![], 3));
    }

    /// Regression test: the holder kept delisted markets, and so never had room for listed ones.
    #[test]
    fn a_holder_without_room_releases_delisted_markets() {
        let mut planner = limited(2);
        planner.set_universe(at(0), universe(&["KRW-A", "KRW-B"]));
        let all = planner.add(at(0), None, asked(&["*"])).unwrap().id;
        planner.set_universe(at(10), universe(&["KRW-B", "KRW-C"]));
        assert_eq!(held(&planner, all), ["KRW-B"]);
        planner.poll(at(10), |_| None);
        assert_eq!(held(&planner, all), ["KRW-B", "KRW-C"]);
    }

    #[test]
    fn a_removed_holder_lacks_no_streams() {
        let mut planner = limited(1);
        planner.set_universe(at(0), universe(&["KRW-A"]));
        let all = planner.add(at(0), None, asked(&["*"])).unwrap().id;
        planner.set_universe(at(10), universe(&["KRW-A", "KRW-B"]));
        assert_eq!(planner.expected(), (vec![key("KRW-A"), key("KRW-B")], false));
        planner.remove(at(20), all);
        assert_eq!(planner.poll(at(20), |_| None).relisted, Relisted::default());
        assert_eq!(planner.expected(), (vec![], false));
    }

    #[test]
    fn a_holder_of_a_pattern_awaits_the_list_of_markets() {
        let mut planner = planner();
        let named = planner.add(at(0), None, asked(&["KRW-A"])).unwrap().id;
        let pattern = planner.add(at(0), None, asked(&["KRW-B", "BTC-*"])).unwrap().id;
        assert_eq!((planner.awaits_markets(named), planner.awaits_markets(pattern)), (false, true));
        assert_eq!(planner.expected(), (vec![key("KRW-A"), key("KRW-B")], true));
        planner.set_universe(at(10), universe(&["BTC-C"]));
        assert!(!planner.awaits_markets(pattern));
        assert_eq!(planner.expected(), (vec![key("BTC-C"), key("KRW-A"), key("KRW-B")], false));
    }
}
