//! Random scenarios of a whole engine: streams and feeds are added and removed, markets are listed and delisted, and
//! faults are injected.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hoga_exchange::{Config, ErrorName, Fault};

use super::World;
use super::world::{FeedId, START};
use crate::engine::Builder;
use crate::feed::Overflow;
use crate::model::{Event, Interval, Market};
use crate::plan::{DemandId, Subscription, candle, orderbook, ticker, trade};

/// The number of scenarios, unless `HOGA_SIMULATION_SCENARIOS` is set. `HOGA_SIMULATION_SEED` sets the first seed.
const SCENARIOS: u64 = 40;
/// The least mean length of a scenario: a thousand of them are 80 hours.
const LENGTH_MIN: Duration = Duration::from_secs(288);
const CHANGES: usize = 50;
/// The longest pause between two changes.
const PAUSE_MAX: Duration = Duration::from_secs(12);
/// The number of kinds of faults in a scenario, of all [`FAULT_KINDS`].
const FAULTS: usize = 5;
const FAULT_KINDS: usize = 19;
const MARKETS: usize = 24;
/// The longest time that a fault lasts.
const FAULT_MAX: Duration = Duration::from_secs(12);
/// The number of markets whose tickers, trades and books are wanted for the whole scenario.
const STEADY: usize = 17;
const POLICIES: [Overflow; 4] =
    [Overflow::DROP_NEWEST, Overflow::DropOldest, Overflow::Conflate, Overflow::Throttle(Duration::from_millis(70))];

/// A scenario, and the demand it holds.
struct Scenario {
    world: World,
    markets: Vec<Market>,
    /// A market that only patterns want, so that it can be delisted.
    unsteady: Market,
    is_listed: bool,
    demand: Vec<DemandId>,
    feeds: Vec<FeedId>,
    /// The exchange stalled in this scenario. After a stall it may read the requests of several seconds at once and
    /// count them as too many, which the engine's pacing cannot prevent.
    stalled: bool,
    /// Requests were refused for a stream in them, which the exchange counts as malformed.
    refused: bool,
}

impl Scenario {
    fn new(seed: u64) -> Self {
        // Quiet exchanges show other mistakes than busy ones, and cost less time.
        let speed = [0.05, 0.05, 0.1, 0.2, 0.5][seed as usize % 5];
        let exchange = Config { markets: MARKETS, speed, ..Config::default() };
        let builder = Builder::default().connections(3).grace(Duration::from_millis(300));
        let mut world = World::new(seed, builder, exchange);
        let mut markets = world.markets();
        let krw = markets.iter().rposition(|market| market.to_string().starts_with("KRW-"));
        let unsteady = markets.remove(krw.expect("most markets are quoted in KRW"));
        world.announce();
        let steady = &markets[..STEADY];
        let demand = [ticker(steady).mixed(), trade(steady).mixed(), orderbook(steady).mixed()];
        for subscription in demand {
            world.subscribe(subscription);
        }
        let (demand, feeds) = (Vec::new(), Vec::new());
        let mut scenario =
            Self { world, markets, unsteady, is_listed: true, demand, feeds, stalled: false, refused: false };
        for overflow in POLICIES {
            let feed = scenario.world.feed(trade("KRW-*").mixed(), overflow);
            scenario.feeds.push(feed);
            scenario.open_feed(overflow);
        }
        scenario
    }

    /// Returns a random subscription to streams of one or two types.
    fn random_subscription(&self) -> Subscription<Event> {
        let random = &self.world.random;
        let markets: BTreeSet<_> = (0..1 + random.below(5)).map(|_| random.pick(&self.markets)).collect();
        let markets: Vec<_> = markets.into_iter().collect();
        match random.below(5) {
            0 => ticker(markets).mixed(),
            1 => trade(markets).mixed(),
            2 => orderbook(markets).mixed(),
            3 => candle(Interval::Second1, markets).mixed(),
            _ => ticker(markets.clone()).and(orderbook(markets)),
        }
    }

