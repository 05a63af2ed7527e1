//! The programs in `examples/`, each run for a short time against the simulated exchange.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{TIMEOUT, builder, eventually, exchange};
use hoga::prelude::*;
use hoga_exchange::{Fault, Server};

#[path = "../../examples/adaptive_subscriber.rs"]
#[allow(dead_code, reason = "its main function")]
mod adaptive_subscriber;
#[path = "../../examples/first_price.rs"]
#[allow(dead_code, reason = "its main function")]
mod first_price;
#[path = "../../examples/graceful_shutdown.rs"]
#[allow(dead_code, reason = "its main function")]
mod graceful_shutdown;
#[path = "../../examples/many_markets.rs"]
#[allow(dead_code, reason = "its main function")]
mod many_markets;
#[path = "../../examples/spread_watcher.rs"]
#[allow(dead_code, reason = "its main function")]
mod spread_watcher;
#[path = "../../examples/staleness_guard.rs"]
#[allow(dead_code, reason = "its main function")]
mod staleness_guard;
#[path = "../../examples/strategy_test.rs"]
#[allow(dead_code, reason = "its main function")]
mod strategy_test;
#[path = "../../examples/trades_to_file.rs"]
#[allow(dead_code, reason = "its main function")]
mod trades_to_file;

/// Output that the test can read while the program writes.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Output {
    fn has(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.0.lock().unwrap()).contains(text)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a program until `is_enough`, then stops its engine. Returns the result of the program.
#[track_caller]
fn run<T: Send>(engine: &Engine, program: impl FnOnce() -> T + Send, is_enough: impl FnMut() -> bool) -> T {
    std::thread::scope(|scope| {
        let program = scope.spawn(program);
        eventually("the program has shown enough", is_enough);
        engine.shutdown(TIMEOUT).into_result().unwrap();
        program.join().unwrap()
    })
}

fn delivered(engine: &Engine) -> u64 {
    engine.feeds().iter().map(|feed| feed.counts.delivered).sum()
}

/// The first program of the README goes on through silence and a lost connection.
#[test]
fn the_first_program_survives_a_mute_exchange_and_a_cut() {
    let (server, _record) = exchange(50.0, 10);
    let engine = builder(&server).start().unwrap();
    let (mut stage, mut before, mut looks) = (0, 0, 0);
    let is_enough = || {
        let now = delivered(&engine);
        match stage {
            0 if now > 5 => server.inject(Fault::Mute(true)),
            // Long enough for an impatient loop to end.
            1 if looks < 50 => {
                looks += 1;
                return false;
            }
            1 => server.inject(Fault::Mute(false)),
            2 if now > before + 5 => server.inject(Fault::DropAll),
            3 if engine.connections()[0].epoch > Epoch(1) && now > before + 5 => return true,
            _ => return false,
        }
        (stage, before) = (stage + 1, now);
        false
    };
    let printed = run(&engine, || first_price::run(&engine), is_enough).unwrap();
    assert!(printed > 15, "{printed}");
}

#[test]
fn many_markets_are_printed_and_the_missing_one_is_named() {
    let (server, _record) = exchange(50.0, 10);
    let engine = builder(&server).confirm_within(Duration::from_millis(100)).start().unwrap();
    let output = Output::default();
    let is_enough = || output.has("KRW-BTC: Some(") && output.has("KRW-NOPE: NoSuchMarket");
    let program = || many_markets::run(&engine, Duration::from_millis(20), &mut output.clone());
    run(&engine, program, is_enough).unwrap();
}

#[test]
fn all_trades_are_written_to_a_file() {
    let (server, _record) = exchange(50.0, 10);
    let engine = builder(&server).start().unwrap();
    let output = Output::default();
    run(&engine, || trades_to_file::run(&engine, output.clone()), || delivered(&engine) > 20).unwrap();
    assert!(output.has("KRW-BTC,") || output.has("KRW-ETH,"));
}

#[test]
fn spreads_are_watched_on_three_threads() {
    let (server, _record) = exchange(50.0, 10);
    let engine = builder(&server).start().unwrap();
    let shown = ["KRW-BTC", "KRW-ETH", "KRW-XRP"].map(|market| (market, AtomicU64::new(0)));
    let show = |market: &str, _| {
        shown.iter().filter(|shown| shown.0 == market).for_each(|shown| _ = shown.1.fetch_add(1, Relaxed))
    };
    let is_enough = || shown.iter().all(|shown| shown.1.load(Relaxed) > 3);
    run(&engine, || spread_watcher::run(&engine, show), is_enough).unwrap();
}

#[test]
fn a_subscription_follows_the_market_that_moves_most() {
    let (server, record) = exchange(50.0, 10);
    let engine = builder(&server).start().unwrap();
    let is_watched =
        || record.wire().iter().filter(|stream| stream.starts_with("orderbook")).count() == 1 && record.requests() > 1;
    let choices = run(&engine, || adaptive_subscriber::run(&engine, Duration::from_millis(20)), is_watched).unwrap();
    assert!(choices > 0);
}

fn guarded(server: &Server) -> Engine {
    let engine = builder(server).ticker("KRW-BTC").start().unwrap();
    engine.wait_ready(TIMEOUT).unwrap();
    engine
}

#[test]
fn nothing_is_traded_on_a_stale_price() {
    let (server, _record) = exchange(50.0, 10);
    let engine = guarded(&server);
    let (traded, waited) = (AtomicU64::new(0), AtomicU64::new(0));
    let act = |decision| match decision {
        staleness_guard::Decision::Trade(_) if traded.fetch_add(1, Relaxed) == 3 => {
            server.inject(Fault::RefuseConnects(true));
            server.inject(Fault::DropAll);
        }
        staleness_guard::Decision::Trade(_) => {}
        staleness_guard::Decision::Wait(_) => _ = waited.fetch_add(1, Relaxed),
    };
    run(&engine, || staleness_guard::run(&engine, act), || waited.load(Relaxed) > 0).unwrap();
    assert!(traded.load(Relaxed) > 3);
}

#[test]
fn a_request_to_end_stops_the_engine_and_then_the_reader() {
    let (server, _record) = exchange(50.0, 10);
    let engine = builder(&server).start().unwrap();
    let (engine, (asked, end)) = (&engine, sync_channel(1));
    let read = std::thread::scope(|scope| {
        let program = scope.spawn(move || graceful_shutdown::run(engine, &end).unwrap());
        eventually("it reads", || delivered(engine) > 5);
        asked.send(()).unwrap();
        program.join().unwrap()
    });
    assert!(read > 5 && !engine.is_running());
}

#[test]
fn the_example_of_a_strategy_test_passes() {
    strategy_test::run().unwrap();
}
