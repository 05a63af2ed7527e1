//! What a program sees of an exchange that falls silent, and in which order, to the millisecond.

use std::time::Duration;

use hoga_exchange::{Config, Fault};

use super::World;
use crate::config::Timeouts;
use crate::engine::Builder;
use crate::model::Nanos;
use crate::plan::ticker;
use crate::pool::Health;

const STALE_AFTER: Duration = Duration::from_millis(200);
/// The most that a network of [`World`] delays anything.
const DELAY_MAX: Duration = Duration::from_millis(200);
const STEP: Duration = Duration::from_millis(1);

/// What a program sees of one stream and what the exchange sees of the engine, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    health: Health,
    requests: u64,
    connections: u64,
}

/// A world whose one stream is live.
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

/// Lets time pass until the exchange or the program sees what `is` so; when that was.
#[track_caller]
fn until(world: &mut World, what: &str, is: impl Fn(Look) -> bool) -> Nanos {
    let end = world.now() + Duration::from_secs(30);
    while !is(look(world)) {
        assert!(world.now() < end, "never: {what}, {:?}", look(world));
        world.run(STEP);
    }
    world.now()
}

fn is_disconnected(look: Look) -> bool {
    matches!(look.health, Health::Disconnected { .. })
}

/// When data last came.
fn last_data(world: &World) -> Nanos {
    world.pool().ticker("KRW-BTC").unwrap().load().stamps().unwrap().received
}

#[test]
fn of_a_stalled_exchange_values_are_stale_first_and_then_the_socket_is_replaced() {
    let silent_after = Duration::from_millis(700);
    let timeouts = Timeouts { ping_after: Duration::from_millis(300), silent_after, ..Timeouts::default() };
    for seed in 0..20 {
        let mut world = live_world(seed, timeouts.clone());
        world.inject(Fault::Stall(true));
        let stalled = world.now();
        let before = look(&world);
        let stale = until(&mut world, "stale", |look| matches!(look.health, Health::Stale { .. }));
        let heard = last_data(&world);
        assert!(stale > heard + STALE_AFTER && stale <= heard + STALE_AFTER + 2 * STEP, "seed {seed}");
        assert_eq!(look(&world).connections, before.connections, "seed {seed}: stale before the loss is certain");
        let lost = until(&mut world, "the socket is given up", is_disconnected);
        assert!(lost >= heard + silent_after, "seed {seed}: lost {:?} after the last data", lost.since(heard));
        assert!(lost <= stalled + DELAY_MAX + silent_after + STEP, "seed {seed}: {:?}", lost.since(stalled));
        assert_eq!(look(&world).requests, before.requests, "seed {seed}: nobody reads what is asked");
        assert!(world.pool().ticker("KRW-BTC").unwrap().load().value().is_some(), "the last value stays readable");
        world.inject(Fault::Stall(false));
        until(&mut world, "live again", |look| look.health.is_live());
    }
}

#[test]
fn a_mute_exchange_is_asked_again_once_and_then_replaced() {
    let quiet = Duration::from_millis(600);
    let timeouts = Timeouts { quiet_after: quiet, probe: quiet, ..Timeouts::default() };
    for seed in 0..20 {
        let mut world = live_world(seed, timeouts.clone());
        // The first request was confirmed, so that nothing but the silence is a reason to ask.
        world.run(Duration::from_secs(1));
        world.inject(Fault::Mute(true));
        let before = look(&world);
        let asked = until(&mut world, "asked again", |look| look.requests > before.requests);
        let heard = last_data(&world);
        let waited = asked.since(heard);
        assert!(
            waited >= quiet && waited <= quiet + DELAY_MAX + STEP,
            "seed {seed}: asked {waited:?} after the last data"
        );
        assert!(matches!(look(&world).health, Health::Stale { .. }), "seed {seed}: stale before it is asked");
        // Without any delay the next socket is there in the same moment.
        let lost = until(&mut world, "the socket is given up", |look| {
            let is_lost = is_disconnected(look) || look.connections > before.connections;
            assert!(is_lost || look.requests == before.requests + 1, "seed {seed}: asked once: {look:?}");
            is_lost
        });
        let (asked, lost) = (asked.since(heard), lost.since(heard));
        assert!(lost >= 2 * quiet && lost <= asked + quiet + 2 * STEP, "seed {seed}: asked {asked:?}, lost {lost:?}");
        until(&mut world, "another socket", |look| look.connections > before.connections);
        world.inject(Fault::Mute(false));
        until(&mut world, "live again", |look| look.health.is_live());
    }
}
