//! How soon data is back after an outage of the exchange or of the network.

use std::time::Duration;

use hoga_exchange::{Config, Fault};

use super::World;
use crate::engine::Builder;
use crate::model::Interval;
use crate::plan::{Subscription, candle, orderbook, ticker, trade};

/// The number of outages of each length.
const SEEDS: u64 = 340;
const STEP: Duration = Duration::from_millis(50);
const OUTAGES: [Duration; 3] = [Duration::from_secs(30), Duration::from_secs(90), Duration::from_secs(600)];

/// Ends all sockets and refuses connects for this time. Returns how long after that every stream is live again.
fn time_to_recover<T>(seed: u64, exchange: Config, outage: Duration, demand: Subscription<T>) -> Duration {
    let mut world = World::new(seed, Builder::default().connections(3), exchange);
    world.announce();
    world.subscribe(demand);
    world.settle();
    world.set_down(true);
    world.inject(Fault::DropAll);
    world.run(outage);
    assert!(!world.is_settled());
    world.set_down(false);
    let returned = world.now();
    while !world.is_settled() {
        assert!(world.now().since(returned) < Duration::from_secs(600));
        world.run(STEP);
    }
    world.now().since(returned)
}

/// The pauses between attempts once grew to 30 s for every cause, so data was back up to 24 s late.
#[test]
fn after_an_outage_data_is_back_within_5_s() {
    for outage in OUTAGES {
        let quiet = || Config { speed: 0.2, markets: 12, ..Config::default() };
        let mut times: Vec<_> = (0..SEEDS).map(|seed| time_to_recover(seed, quiet(), outage, ticker("*"))).collect();
        times.sort_unstable();
        let (median, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        println!("{outage:?}: median {median:?}, p99 {p99:?}, worst {:?}", times[times.len() - 1]);
        assert!(p99 <= Duration::from_secs(5), "after {outage:?}: {p99:?}");
    }
}

#[test]
fn after_an_outage_a_thousand_streams_are_back_within_10_s() {
    for (seed, outage) in (1000..).zip(OUTAGES) {
        let everything = ticker("*")
            .and(trade("*"))
            .and(orderbook("*"))
            .and(candle(Interval::Second1, "*"))
            .and(candle(Interval::Minute1, "*"));
        let exchange = Config { speed: 0.1, markets: 200, ..Config::default() };
        let time = time_to_recover(seed, exchange, outage, everything);
        assert!(time <= Duration::from_secs(10), "after {outage:?}: {time:?}");
    }
}
