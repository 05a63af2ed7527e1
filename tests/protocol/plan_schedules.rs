//! The planner under virtual time, against a model of connections and of the exchange. In the model, a request replaces
//! the previous one. New streams get their snapshot after a delay, and no changes before it. The next request cancels
//! pending snapshots. Desired sets and reports take time between the planner and a connection.
//!
//! The checks do not rely on the planner: the test keeps its own list of all subscriptions.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hoga::config::{Config, Limits, Pacing};
use hoga::model::{DataType, Epoch, Market, Nanos, StreamKey};
use hoga::plan::{Admitted, CheckedSubscription, Confirmation, DemandId, Depth, DesiredSet, Mode, Planner, StreamSpec};
use hoga::session::{Budget, Rate};
use hoga_testing::Rng;

const SCHEDULES: u64 = 100_000;
const START: Nanos = Nanos::from_millis(1_790_000_000_000);
const UNKNOWN: usize = 7;
/// Maximum delay until the planner knows that data has arrived.
const LAG: Duration = Duration::from_millis(21);

fn whole_ms(rng: &mut Rng, most: u64) -> Duration {
    Duration::from_millis(rng.below(most as usize + 1) as u64)
}

/// The exchange's state of one stream of the newest request.
#[derive(Clone, Copy)]
struct Served {
    spec: StreamSpec,
    /// Whether changes are sent.
    realtime: bool,
    /// When its snapshot is sent; `NEVER` if none is pending.
    snapshot_at: Nanos,
    /// The number of changes when its state was last sent, on this socket and without a break since then.
    state_sent: Option<u64>,
    /// When the first state was sent after the last request with a snapshot.
    state_since: Nanos,
}

impl Served {
    /// Records that the whole state is sent.
    fn send_state(&mut self, now: Nanos, changes: u64) {
        (self.state_sent, self.state_since) = (Some(changes), self.state_since.min(now));
    }

    /// Returns whether changes are sent as they happen.
    fn runs(&self) -> bool {
        self.state_sent.is_some() && self.realtime && self.snapshot_at == Nanos::NEVER
    }
}

/// A request that the planner knows of.
#[derive(Clone, Copy)]
struct Request {
    revision: u64,
    heard_at: Nanos,
}

/// A command in flight to a connection.
enum Command {
    Desired {
        desired: DesiredSet,
        at: Nanos,
        /// The newest request that the planner knew of when it issued this.
        known: Option<Request>,
    },
    /// A reader joins these streams, with their state if they run on this socket.
    Join(DemandId, Option<Epoch>, Vec<StreamKey>),
    Leave(DemandId),
}

/// A report in flight to the planner.
enum Report {
    Opened(Epoch),
    Disconnected,
    Requested { at: Nanos, revision: u64 },
}

/// One connection and its side of the exchange.
struct Connection {
    number: usize,
    epoch: u32,
    open: bool,
    reopens_at: Nanos,
    desired: DesiredSet,
    issued_at: Nanos,
    /// The newest request that the planner knew of when it issued that set.
    known: Option<Request>,
    sent: Option<u64>,
    budget: Budget,
    requests: Vec<Nanos>,
    served: BTreeMap<StreamKey, Served>,
    heard: BTreeMap<StreamKey, (Epoch, Nanos)>,
    /// When the last snapshot of each stream was sent.
    snapshots: BTreeMap<StreamKey, Nanos>,
    readers: BTreeMap<DemandId, Vec<StreamKey>>,
    commands: VecDeque<(Nanos, Command)>,
    reports: VecDeque<(Nanos, Report)>,
    /// The socket that the planner knows of. `known_sent` is the newest request on it.
    known_socket: Option<Epoch>,
    known_sent: Option<Request>,
}

struct World {
    rng: Rng,
    now: Nanos,
    planner: Planner,
    connections: Vec<Connection>,
    held: Vec<(DemandId, Vec<StreamSpec>)>,
    /// Snapshots that only a new request causes, and since when a reader waits for each.
    awaited: Vec<(DemandId, StreamKey, Nanos)>,
    keys: Vec<StreamKey>,
    /// The number of changes of each stream.
    changes: BTreeMap<StreamKey, u64>,
    grace: Duration,
    /// The maximum latency of a command or a report.
    latency: Duration,
    quiet: bool,
}

