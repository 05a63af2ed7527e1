//! The control plane without its thread: turns demand and reports into commands for the connections. Knows no thread,
//! socket or clock. [`Control`](super::control::Control) locks the hub, wakes connections, and polls it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::handles::Handles;
use super::lifecycle::LifecycleEvent;
use super::log::{NewFormat, Note};
use super::mailbox::Commands;
use super::reports::{Pending, Report, RequestRefusal};
use super::status::FeedStatus;
use super::stream_watch::{Questions, StreamWatch};
use crate::config::{Config, Dialect, FormatChoice};
use crate::error::{Error, Result};
use crate::feed::{AnyWriter, FeedCounters, Overflow};
use crate::model::planted::{Place, reach};
use crate::model::{DataType, Nanos, NounKind, Placed, StreamKey};
use crate::monitor::GapLog;
use crate::plan::{
    CheckedSubscription, ClientId, Decisions, DemandChange, DemandId, DesiredSet, Heartbeat, Planner, Relisted,
    StreamSpec, Universe,
};
use crate::pool::{self, DataPool, HealthReason};
use crate::route::{AnyPublisher, NewFeed, OpenFeed, new_ring};
use crate::session::{FormatReason, FormatSelector};
use crate::sync::connection::ConnectionState;
use crate::sync::lossy::Writer;

/// The planner, and what the engine keeps for each demand.
pub(super) struct Hub {
    pool: DataPool,
    dialect: Dialect,
    planner: Planner,
    connections: Vec<Handles>,
    /// Chooses the format of each connection whose format is not fixed.
    selectors: Vec<Option<FormatSelector>>,
    /// Streams that have a publisher on a connection's thread. Each cell has one writer for life: a stream that is no
    /// longer carried keeps its publisher and is only marked.
    opened: BTreeSet<StreamKey>,
    /// The connections and types that have a shared ring.
    rings: BTreeSet<(usize, NounKind)>,
    /// Capacity of a shared ring, in events.
    broadcast_capacity: usize,
    feeds: BTreeMap<DemandId, FeedRecord>,
    stream_watch: StreamWatch,
    stopped: bool,
    outcome: Outcome,
}

/// The work that remains after a call, to be done without the lock.
#[derive(Default)]
pub(super) struct Outcome {
    /// Connections to wake, because they have new commands.
    pub commanded: BTreeSet<usize>,
    /// Feeds that ended on a connection's thread. Freeing their memory may take a while.
    pub ended: Vec<OpenFeed>,
    /// Feeds that ended before the connection's thread had taken them.
    pub unseen: Vec<NewFeed>,
    pub notes: Vec<Note>,
}

/// What the hub keeps about an open feed.
struct FeedRecord {
    client: Option<Box<str>>,
    overflow: Overflow,
    counters: Arc<FeedCounters>,
    /// The connections that may carry its streams.
    connections: Vec<usize>,
}

/// A request to open a feed.
pub(super) struct FeedRequest<'a> {
    pub overflow: Overflow,
    /// Creates the feed, with a writing end for each connection that may carry its streams.
    pub open: Box<OpenWith<'a>>,
}

/// Takes the types of the streams and the states of the connections. Returns one writing end per connection, and the
/// feed's counters.
type OpenWith<'a> = dyn FnOnce(&[DataType], &[Arc<ConnectionState>]) -> (Vec<AnyWriter>, Arc<FeedCounters>) + 'a;

/// Demand that was accepted.
#[derive(Debug)]
pub(super) struct Accepted {
    pub id: DemandId,
    pub revision: u64,
}

impl Hub {
    pub fn new(
        pool: DataPool,
        dialect: Dialect,
        planner: Planner,
        connections: Vec<Handles>,
        broadcast_capacity: usize,
    ) -> Self {
        Self {
            pool,
            dialect,
            planner,
            selectors: connections.iter().map(|_| None).collect(),
            stream_watch: StreamWatch::new(connections.len()),
            connections,
            opened: BTreeSet::new(),
            rings: BTreeSet::new(),
            broadcast_capacity,
            feeds: BTreeMap::new(),
            stopped: false,
            outcome: Outcome::default(),
        }
    }

    /// Takes the work that remains from all calls since this was last called.
    pub fn take_outcome(&mut self) -> Outcome {
        std::mem::take(&mut self.outcome)
    }

    pub fn pool(&self) -> &DataPool {
        &self.pool
    }

    pub fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    pub fn planner(&mut self) -> &mut Planner {
        &mut self.planner
    }

