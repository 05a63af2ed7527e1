//! Tests what a program sees when the exchange falls silent, and in which order, to the millisecond.

use std::time::Duration;

use hoga_exchange::{Config, Fault};

use super::World;
use crate::config::Timeouts;
use crate::engine::Builder;
use crate::model::Nanos;
use crate::plan::ticker;
use crate::pool::Health;

const STALE_AFTER: Duration = Duration::from_millis(200);
/// The maximum delay of the network and the threads of a [`World`].
const DELAY_MAX: Duration = Duration::from_millis(200);
const STEP: Duration = Duration::from_millis(1);

/// The health of the stream as a program sees it, and the exchange's counts, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    health: Health,
    requests: u64,
    connections: u64,
}

/// Returns a world with one stream, which is live.
fn live_world(seed: u64, timeouts: Timeouts) -> World {
    let builder = Builder::default().timeouts(timeouts).stale_after(STALE_AFTER);
    let mut world = World::new(seed, builder, Config { speed: 20.0, ..Config::default() });
    world.subscribe(ticker("KRW-BTC"));
    let end = world.now() + Duration::from_secs(30);
    while !look(&world).health.is_live() {
        assert!(world.now() < end, "{:?}", look(&world));
        world.run(STEP);
    }
    world
}

fn look(world: &World) -> Look {
    let health = world.pool().ticker("KRW-BTC").unwrap().load().health();
    let (requests, connections) = (world.stats().requests, world.stats().connections);
    Look { health, requests, connections }
}

/// Advances the time until `is` returns true. Returns the time then. `what` names the condition in a failure.
#[track_caller]
fn until(world: &mut World, what: &str, is: impl Fn(Look) -> bool) -> Nanos {
    let end = world.now() + Duration::from_secs(30);
    while !is(look(world)) {
        assert!(world.now() < end, "never happened: {what}; {:?}", look(world));
        world.run(STEP);
    }
    world.now()
}

fn is_disconnected(look: Look) -> bool {
    matches!(look.health, Health::Disconnected { .. })
}

/// Returns the time at which data last arrived.
fn last_data(world: &World) -> Nanos {
    world.pool().ticker("KRW-BTC").unwrap().load().stamps().unwrap().received
}

#[test]
fn a_stalled_exchange_makes_values_stale_before_its_socket_is_replaced() {
    let (ping_after, silent_after) = (Duration::from_millis(300), Duration::from_millis(700));
    // Some of the networks are so slow that the answer to a ping gets more time, at most four times as much.
    let silent_after_max = ping_after + 4 * (silent_after - ping_after);
    let timeouts = Timeouts { ping_after, silent_after, ..Timeouts::default() };
    for seed in 0..20 {
        let mut world = live_world(seed, timeouts.clone());
        world.inject(Fault::Stall(true));
        let stalled = world.now();
        let before = look(&world);
        let stale = until(&mut world, "stale", |look| matches!(look.health, Health::Stale { .. }));
        let heard = last_data(&world);
        assert!(stale > heard + STALE_AFTER && stale <= heard + STALE_AFTER + 2 * STEP, "seed {seed}");
        assert_eq!(
            look(&world).connections,
            before.connections,
            "seed {seed}: values are stale before the socket ends"
        );
        let lost = until(&mut world, "the socket ends", is_disconnected);
        assert!(lost >= heard + silent_after, "seed {seed}: lost {:?} after the last data", lost.since(heard));
        assert!(lost <= stalled + DELAY_MAX + silent_after_max + STEP, "seed {seed}: {:?}", lost.since(stalled));
        assert_eq!(look(&world).requests, before.requests, "seed {seed}: a stalled exchange reads no request");
        assert!(world.pool().ticker("KRW-BTC").unwrap().load().value().is_some(), "the last value stays readable");
        world.inject(Fault::Stall(false));
        until(&mut world, "live again", |look| look.health.is_live());
    }
}

#[test]
fn a_mute_socket_is_probed_once_and_then_replaced() {
    let quiet = Duration::from_millis(600);
    let timeouts = Timeouts { quiet_after: quiet, probe: quiet, ..Timeouts::default() };
    for seed in 0..20 {
        let mut world = live_world(seed, timeouts.clone());
        // By now the first request is confirmed, so only missing data can cause another request.
        world.run(Duration::from_secs(1));
        world.inject(Fault::Mute(true));
        let before = look(&world);
        let probed = until(&mut world, "a probe", |look| look.requests > before.requests);
        let heard = last_data(&world);
        let waited = probed.since(heard);
        assert!(
            waited >= quiet && waited <= quiet + DELAY_MAX + STEP,
            "seed {seed}: probed {waited:?} after the last data"
        );
        assert!(matches!(look(&world).health, Health::Stale { .. }), "seed {seed}: values are stale before the probe");
        // If nothing is delayed, the next socket opens in the same step.
        let lost = until(&mut world, "the socket ends", |look| {
            let is_lost = is_disconnected(look) || look.connections > before.connections;
            assert!(is_lost || look.requests == before.requests + 1, "seed {seed}: more than one probe: {look:?}");
            is_lost
        });
        let (probed, lost) = (probed.since(heard), lost.since(heard));
        assert!(
            lost >= 2 * quiet && lost <= probed + quiet + 2 * STEP,
            "seed {seed}: probed {probed:?}, lost {lost:?}"
        );
        until(&mut world, "another socket", |look| look.connections > before.connections);
        world.inject(Fault::Mute(false));
        until(&mut world, "live again", |look| look.health.is_live());
    }
}