fn budget() -> Budget {
    let rate = |count, seconds| Rate { count, window: Duration::from_secs(seconds) };
    Budget::new([rate(5, 1), rate(100, 60)])
}

impl Connection {
    fn new(number: usize) -> Self {
        Self {
            number,
            epoch: 0,
            open: false,
            reopens_at: START,
            desired: DesiredSet::default(),
            issued_at: START,
            known: None,
            sent: None,
            budget: budget(),
            requests: Vec::new(),
            served: BTreeMap::new(),
            heard: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            readers: BTreeMap::new(),
            commands: VecDeque::new(),
            reports: VecDeque::new(),
            known_socket: None,
            known_sent: None,
        }
    }

    fn next(&self) -> Nanos {
        let in_flight = self.commands.front().map(|(due, _)| *due).into_iter();
        let in_flight = in_flight.chain(self.reports.front().map(|(due, _)| *due)).min().unwrap_or(Nanos::NEVER);
        if !self.open {
            return if self.desired.streams.is_empty() { in_flight } else { in_flight.min(self.reopens_at) };
        }
        self.served.values().map(|s| s.snapshot_at).min().unwrap_or(Nanos::NEVER).min(in_flight)
    }

    /// Sends a command. Commands do not overtake each other.
    fn post(&mut self, due: Nanos, command: Command) {
        let due = self.commands.back().map_or(due, |(last, _)| due.max(*last));
        self.commands.push_back((due, command));
    }

    fn report(&mut self, due: Nanos, report: Report) {
        let due = self.reports.back().map_or(due, |(last, _)| due.max(*last));
        self.reports.push_back((due, report));
    }

    /// Delivers the reports that have arrived by now to the planner.
    fn deliver_reports(&mut self, now: Nanos, planner: &mut Planner) {
        while let Some((_, report)) = self.reports.pop_front_if(|(due, _)| *due <= now) {
            match report {
                Report::Opened(epoch) => {
                    (self.known_socket, self.known_sent) = (Some(epoch), None);
                    planner.opened(self.number, epoch);
                }
                Report::Disconnected => {
                    (self.known_socket, self.known_sent) = (None, None);
                    planner.disconnected(self.number);
                }
                Report::Requested { at, revision } => {
                    self.known_sent = Some(Request { revision, heard_at: now });
                    planner.requested(self.number, at, revision);
                }
            }
        }
    }

    fn apply_commands(&mut self, now: Nanos) {
        while let Some((_, command)) = self.commands.pop_front_if(|(due, _)| *due <= now) {
            match command {
                Command::Desired { desired, at, known } => {
                    (self.desired, self.issued_at, self.known) = (desired, at, known)
                }
                // On a socket that the planner did not know of, it could not know which streams run.
                Command::Join(id, socket, keys) if socket == Some(Epoch(self.epoch)) => {
                    self.readers.insert(id, keys);
                }
                Command::Join(..) => {}
                Command::Leave(id) => {
                    self.readers.remove(&id);
                }
            }
        }
    }

    fn disconnect(&mut self, reopens_at: Nanos, reported_at: Nanos) {
        if std::mem::replace(&mut self.open, false) {
            self.report(reported_at, Report::Disconnected);
        }
        (self.sent, self.reopens_at) = (None, reopens_at);
        self.served.clear();
    }