    fn open_feed(&mut self, overflow: Overflow) {
        let subscription = self.random_subscription();
        let feed = self.world.feed(subscription, overflow);
        self.feeds.push(feed);
    }

    /// Makes a random change of demand or of the listed markets.
    fn change(&mut self) {
        match self.world.random.below(6) {
            0 | 1 => {
                let overflow = self.world.random.pick(&POLICIES);
                self.open_feed(overflow);
            }
            2 if self.feeds.len() > 8 => {
                let feed = self.feeds.swap_remove(self.world.random.below(self.feeds.len()));
                self.world.drop_feed(feed);
            }
            3 => {
                let subscription = self.random_subscription();
                self.demand.push(self.world.subscribe(subscription));
            }
            4 if !self.demand.is_empty() => {
                let id = self.demand.swap_remove(self.world.random.below(self.demand.len()));
                self.world.release(id);
            }
            _ => {
                self.is_listed = !self.is_listed;
                self.world.set_listed(self.unsteady, self.is_listed);
            }
        }
    }

    fn inject_fault(&mut self, kind: usize) {
        let random = self.world.random.clone();
        let fault = match kind {
            0 => return self.world.cut(random.below(3)),
            1 => Fault::DropAll,
            2 => Fault::CloseAll(random.pick(&[1000, 1001, 1011, 4000])),
            3 => Fault::Garbage,
            4 => return self.inject_for(Fault::Mute(true), Fault::Mute(false)),
            5 => {
                self.stalled = true;
                return self.inject_for(Fault::Stall(true), Fault::Stall(false));
            }
            6 => {
                self.world.inject(Fault::DropAll);
                return self.inject_for(Fault::RefuseConnects(true), Fault::RefuseConnects(false));
            }
            7 => {
                let (count, status) = (1 + random.below(3) as u32, random.pick(&[301, 401, 418, 429, 503]));
                self.world.inject(Fault::RejectUpgrades { count, status, retry_after: Some(2), body: "no".into() });
                Fault::DropAll
            }
            8 => Fault::ErrorNow(random.pick(&[ErrorName::WrongFormat, ErrorName::TooManyRequest])),
            9 => Fault::SendText(true),
            10 => Fault::Fragment(true),
            11 => Fault::UnknownKeys(true),
            12 => Fault::EarlyData(true),
            13 => Fault::DuplicateTrades(true),
            14 => return self.refuse_a_stream(),
            15 => return self.mute_a_stream(),
            16 => {
                let (type_name, code) = self.random_stream();
                Fault::Forget { type_name, code }
            }
            17 => return self.take_the_network_down(),
            _ => return self.world.set_delay(Duration::from_millis(random.pick(&[0, 50, 400]))),
        };
        self.world.inject(fault);
    }

    /// Returns a stream that is wanted for the whole scenario: its type and its market.
    fn random_stream(&self) -> (String, String) {
        let random = &self.world.random;
        let type_name = random.pick(&["ticker", "trade", "orderbook"]).to_owned();
        (type_name, random.pick(&self.markets[..STEADY]).to_string())
    }

    /// Refuses all requests with one stream for a while. The socket must end for the engine to notice.
    fn refuse_a_stream(&mut self) {
        let (type_name, code) = self.random_stream();
        let refuse = |on| Fault::RefuseStreams { type_name: type_name.clone(), code: Some(code.clone()), on };
        self.refused = true;
        self.world.inject(Fault::DropAll);
        self.inject_for(refuse(true), refuse(false));
    }

    fn mute_a_stream(&mut self) {
        let (type_name, code) = self.random_stream();
        let mute = |on| Fault::MuteStream { type_name: type_name.clone(), code: code.clone(), on };
        self.inject_for(mute(true), mute(false));
    }

    fn take_the_network_down(&mut self) {
        self.world.set_down(true);
        self.world.inject(Fault::DropAll);
        self.pass(FAULT_MAX);
        self.world.set_down(false);
    }

