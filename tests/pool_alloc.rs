//! Steady state allocates nothing: counted by an allocator, with readers that load, hold and remember.

mod feed_support;
mod pool_samples;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;

use feed_support::{Rig, rig};
use hoga::feed::{Overflow, Update};
use hoga::model::*;
use hoga::pool::{Handle, Reading};
use pool_samples::*;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The harness has a thread of its own, which allocates when it likes.
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

// SAFETY: hands every call on to the system's allocator unchanged; counting touches no memory of the caller.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(u64::from(COUNTED.get()), Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on; `at` came from `System`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const HELD: usize = 6;
const PUBLISHES: u64 = 100_000;

// One test in this file: another one would be counted too.
#[test]
fn a_hundred_thousand_publishes_allocate_nothing_while_readers_load_and_hold() {
    let (_clock, pool, _link, mut publisher) = open::<Orderbook>(DataType::Orderbook);
    let handle = pool.orderbook("KRW-BTC").unwrap();
    COUNTED.set(true);
    let Rig { mut writers, mut feed, .. } =
        rig::<Orderbook>(DataType::Orderbook, Overflow::DropNewest { capacity: 64 }, 1);
    let writer = &mut writers[0];
    let mut book = orderbook(1, 100.0);

    // Warm-up: more versions than are held at once below, and two that take turns.
    let mut held = Vec::new();
    for timestamp in 0..HELD as u64 + 4 {
        book.timestamp = timestamp;
        publisher.publish(&receipt(1, timestamp), &book, || Nanos(timestamp));
        held.push(handle.load());
    }
    held.clear();

    let (ready, stop) = (Barrier::new(3), AtomicBool::new(false));
    let counted = thread::scope(|s| {
        s.spawn(|| hold(&handle, &ready, &stop));
        s.spawn(|| poll(&handle, &ready, &stop));
        ready.wait();
        let before = ALLOCATIONS.load(Relaxed);
        for timestamp in 100..100 + PUBLISHES {
            book.timestamp = timestamp;
            publisher.publish(&receipt(1, timestamp), &book, || Nanos(timestamp));
            let version = publisher.version();
            let stamps = Stamps::default();
            let (connection, epoch) = (ConnectionId(0), Epoch(1));
            writer.push(Update { value: book, stamps, connection, epoch, version });
            writer.flush();
            if timestamp % 100 == 0 {
                while feed.pop().is_some() {}
            }
        }
        let counted = ALLOCATIONS.load(Relaxed) - before;
        stop.store(true, Relaxed);
        counted
    });
    assert_eq!(counted, 0);
    assert_eq!(handle.load().timestamp, 99 + PUBLISHES);
}

/// Holds five versions at a time and lets them go in turn.
fn hold(handle: &Handle<Orderbook>, ready: &Barrier, stop: &AtomicBool) {
    let mut held: [Option<Reading<Orderbook>>; HELD - 1] = std::array::from_fn(|_| None);
    held[0] = Some(handle.load());
    COUNTED.set(true);
    ready.wait();
    for turn in (0..held.len()).cycle() {
        held[turn] = None;
        held[turn] = Some(handle.load());
        if stop.load(Relaxed) {
            return;
        }
    }
}

/// Remembers the newest version as a copy.
fn poll(handle: &Handle<Orderbook>, ready: &Barrier, stop: &AtomicBool) {
    let mut cached = handle.cached();
    COUNTED.set(true);
    ready.wait();
    while !stop.load(Relaxed) {
        let reading = cached.load();
        assert_eq!(reading.asks.len(), MAX_LEVELS);
    }
}
