//! Callbacks that misbehave: each harms only itself, and the engine's status shows it.

use std::num::NonZeroU32;
use std::panic::panic_any;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{Message, TIMEOUT, builder, delivered, eventually, exchange, fall_silent, finish};
use hoga::call::CallbackStatus;
use hoga::engine::Engine;
use hoga::error::Error;
use hoga::feed::CallbackState;
use hoga::prelude::*;

fn status(engine: &Engine, name: &str) -> CallbackStatus {
    engine.callbacks().into_iter().find(|callback| &*callback.name == name).unwrap()
}

/// Keeps the messages of planted panics out of the output.
fn silence_planted_panics() {
    std::panic::set_hook(Box::new(|info| {
        let planted = info.payload().downcast_ref::<&str>().is_some_and(|text| text.starts_with("planted"));
        if !planted {
            eprintln!("{info}");
        }
    }));
}

#[test]
fn callbacks_that_panic_fail_or_block_do_not_affect_the_others() {
    silence_planted_panics();
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
    eventually("the good callback has many messages, the bad ones are quarantined", || {
        got.lock().unwrap().len() > 300
            && [&panics, &fails].iter().all(|callback| callback.state() == CallbackState::Quarantined)
    });

    let got = got.lock().unwrap().clone();
    let sent = record.sent(record.connections()[0], |message| message.stream == "trade KRW-BTC");
    assert_eq!(got, sent[..got.len()], "no message was missed, reordered or repeated");
    assert_eq!((good.state(), blocks.state()), (CallbackState::Running, CallbackState::Running));

    let [of_panics, of_fails] = ["panics", "fails"].map(|name| status(&engine, name));
    assert_eq!(
        (of_panics.calls, of_panics.failures, of_panics.panics),
        (5, 5, 5),
        "quarantined after five failures in a row"
    );
    assert_eq!(of_panics.last_failure.as_deref(), Some("planted"));
    assert_eq!((of_fails.calls, of_fails.failures, of_fails.panics, of_fails.consecutive_failures), (3, 3, 0, 3));
    assert!(of_fails.last_failure.unwrap().starts_with("the disk is full\\u{1b}"), "control characters are escaped");
    let of_good = status(&engine, "good");
    assert!(of_good.calls >= 300 && of_good.failures == 0);
    assert_eq!(of_good.time.count(), of_good.calls);

    let of_blocks = status(&engine, "blocks").counts;
    assert!(of_blocks.dropped > 0 && of_blocks.queued == 16, "it fills only its own ring: {of_blocks:?}");
    released.store(true, Relaxed);
    eventually("it continues once unblocked", || status(&engine, "blocks").counts.delivered > 20);
    drop((good, panics, fails, blocks));
    assert!(engine.callbacks().is_empty());
    finish(engine, &server);
}

#[test]
fn a_quarantine_ends_at_a_rearm_and_queued_messages_come_first() {
    const CAPACITY: usize = 8;
    const QUOTA: usize = 5;
    let (server, record) = exchange(50.0, 10);
    let engine = builder(&server).start().unwrap();
    let (broken, got) = (Arc::new(AtomicBool::new(true)), Arc::new(Mutex::new(Vec::new())));
    let callback = {
        let (broken, got) = (broken.clone(), got.clone());
        let call = move |item: &Item<Trade>| {
            got.lock().unwrap().push(*item);
            if broken.load(Relaxed) { Err("not yet") } else { Ok(()) }
        };
        engine.callback("mends").run(trade("KRW-BTC"), Overflow::DropNewest { capacity: CAPACITY }, call).unwrap()
    };
    let calls = || got.lock().unwrap().len();
    eventually("it is quarantined", || callback.state() == CallbackState::Quarantined);
    eventually("its feed overflows", || {
        let counts = callback.status().counts;
        counts.queued >= CAPACITY as u64 && counts.dropped > 0
    });
    assert_eq!(calls(), QUOTA, "it is not called");
    // What arrives from now on finds no room before the rearm.
    let received = callback.status().counts.received as usize;
    broken.store(false, Relaxed);
    assert!(callback.rearm() && !callback.rearm());
    eventually("it is called again", || calls() > 50);
    let status = callback.status();
    assert_eq!((status.state, status.failures, status.consecutive_failures), (CallbackState::Running, 5, 0));
    let latencies = &status.latencies;
    assert!(latencies.publish_to_read.count() > 30, "gaps have no latency, and the last calls may not be counted yet");
    assert_eq!(latencies.publish_to_read.count(), latencies.receive_to_publish.count());

    let got = got.lock().unwrap().clone();
    let sent = record.sent(record.connections()[0], |message| message.stream == "trade KRW-BTC");
    let places = places(&got, &sent);
    let queued = places[QUOTA..].iter().flatten().filter(|place| **place < received);
    assert_eq!(queued.count(), CAPACITY, "{places:?}, {received} had arrived");
    finish(engine, &server);
}