    /// Adds demand, and a feed of it if one is requested. Either both happen or neither.
    pub fn add(
        &mut self,
        now: Nanos,
        client: Option<ClientId>,
        checked: CheckedSubscription,
        feed: Option<FeedRequest<'_>>,
    ) -> Result<Accepted> {
        if self.stopped {
            return Err(Error::Stopped);
        }
        let (may_grow, data_types) = (!checked.patterns.is_empty(), checked.data_types());
        let admitted = self.planner.add(now, client, checked).map_err(Error::refused)?;
        self.open_streams(admitted.new);
        // The desired set is issued before the feed, so that no older desired set takes the feed's streams off the wire
        // first.
        self.carry(admitted.carry);
        if let Some(feed) = feed {
            self.open_feed(admitted.id, client, feed, &data_types, may_grow);
        }
        Ok(Accepted { id: admitted.id, revision: admitted.revision })
    }

    fn open_feed(
        &mut self,
        id: DemandId,
        client: Option<ClientId>,
        FeedRequest { overflow, open }: FeedRequest<'_>,
        data_types: &[DataType],
        may_grow: bool,
    ) {
        let held = self.planner.held(id).iter().copied();
        let shares = self.shares(held, |spec: &StreamSpec| spec.key);
        // A writing end for each connection that carries some of the streams, or may do so when markets are listed.
        let shares = shares.into_iter().enumerate().filter(|(_, specs)| may_grow || !specs.is_empty());
        let (connections, shares): (Vec<_>, Vec<_>) = shares.unzip();
        self.open_rings(&connections, overflow, data_types);
        let states: Vec<_> = connections.iter().map(|connection| self.connections[*connection].state.clone()).collect();
        let (writers, counters) = open(data_types, &states);
        for ((writer, specs), connection) in writers.into_iter().zip(shares).zip(&connections) {
            self.command(*connection, |commands| commands.open(NewFeed { id, specs, writer }));
        }
        let client = client.and_then(|client| self.planner.client_name(client)).map(Box::from);
        self.feeds.insert(id, FeedRecord { client, overflow, counters, connections });
    }

    /// Creates the shared rings that the feed needs. This is not done on the connection's thread, because creating a
    /// ring touches all of its memory.
    fn open_rings(&mut self, connections: &[usize], overflow: Overflow, data_types: &[DataType]) {
        let shared = data_types.iter().filter(|data_type| overflow.of(**data_type) == Overflow::DropOldest);
        let kinds: BTreeSet<_> = shared.map(|data_type| data_type.kind()).collect();
        for (connection, kind) in connections.iter().flat_map(|one| kinds.iter().map(|kind| (*one, *kind))) {
            if self.rings.insert((connection, kind)) {
                let ring = new_ring(kind, self.broadcast_capacity);
                self.command(connection, |commands| commands.rings.push(ring));
            }
        }
    }

    /// Releases exactly what one `add` requested. A second call with the same id does nothing.
    pub fn remove(&mut self, now: Nanos, id: DemandId) {
        self.planner.remove(now, id);
        self.end_feed(id);
    }

    /// Opens a client. Its name must be free.
    pub fn open_client(
        &mut self,
        now: Nanos,
        name: &str,
        lease: Option<Duration>,
    ) -> Result<(ClientId, Arc<Heartbeat>)> {
        if self.stopped {
            return Err(Error::Stopped);
        }
        self.planner.open_client(now, name, lease).map_err(|_| Error::NameTaken(name.into()))
    }

    /// Releases everything that a client holds.
    pub fn close_client(&mut self, now: Nanos, id: ClientId) {
        self.planner.close_client(now, id);
        self.end_released_feeds();
    }

    /// Ends the feed of a demand, if it has one.
    fn end_feed(&mut self, id: DemandId) {
        for connection in self.feeds.remove(&id).into_iter().flat_map(|feed| feed.connections) {
            let unseen = self.command(connection, |commands| commands.end(id));
            self.outcome.unseen.extend(unseen);
        }
    }

    /// Ends the feeds whose demand was released with their client, even if they are still read.
    fn end_released_feeds(&mut self) {
        let released: Vec<_> = self.feeds.keys().copied().filter(|id| !self.planner.is_held(*id)).collect();
        released.into_iter().for_each(|id| self.end_feed(id));
    }

    /// Returns the status of each open feed.
    pub fn feeds(&self) -> Vec<FeedStatus> {
        let status = |(id, feed): (&DemandId, &FeedRecord)| FeedStatus {
            client: feed.client.clone(),
            streams: self.planner.held(*id).len(),
            overflow: feed.overflow,
            counts: feed.counters.counts(),
            depth_max: feed.counters.depth_max(),
            bytes: feed.counters.bytes(),
            shared_bytes: feed.counters.shared_bytes(),
        };
        self.feeds.iter().map(status).collect()
    }

    /// Sets the markets that exist.
    pub fn set_universe(&mut self, now: Nanos, universe: Universe) {
        if !self.stopped {
            let relisted = self.planner.set_universe(now, universe);
            self.relist(relisted);
        }
    }

