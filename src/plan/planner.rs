//! From demand to requests: what each connection shall carry, when it is told, and what came of it. Pure: time is an
//! argument.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::client::Clients;
use super::demand::{Added, Demand};
use super::line::Line;
use super::stats::ChangeRate;
use super::{
    Checked, ClientId, Conflict, ConflictKind, ConflictLog, ConflictSubject, DemandId, Placement, PlanStats, Proof,
    Pulse, Revisions, StreamSet, Universe, Want, Wish,
};
use crate::model::{Epoch, Format, Nanos, StreamKey};

/// How often streams are looked at that were asked for and have not come.
const CHECK_EVERY: Duration = Duration::from_millis(20);

/// The same for streams that stayed silent: they may come yet, when a market is listed or goes on.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a planner needs to know.
#[derive(Debug, Clone, Copy)]
pub struct PlanConfig {
    /// How many connections share the streams.
    pub connections: usize,
    /// Changes of demand within this time become one request. It starts with the first of them.
    pub window: Duration,
    /// How long a stream stays on the wire after the last who wanted it left.
    pub grace: Duration,
    /// How long a stream may stay silent before it is asked for again.
    pub patience: Duration,
    /// How often leases are looked at.
    pub clean_up: Duration,
    /// Somebody will say which markets exist.
    pub knows_markets: bool,
    /// The most streams that one connection may carry.
    pub streams_per_connection: usize,
    /// How the exchange shall write.
    pub format: Format,
}

/// Why something was refused. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// More streams than the connections may carry.
    TooManyStreams {
        /// How many there would have been.
        streams: usize,
        /// How many there may be.
        limit: usize,
    },
    /// There is a component of that name already.
    NameTaken,
    /// A pattern was asked for, and nobody will say which markets exist.
    NoUniverse,
    /// The component did not renew its lease in time, and everything it held was released.
    NoSuchClient,
}

/// What an addition of demand calls for.
#[derive(Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Give it back to [`Planner::remove`].
    pub id: DemandId,
    /// Streams that were not carried before, and the connection that will carry each.
    pub new: Vec<(StreamKey, usize)>,
    /// The desired revision that includes it.
    pub revision: u64,
}

/// What another set of markets changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Relisted {
    /// Streams that were not carried before, and the connection that will carry each.
    pub new: Vec<(StreamKey, usize)>,
    /// What each holder wants besides what it wanted before.
    pub more: Vec<(DemandId, Vec<Want>)>,
}

/// What to do now. Connections are numbered from 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Orders {
    /// What a connection shall carry from now on.
    pub carry: Vec<(usize, Wish)>,
    /// Connections that shall ask the exchange what they carry.
    pub list: Vec<usize>,
    /// Components that did not renew their leases in time.
    pub overdue: Vec<Box<str>>,
    /// Components that were overdue for longer: all they held was released.
    pub reaped: Vec<Box<str>>,
    /// Streams whose grace has ended: they are not carried any more.
    pub expired: Vec<StreamKey>,
    /// Streams that were asked for twice and stay silent, each reported once for each socket.
    pub unconfirmed: Vec<StreamKey>,
}

/// Keeps every connection's wire equal to the union of demand, with as few requests as that takes.
#[derive(Debug)]
pub struct Planner {
    config: PlanConfig,
    demand: Demand,
    /// Markets that exist, as far as is known.
    universe: Universe,
    /// Holders that asked for patterns.
    patterned: BTreeMap<DemandId, Checked>,
    clients: Clients,
    placement: Placement,
    lines: Vec<Line>,
    conflicts: ConflictLog,
    rate: ChangeRate,
    /// Counts changes of what the wire shall carry.
    desired: u64,
    /// All lines were told of changes up to this one.
    told: u64,
    /// The first change that the lines were not told of.
    changed_at: Option<Nanos>,
    requests: u64,
    last_check: Nanos,
    /// When leases are looked at next.
    next_clean_up: Nanos,
}

impl Planner {
    /// Nothing is wanted yet.
    pub fn new(config: PlanConfig) -> Self {
        Self {
            demand: Demand::default(),
            universe: Universe::default(),
            patterned: BTreeMap::new(),
            clients: Clients::default(),
            placement: Placement::new(config.connections),
            lines: (0..config.connections).map(|_| Line::new(config.format)).collect(),
            conflicts: ConflictLog::default(),
            rate: ChangeRate::default(),
            desired: 0,
            told: 0,
            changed_at: None,
            requests: 0,
            last_check: Nanos::default(),
            next_clean_up: Nanos::default(),
            config,
        }
    }

    // ---- demand ----

