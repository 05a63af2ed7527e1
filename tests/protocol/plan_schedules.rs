//! The planner under virtual time, against a model of connections and of an exchange that replaces, answers new streams
//! with snapshots after a while, sends no changes of a stream while it owes its snapshot, and forgets the snapshots it
//! still owes when the next request comes. Desired sets and reports take their time between the planner and a
//! connection.
//!
//! The judge never asks the planner what is right. It keeps its own list of who wants what.

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
/// How long the planner may take to know that data has come.
const LAG: Duration = Duration::from_millis(21);

fn whole_ms(rng: &mut Rng, most: u64) -> Duration {
    Duration::from_millis(rng.below(most as usize + 1) as u64)
}

/// What the exchange does for one stream of the request it was sent last.
#[derive(Clone, Copy)]
struct Served {
    spec: StreamSpec,
    /// Changes are sent.
    realtime: bool,
    /// When its snapshot goes out; `NEVER` if none is owed.
    snapshot_at: Nanos,
    /// How often it had changed when its whole state was last sent, on this socket and without a break since then.
    told: Option<u64>,
    /// When the first state was sent after it was last asked for from the start.
    told_since: Nanos,
}

impl Served {
    /// The whole state was sent.
    fn tell(&mut self, now: Nanos, changes: u64) {
        (self.told, self.told_since) = (Some(changes), self.told_since.min(now));
    }

    /// Changes are sent as they happen.
    fn runs(&self) -> bool {
        self.told.is_some() && self.realtime && self.snapshot_at == Nanos::NEVER
    }
}

/// A request that the planner has heard of.
#[derive(Clone, Copy)]
struct Request {
    revision: u64,
    heard_at: Nanos,
}

/// What is on its way to a connection.
enum Letter {
    Desired {
        desired: DesiredSet,
        at: Nanos,
        /// What the planner had heard of when it issued this.
        known: Option<Request>,
    },
    /// Somebody reads these streams, from their state on if they run on this socket.
    Join(DemandId, Option<Epoch>, Vec<StreamKey>),
    Leave(DemandId),
}

/// What is on its way to the planner.
enum Report {
    Opened(Epoch),
    Disconnected,
    Requested { at: Nanos, revision: u64 },
}

/// One connection and its side of the exchange.
struct Line {
    number: usize,
    epoch: u32,
    open: bool,
    reopens_at: Nanos,
    desired: DesiredSet,
    issued_at: Nanos,
    /// What the planner had heard of when it issued that.
    known: Option<Request>,
    sent: Option<u64>,
    budget: Budget,
    requests: Vec<Nanos>,
    served: BTreeMap<StreamKey, Served>,
    heard: BTreeMap<StreamKey, (Epoch, Nanos)>,
    /// When the last snapshot of each stream was sent.
    snapshots: BTreeMap<StreamKey, Nanos>,
    readers: BTreeMap<DemandId, Vec<StreamKey>>,
    letters: VecDeque<(Nanos, Letter)>,
    reports: VecDeque<(Nanos, Report)>,
    /// The socket that the planner has heard of, and the newest request on it.
    known_socket: Option<Epoch>,
    known_sent: Option<Request>,
}

struct World {
    rng: Rng,
    now: Nanos,
    planner: Planner,
    lines: Vec<Line>,
    held: Vec<(DemandId, Vec<StreamSpec>)>,
    /// Snapshots that nothing but a new request brings, and since when somebody waits for each.
    awaited: Vec<(DemandId, StreamKey, Nanos)>,
    keys: Vec<StreamKey>,
    /// How often each stream has changed.
    changes: BTreeMap<StreamKey, u64>,
    grace: Duration,
    /// The longest way of a letter or a report.
    way: Duration,
    quiet: bool,
}

fn budget() -> Budget {
    let rate = |count, seconds| Rate { count, window: Duration::from_secs(seconds) };
    Budget::new([rate(5, 1), rate(100, 60)])
}

