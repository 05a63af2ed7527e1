//! The planner under virtual time, against a model of connections and of an exchange that replaces, answers new streams
//! with snapshots after a while, and forgets the snapshots it still owed when the next request comes.
//!
//! The judge never asks the planner what is right. It keeps its own list of who wants what.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hoga::model::{DataType, Epoch, Format, Market, Nanos, StreamKey};
use hoga::plan::{Checked, DemandId, Depth, Mode, PlanConfig, Planner, Want, Wish};
use hoga::session::{Budget, Rate};

const SCHEDULES: u64 = 100_000;
const START: Nanos = Nanos::from_millis(1_790_000_000_000);
const UNKNOWN: usize = 7;
/// How long the planner may take to know that data has come.
const LAG: Duration = Duration::from_millis(21);

struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn ms(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.below(most + 1))
    }
}

/// What the exchange does for one stream of the request it was sent last.
#[derive(Clone, Copy)]
struct Served {
    depth: Depth,
    /// Changes are sent.
    realtime: bool,
    /// When its snapshot goes out; `NEVER` if none is owed.
    snapshot_at: Nanos,
    /// Since it is carried without a break, and without a wish for a new start.
    has_state: bool,
    state_since: Nanos,
    /// Nothing is sent in the moment of the request.
    asked_at: Nanos,
}

impl Served {
    /// The whole state was sent.
    fn sent_state(&mut self, now: Nanos) {
        (self.has_state, self.state_since) = (true, self.state_since.min(now));
    }
}

/// One connection and its side of the exchange.
struct Line {
    number: usize,
    epoch: u32,
    open: bool,
    reopens_at: Nanos,
    wish: Wish,
    wished_at: Nanos,
    sent: Option<u64>,
    budget: Budget,
    requests: Vec<Nanos>,
    served: BTreeMap<StreamKey, Served>,
    heard: BTreeMap<StreamKey, (Epoch, Nanos)>,
}