    /// Somebody wants these streams: different ones, each once. A component may want them, or nobody in particular.
    ///
    /// # Errors
    /// If the connections may not carry that many, or the component is gone. Nothing was changed then.
    pub fn add(&mut self, now: Nanos, client: Option<ClientId>, checked: Checked) -> Result<Admitted, Refused> {
        if client.is_some_and(|id| !self.clients.has(id)) {
            return Err(Refused::NoSuchClient);
        }
        if !checked.patterns.is_empty() && !self.config.knows_markets && self.universe.is_empty() {
            return Err(Refused::NoUniverse);
        }
        let wants = checked.wants_in(&self.universe);
        self.check_limit(now, &wants)?;
        self.note_conflicts(now, &wants);
        let (id, added) = self.demand.add(wants);
        if let Some(client) = client {
            self.clients.hold(client, id);
        }
        if !checked.patterns.is_empty() {
            self.patterned.insert(id, checked);
        }
        let new = self.admit(now, added);
        Ok(Admitted { id, new, revision: self.desired })
    }

    /// Carries what was added; gives the streams that were not carried before, and who carries each.
    fn admit(&mut self, now: Nanos, added: Added) -> Vec<(StreamKey, usize)> {
        for key in &added.new {
            self.placement.add(*key);
        }
        // It may still run: the request without it may not have been sent yet.
        for key in &added.new {
            self.lines[self.placement.home(*key)].renew(*key);
        }
        self.rate.count(now);
        if added.changes_wire() {
            self.changed(now);
        }
        added.new.into_iter().map(|key| (key, self.placement.home(key))).collect()
    }

    /// These markets exist now. Streams that were asked for by patterns come and go with them.
    ///
    /// A holder whose new streams are more than the connections may carry keeps what it has; that is a conflict.
    pub fn set_universe(&mut self, now: Nanos, universe: Universe) -> Relisted {
        self.universe = universe;
        let mut relisted = Relisted::default();
        for (id, checked) in self.patterned.clone() {
            let wants = checked.wants_in(&self.universe);
            if wants == self.demand.held(id) || self.check_limit(now, &wants).is_err() {
                continue;
            }
            let before = self.demand.held(id).to_vec();
            let leaves_at = now + self.config.grace;
            let (added, narrowed) = self.demand.replace(id, wants.clone(), leaves_at);
            relisted.new.extend(self.admit(now, added));
            if narrowed {
                self.changed(now);
            }
            let more = wants.into_iter().filter(|want| !before.contains(want)).collect();
            relisted.more.push((id, more));
        }
        relisted
    }

    /// The markets that exist, as far as is known.
    pub fn universe(&self) -> &Universe {
        &self.universe
    }

    /// The holder no longer wants anything. What nobody else wants leaves the wire when its grace ends; what no connection
    /// was told of yet never comes there.
    pub fn remove(&mut self, now: Nanos, id: DemandId) {
        if !self.demand.is_held(id) {
            return; // released already, with the component that held it
        }
        self.clients.release(id);
        self.release(now, id);
    }

    fn release(&mut self, now: Nanos, id: DemandId) {
        self.patterned.remove(&id);
        let (placement, lines, grace) = (&self.placement, &self.lines, self.config.grace);
        let is_told = |key| lines[placement.home(key)].streams().get(key).is_some();
        let narrowed = self.demand.remove(id, |key| if is_told(key) { now + grace } else { now });
        self.rate.count(now);
        if narrowed {
            self.changed(now);
        }
    }

    /// The holder has not been removed, nor the component that held it.
    pub fn is_held(&self, id: DemandId) -> bool {
        self.demand.is_held(id)
    }

    /// The name of a component.
    pub fn client_name(&self, id: ClientId) -> Option<&str> {
        self.clients.name(id)
    }

    /// What a holder wants.
    pub fn held(&self, id: DemandId) -> &[Want] {
        self.demand.held(id)
    }