    /// Opens the streams that patterns now match, and changes the feeds that read them.
    fn relist(&mut self, relisted: Relisted) {
        let Relisted { new, carry, changes } = relisted;
        self.open_streams(new);
        self.carry(carry);
        for DemandChange { id, more, less } in changes {
            let more = self.shares(more, |spec| spec.key);
            let less = self.shares(less, |key| *key);
            for (connection, (more, less)) in more.into_iter().zip(less).enumerate() {
                self.command(connection, |commands| commands.change(DemandChange { id, more, less }));
            }
        }
    }

    /// Opens a publisher for each new stream, on the thread that carries it.
    fn open_streams(&mut self, new: Vec<(StreamKey, usize)>) {
        if !new.is_empty() {
            self.stream_watch.hasten();
        }
        for (key, home) in new {
            if self.opened.insert(key) {
                let publisher = self.open(key, home);
                self.command(home, |commands| commands.streams.push(publisher));
            } else {
                pool::set_subscribed(&self.pool, key, true);
            }
        }
    }

    fn open(&self, key: StreamKey, home: usize) -> AnyPublisher {
        let state = self.connections[home].state.clone();
        with_noun!(key.data_type.kind(), T => T::into_any(pool::open::<T>(&self.pool, key, state)))
    }

    /// Groups `all` by the connection that carries the stream of each.
    fn shares<T: Clone>(&self, all: impl IntoIterator<Item = T>, key: impl Fn(&T) -> StreamKey) -> Vec<Vec<T>> {
        let mut shares = vec![Vec::new(); self.connections.len()];
        for one in all {
            shares[self.planner.home(key(&one))].push(one);
        }
        shares
    }

    /// Applies another configuration from now on.
    pub fn set_config(&mut self, config: &Arc<Config>) {
        self.planner.set_config(config.clone());
        pool::set_stale_after(&self.pool, config.stale_after);
        for connection in 0..self.connections.len() {
            self.command(connection, |commands| commands.config = Some(config.clone()));
        }
    }

    /// Changes the message format of a connection.
    pub fn set_format(&mut self, now: Nanos, connection: usize, choice: FormatChoice) {
        let (selector, reason) = match choice {
            FormatChoice::Fixed(format) => {
                self.planner.set_format(now, connection, format);
                (None, FormatReason::Fixed)
            }
            FormatChoice::Auto(rule) => {
                let selector = FormatSelector::new(rule, self.dialect.formats, self.planner.format(connection));
                let reason = selector.reason();
                (Some(selector), reason)
            }
        };
        self.selectors[connection] = selector;
        self.connections[connection].status.change(|status| status.format_reason = reason);
    }

    /// Applies the reports of the connections, and issues the commands that follow from them. Returns the time of the
    /// next poll.
    pub fn poll(&mut self, now: Nanos) -> Nanos {
        (0..self.connections.len()).for_each(|connection| self.take_reports(now, connection));
        reach(Place::Hub, |code| self.planner.homes().iter().any(|(key, _)| key.scope.to_string() == code));
        let next_choice = self.choose_formats(now);
        if now >= self.stream_watch.next_look() {
            self.look(now);
        }
        let decisions = self.planner.poll(now, |key| self.pool.heard(key));
        self.carry_out(decisions);
        self.planner.next_poll().min(next_choice).min(self.stream_watch.next_look())
    }

    /// Adds a watcher of the streams.
    pub fn watch_streams(&mut self, watcher: Writer<LifecycleEvent>) {
        self.stream_watch.add(watcher);
    }

    /// Returns the gaps of all streams.
    pub fn gaps(&self) -> GapLog {
        self.stream_watch.gaps()
    }

    /// Looks at all streams, and asks the exchange about those that may have died.
    fn look(&mut self, now: Nanos) {
        let Questions { asks, probes } = self.stream_watch.look(now, &self.pool, &self.planner, &self.connections);
        self.planner.check_streams(now, asks);
        for connection in probes {
            self.command(connection, |commands| commands.probe = true);
        }
    }