impl Line {
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
            letters: VecDeque::new(),
            reports: VecDeque::new(),
            known_socket: None,
            known_sent: None,
        }
    }

    fn next(&self) -> Nanos {
        let under_way = self.letters.front().map(|(due, _)| *due).into_iter();
        let under_way = under_way.chain(self.reports.front().map(|(due, _)| *due)).min().unwrap_or(Nanos::NEVER);
        if !self.open {
            return if self.desired.streams.is_empty() { under_way } else { under_way.min(self.reopens_at) };
        }
        self.served.values().map(|s| s.snapshot_at).min().unwrap_or(Nanos::NEVER).min(under_way)
    }

    /// Nothing overtakes what was sent before it.
    fn post(&mut self, due: Nanos, letter: Letter) {
        let due = self.letters.back().map_or(due, |(last, _)| due.max(*last));
        self.letters.push_back((due, letter));
    }

    fn report(&mut self, due: Nanos, report: Report) {
        let due = self.reports.back().map_or(due, |(last, _)| due.max(*last));
        self.reports.push_back((due, report));
    }

    /// Tells the planner what has arrived by now.
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

    fn read_letters(&mut self, now: Nanos) {
        while let Some((_, letter)) = self.letters.pop_front_if(|(due, _)| *due <= now) {
            match letter {
                Letter::Desired { desired, at, known } => {
                    (self.desired, self.issued_at, self.known) = (desired, at, known)
                }
                // On a socket that the planner had not heard of, it could not know what was on the wire.
                Letter::Join(id, socket, keys) if socket == Some(Epoch(self.epoch)) => {
                    self.readers.insert(id, keys);
                }
                Letter::Join(..) => {}
                Letter::Leave(id) => {
                    self.readers.remove(&id);
                }
            }
        }
    }

    fn lose(&mut self, reopens_at: Nanos, reported_at: Nanos) {
        if std::mem::replace(&mut self.open, false) {
            self.report(reported_at, Report::Disconnected);
        }
        (self.sent, self.reopens_at) = (None, reopens_at);
        self.served.clear();
    }

    fn turn(&mut self, now: Nanos, changes: &BTreeMap<StreamKey, u64>, rng: &mut Rng, way: Duration) {
        self.read_letters(now);
        let mut way = || now + whole_ms(rng, way.as_millis() as u64);
        if self.desired.streams.is_empty() {
            self.lose(now, way());
            return;
        }
        if !self.open && now >= self.reopens_at {
            (self.open, self.epoch, self.budget) = (true, self.epoch + 1, budget());
            self.requests.clear();
            self.report(way(), Report::Opened(Epoch(self.epoch)));
        }
        if self.open && self.sent != Some(self.desired.revision) && self.budget.try_acquire(now).is_ok() {
            self.report(way(), Report::Requested { at: now, revision: self.desired.revision });
            self.send(now, changes, rng);
        }
        for (key, served) in &mut self.served {
            if served.snapshot_at <= now {
                served.snapshot_at = Nanos::NEVER;
                served.tell(now, changes[key]);
                self.snapshots.insert(*key, now);
                self.heard.insert(*key, (Epoch(self.epoch), now));
            }
        }
    }

    /// The exchange takes the request as it is written.
    fn send(&mut self, now: Nanos, changes: &BTreeMap<StreamKey, u64>, rng: &mut Rng) {
        self.requests.push(now);
        let in_window =
            |seconds| self.requests.iter().filter(|at| now.since(**at) < Duration::from_secs(seconds)).count();
        assert!(in_window(1) <= 5 && in_window(60) <= 100, "the exchange refuses this");
        let before = std::mem::take(&mut self.served);
        for key in self.readers.values().flatten().filter(|key| before.contains_key(key)) {
            assert!(self.desired.streams.get(*key).is_some(), "{key} is taken from somebody who reads it");
        }
        let running = self.desired.running.on(Epoch(self.epoch), self.sent);
        for spec in self.desired.streams.specs() {
            let runs = spec.mode == Mode::All && running.contains(&spec.key);
            let old = before.get(&spec.key);
            if runs {
                let old = old.unwrap_or_else(|| panic!("{} does not run on this socket", spec.key));
                assert!(old.runs(), "{} had no snapshot, and none will come", spec.key);
                assert_eq!(old.told, Some(changes[&spec.key]), "{} has changed, and nothing will say so", spec.key);
                assert!(old.spec.depth >= spec.depth, "{} has fewer levels until something changes", spec.key);
            }
            // It runs, and the planner knew. Asked for from the start, the exchange would hold its changes back.
            let known = self.known.filter(|known| self.sent == Some(known.revision));
            let is_known = |old: &Served| {
                old.runs() && known.is_some_and(|known| old.told_since.max(known.heard_at) + LAG < self.issued_at)
            };
            let serves = |old: &Served| old.spec.mode == Mode::All && old.spec.depth >= spec.depth;
            let interrupts = spec.mode == Mode::All && !runs;
            let interrupted = old.filter(|old| interrupts && serves(old) && is_known(old));
            assert!(interrupted.is_none(), "{}, which runs, is interrupted", spec.key);

            let owes = !runs && spec.mode != Mode::RealtimeOnly && spec.key.market() != Some(unknown());
            let snapshot_at = if owes { now + Duration::from_millis(1) + whole_ms(rng, 200) } else { Nanos::NEVER };
            let realtime = spec.mode != Mode::SnapshotOnly && spec.key.market() != Some(unknown());
            let goes_on = old.filter(|old| old.runs() && !owes && old.spec.depth >= spec.depth);
            let (told, told_since) = goes_on.map_or((None, Nanos::NEVER), |old| (old.told, old.told_since));
            self.served.insert(spec.key, Served { spec: *spec, realtime, snapshot_at, told, told_since });
        }
        self.sent = Some(self.desired.revision);
    }

    /// Something changed on a market.
    fn trade(&mut self, now: Nanos, key: StreamKey, changes: u64) {
        // Each change carries the whole state.
        let sends = |served: &&mut Served| served.realtime && served.snapshot_at == Nanos::NEVER;
        if let Some(served) = self.served.get_mut(&key).filter(sends) {
            served.tell(now, changes);
            self.heard.insert(key, (Epoch(self.epoch), now));
        }
    }

    /// A snapshot came since then, or the stream runs and its newest value will do.
    fn gives_state(&self, key: StreamKey, since: Nanos) -> bool {
        let runs = |served: &Served| served.spec.mode == Mode::All && served.runs();
        self.snapshots.get(&key).is_some_and(|at| *at > since) || self.served.get(&key).is_some_and(runs)
    }

    /// Every desired set that may still be sent asks for this stream.
    fn keeps(&self, key: StreamKey) -> bool {
        let posted = self.letters.iter().filter_map(|(_, letter)| match letter {
            Letter::Desired { desired, .. } => Some(desired),
            _ => None,
        });
        posted.chain([&self.desired]).all(|desired| desired.streams.get(key).is_some())
    }
}