struct World {
    rng: Rng,
    now: Nanos,
    planner: Planner,
    lines: Vec<Line>,
    held: Vec<(DemandId, Vec<Want>)>,
    keys: Vec<StreamKey>,
    grace: Duration,
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
            wish: Wish::default(),
            wished_at: START,
            sent: None,
            budget: budget(),
            requests: Vec::new(),
            served: BTreeMap::new(),
            heard: BTreeMap::new(),
        }
    }

    fn next(&self) -> Nanos {
        if !self.open {
            return if self.wish.streams.is_empty() { Nanos::NEVER } else { self.reopens_at };
        }
        self.served.values().map(|s| s.snapshot_at).min().unwrap_or(Nanos::NEVER)
    }

    fn lose(&mut self, planner: &mut Planner, reopens_at: Nanos) {
        if std::mem::replace(&mut self.open, false) {
            planner.lost(self.number);
        }
        (self.sent, self.reopens_at) = (None, reopens_at);
        self.served.clear();
    }

    fn turn(&mut self, now: Nanos, planner: &mut Planner, rng: &mut Rng) {
        if self.wish.streams.is_empty() {
            self.lose(planner, now);
            return;
        }
        if !self.open && now >= self.reopens_at {
            (self.open, self.epoch, self.budget) = (true, self.epoch + 1, budget());
            self.requests.clear();
            planner.opened(self.number, Epoch(self.epoch));
        }
        if self.open && self.sent != Some(self.wish.revision) && self.budget.try_acquire(now).is_ok() {
            self.send(now, rng);
            planner.requested(self.number, now, self.wish.revision);
        }
        for (key, served) in &mut self.served {
            if served.snapshot_at <= now {
                served.snapshot_at = Nanos::NEVER;
                served.sent_state(now);
                self.heard.insert(*key, (Epoch(self.epoch), now));
            }
        }
    }

    /// The exchange takes the request as it is written.
    fn send(&mut self, now: Nanos, rng: &mut Rng) {
        self.requests.push(now);
        let in_window =
            |seconds| self.requests.iter().filter(|at| now.since(**at) < Duration::from_secs(seconds)).count();
        assert!(in_window(1) <= 5 && in_window(60) <= 100, "the exchange refuses this");
        let before = std::mem::take(&mut self.served);
        for want in self.wish.streams.wants() {
            let runs = want.mode == Mode::All && self.wish.running.has(Epoch(self.epoch), want.key);
            let old = before.get(&want.key);
            if runs {
                let old = old.unwrap_or_else(|| panic!("{} does not run on this socket", want.key));
                assert!(old.has_state && old.realtime, "{} had no snapshot, and none will come", want.key);
                assert!(old.depth >= want.depth, "{} has fewer levels until something changes", want.key);
            }
            // It is wanted all the time. Asked for from the start, the exchange would pause it.
            let is_known = old.is_some_and(|old| old.has_state && old.state_since + LAG < self.wished_at);
            assert!(want.key != lasting() || runs || !is_known, "a running stream is interrupted");
            let owes = !runs && want.mode != Mode::RealtimeOnly && want.market() != unknown();
            let snapshot_at = if owes { now + Duration::from_millis(1) + rng.ms(200) } else { Nanos::NEVER };
            let realtime = want.mode != Mode::SnapshotOnly && want.market() != unknown();
            let goes_on = old.filter(|old| old.has_state && old.realtime && old.depth >= want.depth);
            let state_since = goes_on.map_or(Nanos::NEVER, |old| old.state_since);
            let has_state = goes_on.is_some();
            let served = Served { depth: want.depth, realtime, snapshot_at, has_state, state_since, asked_at: now };
            self.served.insert(want.key, served);
        }
        self.sent = Some(self.wish.revision);
    }

    /// Something changes on a market.
    fn trade(&mut self, now: Nanos, key: StreamKey) {
        // Each change carries the whole state.
        if let Some(served) = self.served.get_mut(&key).filter(|served| served.realtime && served.asked_at < now) {
            served.sent_state(now);
            self.heard.insert(key, (Epoch(self.epoch), now));
        }
    }
}

/// Wanted by somebody all the time.
fn lasting() -> StreamKey {
    StreamKey { data_type: DataType::Ticker, market: "KRW-C0".parse().unwrap() }
}

