//! Random scenarios of a whole engine: streams and feeds are added and removed, markets are listed and delisted, and
//! faults are injected.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use hoga_exchange::{Config, ErrorName, Fault};

use super::World;
use super::world::FeedId;
use crate::engine::Builder;
use crate::feed::Overflow;
use crate::model::{Event, Interval, Market};
use crate::plan::{DemandId, Subscription, candle, orderbook, ticker, trade};

/// The number of scenarios, unless `HOGA_SIMULATION_SCENARIOS` is set. `HOGA_SIMULATION_SEED` sets the first seed.
const SCENARIOS: u64 = 40;
const CHANGES: usize = 50;
const FAULTS: usize = 2;
const MARKETS: usize = 24;
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
    /// The scenario had a fault after which the exchange may read seconds of requests at once. The engine's pacing
    /// cannot prevent that.
    stalled: bool,
}

impl Scenario {
    fn new(seed: u64) -> Self {
        let exchange = Config { markets: MARKETS, ..Config::default() };
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
        let mut scenario = Self { world, markets, unsteady, is_listed: true, demand, feeds, stalled: false };
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

    fn inject_fault(&mut self) {
        let random = self.world.random.clone();
        let fault = match random.below(14) {
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
            _ => Fault::DuplicateTrades(true),
        };
        self.world.inject(fault);
    }

    fn inject_for(&mut self, on: Fault, off: Fault) {
        self.world.inject(on);
        let time = self.world.random.up_to(Duration::from_secs(12));
        self.world.run(time);
        self.world.read(usize::MAX);
        self.world.inject(off);
    }
}

/// Runs one scenario. Returns a fingerprint of what arrived and when.
fn run(seed: u64) -> u64 {
    let mut scenario = Scenario::new(seed);
    let fault_times: Vec<_> = (0..FAULTS).map(|_| scenario.world.random.below(CHANGES)).collect();
    for change in 0..CHANGES {
        let pause = scenario.world.random.up_to(Duration::from_millis(600));
        scenario.world.run(pause);
        scenario.change();
        fault_times.iter().filter(|time| **time == change).for_each(|_| scenario.inject_fault());
        let items = scenario.world.random.pick(&[0, 10, usize::MAX]);
        scenario.world.read(items);
    }
    scenario.world.settle();
    let stats = scenario.world.stats();
    assert!(scenario.stalled || stats.violations() == 0, "{stats:?}");
    let (delivered, total) = (scenario.world.delivered(), scenario.world.arrivals.total());
    assert!(delivered > 50 && total > 300, "{delivered} delivered of {total}: too little happens in this scenario");
    let mut fingerprint = DefaultHasher::new();
    (delivered, total, scenario.world.now()).hash(&mut fingerprint);
    fingerprint.finish()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

#[test]
fn engines_deliver_every_current_update_through_changes_and_faults() {
    let (first, scenarios) =
        (number("HOGA_SIMULATION_SEED").unwrap_or(1), number("HOGA_SIMULATION_SCENARIOS").unwrap_or(SCENARIOS));
    for seed in first..first + scenarios {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("seed {seed} failed; to repeat it: HOGA_SIMULATION_SEED={seed} HOGA_SIMULATION_SCENARIOS=1");
            std::panic::resume_unwind(panic);
        }
    }
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
