//! A feed's private ring delivers updates in order. Where updates are missing, a gap item reports their number.

use std::thread;
use std::time::Duration;

use crate::support::*;
use hoga::feed::{FeedCounts, Item};
use proptest::prelude::*;

#[test]
fn updates_are_popped_in_order_and_whole() {
    let (mut writer, mut feed) = queue(4);
    writer.push(update(1));
    assert_eq!(feed.pop(), Some(Item::Data(update(1))));
    assert_eq!(feed.pop(), None);
    push(&mut writer, 2..6);
    assert_eq!(drain(&mut feed), [Seen::Data(2), Seen::Data(3), Seen::Data(4), Seen::Data(5)]);
}

#[test]
fn a_gap_is_reported_where_updates_are_missing() {
    let (mut writer, mut feed) = queue(2);
    push(&mut writer, 1..=5);
    assert_eq!(feed.pop().map(short), Some(Seen::Data(1)));
    // There is space again. The gap between 2 and 6 is one item.
    push(&mut writer, 6..=7);
    let counters = feed.counters();
    assert_eq!(
        feed.counts(),
        FeedCounts { received: 7, delivered: 1, dropped: 4, conflated: 0, filtered: 0, queued: 2 }
    );
    assert_eq!(drain(&mut feed), [Seen::Data(2), Seen::Gap(3), Seen::Data(6), Seen::Gap(1)]);
    assert_eq!(
        counters.counts(),
        FeedCounts { received: 7, delivered: 3, dropped: 4, conflated: 0, filtered: 0, queued: 0 }
    );
}

#[test]
fn a_gap_at_the_end_is_reported_without_another_update() {
    let (mut writer, mut feed) = queue(1);
    push(&mut writer, 1..=3);
    assert_eq!(drain(&mut feed), [Seen::Data(1), Seen::Gap(2)]);
    assert!(!feed.wait(Duration::from_millis(2)), "nothing more to report");
}

#[test]
fn a_feed_is_closed_once_its_writer_is_gone_and_everything_was_popped() {
    let (mut writer, mut feed) = queue(1);
    push(&mut writer, 1..=2);
    assert!(!feed.is_closed());
    drop(writer);
    assert!(!feed.is_closed());
    assert_eq!(feed.pop().map(short), Some(Seen::Data(1)));
    assert!(!feed.is_closed(), "the gap is not reported yet");
    assert_eq!(feed.pop().map(short), Some(Seen::Gap(1)));
    assert!(feed.is_closed() && feed.wait(Duration::ZERO) && feed.pop().is_none());
}

#[test]
fn the_writer_learns_that_its_reader_is_gone_and_can_still_push() {
    let (mut writer, feed) = queue(2);
    let counters = feed.counters();
    assert!(!writer.is_abandoned());
    drop(feed);
    assert!(writer.is_abandoned());
    push(&mut writer, 1..100);
    writer.flush();
    assert_eq!(
        counters.counts(),
        FeedCounts { received: 99, delivered: 0, dropped: 97, conflated: 0, filtered: 0, queued: 2 }
    );
}

#[test]
fn a_waiting_reader_wakes_at_the_flush_and_at_the_end() {
    let (mut writer, mut feed) = queue(4);
    assert!(!feed.wait(Duration::from_millis(2)));
    thread::scope(|s| {
        let reader = s.spawn(move || {
            assert!(feed.wait(Duration::from_secs(20)));
            assert_eq!(feed.pop().map(short), Some(Seen::Data(1)));
            assert!(feed.wait(Duration::from_secs(20)));
            assert!(feed.is_closed());
        });
        push(&mut writer, [1]);
        writer.flush();
        thread::sleep(Duration::from_millis(5));
        drop(writer);
        reader.join().unwrap();
    });
}

#[test]
fn between_threads_every_update_is_delivered_or_reported_missing_in_order() {
    const UPDATES: u64 = 200_000;
    let (mut writer, mut feed) = queue(16);
    let counters = feed.counters();
    thread::scope(|s| {
        s.spawn(move || {
            for version in 1..=UPDATES {
                writer.push(update(version));
                if version % 8 == 0 {
                    writer.flush();
                    let counts = counters.counts();
                    assert_eq!(counts.received, version);
                    assert!(counts.queued <= 16);
                }
            }
        });
        let (mut next, mut delivered, mut missed) = (1, 0, 0);
        while !feed.is_closed() {
            assert!(feed.wait(Duration::from_secs(20)), "a lost wake-up");
            while let Some(item) = feed.pop() {
                match short(item) {
                    Seen::Data(version) => {
                        assert_eq!(version, next, "data out of place");
                        (next, delivered) = (next + 1, delivered + 1);
                    }
                    Seen::Gap(count) => (next, missed) = (next + count, missed + count),
                    Seen::Socket(..) => panic!("there was only one socket"),
                }
            }
        }
        assert_eq!(next, UPDATES + 1);
        assert_eq!(
            feed.counts(),
            FeedCounts { received: UPDATES, delivered, dropped: missed, conflated: 0, filtered: 0, queued: 0 }
        );
    });
}

proptest! {
    #[test]
    fn any_interleaving_of_pushes_and_pops_equals_the_naive_queue(
        capacity in 1usize..5,
        steps in prop::collection::vec(any::<bool>(), 0..100),
    ) {
        let (mut writer, mut feed) = queue(capacity);
        let (mut queue, mut next, mut dropped) = (std::collections::VecDeque::new(), 0, 0u64);
        let (mut expected, mut seen) = (Vec::new(), Vec::new());
        for is_push in steps {
            if is_push {
                next += 1;
                writer.push(update(next));
                if queue.len() == capacity { dropped += 1 } else { queue.push_back((std::mem::take(&mut dropped), next)) }
            } else if let Some((gap, version)) = queue.pop_front() {
                if gap > 0 {
                    expected.push(Seen::Gap(gap));
                    seen.extend(feed.pop().map(short));
                }
                expected.push(Seen::Data(version));
                seen.extend(feed.pop().map(short));
            }
            let counts = feed.counts();
            prop_assert_eq!(counts.queued, queue.len() as u64);
            prop_assert_eq!(counts.received, counts.delivered + counts.dropped + counts.queued);
        }
        for (gap, version) in queue {
            expected.extend((gap > 0).then_some(Seen::Gap(gap)));
            expected.push(Seen::Data(version));
        }
        expected.extend((dropped > 0).then_some(Seen::Gap(dropped)));
        seen.extend(drain(&mut feed));
        prop_assert_eq!(seen, expected);
    }
}
