//! Publishing and reading allocate nothing in steady state, as a counting allocator shows.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use crate::samples::*;
use crate::support::{Rig, rig};
use hoga::feed::{Overflow, Update};
use hoga::model::*;
use hoga::pool::{Handle, Reading, Timeline};
use hoga_testing::allocations;

/// Number of readings that one reader keeps.
const KEPT: usize = 5;
const PUBLISHES: u64 = 100_000;

#[test]
fn a_hundred_thousand_publishes_allocate_nothing_while_readers_load_and_keep() {
    let (_clock, pool, _connection, mut publisher) = open::<Orderbook>(DataType::Orderbook);
    let handle = pool.orderbook("KRW-BTC").unwrap();
    let Rig { mut writers, mut feed, .. } =
        rig::<Orderbook>(DataType::Orderbook, Overflow::DropNewest { capacity: 64 }, 1);
    let writer = &mut writers[0];
    let mut book = orderbook(1, 100.0);

    publisher.publish(&receipt(1, 1), &book, &Timeline::new(), || Nanos(1));

    let (ready, stop) = (Barrier::new(3), AtomicBool::new(false));
    let counted = thread::scope(|s| {
        let keeps = s.spawn(|| keep(&handle, &ready, &stop));
        let polls = s.spawn(|| poll(&handle, &ready, &stop));
        ready.wait();
        let before = allocations::on_this_thread();
        for timestamp in 100..100 + PUBLISHES {
            book.timestamp = timestamp;
            publisher.publish(&receipt(1, timestamp), &book, &Timeline::new(), || Nanos(timestamp));
            let version = publisher.version();
            let stamps = Stamps::default();
            let (connection, epoch) = (ConnectionId(0), Epoch(1));
            writer.push(Update { value: book, stamps, connection, epoch, version });
            writer.flush();
            if timestamp % 100 == 0 {
                while feed.pop().is_some() {}
            }
        }
        let published = allocations::on_this_thread() - before;
        stop.store(true, Relaxed);
        [published, keeps.join().unwrap(), polls.join().unwrap()]
    });
    assert_eq!(counted, [0; 3], "by the publisher, the keeping reader and the caching reader");
    assert_eq!(handle.load().value().unwrap().timestamp, 99 + PUBLISHES);
}

/// Keeps five readings at a time and replaces them in turn. Returns the number of allocations.
fn keep(handle: &Handle<Orderbook>, ready: &Barrier, stop: &AtomicBool) -> u64 {
    let mut kept: [Option<Reading<Orderbook>>; KEPT] = std::array::from_fn(|_| None);
    kept[0] = Some(handle.load());
    ready.wait();
    let before = allocations::on_this_thread();
    for turn in (0..KEPT).cycle().take_while(|_| !stop.load(Relaxed)) {
        kept[turn] = Some(handle.load());
    }
    allocations::on_this_thread() - before
}

/// Reads through a cached copy of the newest version. Returns the number of allocations.
fn poll(handle: &Handle<Orderbook>, ready: &Barrier, stop: &AtomicBool) -> u64 {
    let mut cached = handle.cached();
    ready.wait();
    let before = allocations::on_this_thread();
    while !stop.load(Relaxed) {
        let reading = cached.load();
        assert_eq!(reading.value().unwrap().asks.len(), MAX_LEVELS);
    }
    allocations::on_this_thread() - before
}