/// Wanted by somebody all the time, so that there is always something to be interrupted.
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
            lines: (0..connections).map(Line::new).collect(),
            held: Vec::new(),
            awaited: Vec::new(),
            changes: keys.iter().map(|key| (*key, 0)).collect(),
            keys,
            grace,
            way: Duration::from_millis([0, 3, 30][rng.below(3)]),
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
                for line in 0..self.lines.len() {
                    let due = self.arrival();
                    self.lines[line].post(due, Letter::Leave(id));
                }
            }
            15 => {
                let line = self.rng.below(self.lines.len());
                let reopens_at = self.now + whole_ms(&mut self.rng, 500);
                let reported_at = self.arrival();
                self.lines[line].lose(reopens_at, reported_at);
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

    /// Somebody wants these streams and begins to read them.
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
        for (line, keys) in shares {
            let due = self.arrival();
            let line = &mut self.lines[line];
            line.post(due, Letter::Join(admitted.id, line.known_socket, keys));
        }
        self.held.push((admitted.id, specs));
    }

    fn carry(&mut self, desired: Vec<(usize, DesiredSet)>) {
        for (line, desired) in desired {
            let (due, at) = (self.arrival(), self.now);
            let line = &mut self.lines[line];
            let known = line.known_sent;
            line.post(due, Letter::Desired { desired, at, known });
        }
    }

    /// When something arrives that sets off now.
    fn arrival(&mut self) -> Nanos {
        self.now + whole_ms(&mut self.rng, self.way.as_millis() as u64)
    }

    /// Lets everything happen for a while.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..100_000 {
            self.turn();
            let next = self.lines.iter().map(Line::next).min().unwrap_or(Nanos::NEVER).min(self.planner.next_poll());
            // A request may wait for its budget.
            let waits = self.lines.iter().any(|line| line.open && line.sent != Some(line.desired.revision));
            let next = if waits { next.min(self.now + Duration::from_millis(50)) } else { next };
            if next > end {
                self.now = end;
                return;
            }
            self.now = next.max(self.now + Duration::from_micros(100));
        }
        panic!("the planner asks to be polled without end");
    }

    fn turn(&mut self) {
        if !self.quiet && self.rng.below(2) == 0 {
            let key = self.keys[self.rng.below(self.keys.len())];
            let changes = self.changes.entry(key).or_default();
            *changes += 1;
            self.lines.iter_mut().for_each(|line| line.trade(self.now, key, *changes));
        }
        for line in &mut self.lines {
            line.deliver_reports(self.now, &mut self.planner);
        }
        let lines = &self.lines;
        let heard = |key| lines.iter().filter_map(|line| line.heard.get(&key).copied()).max_by_key(|(_, at)| *at);
        let decisions = self.planner.poll(self.now, heard);
        self.judge_expired(&decisions.expired);
        self.carry(decisions.carry);
        for line in decisions.list {
            let listed: BTreeSet<_> =
                self.lines[line].served.keys().copied().filter(|key| key.market() != Some(unknown())).collect();
            self.planner.listed(line, &listed);
        }
        for line in &mut self.lines {
            line.turn(self.now, &self.changes, &mut self.rng, self.way);
        }
        self.judge_confirmed();
        let (lines, planner) = (&self.lines, &self.planner);
        self.awaited.retain(|(_, key, since)| !lines[planner.home(*key)].gives_state(*key, *since));
    }

    /// What has left the wire is not wanted, and is not on the wire.
    fn judge_expired(&self, expired: &[StreamKey]) {
        for key in expired {
            assert!(!self.held.iter().any(|(_, specs)| specs.iter().any(|spec| spec.key == *key)), "{key} is wanted");
            let line = &self.lines[self.planner.home(*key)];
            assert!(!line.reports.is_empty() || !line.served.contains_key(key), "{key} is on the wire");
        }
    }

    /// What is confirmed is on the wire, and no desired set on its way takes it off.
    fn judge_confirmed(&self) {
        let confirmed = self.held.iter().flat_map(|(id, _)| self.planner.confirmations_of(*id));
        for (key, _) in confirmed
            .filter(|(_, confirmation)| matches!(confirmation, Some(Confirmation::Data | Confirmation::Listed)))
        {
            let line = &self.lines[self.planner.home(key)];
            if line.reports.is_empty() {
                assert!(line.served.contains_key(&key), "{key} is confirmed and not on the wire");
                assert!(line.keeps(key), "{key} is confirmed and may be about to leave");
            }
        }
    }

    /// What somebody wants, by the judge's own list.
    fn union(&self) -> BTreeMap<StreamKey, StreamSpec> {
        let mut union = BTreeMap::new();
        for spec in self.held.iter().flat_map(|(_, specs)| specs) {
            let merged: &mut StreamSpec = union.entry(spec.key).or_insert(*spec);
            (merged.mode, merged.depth) = (merged.mode.and(spec.mode), merged.depth.max(spec.depth));
        }
        union
    }

    fn judge(&mut self) {
        // Long enough for grace, budget and asking twice.
        self.run(self.grace + Duration::from_secs(6));
        let union = self.union();
        let mut wire = BTreeMap::new();
        for line in &self.lines {
            let streams = if line.open { line.desired.streams.specs() } else { &[] };
            assert!(
                streams.is_empty() || line.sent == Some(line.desired.revision),
                "the newest desired set was not sent"
            );
            for spec in streams {
                assert!(wire.insert(spec.key, *spec).is_none(), "{} is on two connections", spec.key);
                let served = line.served[&spec.key];
                let owed = spec.mode != Mode::RealtimeOnly && spec.key.market() != Some(unknown());
                assert!(served.told.is_some() || !owed, "{} never got its snapshot", spec.key);
                let is_followed = spec.mode == Mode::All && spec.key.market() != Some(unknown());
                assert!(!is_followed || served.told == Some(self.changes[&spec.key]), "{} is behind", spec.key);
            }
        }
        assert_eq!(wire, union);
        let revisions = self.planner.revisions();
        assert_eq!((revisions.sent, revisions.confirmed), (revisions.desired, revisions.desired));
        for (id, key, _) in &self.awaited {
            assert!(!self.held.iter().any(|(held, _)| held == id), "{key} was awaited, and did not come");
        }
        for (key, confirmation) in self.held.iter().flat_map(|(id, _)| self.planner.confirmations_of(*id)) {
            let is_confirmed = matches!(confirmation, Some(Confirmation::Data | Confirmation::Listed));
            assert_eq!(is_confirmed, key.market() != Some(unknown()), "{key} is {confirmation:?}");
        }
        let unconfirmed: BTreeSet<_> = self.planner.stats(self.now).unconfirmed.into_iter().collect();
        let expected: BTreeSet<_> = union.into_keys().filter(|key| key.market() == Some(unknown())).collect();
        assert_eq!(unconfirmed, expected);
        // And then nothing more is sent.
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
            world.judge();
        });
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

#[test]
fn whatever_comes_and_goes_the_wire_ends_as_the_union_and_nothing_that_runs_is_interrupted() {
    std::thread::scope(|scope| {
        scope.spawn(|| run((0..SCHEDULES).step_by(2)));
        run((1..SCHEDULES).step_by(2));
    });
}
