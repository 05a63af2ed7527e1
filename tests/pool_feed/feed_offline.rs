//! A writer that may block loses no update, and learns when its reader is gone.

use std::thread;
use std::time::Duration;

use crate::support::*;
use hoga::feed::{Abandoned, BlockingWriter, Feed, FeedCounts, Item, blocking};
use hoga::model::Trade;
use proptest::prelude::*;

fn feed(capacity: usize) -> (BlockingWriter<Trade>, Feed<Trade>) {
    blocking(capacity, std::sync::Arc::<TestClock>::default())
}

/// The writer yields after every `writer_pauses` pushes, and the reader after every `reader_pauses` pops; 0 is never.
#[track_caller]
fn nothing_is_lost(capacity: usize, writer_pauses: u64, reader_pauses: u64) {
    const UPDATES: u64 = 2_000;
    let (mut writer, mut feed) = feed(capacity);
    let pause = |at: u64, every: u64| {
        if every > 0 && at.is_multiple_of(every) {
            thread::yield_now();
        }
    };
    thread::scope(|s| {
        s.spawn(move || {
            for version in 1..=UPDATES {
                writer.push(derived(version)).expect("the reader exists");
                pause(version, writer_pauses);
            }
        });
        let mut next = 1;
        while !feed.is_closed() {
            assert!(feed.wait(Duration::from_secs(30)), "a lost wake-up");
            while let Some(item) = feed.pop() {
                assert_eq!(item, Item::Data(derived(next)));
                pause(next, reader_pauses);
                next += 1;
            }
        }
        assert_eq!(next, UPDATES + 1);
        let counts = FeedCounts { received: UPDATES, delivered: UPDATES, ..FeedCounts::default() };
        assert_eq!(feed.counts(), counts);
    });
}

#[test]
fn nothing_is_lost_at_any_relative_speed() {
    for capacity in [1, 2, 64] {
        for (writer_pauses, reader_pauses) in [(0, 0), (3, 0), (0, 3)] {
            nothing_is_lost(capacity, writer_pauses, reader_pauses);
        }
    }
}

#[test]
fn a_writer_whose_reader_is_gone_gets_its_update_back() {
    let (mut writer, feed) = feed(4);
    assert_eq!(writer.push(derived(1)), Ok(()));
    drop(feed);
    assert_eq!(writer.push(derived(2)), Err(Abandoned(derived(2))));
}

#[test]
fn a_writer_that_waits_for_space_learns_that_its_reader_is_gone() {
    let (mut writer, feed) = feed(1);
    let counters = feed.counters();
    thread::scope(|s| {
        let refused = s.spawn(move || {
            writer.push(derived(1)).unwrap();
            writer.push(derived(2)).err()
        });
        while counters.counts().received == 0 {
            thread::yield_now();
        }
        drop(feed);
        // The writer waited, or the feed was gone before it could wait. Both return the refused update.
        assert_eq!(refused.join().unwrap(), Some(Abandoned(derived(2))));
    });
}

#[test]
fn updates_pushed_before_the_writer_was_dropped_are_still_read() {
    let (mut writer, mut feed) = feed(4);
    (1..=3).for_each(|version| writer.push(derived(version)).unwrap());
    drop(writer);
    assert!(!feed.is_closed());
    assert_eq!(drain(&mut feed), [1, 2, 3].map(Seen::Data));
    assert!(feed.is_closed());
}

proptest! {
    #[test]
    fn batches_of_any_size_return_the_same_items_as_single_pops(sizes in prop::collection::vec(0usize..6, 1..20)) {
        let (mut writer, mut feed) = feed(64);
        (1..=50).for_each(|version| writer.push(derived(version)).unwrap());
        let (mut seen, mut batch) = (Vec::new(), [Item::default(); 6]);
        for size in sizes {
            let before = feed.peek_len();
            let popped = feed.pop_batch(&mut batch[..size]);
            prop_assert_eq!(popped, size.min(before));
            prop_assert_eq!(feed.peek_len(), before - popped);
            seen.extend(batch[..popped].iter().map(|item| short(*item)));
        }
        seen.extend(feed.by_ref().map(short));
        prop_assert_eq!(seen, (1..=50).map(Seen::Data).collect::<Vec<_>>());
    }
}

#[test]
#[should_panic(expected = "from 1 to 1048576 updates, not 0")]
fn a_ring_without_capacity_is_refused_before_its_writer_would_block_forever() {
    feed(0);
}
