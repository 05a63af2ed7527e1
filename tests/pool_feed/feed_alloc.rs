//! Pushing and popping updates allocates nothing after warm-up, even if the reader falls behind.

use std::time::Duration;

use crate::support::*;
use hoga::feed::{Feed, Overflow};
use hoga::model::Trade;
use hoga_testing::allocations;

const STREAMS: u64 = 5;

/// Runs many batches with one policy and asserts that they allocate nothing.
#[track_caller]
fn allocates_nothing(name: &str, mut feed: Feed<Trade>, mut batch: impl FnMut(u64)) {
    let mut popped = 0u64;
    let mut run = |batches: std::ops::Range<u64>| {
        for number in batches {
            batch(number);
            // The reader falls behind from time to time, by more than a ring holds.
            if number % 16 < 8 {
                popped += std::iter::from_fn(|| feed.pop()).count() as u64;
            }
        }
    };
    run(0..100);
    let before = allocations::on_this_thread();
    run(100..5_000);
    assert_eq!(allocations::on_this_thread() - before, 0, "{name}");
    assert!(popped > 2_000, "{name}");
    assert_identity(feed.counts());
}

#[test]
fn publishing_and_popping_allocate_nothing_with_any_policy() {
    let (mut writer, feed) = queue(16);
    allocates_nothing("drop-newest", feed, |batch| {
        push(&mut writer, batch * 4..batch * 4 + 4);
        writer.filter();
        writer.flush();
    });

    let mut ring = shared(16, STREAMS as u32);
    let (writer, feed) = ring.reader(&[0, 2, 4]);
    allocates_nothing("drop-oldest", feed, |batch| {
        (0..STREAMS).for_each(|stream| ring.publish(stream as usize, batch));
        ring.wake([&writer]);
    });

    for overflow in [Overflow::Conflate, Overflow::Throttle(Duration::from_nanos(3))] {
        let (mut newest, feed, clock) = newest(overflow, STREAMS as usize);
        allocates_nothing(&overflow.to_string(), feed, |batch| {
            (0..batch % 7).for_each(|step| newest.publish((step % STREAMS) as usize, batch * 8 + step));
            newest.writer.flush();
            clock.advance(Duration::from_nanos(1));
        });
    }
}
