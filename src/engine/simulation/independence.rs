//! What happens to one connection does not happen to another: each has its own budget of requests, its own sockets and
//! its own pauses.

use std::time::Duration;

use hoga_exchange::{Config, Fault};

use super::World;
use crate::engine::Builder;
use crate::model::Market;
use crate::plan::{ticker, trade};

/// Returns a world with two connections that carry all tickers.
fn two_connections(seed: u64) -> World {
    let builder = Builder::default().connections(2).grace(Duration::ZERO);
    let mut world = World::new(seed, builder, Config { markets: 24, speed: 0.2, ..Config::default() });
    let markets = world.markets();
    world.subscribe(ticker(&markets));
    world.run(Duration::from_secs(90));
    world.settle();
    world
}

/// Changes the demand of the connections more often than they may send requests, for two minutes. Returns the number of
/// requests of each connection.
fn saturate(seed: u64, connections: &[usize]) -> [usize; 2] {
    let mut world = two_connections(seed);
    let own: Vec<Vec<_>> =
        connections.iter().map(|connection| world.carried(*connection).into_iter().collect()).collect();
    let before = [0, 1].map(|connection| world.requests(world.conns(connection)[0]));
    for _ in 0..1200 {
        let pick = |world: &World, own: &[Market]| trade([world.random.pick(own)]);
        let held: Vec<_> = own
            .iter()
            .map(|own| {
                let wanted = pick(&world, own);
                world.subscribe(wanted)
            })
            .collect();
        world.run(Duration::from_millis(100));
        held.into_iter().for_each(|id| world.release(id));
    }
    assert_eq!(world.stats().violations(), 0, "{:?}", world.stats());
    [0, 1].map(|connection| world.requests(world.conns(connection)[0]) - before[connection])
}

#[test]
fn two_saturated_connections_each_get_their_whole_budget() {
    for seed in 0..3 {
        let (alone, other) = (saturate(seed, &[0]), saturate(seed, &[1]));
        let both = saturate(seed, &[0, 1]);
        for (alone, both) in [(alone[0], both[0]), (other[1], both[1])] {
            // 100 a minute are allowed. A few belong to lists and questions, whose times differ.
            assert!(alone >= 150 && alone.abs_diff(both) <= 5, "seed {seed}: {alone} alone, {both} beside another");
        }
        assert!(alone[1] <= 20, "seed {seed}: a connection without changes sent {} requests", alone[1]);
    }
}

#[test]
fn cutting_one_connection_does_not_touch_the_other() {
    for seed in 0..20 {
        let mut world = two_connections(seed);
        let (before, pauses) = (world.conns(1), world.pauses(1).len());
        world.cut(0);
        world.run(Duration::from_secs(20));
        world.settle();
        assert!(!world.pauses(0).is_empty(), "seed {seed}");
        assert_eq!((world.conns(1), world.pauses(1).len()), (before, pauses), "seed {seed}");
    }
}

#[test]
fn connections_cut_at_once_reconnect_on_schedules_of_their_own() {
    for seed in 0..20 {
        let mut world = two_connections(seed);
        let before = [0, 1].map(|connection| world.pauses(connection).len());
        world.set_down(true);
        world.inject(Fault::DropAll);
        world.run(Duration::from_secs(60));
        let pauses = [0, 1].map(|connection| world.pauses(connection)[before[connection]..].to_vec());
        assert!(pauses.iter().all(|pauses| pauses.len() >= 10), "seed {seed}: {pauses:?}");
        // The first attempt follows at once; all others are random.
        let same = pauses[0].iter().filter(|pause| !pause.is_zero() && pauses[1].contains(pause)).count();
        assert_eq!(same, 0, "seed {seed}: {pauses:?}");
        world.set_down(false);
        world.settle();
        assert_eq!(world.stats().violations(), 0, "seed {seed}");
    }
}