    fn turn(&mut self, now: Nanos, changes: &BTreeMap<StreamKey, u64>, rng: &mut Rng, latency: Duration) {
        self.apply_commands(now);
        let mut arrival = || now + whole_ms(rng, latency.as_millis() as u64);
        if self.desired.streams.is_empty() {
            self.disconnect(now, arrival());
            return;
        }
        if !self.open && now >= self.reopens_at {
            (self.open, self.epoch, self.budget) = (true, self.epoch + 1, budget());
            self.requests.clear();
            self.report(arrival(), Report::Opened(Epoch(self.epoch)));
        }
        if self.open && self.sent != Some(self.desired.revision) && self.budget.try_acquire(now).is_ok() {
            self.report(arrival(), Report::Requested { at: now, revision: self.desired.revision });
            self.send(now, changes, rng);
        }
        for (key, served) in &mut self.served {
            if served.snapshot_at <= now {
                served.snapshot_at = Nanos::NEVER;
                served.send_state(now, changes[key]);
                self.snapshots.insert(*key, now);
                self.heard.insert(*key, (Epoch(self.epoch), now));
            }
        }
    }

    /// Sends a request, which the exchange processes at once.
    fn send(&mut self, now: Nanos, changes: &BTreeMap<StreamKey, u64>, rng: &mut Rng) {
        self.requests.push(now);
        let in_window =
            |seconds| self.requests.iter().filter(|at| now.since(**at) < Duration::from_secs(seconds)).count();
        assert!(in_window(1) <= 5 && in_window(60) <= 100, "the exchange refuses this");
        let before = std::mem::take(&mut self.served);
        for key in self.readers.values().flatten().filter(|key| before.contains_key(key)) {
            assert!(self.desired.streams.get(*key).is_some(), "{key} is removed although a reader has it");
        }
        let running = self.desired.running.on(Epoch(self.epoch), self.sent);
        for spec in self.desired.streams.specs() {
            let runs = spec.mode == Mode::All && running.contains(&spec.key);
            let old = before.get(&spec.key);
            if runs {
                let old = old.unwrap_or_else(|| panic!("{} does not run on this socket", spec.key));
                assert!(old.runs(), "{} had no snapshot, and none is pending", spec.key);
                assert_eq!(
                    old.state_sent,
                    Some(changes[&spec.key]),
                    "{} has changed, and no message will show it",
                    spec.key
                );
                assert!(old.spec.depth >= spec.depth, "{} has fewer levels until something changes", spec.key);
            }
            // The stream runs, and the planner knew. With a request for a snapshot, the exchange would withhold its
            // changes.
            let known = self.known.filter(|known| self.sent == Some(known.revision));
            let is_known = |old: &Served| {
                old.runs() && known.is_some_and(|known| old.state_since.max(known.heard_at) + LAG < self.issued_at)
            };
            let serves = |old: &Served| old.spec.mode == Mode::All && old.spec.depth >= spec.depth;
            let interrupts = spec.mode == Mode::All && !runs;
            let interrupted = old.filter(|old| interrupts && serves(old) && is_known(old));
            assert!(interrupted.is_none(), "{} runs and is interrupted", spec.key);

            let owes = !runs && spec.mode != Mode::RealtimeOnly && spec.key.market() != Some(unknown());
            let snapshot_at = if owes { now + Duration::from_millis(1) + whole_ms(rng, 200) } else { Nanos::NEVER };
            let realtime = spec.mode != Mode::SnapshotOnly && spec.key.market() != Some(unknown());
            let continuing = old.filter(|old| old.runs() && !owes && old.spec.depth >= spec.depth);
            let (state_sent, state_since) =
                continuing.map_or((None, Nanos::NEVER), |old| (old.state_sent, old.state_since));
            self.served.insert(spec.key, Served { spec: *spec, realtime, snapshot_at, state_sent, state_since });
        }
        self.sent = Some(self.desired.revision);
    }

    /// Applies a change of a stream.
    fn trade(&mut self, now: Nanos, key: StreamKey, changes: u64) {
        // Each change carries the whole state.
        let sends = |served: &&mut Served| served.realtime && served.snapshot_at == Nanos::NEVER;
        if let Some(served) = self.served.get_mut(&key).filter(sends) {
            served.send_state(now, changes);
            self.heard.insert(key, (Epoch(self.epoch), now));
        }
    }