    fn inject_for(&mut self, on: Fault, off: Fault) {
        self.world.inject(on);
        self.pass(FAULT_MAX);
        self.world.inject(off);
    }

    /// Lets a random time pass.
    fn pass(&mut self, longest: Duration) {
        let time = self.world.random.up_to(longest);
        self.world.run(time);
        self.world.read(usize::MAX);
    }
}

/// What a scenario was like.
#[derive(Debug, PartialEq)]
struct Life {
    /// The simulated time.
    length: Duration,
    /// A fingerprint of what arrived and when.
    fingerprint: u64,
}

/// Runs one scenario.
fn run(seed: u64) -> Life {
    let mut scenario = Scenario::new(seed);
    let random = scenario.world.random.clone();
    let mut kinds: Vec<_> = (0..FAULT_KINDS).collect();
    let faults: Vec<_> =
        (0..FAULTS).map(|_| (random.below(CHANGES), kinds.swap_remove(random.below(kinds.len())))).collect();
    for change in 0..CHANGES {
        let pause = random.up_to(PAUSE_MAX);
        scenario.world.run(pause);
        scenario.change();
        for (_, kind) in faults.iter().filter(|(time, _)| *time == change) {
            scenario.inject_fault(*kind);
        }
        let items = random.pick(&[0, 10, usize::MAX]);
        scenario.world.read(items);
    }
    scenario.world.settle();
    let stats = scenario.world.stats();
    let refusals = if scenario.refused { stats.malformed_requests } else { 0 };
    assert!(scenario.stalled || stats.violations() == refusals, "{stats:?}");
    let (delivered, total) = (scenario.world.delivered(), scenario.world.arrivals.total());
    assert!(delivered > 50 && total > 300, "{delivered} delivered of {total}: too little happens in this scenario");
    let mut fingerprint = DefaultHasher::new();
    (delivered, total, scenario.world.now()).hash(&mut fingerprint);
    Life { length: scenario.world.now().since(START), fingerprint: fingerprint.finish() }
}

/// Runs the scenarios of these seeds on all cores. Returns their total length.
fn run_all(seeds: Range<u64>) -> Duration {
    let (next, length) = (AtomicU64::new(seeds.start), Mutex::new(Duration::ZERO));
    let work = || {
        while let Some(seed) = Some(next.fetch_add(1, Relaxed)).filter(|seed| *seed < seeds.end) {
            match std::panic::catch_unwind(|| run(seed)) {
                Ok(life) => *length.lock().unwrap() += life.length,
                Err(panic) => {
                    eprintln!(
                        "seed {seed} failed; to repeat it: HOGA_SIMULATION_SEED={seed} HOGA_SIMULATION_SCENARIOS=1 \
                         cargo test --workspace --lib simulation::scenarios::engines"
                    );
                    next.store(seeds.end, Relaxed);
                    std::panic::resume_unwind(panic);
                }
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    length.into_inner().unwrap()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

#[test]
fn engines_deliver_every_current_update_through_changes_and_faults() {
    let (first, scenarios) =
        (number("HOGA_SIMULATION_SEED").unwrap_or(1), number("HOGA_SIMULATION_SCENARIOS").unwrap_or(SCENARIOS));
    let length = run_all(first..first + scenarios);
    println!("{scenarios} scenarios, {:.1} simulated hours", length.as_secs_f64() / 3600.0);
    // Of a few scenarios, the mean says little.
    assert!(scenarios < SCENARIOS || length >= LENGTH_MIN * scenarios as u32, "{length:?}");
}

#[test]
fn the_same_seed_repeats_the_same_scenario() {
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn a_quiet_scenario_delivers_snapshots_and_the_updates_after_them() {
    let mut world = World::new(3, Builder::default(), Config { markets: 4, ..Config::default() });
    let markets = world.markets();
    let feed = world.feed(ticker(&markets[..2]), Overflow::DROP_NEWEST);
    world.run(Duration::from_secs(5));
    world.settle();
    assert!(world.delivered() > 10, "{}", world.delivered());
    world.drop_feed(feed);
}
