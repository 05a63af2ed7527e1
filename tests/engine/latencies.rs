//! Latency records over real sockets: each message is recorded once, and only if measurement is enabled. The tests do
//! not judge durations.

use std::time::Duration;

use crate::common::{Record, TIMEOUT, eventually, finish};
use hoga::config::ConnectLedger;
use hoga::engine::Builder;
use hoga::feed::Latency;
use hoga::prelude::*;
use hoga::route::Attribution;
use hoga_exchange::{Fault, Server, ServerConfig};

const MARKETS: [&str; 3] = ["KRW-BTC", "KRW-ETH", "KRW-XRP"];

/// Starts an exchange whose clock is ahead by `clock_ahead_ms`, and its record.
fn exchange(plain: bool, clock_ahead_ms: i64) -> (Server, Record) {
    let mut config = ServerConfig { plain, clock_ahead_ms, ..ServerConfig::default() };
    (config.exchange.speed, config.exchange.markets) = (20.0, 40);
    let record = Record::default();
    (Server::start_observed(config, Box::new(record.clone())).unwrap(), record)
}

fn builder(server: &Server) -> Builder {
    let endpoint = Endpoint::custom(&server.url()).unwrap();
    let builder = Engine::builder().endpoint(endpoint).connect_ledger(ConnectLedger::Process);
    let builder = if server.url().starts_with("wss") { builder.root_certificates(server.ca_pem()) } else { builder };
    builder.ticker(MARKETS).trade(MARKETS).orderbook(MARKETS)
}

/// Returns the number of data messages received on all connections.
fn received(engine: &Engine) -> u64 {
    engine.connections().iter().map(|connection| connection.counters.data).sum()
}

/// Waits for messages, then mutes the exchange. Messages that it has sent by then may still be in flight.
fn receive(engine: &Engine, server: &Server, messages: u64) {
    engine.wait_ready(TIMEOUT).unwrap();
    eventually("enough messages have arrived", || received(engine) >= messages);
    server.inject(Fault::Mute(true));
}

/// Returns the numbers of times recorded from receive to publish, from exchange to receive, and above the fastest.
fn counts(all: &Attribution) -> [u64; 3] {
    [&all.receive_to_publish, &all.exchange_to_receive, &all.above_fastest].map(Latency::count)
}

fn changes(record: &Record) -> u64 {
    record.connections().iter().map(|conn| record.sent(*conn, |message| !message.is_snapshot).len() as u64).sum()
}

/// Returns the merged records of all connections.
fn merged(engine: &Engine) -> Attribution {
    let merge = |mut all: Attribution, one: Attribution| {
        all.add(&one);
        all
    };
    engine.latencies().into_iter().map(|(_, one)| one).reduce(merge).unwrap()
}

#[test]
fn every_message_is_recorded_once() {
    for plain in [true, false] {
        // The clock is an hour ahead, far more than any pause of a busy machine.
        let (server, record) = exchange(plain, 3_600_000);
        let engine = builder(&server).connections(2).measure_latencies(true).start().unwrap();
        receive(&engine, &server, 500);
        let ids: Vec<_> = engine.latencies().iter().map(|(id, _)| id.0).collect();
        assert_eq!(ids, [0, 1]);
        eventually("each message is recorded once, and each change", || {
            let (sent, changes) = (server.stats().data_frames, changes(&record));
            received(&engine) == sent && counts(&merged(&engine)) == [sent, changes, changes]
        });
        let all = merged(&engine);
        // One in eight messages is sampled on each connection.
        let (messages, published) = (all.receive_to_publish.count(), all.fan_out.count());
        assert!((messages / 8..=messages / 8 + 2).contains(&published), "{published} of {messages}");
        let kernel = all.kernel_to_user.count();
        assert_eq!(kernel > 0, cfg!(target_os = "linux"), "{kernel} reads with the kernel's timestamp");
        let offset = all.clock_offset;
        let ahead = Duration::from_nanos(offset.estimate().unwrap().try_into().unwrap());
        assert_eq!((ahead.as_secs_f64() / 3600.0).round(), 1.0, "{offset:?}");
        assert!(all.exchange_error().is_some());
        finish(engine, &server);
    }
}

#[test]
fn nothing_is_recorded_unless_enabled() {
    let (server, _) = exchange(true, 0);
    let engine = builder(&server).start().unwrap();
    receive(&engine, &server, 100);
    assert!(engine.latencies().is_empty());
    finish(engine, &server);
}

#[test]
fn records_outlive_sockets() {
    let (server, _) = exchange(true, 0);
    let engine = builder(&server).measure_latencies(true).start().unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    let before = merged(&engine);
    server.inject(Fault::DropAll);
    eventually("there is another socket", || engine.connections()[0].counters.opened == 2);
    receive(&engine, &server, 100);
    eventually("messages of both sockets are recorded", || {
        merged(&engine).receive_to_publish.count() == server.stats().data_frames
    });
    let after = merged(&engine);
    let is_within = after.clock_offset.low() >= before.clock_offset.low()
        && after.clock_offset.high() <= before.clock_offset.high();
    assert!(
        is_within,
        "the second handshake only narrows the offset: {:?}, then {:?}",
        before.clock_offset, after.clock_offset
    );
    finish(engine, &server);
}