    fn take_reports(&mut self, now: Nanos, connection: usize) {
        let Pending { reports, earlier_requests, refusal, ended } = self.connections[connection].reports.take();
        self.outcome.ended.extend(ended);
        self.planner.count_requests(earlier_requests);
        // The reports of the socket on which the request was refused may be merged already.
        let is_of_earlier_socket = matches!(reports.first(), Some(Report::Opened(_) | Report::Disconnected));
        let (before, after) = if is_of_earlier_socket { (refusal, None) } else { (None, refusal) };
        if let Some(refusal) = before {
            self.refused(now, connection, refusal);
        }
        for report in reports {
            match report {
                Report::Opened(epoch) => {
                    self.planner.opened(connection, epoch);
                    self.stream_watch.hasten();
                }
                Report::Disconnected => {
                    self.planner.disconnected(connection);
                    self.stream_watch.hasten();
                }
                Report::Requested { at, revision } => self.planner.requested(connection, at, revision),
                Report::Listed(streams) => {
                    let heard = |key| self.pool.heard(key).map(|(_, received)| received);
                    let difference = self.planner.listed(now, connection, &streams, heard);
                    for key in &difference.missing {
                        pool::doubt(&self.pool, *key, HealthReason::NotCarried);
                    }
                    if !difference.is_empty() {
                        self.outcome.notes.push(Note::ListDiffers(connection, difference));
                    }
                }
            }
        }
        if let Some(refusal) = after {
            self.refused(now, connection, refusal);
        }
    }

    /// Handles the refusal of a request.
    fn refused(&mut self, now: Nanos, connection: usize, RequestRefusal { revision, reason }: RequestRefusal) {
        let left_out = self.planner.refused(now, connection, revision, &reason);
        for key in &left_out {
            pool::set_subscribed(&self.pool, *key, false);
        }
        if !left_out.is_empty() {
            self.outcome.notes.push(Note::LeftOut(left_out, reason));
        }
    }

    /// Evaluates the format selectors on the counters of their connections. Returns the time of the next evaluation.
    fn choose_formats(&mut self, now: Nanos) -> Nanos {
        let mut next = Nanos::NEVER;
        for (number, (connection, selector)) in self.connections.iter().zip(&mut self.selectors).enumerate() {
            let Some(selector) = selector else { continue };
            if now >= selector.next_evaluation() {
                let status = connection.status.read();
                if let Some(format) = selector.evaluate(now, status.format, &status.counters) {
                    let reason = selector.reason();
                    self.planner.set_format(now, number, format);
                    connection.status.change(|status| status.format_reason = reason);
                    self.outcome.notes.push(Note::Format(NewFormat { connection: number, format, reason }));
                }
            }
            next = next.min(selector.next_evaluation());
        }
        next
    }

    fn carry_out(&mut self, decisions: Decisions) {
        let Decisions { carry, list, overdue, reaped, expired, interrupted, relisted, unconfirmed, restored } =
            decisions;
        for key in &expired {
            self.end_stream(*key);
        }
        for key in &interrupted {
            pool::set_subscribed(&self.pool, *key, false);
        }
        for key in &interrupted {
            pool::set_subscribed(&self.pool, *key, true);
        }
        for key in &restored {
            pool::set_subscribed(&self.pool, *key, true);
        }
        self.relist(relisted);
        self.carry(carry);
        for connection in list {
            self.command(connection, |commands| commands.list = true);
        }
        if !overdue.is_empty() {
            self.outcome.notes.push(Note::Overdue(overdue));
        }
        if !reaped.is_empty() {
            self.end_released_feeds();
            self.outcome.notes.push(Note::Reaped(reaped));
        }
        for key in &unconfirmed {
            pool::doubt(&self.pool, *key, HealthReason::Unanswered);
        }
        if !unconfirmed.is_empty() {
            self.outcome.notes.push(Note::Unconfirmed(unconfirmed));
        }
    }

    /// Marks a stream that has left the wire.
    fn end_stream(&self, key: StreamKey) {
        let universe = self.planner.universe();
        if !universe.is_empty() && key.market().is_some_and(|market| !universe.contains(market)) {
            pool::delist(&self.pool, key);
        } else {
            pool::set_subscribed(&self.pool, key, false);
        }
    }

    /// Puts new desired sets into the connections' mailboxes.
    fn carry(&mut self, desired: Vec<(usize, DesiredSet)>) {
        for (connection, desired) in desired {
            self.command(connection, |commands| commands.desired = Some(desired));
        }
    }

    /// Continues after a panic of the thread that changed the hub.
    #[cold]
    pub fn rebuild(&mut self, now: Nanos) {
        self.planner.rebuild(now);
        self.stream_watch.rebuild(self.connections.len());
        let unopened = self.planner.homes().into_iter().filter(|(key, _)| !self.opened.contains(key)).collect();
        self.open_streams(unopened);
        self.end_released_feeds();
        self.outcome.notes.push(Note::Rebuilt);
    }

    /// Refuses demand from now on and makes every connection close.
    pub fn stop(&mut self) {
        self.stopped = true;
        self.stream_watch.end();
        (0..self.connections.len()).for_each(|connection| self.command(connection, |commands| commands.stop = true));
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    fn command<R>(&mut self, connection: usize, write: impl FnOnce(&mut Commands) -> R) -> R {
        self.outcome.commanded.insert(connection);
        self.connections[connection].mailbox.update(write)
    }
}
