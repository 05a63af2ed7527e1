//! Starts and stops engines, and checks that this process keeps no threads or descriptors.

use std::fs::File;
use std::time::Duration;

use crate::{TIMEOUT, resources};
use hoga::config::ConnectLedger;
use hoga::error::Error;
use hoga::prelude::*;
use hoga_exchange::{Server, ServerConfig};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Waits until the resources are as expected: the exchange closes its ends shortly after the engine does.
#[track_caller]
fn wait_for_resources(expected: (usize, usize)) {
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
        engine.wait_ready(TIMEOUT).unwrap();
        engine.shutdown(TIMEOUT).into_result().unwrap();
        drop(engine); // it held the descriptor that wakes its thread
        wait_for_resources(before);
    }
    // An engine that is dropped while it connects.
    drop(builder().ticker("KRW-BTC").start().unwrap());
    wait_for_resources(before);
    // An engine without subscriptions.
    builder().start().unwrap().shutdown(TIMEOUT).into_result().unwrap();
    wait_for_resources(before);
    // A refused start.
    assert!(builder().ticker("nonsense").start().is_err());
    wait_for_resources(before);
    // A start that fails because the process has no descriptors left.
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
    wait_for_resources(before);
    // Many subscriptions on one engine.
    let engine = builder().ticker("KRW-BTC").start().unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    let running = resources();
    for _ in 0..2_000 {
        drop(engine.subscribe(trade(["KRW-ETH", "KRW-XRP"])).unwrap());
    }
    wait_for_resources(running);
    drop(engine);
    wait_for_resources(before);
}