fn unknown() -> Market {
    "KRW-NONE".parse().unwrap()
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng(seed);
        let market = |n: usize| if n == UNKNOWN { unknown() } else { format!("KRW-C{n}").parse().unwrap() };
        let types = [DataType::Ticker, DataType::Orderbook];
        let keys =
            (0..=UNKNOWN).flat_map(|n| types.map(|data_type| StreamKey { data_type, market: market(n) })).collect();
        let grace = [0, 50, 1000][rng.below(3) as usize];
        let config = PlanConfig {
            connections: 1 + rng.below(3) as usize,
            window: rng.ms(100),
            grace: Duration::from_millis(grace),
            patience: Duration::from_millis(500),
            clean_up: Duration::from_secs(60),
            knows_markets: false,
            streams_per_connection: 100,
            format: Format::Default,
        };
        let mut planner = Planner::new(config);
        let wants = vec![Want::all(lasting())];
        let held = planner.add(START, None, Checked { wants: wants.clone(), patterns: Vec::new() }).unwrap();
        Self {
            now: START,
            planner,
            lines: (0..config.connections).map(Line::new).collect(),
            held: vec![(held.id, wants)],
            keys,
            grace: config.grace,
            quiet: rng.below(2) == 0,
            rng,
        }
    }

    fn step(&mut self) {
        match self.rng.below(20) {
            0..8 => self.add(),
            8..15 if self.held.len() > 1 => {
                let one = 1 + self.rng.below(self.held.len() as u64 - 1) as usize;
                let (id, _) = self.held.swap_remove(one);
                self.planner.remove(self.now, id);
            }
            15 => {
                let line = self.rng.below(self.lines.len() as u64) as usize;
                let reopens_at = self.now + self.rng.ms(500);
                self.lines[line].lose(&mut self.planner, reopens_at);
            }
            _ => {}
        }
        let pause = [0, 1, 30, 300, 1500][self.rng.below(5) as usize];
        let pause = self.rng.ms(pause);
        self.run(pause);
    }

    fn add(&mut self) {
        let mut wants = BTreeMap::new();
        for _ in 0..=self.rng.below(4) {
            let key = self.keys[self.rng.below(self.keys.len() as u64) as usize];
            let mode = [Mode::All, Mode::All, Mode::SnapshotOnly, Mode::RealtimeOnly][self.rng.below(4) as usize];
            let depth = [Depth::ALL, Depth::levels(5)][self.rng.below(2) as usize];
            let depth = if key.data_type == DataType::Orderbook { depth } else { Depth::ALL };
            wants.insert(key, Want { key, mode, depth });
        }
        let wants: Vec<_> = wants.into_values().collect();
        let admitted =
            self.planner.add(self.now, None, Checked { wants: wants.clone(), patterns: Vec::new() }).unwrap();
        self.held.push((admitted.id, wants));
    }

    /// Lets everything happen for a while.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..100_000 {
            self.turn();
            let next = self.lines.iter().map(Line::next).min().unwrap_or(Nanos::NEVER).min(self.planner.next_poll());
            // A request may wait for its budget.
            let waits = self.lines.iter().any(|line| line.open && line.sent != Some(line.wish.revision));
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
            let key = self.keys[self.rng.below(self.keys.len() as u64) as usize];
            self.lines.iter_mut().for_each(|line| line.trade(self.now, key));
        }
        let lines = &self.lines;
        let heard = |key| lines.iter().filter_map(|line| line.heard.get(&key).copied()).max_by_key(|(_, at)| *at);
        let orders = self.planner.poll(self.now, heard);
        for (line, wish) in orders.carry {
            (self.lines[line].wish, self.lines[line].wished_at) = (wish, self.now);
        }
        for line in orders.list {
            let listed: BTreeSet<_> =
                self.lines[line].served.keys().copied().filter(|key| key.market != unknown()).collect();
            self.planner.listed(line, &listed);
        }
        for line in &mut self.lines {
            line.turn(self.now, &mut self.planner, &mut self.rng);
        }
    }

    /// What somebody wants, by the judge's own list.
    fn union(&self) -> BTreeMap<StreamKey, Want> {
        let mut union = BTreeMap::new();
        for want in self.held.iter().flat_map(|(_, wants)| wants) {
            let merged: &mut Want = union.entry(want.key).or_insert(*want);
            (merged.mode, merged.depth) = (merged.mode.and(want.mode), merged.depth.max(want.depth));
        }
        union
    }

    fn judge(&mut self) {
        // Long enough for grace, budget and asking twice.
        self.run(self.grace + Duration::from_secs(6));
        let union = self.union();
        let mut wire = BTreeMap::new();
        for line in &self.lines {
            let streams = if line.open { line.wish.streams.wants() } else { &[] };
            assert!(streams.is_empty() || line.sent == Some(line.wish.revision), "the newest wish was not sent");
            for want in streams {
                assert!(wire.insert(want.key, *want).is_none(), "{} is on two connections", want.key);
                let served = line.served[&want.key];
                let owed = want.mode != Mode::RealtimeOnly && want.market() != unknown();
                assert!(served.has_state || !owed, "{} never got its snapshot", want.key);
            }
        }
        assert_eq!(wire, union);
        let revisions = self.planner.revisions();
        assert_eq!((revisions.sent, revisions.confirmed), (revisions.desired, revisions.desired));
        let unconfirmed: BTreeSet<_> = self.planner.stats(self.now).unconfirmed.into_iter().collect();
        let expected: BTreeSet<_> = union.into_keys().filter(|key| key.market == unknown()).collect();
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
