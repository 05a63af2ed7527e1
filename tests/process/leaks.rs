//! Engines come and go and leave nothing behind: threads and descriptors are counted around them.

use std::time::Duration;

use crate::{PATIENCE, resources};
use hoga::config::ConnectLedger;
use hoga::prelude::*;
use hoga_exchange::{Server, ServerConfig};

/// The exchange closes its ends a moment after the engine has.
#[track_caller]
fn settle_at(expected: (usize, usize)) {
    for _ in 0..500 {
        if resources() == expected {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(resources(), expected);
}

pub fn engines_leave_no_thread_and_no_socket_behind() {
    let server = Server::start(ServerConfig::default()).unwrap();
    let before = resources();
    let builder = || {
        let endpoint = Endpoint::custom(&server.url()).unwrap();
        Engine::builder().endpoint(endpoint).connect_ledger(ConnectLedger::Process).root_certificates(server.ca_pem())
    };
    let core = (0..1024).find(|&core| hoga::net::is_available(core)).unwrap();
    for wait in [Wait::Park, Wait::SpinThenPark(Duration::from_micros(200)), Wait::Spin] {
        let engine = builder().ticker("KRW-BTC").wait(wait).pin([core]).start().unwrap();
        engine.wait_ready(PATIENCE).unwrap();
        engine.shutdown(PATIENCE).into_result().unwrap();
        drop(engine); // it held the means to wake its thread
        settle_at(before);
    }
    // Dropped instead of shut down, while it connects.
    drop(builder().ticker("KRW-BTC").start().unwrap());
    settle_at(before);
    // Nothing was ever subscribed.
    builder().start().unwrap().shutdown(PATIENCE).into_result().unwrap();
    settle_at(before);
    // A refused start.
    assert!(builder().ticker("nonsense").start().is_err());
    settle_at(before);
    // Many subscriptions on one engine.
    let engine = builder().ticker("KRW-BTC").start().unwrap();
    engine.wait_ready(PATIENCE).unwrap();
    let running = resources();
    for _ in 0..2_000 {
        drop(engine.subscribe(trade(["KRW-ETH", "KRW-XRP"])).unwrap());
    }
    settle_at(running);
    drop(engine);
    settle_at(before);
}