    /// Streams that somebody wants.
    pub fn wanted(&self) -> impl Iterator<Item = StreamKey> + '_ {
        self.demand.wanted()
    }

    /// How the exchange shall write to a connection.
    pub fn format(&self, connection: usize) -> Format {
        self.lines[connection].format
    }

    /// The connection that carries a stream, or would.
    pub fn home(&self, key: StreamKey) -> usize {
        self.placement.home(key)
    }

    /// A new component. With a lease, it must renew its pulse at least that often.
    ///
    /// # Errors
    /// If there is one of that name already: it keeps the name.
    pub fn open_client(
        &mut self,
        now: Nanos,
        name: &str,
        lease: Option<Duration>,
    ) -> Result<(ClientId, Arc<Pulse>), Refused> {
        self.clients.open(now, name, lease).ok_or_else(|| {
            self.conflicts.record(now, ConflictKind::Identity, ConflictSubject::Client(name.into()));
            Refused::NameTaken
        })
    }

    /// A component is gone, and nobody holds what it held.
    pub fn close_client(&mut self, now: Nanos, id: ClientId) {
        for demand in self.clients.close(id) {
            self.release(now, demand);
        }
    }

    fn check_limit(&mut self, now: Nanos, wants: &[Want]) -> Result<(), Refused> {
        let new: Vec<_> = wants.iter().filter(|want| self.demand.get(want.key).is_none()).collect();
        let carried: usize = self.placement.streams().iter().sum();
        let each = self.config.streams_per_connection;
        let (streams, limit) = (carried + new.len(), each.saturating_mul(self.lines.len()));
        let offender = if streams > limit {
            new.first()
        } else if streams > each {
            // Where each goes depends on those before it.
            let mut placement = self.placement.clone();
            new.iter().find(|want| {
                let home = placement.add(want.key);
                placement.streams()[home] > each
            })
        } else {
            None
        };
        let Some(offender) = offender else { return Ok(()) };
        self.conflicts.record(now, ConflictKind::Limit, ConflictSubject::Stream(offender.key));
        Err(Refused::TooManyStreams { streams, limit })
    }

    fn note_conflicts(&mut self, now: Nanos, wants: &[Want]) {
        for want in wants {
            let Some(carried) = self.demand.wanted_as(want.key) else { continue };
            if carried.mode != want.mode {
                self.conflicts.record(now, ConflictKind::Mode, ConflictSubject::Stream(want.key));
            }
            if carried.depth != want.depth {
                self.conflicts.record(now, ConflictKind::Depth, ConflictSubject::Stream(want.key));
            }
        }
    }

    /// How the exchange shall write to a connection, from its next request on. That asks for all it carries once more,
    /// so it waits for the window like any change; what runs goes on.
    pub fn set_format(&mut self, now: Nanos, connection: usize, format: Format) {
        let line = &mut self.lines[connection];
        if line.format != format {
            line.format = format;
            self.changed(now);
        }
    }

    fn changed(&mut self, now: Nanos) {
        self.desired += 1;
        self.changed_at.get_or_insert(now);
    }

    // ---- what connections report ----

    /// A connection has a socket that can carry requests.
    pub fn opened(&mut self, connection: usize, epoch: Epoch) {
        self.lines[connection].opened(epoch);
    }

    /// A connection's socket is gone.
    pub fn lost(&mut self, connection: usize) {
        self.lines[connection].lost();
    }

    /// A connection has sent the request of a wish.
    pub fn requested(&mut self, connection: usize, at: Nanos, revision: u64) {
        self.requests += 1;
        self.lines[connection].requested(at, revision);
    }

    /// The exchange has said what a connection carries.
    pub fn listed(&mut self, connection: usize, streams: &BTreeSet<StreamKey>) {
        self.lines[connection].listed(streams);
    }

    // ---- what to do ----

    /// What the connections shall be told now. `heard` says when a stream's data last came, and on which socket of its
    /// connection.
    pub fn poll(&mut self, now: Nanos, mut heard: impl FnMut(StreamKey) -> Option<(Epoch, Nanos)>) -> Orders {
        let mut orders = Orders::default();
        self.clean_up(now, &mut orders);
        let expired = self.demand.expire(now);
        for key in &expired {
            self.placement.remove(*key);
        }
        if !expired.is_empty() {
            self.changed(now);
        }
        orders.expired = expired;
        let asked_again = self.check(now, &mut heard, &mut orders);
        self.tell(now, &asked_again, &mut orders);
        orders
    }

    /// When to call [`poll`](Self::poll) again, if nothing happens before.
    pub fn next_poll(&self) -> Nanos {
        let window = self.changed_at.map_or(Nanos::NEVER, |at| at + self.config.window);
        let check = match self.lines.iter().filter_map(Line::restless).min() {
            Some(Proof::Pending) => self.last_check + CHECK_EVERY,
            Some(_) => self.last_check + LOOK_EVERY,
            None => Nanos::NEVER,
        };
        window.min(check).min(self.demand.next_expiry()).min(self.next_clean_up)
    }

    /// Looks at leases, once in a while.
    fn clean_up(&mut self, now: Nanos, orders: &mut Orders) {
        if now < self.next_clean_up {
            return;
        }
        self.next_clean_up = now + self.config.clean_up;
        let swept = self.clients.sweep(now);
        (orders.overdue, orders.reaped) = (swept.overdue, swept.reaped);
        for demand in swept.released {
            self.release(now, demand);
        }
    }

    /// Looks after silent streams; gives the lines whose request is to be sent again.
    fn check(
        &mut self,
        now: Nanos,
        heard: &mut impl FnMut(StreamKey) -> Option<(Epoch, Nanos)>,
        orders: &mut Orders,
    ) -> BTreeSet<usize> {
        let mut again = BTreeSet::new();
        if now < self.last_check + CHECK_EVERY {
            return again;
        }
        self.last_check = now;
        for (connection, line) in self.lines.iter_mut().enumerate() {
            let checked = line.check(now, self.config.patience, &mut *heard);
            orders.unconfirmed.extend(checked.unconfirmed);
            if checked.list {
                orders.list.push(connection);
            }
            if checked.ask_again {
                again.insert(connection);
            }
        }
        again
    }

    /// Tells the lines what has changed: once the window is over, or at once where no request was sent yet.
    fn tell(&mut self, now: Nanos, asked_again: &BTreeSet<usize>, orders: &mut Orders) {
        let due = self.changed_at.is_some_and(|at| now >= at + self.config.window);
        let any_early = self.changed_at.is_some() && self.lines.iter().any(|line| !line.has_sent());
        if !due && !any_early && asked_again.is_empty() {
            return;
        }
        if !asked_again.is_empty() {
            self.desired += 1;
        }
        let mut all_told = true;
        for (connection, streams) in self.shares().into_iter().enumerate() {
            let line = &mut self.lines[connection];
            let changed = line.renews() || streams != *line.streams();
            let now_or_never = due || !line.has_sent() || asked_again.contains(&connection);
            if changed && !now_or_never {
                all_told = false;
            } else if changed || asked_again.contains(&connection) {
                orders.carry.push((connection, line.wish(self.desired, streams)));
            }
        }
        if all_told {
            (self.changed_at, self.told) = (None, self.desired);
        }
    }

    /// What each connection shall carry.
    fn shares(&self) -> Vec<StreamSet> {
        let mut shares = vec![Vec::new(); self.lines.len()];
        for want in self.demand.carried() {
            shares[self.placement.home(want.key)].push(want);
        }
        shares.into_iter().map(StreamSet::from_iter).collect()
    }

    // ---- what may be asked ----

    /// How far what is wanted has got.
    pub fn revisions(&self) -> Revisions {
        let sent = self.lines.iter().map(|line| if line.is_settled() { self.told } else { line.sent() }).min();
        let sent = sent.unwrap_or(0);
        let pending = self.lines.iter().filter_map(Line::first_pending).min();
        let confirmed = pending.map_or(sent, |first| sent.min(first.saturating_sub(1)));
        Revisions { desired: self.desired, sent, confirmed }
    }

    /// What is known about each stream on its current socket.
    pub fn proofs(&self) -> impl Iterator<Item = (StreamKey, Proof)> + '_ {
        self.lines.iter().flat_map(Line::proofs)
    }

    /// What is known about a stream on its current socket; `None` before it was asked for there.
    pub fn proof(&self, key: StreamKey) -> Option<Proof> {
        self.lines[self.placement.home(key)].proof(key)
    }

    /// The newest conflicts, oldest first.
    pub fn conflicts(&self) -> Vec<Conflict> {
        self.conflicts.newest().cloned().collect()
    }

    /// Everything counted, as of now.
    pub fn stats(&self, now: Nanos) -> PlanStats {
        let wire_streams = self.lines.iter().map(|line| line.streams().wants().len()).sum();
        PlanStats {
            clients: self.clients.status(),
            holders: self.demand.holders(),
            wishes: self.demand.wishes(),
            wire_streams,
            streams_per_connection: self.placement.streams().to_vec(),
            changes: self.rate.total(),
            changes_per_second: self.rate.per_second(now),
            requests: self.requests,
            conflicts: ConflictKind::ALL.map(|kind| (kind, self.conflicts.count(kind))),
            revisions: self.revisions(),
            unconfirmed: self.proofs().filter(|(_, proof)| *proof == Proof::Unconfirmed).map(|(key, _)| key).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::UPBIT;
    use crate::plan::ticker;

    /// Each stream of one wish was measured against what the connections carried before it.
    #[test]
    fn no_connection_carries_more_than_it_may() {
        let config = PlanConfig {
            connections: 4,
            window: Duration::ZERO,
            grace: Duration::ZERO,
            patience: Duration::from_secs(3),
            clean_up: Duration::from_secs(60),
            knows_markets: false,
            streams_per_connection: 6,
            format: Format::Default,
        };
        let mut accepted = 0;
        for (busy, quiet) in (1..=4).flat_map(|busy| (1..=20).map(move |quiet| (busy, quiet))) {
            // Three busy markets are the share of three connections, so all others go to the fourth.
            let busy = (0..busy).map(|n| format!("KRW-N{n}"));
            let codes: Vec<_> = busy.chain((0..quiet).map(|n| format!("USDT-N{n}"))).collect();
            let mut planner = Planner::new(config);
            accepted += usize::from(planner.add(Nanos(0), None, ticker(&codes).check(&UPBIT).unwrap()).is_ok());
            let streams = planner.stats(Nanos(0)).streams_per_connection;
            assert!(streams.iter().all(|n| *n <= 6), "{streams:?}");
        }
        assert!(accepted >= 20, "{accepted}");
    }
}