/// Returns the index in `sent` of each message, and `None` for each gap. Asserts that they are in order and that the
/// gaps account for all others.
#[track_caller]
fn places(got: &[Item<Trade>], sent: &[Message]) -> Vec<Option<usize>> {
    let mut next = 0;
    let place = |item: &Item<Trade>| {
        if let Item::Gap { missed } = item {
            next += *missed as usize;
            return None;
        }
        assert_eq!(delivered(*item), sent[next], "message {next}");
        next += 1;
        Some(next - 1)
    };
    got.iter().map(place).collect()
}

/// Two threads run three callbacks, one of which never returns.
#[test]
fn a_blocking_callback_occupies_only_one_shared_thread() {
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
    eventually("it continues", || status(&engine, "stuck").calls > 5);
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
fn a_panic_in_a_drop_does_not_end_the_shared_thread() {
    silence_planted_panics();
    let (server, _record) = exchange(50.0, 10);
    let engine = builder(&server).start().unwrap();
    let dispatcher = engine.dispatcher("drops", 1).unwrap();
    let callback = |name| engine.callback(name).on(&dispatcher);
    let good = callback("good").run(ticker("KRW-BTC"), Overflow::Conflate, |_| ()).unwrap();
    let held = Planted;
    let holds = callback("holds").run(ticker("KRW-BTC"), Overflow::Conflate, move |_| _ = &held).unwrap();
    let throws =
        callback("throws").run(ticker("KRW-BTC"), Overflow::Conflate, |_| -> () { panic_any(Planted) }).unwrap();
    eventually("one callback is quarantined, one is called", || {
        throws.state() == CallbackState::Quarantined && holds.status().calls > 0
    });
    assert_eq!(throws.status().panics, 5);
    drop((holds, throws));
    eventually("both are removed", || engine.feeds().len() == 1);
    let calls = good.status().calls;
    eventually("the good callback is called", || good.status().calls > calls + 10);
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

/// An update within the interval of its stream wakes no thread, and may be the last one for a long time.
#[test]
fn a_throttled_callback_gets_the_last_value() {
    let (server, record) = exchange(50.0, 10);
    let engine = builder(&server).start().unwrap();
    let last = Arc::new(Mutex::new(None));
    let callback = {
        let last = last.clone();
        let call = move |item: &Item<Ticker>| *last.lock().unwrap() = Some(delivered(*item));
        let overflow = Overflow::Throttle(Duration::from_millis(100));
        engine.callback("screen").run(ticker("KRW-BTC"), overflow, call).unwrap()
    };
    for _ in 0..5 {
        let calls = callback.status().calls;
        eventually("it is called", || callback.status().calls > calls + 2);
        fall_silent(&server, &engine);
        let sent = record.sent(record.connections()[0], |message| message.stream == "ticker KRW-BTC");
        eventually("it gets the last ticker", || last.lock().unwrap().as_ref() == sent.last());
        assert!(callback.status().counts.conflated > 0);
        server.inject(hoga_exchange::Fault::Mute(false));
    }
    drop(callback);
    finish(engine, &server);
}

/// The stream of a callback in quarantine is due and has an update, which will not be taken. The callback's thread must
/// not poll for it in a loop.
#[cfg(target_os = "linux")]
#[test]
fn the_thread_of_a_throttled_callback_in_quarantine_sleeps() {
    let (server, _record) = exchange(50.0, 10);
    let engine = builder(&server).start().unwrap();
    let fails = engine.callback("idle").quota(NonZeroU32::MIN);
    let interval = Duration::from_millis(10);
    let callback = fails.run(ticker("KRW-BTC"), Overflow::Throttle(interval), |_| Err::<(), _>("always")).unwrap();
    eventually("it is quarantined, and an update is queued", || {
        callback.state() == CallbackState::Quarantined && callback.status().counts.queued > 1
    });
    let ticks = || -> u64 { threads("hoga-call-idle").iter().map(|task| cpu_ticks(task)).sum() };
    // After this pause, the callback's thread has polled again.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(threads("hoga-call-idle").len(), 1);
    let before = ticks();
    std::thread::sleep(Duration::from_secs(1));
    let took = ticks() - before;
    assert!(took < 20, "{took} ticks (10 ms) of CPU time in one second");
    drop(callback);
    finish(engine, &server);
}

/// Returns the CPU time of the thread in user and system mode, in ticks of 10 ms.
fn cpu_ticks(task: &std::path::Path) -> u64 {
    let stat = std::fs::read_to_string(task.join("stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

fn threads_named(name: &str) -> usize {
    threads(name).len()
}

/// Returns the `/proc` folders of the threads with this name.
fn threads(name: &str) -> Vec<std::path::PathBuf> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let is_named = |task: &std::path::PathBuf| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    tasks.filter(is_named).collect()
}

/// The callback blocks until its ring has been overwritten.
#[test]
fn a_callback_learns_how_many_updates_it_missed() {
    const RING: usize = 64;
    let (server, record) = exchange(100.0, 10);
    let engine = builder(&server).broadcast_capacity(RING).start().unwrap();
    let (blocked, got) = (Arc::new(AtomicBool::new(true)), Arc::new(Mutex::new(Vec::new())));
    let callback = {
        let (blocked, got) = (blocked.clone(), got.clone());
        let call = move |item: &Item<Trade>| {
            got.lock().unwrap().push(*item);
            while blocked.load(Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        engine.callback("slow").run(trade("KRW-BTC"), Overflow::DropOldest, call).unwrap()
    };
    let sent = || record.sent(record.connections()[0], |message| message.stream == "trade KRW-BTC");
    eventually("it is called, and far more has arrived than the ring holds", || {
        got.lock().unwrap().len() == 1 && callback.status().counts.received > 4 * RING as u64
    });
    blocked.store(false, Relaxed);
    fall_silent(&server, &engine);
    eventually("it has received the rest", || callback.status().counts.queued == 0);
    let counts = callback.status().counts;
    let (got, sent) = (got.lock().unwrap().clone(), sent());
    let places = places(&got, &sent);
    assert_eq!(places.last(), Some(&Some(sent.len() - 1)), "it received the newest");
    let messages = places.iter().flatten().count();
    assert!(messages < places.len(), "it received a gap");
    assert_eq!((counts.delivered, counts.dropped), (messages as u64, (sent.len() - messages) as u64));
    drop(callback);
    finish(engine, &server);
}

#[test]
fn a_callback_receives_new_sockets_and_ends_with_the_engine() {
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
    eventually("it learns of the new socket", || sockets.load(Relaxed) > 0);
    let calls = callback.status().calls;
    eventually("it continues", || callback.status().calls > calls + 50);
    assert_eq!(sockets.load(Relaxed), 1, "it reads two rings of that connection, and learns of the socket once");
    assert!(matches!(
        engine.callback("mixed").run(ticker("KRW-BTC"), Overflow::default(), |_| ()).err(),
        Some(Error::NameTaken(name)) if &*name == "mixed"
    ));
    assert!(matches!(engine.dispatcher("none", 0).err(), Some(Error::InvalidArgument(_))));
    let quarantined = engine.callback("fails").run(trade("KRW-BTC"), Overflow::DROP_NEWEST, |_| Err("always")).unwrap();
    eventually("it fails, and its feed fills up", || {
        quarantined.state() == CallbackState::Quarantined && quarantined.status().counts.queued > 10
    });
    engine.shutdown(TIMEOUT).into_result().unwrap();
    for callback in [&callback, &quarantined] {
        eventually("it has ended", || callback.state() == CallbackState::Ended);
    }
    assert!(matches!(
        engine.callback("late").run(ticker("KRW-BTC"), Overflow::default(), |_| ()).err(),
        Some(Error::Stopped)
    ));
    assert_eq!(server.stats().violations(), 0);
}
