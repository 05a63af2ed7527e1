//! The counts of a feed are correct while it runs, on every thread that reads them.

use std::thread;
use std::time::Duration;

use crate::support::*;
use hoga::feed::{Feed, FeedCounters, FeedCounts, Item, Overflow};
use hoga::model::{DataType, Trade};
use hoga_testing::allocations;

const EVENTS: u64 = 60_000;

/// Reads the counts until the feed has delivered everything. Asserts that no count but `queued` falls, and that they
/// add up at the end.
fn watch(counters: &FeedCounters, expected: u64) {
    let mut last = FeedCounts::default();
    loop {
        let counts = counters.counts();
        let FeedCounts { received, delivered, dropped, conflated, filtered, queued } = counts;
        assert!(delivered + dropped + conflated + filtered + queued >= received, "{counts:?}");
        assert!(counts.received <= expected, "{counts:?}");
        let parts = |c: &FeedCounts| [c.received, c.delivered, c.dropped, c.conflated, c.filtered];
        assert!(parts(&last).iter().zip(parts(&counts)).all(|(old, new)| *old <= new), "{counts:?} after {last:?}");
        if counts.received == expected && counts.queued == 0 {
            return assert_identity(counters.counts());
        }
        last = counts;
        thread::yield_now();
    }
}

#[test]
fn counts_add_up_with_a_private_ring() {
    let (mut writer, mut feed) = queue(32);
    let counters = feed.counters();
    thread::scope(|s| {
        s.spawn(|| watch(&counters, EVENTS));
        s.spawn(move || {
            for version in 1..=EVENTS {
                match version % 5 {
                    0 => writer.filter(),
                    _ => push(&mut writer, [version]),
                }
            }
        });
        while !feed.is_closed() {
            feed.pop();
        }
    });
    assert_eq!(counters.counts().filtered, EVENTS / 5);
}

#[test]
fn counts_add_up_with_a_shared_ring() {
    let mut ring = shared(32, 2);
    let (writer, mut feed) = ring.reader(&[0]);
    let counters = feed.counters();
    thread::scope(|s| {
        s.spawn(|| watch(&counters, EVENTS));
        s.spawn(move || {
            for version in 1..=EVENTS {
                ring.publish(0, version);
                ring.publish(1, version);
            }
            drop(writer);
        });
        while !feed.is_closed() {
            feed.pop();
        }
    });
}

#[test]
fn counts_add_up_with_newest_values() {
    let (mut newest, mut feed, _) = newest(Overflow::Conflate, 4);
    let counters = feed.counters();
    thread::scope(|s| {
        s.spawn(|| watch(&counters, EVENTS));
        s.spawn(move || {
            for value in 0..EVENTS {
                newest.publish(value as usize % 4, value);
            }
        });
        while !feed.is_closed() {
            feed.pop();
        }
    });
}

/// Checks the counts of a feed that received ten updates: before the first read, after `items` reads, and at the end.
#[track_caller]
fn assert_steps(feed: &mut Feed<Trade>, queued_before: u64, items: usize, queued_then: u64) -> FeedCounts {
    let check = |feed: &mut Feed<Trade>, queued| {
        let counts = feed.counts();
        assert_identity(counts);
        assert_eq!((counts.received, counts.queued), (10, queued), "{counts:?}");
    };
    check(feed, queued_before);
    assert_eq!(feed.by_ref().take(items).count(), items);
    check(feed, queued_then);
    feed.for_each(drop);
    assert_eq!(feed.peek_len(), 0);
    check(feed, 0);
    feed.counts()
}

#[test]
fn queued_updates_are_counted_with_every_policy() {
    let (mut writer, mut feed) = queue(4);
    push(&mut writer, 1..=9);
    writer.filter();
    let counts = assert_steps(&mut feed, 4, 3, 1);
    assert_eq!((counts.delivered, counts.dropped, counts.filtered), (4, 5, 1));

    let mut ring = shared(4, 1);
    let (_writer, mut feed) = ring.reader(&[0]);
    (1..=10).for_each(|version| ring.publish(0, version));
    // The gap, then two events.
    let counts = assert_steps(&mut feed, 10, 3, 2);
    assert_eq!((counts.delivered, counts.dropped), (4, 6));

    for overflow in [Overflow::Conflate, Overflow::Throttle(Duration::from_nanos(1))] {
        let (mut newest, mut feed, _) = newest(overflow, 2);
        (0..10).for_each(|value| newest.publish(value as usize % 2, value));
        let counts = assert_steps(&mut feed, 10, 1, 5);
        assert_eq!((counts.delivered, counts.conflated), (2, 8), "{overflow}");
    }
}

#[test]
fn the_greatest_depth_is_kept() {
    let (mut writer, mut feed) = queue(8);
    let counters = feed.counters();
    push(&mut writer, 1..=5);
    assert_eq!((counters.depth_max(), feed.peek_len()), (0, 5), "the depth is measured at the flush");
    writer.flush();
    assert_eq!(drain(&mut feed).len(), 5);
    push(&mut writer, 6..=8);
    writer.flush();
    assert_eq!((counters.depth_max(), feed.peek_len()), (5, 3));
}

/// Calls `open`. Returns its result and the bytes that it has allocated and not freed.
fn measured<R>(open: impl FnOnce() -> R) -> (R, u64) {
    let before = allocations::live_bytes_of_this_thread();
    let opened = open();
    (opened, u64::try_from(allocations::live_bytes_of_this_thread() - before).unwrap())
}

/// Asserts that the reported bytes are the allocated ones, apart from a few small objects: less than 5 %.
#[track_caller]
fn assert_nearly(reported: u64, allocated: u64) {
    assert!(
        (allocated - allocated / 20..=allocated).contains(&reported),
        "{reported} bytes are reported of {allocated}"
    );
}

#[test]
fn a_feed_reports_its_own_and_its_shared_memory() {
    let ((_writer, feed), allocated) = measured(|| queue(1_000));
    assert_nearly(feed.counters().bytes(), allocated);
    assert_eq!(feed.counters().shared_bytes(), 0);
    let overflow = Overflow::DropNewest { capacity: 1_000 };
    let (two, allocated) = measured(|| rig::<Trade>(DataType::Trade, overflow, 2));
    assert_nearly(two.feed.counters().bytes(), allocated);

    let (ring, allocated) = measured(|| shared(1_024, 2));
    let (mut writer, mut feed) = ring.reader(&[0]);
    ring.follow(&mut writer, &[1], &[]);
    assert_eq!(feed.pop(), None);
    // Counted once, although the feed has joined it twice.
    assert_nearly(feed.counters().shared_bytes(), allocated);
    assert!((1..200).contains(&feed.counters().bytes()), "bookkeeping of two streams");
}

#[test]
fn a_batch_is_filled_from_the_front_and_its_rest_stays_untouched() {
    let (mut writer, mut feed) = queue(8);
    push(&mut writer, 1..=3);
    let mut items = [Item::default(); 5];
    assert_eq!(feed.pop_batch(&mut []), 0);
    assert_eq!(feed.pop_batch(&mut items), 3);
    assert_eq!(items.map(short)[..4], [Seen::Data(1), Seen::Data(2), Seen::Data(3), Seen::Gap(0)]);
    assert_eq!(feed.pop_batch(&mut items), 0);
    push(&mut writer, 4..=6);
    assert_eq!(feed.by_ref().count(), 3);
    push(&mut writer, [7]);
    assert_eq!(feed.next().map(short), Some(Seen::Data(7)), "iteration continues after `None`");
}
