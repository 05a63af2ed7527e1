//! Tests what a program sees when one stream of many dies, and what the engine does about it.

use std::time::Duration;

use hoga_exchange::{Config, Fault};

use super::World;
use crate::engine::Builder;
use crate::model::{DataType, Nanos, StreamKey};
use crate::plan::{orderbook, ticker, trade};
use crate::pool::{Health, HealthReason};

const MARKETS: [&str; 3] = ["KRW-BTC", "KRW-ETH", "KRW-XRP"];
const STEP: Duration = Duration::from_millis(10);

fn key(data_type: DataType, code: &str) -> StreamKey {
    StreamKey::of(data_type, code.parse().unwrap())
}

fn type_name(data_type: DataType) -> String {
    data_type.as_str().to_owned()
}

/// Returns a world in which all streams of three busy markets have run for two minutes.
fn busy_world(seed: u64) -> World {
    let mut world = World::new(seed, Builder::default(), Config { speed: 10.0, ..Config::default() });
    world.subscribe(ticker(MARKETS));
    world.subscribe(trade(MARKETS));
    world.subscribe(orderbook(MARKETS));
    world.run(Duration::from_secs(120));
    world
}

fn health(world: &World, stream: StreamKey) -> Health {
    world.pool().streams().into_iter().find(|status| status.key == stream).unwrap().health
}

/// Advances the time until the health of the stream is as wanted, and requires that nothing speaks against the others.
/// Returns the time.
#[track_caller]
fn until(world: &mut World, stream: StreamKey, within: Duration, is: impl Fn(Health) -> bool) -> Nanos {
    let end = world.now() + within;
    while !is(health(world, stream)) {
        assert!(world.now() < end, "{}: {:?}", stream, health(world, stream));
        world.run(STEP);
        for other in world.pool().streams().into_iter().filter(|other| other.key != stream) {
            assert!(other.health.is_undisputed(), "{}: {:?}", other.key, other.health);
        }
    }
    world.now()
}

#[test]
fn a_forgotten_stream_is_noticed_and_requested_again_and_the_others_are_left_alone() {
    for (seed, data_type) in [DataType::Ticker, DataType::Trade, DataType::Orderbook].into_iter().enumerate() {
        let mut world = busy_world(seed as u64);
        let stream = key(data_type, "KRW-ETH");
        let (sockets, began) = (world.stats().connections, world.now());
        world.inject(Fault::Forget { type_name: type_name(data_type), code: "KRW-ETH".into() });
        let noticed = until(&mut world, stream, Duration::from_secs(30), |health| !health.is_live());
        let again = until(&mut world, stream, Duration::from_secs(10), Health::is_live);
        assert!(noticed.since(began) <= Duration::from_secs(10), "{data_type}: {:?}", noticed.since(began));
        assert!(again.since(noticed) <= Duration::from_secs(3), "{data_type}: {:?}", again.since(noticed));
        assert_eq!(world.stats().connections, sockets, "{data_type}: the socket was not replaced");
        world.run(Duration::from_secs(30));
        assert!(health(&world, stream).is_live(), "{data_type}");
    }
}

#[test]
fn a_mute_stream_becomes_suspect_and_is_live_again_after_its_next_message() {
    for (seed, data_type) in [DataType::Ticker, DataType::Trade, DataType::Orderbook].into_iter().enumerate() {
        let mut world = busy_world(seed as u64);
        let stream = key(data_type, "KRW-ETH");
        let mute = |on| Fault::MuteStream { type_name: type_name(data_type), code: "KRW-ETH".into(), on };
        let (sockets, requests) = (world.stats().connections, world.stats().requests);
        world.inject(mute(true));
        until(&mut world, stream, Duration::from_secs(30), |health| matches!(health, Health::Suspect { .. }));
        let reason = health(&world, stream).reason().unwrap();
        let expected = match data_type {
            DataType::Ticker => HealthReason::BehindTrades,
            DataType::Trade => HealthReason::MissingTrade,
            _ => HealthReason::Unanswered,
        };
        assert_eq!(reason, expected);
        // The exchange is asked again, with growing pauses. A stream that is requested twice without an answer is not
        // requested more often than others.
        world.run(Duration::from_secs(100));
        assert!(matches!(health(&world, stream), Health::Suspect { .. }), "{data_type}");
        let asked = world.stats().requests - requests;
        assert!((2..=16).contains(&asked), "{data_type}: {asked} requests in 100 s");
        world.inject(mute(false));
        until(&mut world, stream, Duration::from_secs(30), Health::is_live);
        assert_eq!(world.stats().connections, sockets, "{data_type}: the socket was not replaced");
    }
}

/// Nobody trades, and the exchange sends nothing but what it is asked for.
#[test]
fn quiet_markets_cause_no_doubt_and_no_new_socket() {
    for seed in 0..2 {
        let mut world = World::new(seed, Builder::default(), Config { speed: 0.05, ..Config::default() });
        world.subscribe(ticker(MARKETS));
        world.subscribe(trade(MARKETS));
        world.run(Duration::from_secs(10));
        let end = world.now() + Duration::from_secs(600);
        while world.now() < end {
            world.run(Duration::from_millis(500));
            for stream in world.pool().streams() {
                assert!(stream.health.is_undisputed(), "seed {seed}: {}: {:?}", stream.key, stream.health);
            }
        }
        assert_eq!(world.stats().connections, 1, "seed {seed}");
    }
}

/// A stream with few trades shows no rhythm. Only the exchange's list tells that it is no longer carried.
#[test]
fn a_forgotten_stream_of_a_quiet_market_is_found_by_the_list() {
    let mut world = World::new(1, Builder::default(), Config::default());
    let quiet = *world.markets().last().unwrap();
    world.subscribe(ticker("KRW-BTC"));
    world.subscribe(ticker(quiet));
    world.run(Duration::from_secs(100));
    let stream = StreamKey::of(DataType::Ticker, quiet);
    assert!(health(&world, stream).is_undisputed(), "{:?}", health(&world, stream));
    let (sockets, requests) = (world.stats().connections, world.stats().requests);
    world.inject(Fault::Forget { type_name: type_name(DataType::Ticker), code: quiet.to_string() });
    let is_suspect = |health: Health| health.reason() == Some(HealthReason::NotCarried);
    until(&mut world, stream, Duration::from_secs(700), is_suspect);
    until(&mut world, stream, Duration::from_secs(5), Health::is_undisputed);
    assert_eq!(world.stats().connections, sockets);
    assert!(world.stats().requests - requests <= 20, "{}", world.stats().requests - requests);
}
