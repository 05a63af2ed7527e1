//! Callbacks that misbehave: each harms itself, and says so in the engine's status.

use std::num::NonZeroU32;
use std::panic::panic_any;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{PATIENCE, builder, delivered, eventually, exchange, finish};
use hoga::call::CallbackStatus;
use hoga::engine::Engine;
use hoga::error::Error;
use hoga::feed::CallbackState;
use hoga::prelude::*;

fn status(engine: &Engine, name: &str) -> CallbackStatus {
    engine.callbacks().into_iter().find(|callback| &*callback.name == name).unwrap()
}

/// Panics are part of these tests; nobody needs to read them.
fn be_quiet_about_planted_panics() {
    std::panic::set_hook(Box::new(|info| {
        let planted = info.payload().downcast_ref::<&str>().is_some_and(|text| text.starts_with("planted"));
        if !planted {
            eprintln!("{info}");
        }
    }));
}

#[test]
fn one_panics_one_fails_one_blocks_and_the_others_get_everything() {
    be_quiet_about_planted_panics();
    let (server, record) = exchange(50.0, 10);
    let engine = builder(&server).start().unwrap();
    let stream = || trade("KRW-BTC");
    let got = Arc::new(Mutex::new(Vec::new()));
    let good = {
        let got = got.clone();
        let call = move |item: &Item<Trade>| got.lock().unwrap().push(delivered(*item));
        engine.callback("good").run(stream(), Overflow::default(), call).unwrap()
    };
    let panics = engine.callback("panics").run(stream(), Overflow::default(), |_| -> () { panic!("planted") }).unwrap();
    let fails = engine.callback("fails").quota(NonZeroU32::new(3).unwrap());
    let fails = fails.run(stream(), Overflow::default(), |_| Err::<(), _>("the disk is full\u{1b}[2J")).unwrap();
    let released = Arc::new(AtomicBool::new(false));
    let blocks = {
        let released = released.clone();
        let call = move |_: &Item<Trade>| {
            while !released.load(Relaxed) {
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        engine.callback("blocks").run(stream(), Overflow::DropNewest { capacity: 16 }, call).unwrap()
    };
    eventually("the good one has had many, the bad ones are known", || {
        got.lock().unwrap().len() > 300
            && [&panics, &fails].iter().all(|callback| callback.state() == CallbackState::Quarantined)
    });

    let got = got.lock().unwrap().clone();
    let sent = record.sent(record.connections()[0], |message| message.stream == "trade KRW-BTC");
    assert_eq!(got, sent[..got.len()], "nothing was missed, late or twice");
    assert_eq!((good.state(), blocks.state()), (CallbackState::Running, CallbackState::Running));

    let [of_panics, of_fails] = ["panics", "fails"].map(|name| status(&engine, name));
    assert_eq!((of_panics.calls, of_panics.failures, of_panics.panics), (5, 5, 5), "five in a row, and no more");
    assert_eq!(of_panics.last_failure.as_deref(), Some("planted"));
    assert_eq!((of_fails.calls, of_fails.failures, of_fails.panics, of_fails.consecutive_failures), (3, 3, 0, 3));
    assert!(of_fails.last_failure.unwrap().starts_with("the disk is full\\u{1b}"), "it cannot drive a terminal");
    let of_good = status(&engine, "good");
    assert!(of_good.calls >= 300 && of_good.failures == 0);
    assert_eq!(of_good.time.count(), of_good.calls);

    let of_blocks = status(&engine, "blocks").counts;
    assert!(of_blocks.dropped > 0 && of_blocks.queued == 16, "it filled its own ring: {of_blocks:?}");
    released.store(true, Relaxed);
    eventually("it goes on when it can", || status(&engine, "blocks").counts.delivered > 20);
    drop((good, panics, fails, blocks));
    assert!(engine.callbacks().is_empty());
    finish(engine, &server);
}

#[test]
fn a_quarantine_ends_when_somebody_ends_it_and_what_waited_comes_first() {
    let (server, _record) = exchange(50.0, 10);
    let engine = builder(&server).start().unwrap();
    let (broken, called) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
    let callback = {
        let (broken, called) = (broken.clone(), called.clone());
        let call = move |_: &Item<Trade>| {
            called.fetch_add(1, Relaxed);
            if broken.load(Relaxed) { Err("not yet") } else { Ok(()) }
        };
        engine.callback("mends").run(trade("KRW-BTC"), Overflow::DropNewest { capacity: 8 }, call).unwrap()
    };
    eventually("it is quarantined", || callback.state() == CallbackState::Quarantined);
    eventually("its feed fills", || callback.status().counts.dropped > 0);
    assert_eq!(called.load(Relaxed), 5, "it is not called");
    broken.store(false, Relaxed);
    assert!(callback.rearm() && !callback.rearm());
    eventually("it is called again", || called.load(Relaxed) > 50);
    let status = callback.status();
    assert_eq!((status.state, status.failures, status.consecutive_failures), (CallbackState::Running, 5, 0));
    let latencies = &status.latencies;
    assert!(latencies.publish_to_read.count() > 30, "all but what was no data, or is being counted");
    assert_eq!(latencies.publish_to_read.count(), latencies.receive_to_publish.count());
    finish(engine, &server);
}

/// Two threads for three callbacks, of which one never returns.
#[test]
fn on_shared_threads_one_that_blocks_takes_one_thread() {
    let (server, _record) = exchange(50.0, 10);
    let engine = builder(&server).start().unwrap();
    let dispatcher = engine.dispatcher("shared", 2).unwrap();
    let counts = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
    let stop = Arc::new(AtomicBool::new(false));
    let stuck = {
        let stop = stop.clone();
        let call = move |_: &Item<Ticker>| {
            while !stop.load(Relaxed) {
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        engine.callback("stuck").on(&dispatcher).run(ticker("KRW-BTC"), Overflow::Conflate, call).unwrap()
    };
    let others: Vec<_> = ["first", "second"]
        .iter()
        .zip(&counts)
        .map(|(name, count)| {
            let count = count.clone();
            let call = move |_: &Item<Ticker>| {
                count.fetch_add(1, Relaxed);
            };
            let callback = engine.callback(name).on(&dispatcher);
            callback.run(ticker(["KRW-BTC", "KRW-ETH"]), Overflow::Throttle(Duration::from_millis(5)), call).unwrap()
        })
        .collect();
    eventually("the others are called", || counts.iter().all(|count| count.load(Relaxed) > 50));
    assert_eq!(status(&engine, "stuck").calls, 0, "its first call has not returned");
    stop.store(true, Relaxed);
    eventually("it goes on", || status(&engine, "stuck").calls > 5);
    drop((stuck, others, dispatcher));
    eventually("its threads have ended", || threads_named("hoga-call-share") == 0);
    finish(engine, &server);
}

/// Panics when it is dropped.
struct Planted;

impl Drop for Planted {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("planted");
        }
    }
}

#[test]
fn what_panics_as_it_is_dropped_does_not_end_the_thread_that_others_share() {
    be_quiet_about_planted_panics();
    let (server, _record) = exchange(50.0, 10);
    let engine = builder(&server).start().unwrap();
    let dispatcher = engine.dispatcher("drops", 1).unwrap();
    let callback = |name| engine.callback(name).on(&dispatcher);
    let good = callback("good").run(ticker("KRW-BTC"), Overflow::Conflate, |_| ()).unwrap();
    let held = Planted;
    let holds = callback("holds").run(ticker("KRW-BTC"), Overflow::Conflate, move |_| _ = &held).unwrap();
    let throws =
        callback("throws").run(ticker("KRW-BTC"), Overflow::Conflate, |_| -> () { panic_any(Planted) }).unwrap();
    eventually("one is quarantined, one is called", || {
        throws.state() == CallbackState::Quarantined && holds.status().calls > 0
    });
    assert_eq!(throws.status().panics, 5);
    drop((holds, throws));
    eventually("they are gone", || engine.feeds().len() == 1);
    let calls = good.status().calls;
    eventually("the good one is called", || good.status().calls > calls + 10);
    drop((good, dispatcher));
    eventually("the thread has ended", || threads_named("hoga-call-drops") == 0);
    finish(engine, &server);
}

#[test]
fn a_name_may_be_any_text() {
    let (server, _record) = exchange(50.0, 10);
    let engine = builder(&server).start().unwrap();
    let dispatcher = engine.dispatcher("\0", 1).unwrap();
    let long = "호가".repeat(10_000);
    for name in ["", "a\0b", "\u{1b}[2J", &long] {
        let own = engine.callback(name).run(ticker("KRW-BTC"), Overflow::Conflate, |_| ()).unwrap();
        eventually("it is called", || status(&engine, name).calls > 0);
        drop(own);
        let shared = engine.callback(name).on(&dispatcher);
        let shared = shared.run(ticker("KRW-BTC"), Overflow::Conflate, |_| ()).unwrap();
        eventually("it is called", || shared.status().calls > 0);
    }
    finish(engine, &server);
}

/// What comes while its stream rests wakes nobody, and may be the last for long.
#[test]
fn a_throttled_callback_gets_the_last_word_when_the_rest_is_over_and_not_when_its_thread_looks_again() {
    let (server, _record) = exchange(50.0, 10);
    let engine = builder(&server).start().unwrap();
    let interval = Duration::from_millis(100);
    let callback = engine.callback("screen").run(ticker("KRW-BTC"), Overflow::Throttle(interval), |_| ()).unwrap();
    let mut late = 0;
    for _ in 0..5 {
        let calls = callback.status().calls;
        eventually("it is called", || callback.status().calls > calls + 2);
        server.inject(hoga_exchange::Fault::Mute(true));
        let waited = engine.now();
        eventually("nothing waits", || callback.status().counts.queued == 0);
        late += u32::from(engine.now().since(waited) > Duration::from_millis(600));
        server.inject(hoga_exchange::Fault::Mute(false));
    }
    assert!(late < 2, "{late} times of 5 the last ticker came late; {}", callback.status().latencies.publish_to_read);
    drop(callback);
    finish(engine, &server);
}

/// Its stream has rested and has news that nobody will take: no reason to look for it without pause.
#[cfg(target_os = "linux")]
#[test]
fn the_thread_of_a_throttled_callback_in_quarantine_sleeps() {
    let (server, _record) = exchange(50.0, 10);
    let engine = builder(&server).start().unwrap();
    let fails = engine.callback("idle").quota(NonZeroU32::MIN);
    let interval = Duration::from_millis(10);
    let callback = fails.run(ticker("KRW-BTC"), Overflow::Throttle(interval), |_| Err::<(), _>("always")).unwrap();
    eventually("it is quarantined, and something waits", || {
        callback.state() == CallbackState::Quarantined && callback.status().counts.queued > 1
    });
    let ticks = || -> u64 { threads("hoga-call-idle").iter().map(|task| cpu_ticks(task)).sum() };
    // By then its thread has looked again.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(threads("hoga-call-idle").len(), 1);
    let before = ticks();
    std::thread::sleep(Duration::from_secs(1));
    let took = ticks() - before;
    assert!(took < 20, "{took} hundredths of a second of the processor's time in one second");
    drop(callback);
    finish(engine, &server);
}

/// Hundredths of a second in which the thread ran, for itself and in the system.
fn cpu_ticks(task: &std::path::Path) -> u64 {
    let stat = std::fs::read_to_string(task.join("stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

fn threads_named(name: &str) -> usize {
    threads(name).len()
}

/// Where the system tells of the threads of this name.
fn threads(name: &str) -> Vec<std::path::PathBuf> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let is_named = |task: &std::path::PathBuf| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    tasks.filter(is_named).collect()
}

#[test]
fn a_callback_hears_of_gaps_and_sockets_and_ends_with_the_engine() {
    let (server, record) = exchange(20.0, 10);
    let engine = builder(&server).start().unwrap();
    let sockets = Arc::new(AtomicU64::new(0));
    let callback = {
        let sockets = sockets.clone();
        let call = move |item: &Item<Event>| {
            if let Item::Epoch { .. } = item {
                sockets.fetch_add(1, Relaxed);
            }
        };
        let streams = trade("KRW-BTC").and(ticker("KRW-BTC"));
        engine.callback("mixed").run(streams, Overflow::DropOldest, call).unwrap()
    };
    eventually("it is called", || callback.status().calls > 10);
    server.inject(hoga_exchange::Fault::Drop(record.connections()[0]));
    eventually("it is told of the new socket", || sockets.load(Relaxed) > 0);
    let calls = callback.status().calls;
    eventually("it goes on", || callback.status().calls > calls + 50);
    assert_eq!(sockets.load(Relaxed), 1, "it reads two rings of that connection, and is told once");
    assert!(matches!(
        engine.callback("mixed").run(ticker("KRW-BTC"), Overflow::default(), |_| ()).err(),
        Some(Error::NameTaken(name)) if &*name == "mixed"
    ));
    assert!(matches!(engine.dispatcher("none", 0).err(), Some(Error::InvalidArgument(_))));
    let quarantined = engine.callback("fails").run(trade("KRW-BTC"), Overflow::DROP_NEWEST, |_| Err("always")).unwrap();
    eventually("it fails, and its feed fills", || {
        quarantined.state() == CallbackState::Quarantined && quarantined.status().counts.queued > 10
    });
    engine.shutdown(PATIENCE).into_result().unwrap();
    for callback in [&callback, &quarantined] {
        eventually("it has ended", || callback.state() == CallbackState::Ended);
    }
    assert!(matches!(
        engine.callback("late").run(ticker("KRW-BTC"), Overflow::default(), |_| ()).err(),
        Some(Error::Stopped)
    ));
    assert_eq!(server.stats().violations(), 0);
}