    /// Returns whether a snapshot was sent after `since`, or the stream runs, so that its newest value is the state.
    fn provides_state(&self, key: StreamKey, since: Nanos) -> bool {
        let runs = |served: &Served| served.spec.mode == Mode::All && served.runs();
        self.snapshots.get(&key).is_some_and(|at| *at > since) || self.served.get(&key).is_some_and(runs)
    }

    /// Returns whether every desired set that may still be sent has this stream.
    fn keeps(&self, key: StreamKey) -> bool {
        let posted = self.commands.iter().filter_map(|(_, command)| match command {
            Command::Desired { desired, .. } => Some(desired),
            _ => None,
        });
        posted.chain([&self.desired]).all(|desired| desired.streams.get(key).is_some())
    }
}

/// A stream that is always subscribed, so that each schedule has a stream that could be interrupted.
fn lasting() -> StreamKey {
    StreamKey::of(DataType::Ticker, "KRW-C0".parse().unwrap())
}

fn unknown() -> Market {
    "KRW-NONE".parse().unwrap()
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let market = |n: usize| if n == UNKNOWN { unknown() } else { format!("KRW-C{n}").parse().unwrap() };
        let types = [DataType::Ticker, DataType::Orderbook];
        let keys =
            (0..=UNKNOWN).flat_map(|n| types.map(|data_type| StreamKey::of(data_type, market(n)))).collect::<Vec<_>>();
        let grace = [0, 50, 1000][rng.below(3)];
        let config = Config {
            connections: 1 + rng.below(3),
            pacing: [Pacing::Aggressive, Pacing::Balanced, Pacing::Conservative][rng.below(3)],
            grace: Duration::from_millis(grace),
            confirm_within: Duration::from_millis(500),
            limits: Limits { streams_per_connection: 100, ..Limits::default() },
            ..Config::default()
        };
        let (connections, grace) = (config.connections, config.grace);
        let specs = vec![StreamSpec::all(lasting())];
        let mut world = Self {
            now: START,
            planner: Planner::new(Arc::new(config), false),
            connections: (0..connections).map(Connection::new).collect(),
            held: Vec::new(),
            awaited: Vec::new(),
            changes: keys.iter().map(|key| (*key, 0)).collect(),
            keys,
            grace,
            latency: Duration::from_millis([0, 3, 30][rng.below(3)]),
            quiet: rng.below(2) == 0,
            rng,
        };
        let admitted =
            world.planner.add(START, None, CheckedSubscription { specs: specs.clone(), patterns: Vec::new() }).unwrap();
        world.admit(admitted, specs);
        world
    }

    fn step(&mut self) {
        match self.rng.below(20) {
            0..8 => self.add(),
            8..15 if self.held.len() > 1 => {
                let one = 1 + self.rng.below(self.held.len() - 1);
                let (id, _) = self.held.swap_remove(one);
                self.planner.remove(self.now, id);
                for connection in 0..self.connections.len() {
                    let due = self.arrival();
                    self.connections[connection].post(due, Command::Leave(id));
                }
            }
            15 => {
                let connection = self.rng.below(self.connections.len());
                let reopens_at = self.now + whole_ms(&mut self.rng, 500);
                let reported_at = self.arrival();
                self.connections[connection].disconnect(reopens_at, reported_at);
            }
            _ => {}
        }
        let pause = [0, 1, 30, 300, 1500][self.rng.below(5)];
        let pause = whole_ms(&mut self.rng, pause);
        self.run(pause);
    }

    fn add(&mut self) {
        let mut specs = BTreeMap::new();
        for _ in 0..=self.rng.below(4) {
            let key = self.keys[self.rng.below(self.keys.len())];
            let mode = [Mode::All, Mode::All, Mode::SnapshotOnly, Mode::RealtimeOnly][self.rng.below(4)];
            let depth = [Depth::ALL, Depth::levels(5)][self.rng.below(2)];
            let depth = if key.data_type == DataType::Orderbook { depth } else { Depth::ALL };
            specs.insert(key, StreamSpec { key, mode, depth });
        }
        let specs: Vec<_> = specs.into_values().collect();
        let admitted = self
            .planner
            .add(self.now, None, CheckedSubscription { specs: specs.clone(), patterns: Vec::new() })
            .unwrap();
        self.admit(admitted, specs);
    }

    /// Adds a subscription and a reader of its streams.
    fn admit(&mut self, admitted: Admitted, specs: Vec<StreamSpec>) {
        self.carry(admitted.carry);
        let union = self.union();
        for spec in specs.iter().filter(|spec| spec.mode == Mode::SnapshotOnly && spec.key.market() != Some(unknown()))
        {
            if union.get(&spec.key).is_none_or(|other| other.mode == Mode::SnapshotOnly) {
                self.awaited.push((admitted.id, spec.key, self.now));
            }
        }
        let mut shares = BTreeMap::<usize, Vec<StreamKey>>::new();
        for spec in &specs {
            shares.entry(self.planner.home(spec.key)).or_default().push(spec.key);
        }
        for (connection, keys) in shares {
            let due = self.arrival();
            let connection = &mut self.connections[connection];
            connection.post(due, Command::Join(admitted.id, connection.known_socket, keys));
        }
        self.held.push((admitted.id, specs));
    }

    fn carry(&mut self, desired: Vec<(usize, DesiredSet)>) {
        for (connection, desired) in desired {
            let (due, at) = (self.arrival(), self.now);
            let connection = &mut self.connections[connection];
            let known = connection.known_sent;
            connection.post(due, Command::Desired { desired, at, known });
        }
    }

    /// Returns when a message that is sent now arrives.
    fn arrival(&mut self) -> Nanos {
        self.now + whole_ms(&mut self.rng, self.latency.as_millis() as u64)
    }

    /// Runs the simulation for `time`.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..100_000 {
            self.turn();
            let next = self
                .connections
                .iter()
                .map(Connection::next)
                .min()
                .unwrap_or(Nanos::NEVER)
                .min(self.planner.next_poll());
            // A request may wait for the budget.
            let waits = self
                .connections
                .iter()
                .any(|connection| connection.open && connection.sent != Some(connection.desired.revision));
            let next = if waits { next.min(self.now + Duration::from_millis(50)) } else { next };
            if next > end {
                self.now = end;
                return;
            }
            self.now = next.max(self.now + Duration::from_micros(100));
        }
        panic!("the planner asks to be polled endlessly");
    }

    fn turn(&mut self) {
        if !self.quiet && self.rng.below(2) == 0 {
            let key = self.keys[self.rng.below(self.keys.len())];
            let changes = self.changes.entry(key).or_default();
            *changes += 1;
            self.connections.iter_mut().for_each(|connection| connection.trade(self.now, key, *changes));
        }
        for connection in &mut self.connections {
            connection.deliver_reports(self.now, &mut self.planner);
        }
        let connections = &self.connections;
        let heard = |key| {
            connections.iter().filter_map(|connection| connection.heard.get(&key).copied()).max_by_key(|(_, at)| *at)
        };
        let decisions = self.planner.poll(self.now, heard);
        self.check_expired(&decisions.expired);
        self.carry(decisions.carry);
        for connection in decisions.list {
            let listed: BTreeSet<_> = self.connections[connection]
                .served
                .keys()
                .copied()
                .filter(|key| key.market() != Some(unknown()))
                .collect();
            let heard = |key| self.connections[connection].heard.get(&key).map(|(_, at)| *at);
            let difference = self.planner.listed(self.now, connection, &listed, heard);
            assert!(difference.is_empty(), "the exchange carries what was requested: {difference:?}");
        }
        for connection in &mut self.connections {
            connection.turn(self.now, &self.changes, &mut self.rng, self.latency);
        }
        self.check_confirmed();
        let (connections, planner) = (&self.connections, &self.planner);
        self.awaited.retain(|(_, key, since)| !connections[planner.home(*key)].provides_state(*key, *since));
    }

    /// Asserts that expired streams are not subscribed and not on the wire.
    fn check_expired(&self, expired: &[StreamKey]) {
        for key in expired {
            assert!(
                !self.held.iter().any(|(_, specs)| specs.iter().any(|spec| spec.key == *key)),
                "{key} is subscribed"
            );
            let connection = &self.connections[self.planner.home(*key)];
            assert!(!connection.reports.is_empty() || !connection.served.contains_key(key), "{key} is on the wire");
        }
    }

    /// Asserts that confirmed streams are on the wire, and that no desired set in flight removes them.
    fn check_confirmed(&self) {
        let confirmed = self.held.iter().flat_map(|(id, _)| self.planner.confirmations_of(*id));
        for (key, _) in confirmed
            .filter(|(_, confirmation)| matches!(confirmation, Some(Confirmation::Data | Confirmation::Listed)))
        {
            let connection = &self.connections[self.planner.home(key)];
            if connection.reports.is_empty() {
                assert!(connection.served.contains_key(&key), "{key} is confirmed and not on the wire");
                assert!(connection.keeps(key), "{key} is confirmed, and a set in flight removes it");
            }
        }
    }

    /// Returns the union of all subscriptions, by the test's own list.
    fn union(&self) -> BTreeMap<StreamKey, StreamSpec> {
        let mut union = BTreeMap::new();
        for spec in self.held.iter().flat_map(|(_, specs)| specs) {
            let merged: &mut StreamSpec = union.entry(spec.key).or_insert(*spec);
            (merged.mode, merged.depth) = (merged.mode.and(spec.mode), merged.depth.max(spec.depth));
        }
        union
    }

    fn check_final_state(&mut self) {
        // Long enough for the grace period, the budget and a repeated request.
        self.run(self.grace + Duration::from_secs(6));
        let union = self.union();
        let mut wire = BTreeMap::new();
        for connection in &self.connections {
            let streams = if connection.open { connection.desired.streams.specs() } else { &[] };
            assert!(
                streams.is_empty() || connection.sent == Some(connection.desired.revision),
                "the newest desired set was not sent"
            );
            for spec in streams {
                assert!(wire.insert(spec.key, *spec).is_none(), "{} is on two connections", spec.key);
                let served = connection.served[&spec.key];
                let owed = spec.mode != Mode::RealtimeOnly && spec.key.market() != Some(unknown());
                assert!(served.state_sent.is_some() || !owed, "{} never got its snapshot", spec.key);
                let is_followed = spec.mode == Mode::All && spec.key.market() != Some(unknown());
                assert!(!is_followed || served.state_sent == Some(self.changes[&spec.key]), "{} is behind", spec.key);
            }
        }
        assert_eq!(wire, union);
        let revisions = self.planner.revisions();
        assert_eq!((revisions.sent, revisions.confirmed), (revisions.desired, revisions.desired));
        for (id, key, _) in &self.awaited {
            assert!(!self.held.iter().any(|(held, _)| held == id), "the snapshot of {key} did not arrive");
        }
        for (key, confirmation) in self.held.iter().flat_map(|(id, _)| self.planner.confirmations_of(*id)) {
            let is_confirmed = matches!(confirmation, Some(Confirmation::Data | Confirmation::Listed));
            assert_eq!(is_confirmed, key.market() != Some(unknown()), "{key} is {confirmation:?}");
        }
        let unconfirmed: BTreeSet<_> = self.planner.stats(self.now).unconfirmed.into_iter().collect();
        let expected: BTreeSet<_> = union.into_keys().filter(|key| key.market() == Some(unknown())).collect();
        assert_eq!(unconfirmed, expected);
        // From then on, no request is sent.
        let requests = self.planner.stats(self.now).requests;
        self.run(Duration::from_secs(5));
        assert_eq!(self.planner.stats(self.now).requests, requests);
    }
}

fn run(seeds: impl Iterator<Item = u64>) {
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..1 + world.rng.below(12) {
                world.step();
            }
            world.check_final_state();
        });
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

#[test]
fn any_schedule_ends_with_the_union_on_the_wire_and_never_interrupts_a_running_stream() {
    std::thread::scope(|scope| {
        scope.spawn(|| run((0..SCHEDULES).step_by(2)));
        run((1..SCHEDULES).step_by(2));
    });
}
