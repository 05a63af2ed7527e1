//! Engines come and go and leave nothing behind: threads and descriptors are counted around them.

use std::fs::File;
use std::time::Duration;

use crate::{PATIENCE, resources};
use hoga::config::ConnectLedger;
use hoga::error::Error;
use hoga::prelude::*;
use hoga_exchange::{Server, ServerConfig};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

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
    // A start that the system refuses: it has no descriptors left.
    let limit = getrlimit(Resource::Nofile);
    let used = std::fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().file_name());
    let highest = used.map(|name| name.to_str().unwrap().parse::<u64>().unwrap()).max().unwrap();
    setrlimit(Resource::Nofile, Rlimit { current: Some(highest + 1), ..limit }).unwrap();
    let taken: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    let refused = builder().ticker("KRW-BTC").start();
    drop(taken);
    setrlimit(Resource::Nofile, limit).unwrap();
    let error = refused.map(drop).unwrap_err();
    assert!(matches!(&error, Error::Start { what: "event queue", .. }), "{error}");
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
