//! Readers of a shared ring get all events in order, or learn how many of their own events they missed.

use std::thread;
use std::time::Duration;

use crate::support::Seen::{Data, Gap, Socket};
use crate::support::*;
use hoga::feed::{Arrival, Feed, FeedCounts, Filter, Item, Overflow};
use hoga::model::{DataType, Epoch, Nanos, StreamType, Trade};

#[track_caller]
fn assert_counts(feed: &Feed<Trade>, received: u64, delivered: u64, dropped: u64) {
    let queued = received - delivered - dropped;
    assert_eq!(feed.counts(), FeedCounts { received, delivered, dropped, queued, ..FeedCounts::default() });
}

#[test]
fn a_lapped_reader_gets_the_newest_events_and_the_number_of_missed_ones() {
    let mut ring = shared(4, 1);
    let (_writer, mut feed) = ring.reader(&[0]);
    (1..=10).for_each(|version| ring.publish(0, version));
    assert_eq!(feed.peek_len(), 10, "lost events count until they are reported");
    assert_counts(&feed, 10, 0, 0);
    assert_eq!(drain(&mut feed), [Gap(6), Data(7), Data(8), Data(9), Data(10)]);
    assert_counts(&feed, 10, 4, 6);
    ring.publish(0, 11);
    assert_eq!(drain(&mut feed), [Data(11)]);
}

#[test]
fn each_reader_learns_of_gaps_in_its_own_streams_before_their_next_events() {
    let mut ring = shared(4, 3);
    let feeds = [&[0][..], &[0, 2], &[0, 1, 2]].map(|streams| ring.reader(streams));
    (0..12).for_each(|version| ring.publish(version as usize % 3, version));
    let [one, two, all] = feeds.map(|(_writer, mut feed)| drain(&mut feed));
    assert_eq!(one, [Gap(3), Data(9)]);
    assert_eq!(two, [Gap(2), Data(8), Gap(3), Data(9), Data(11)]);
    assert_eq!(all, [Gap(2), Data(8), Gap(3), Data(9), Gap(3), Data(10), Data(11)]);
}

#[test]
fn a_gap_is_reported_at_the_end_if_no_event_follows() {
    let mut ring = shared(4, 3);
    let (_writer, mut feed) = ring.reader(&[0, 1]);
    [0, 0, 1].into_iter().zip(1..).for_each(|(stream, version)| ring.publish(stream, version));
    (0..9).for_each(|version| ring.publish(2, version));
    assert_eq!(drain(&mut feed), [Gap(3)]);
    assert_counts(&feed, 3, 0, 3);
    ring.publish(1, 4);
    assert_eq!(drain(&mut feed), [Data(4)], "the gap is reported once");
}

#[test]
fn events_of_other_streams_are_neither_seen_nor_counted() {
    let mut ring = shared(8, 2);
    let (_writer, mut feed) = ring.reader(&[1]);
    (1..=100).for_each(|version| ring.publish(0, version));
    assert_eq!((feed.pop(), feed.peek_len(), feed.counts()), (None, 0, FeedCounts::default()));
    assert!(!feed.wait(Duration::from_millis(1)));
}

#[test]
fn a_late_reader_gets_the_state_and_then_each_later_event_once() {
    let mut ring = shared(8, 2);
    (1..=3).for_each(|version| ring.publish(0, version));
    let (mut writer, mut feed) = ring.reader(&[1]);
    ring.publish(1, 20);
    assert_eq!(drain(&mut feed), [Data(20)]);
    ring.follow(&mut writer, &[0], &[3]);
    (4..=5).for_each(|version| ring.publish(0, version));
    ring.publish(1, 21);
    assert_eq!(drain(&mut feed), [Data(3), Data(4), Data(5), Data(21)]);
    assert_counts(&feed, 5, 5, 0);
}

#[test]
fn a_stream_that_joins_a_lagging_reader_delivers_no_earlier_events() {
    let mut ring = shared(16, 2);
    let (mut writer, mut feed) = ring.reader(&[1]);
    (1..=3).for_each(|version| ring.publish(0, version));
    ring.publish(1, 20);
    ring.follow(&mut writer, &[0], &[3]);
    ring.publish(0, 4);
    assert_eq!(drain(&mut feed), [Data(20), Data(3), Data(4)], "the state is delivered in order among the events");
}

#[test]
fn a_stream_that_is_followed_again_continues_without_loss() {
    let mut ring = shared(16, 1);
    let (mut writer, mut feed) = ring.reader(&[0]);
    ring.publish(0, 1);
    ring.publish(0, 2);
    ring.follow_again(&mut writer, 0, Filter::new(true, true));
    ring.publish(0, 3);
    assert_eq!(drain(&mut feed), [Data(1), Data(2), Data(3)]);
    ring.follow_again(&mut writer, 0, Filter::new(true, true));
    ring.publish(0, 4);
    assert_eq!(drain(&mut feed), [Data(4)]);
    assert_counts(&feed, 4, 4, 0);
}

#[test]
fn events_that_a_reader_did_not_request_count_as_filtered() {
    let mut ring = shared(16, 1);
    let filters = [(true, true), (false, true), (true, false)];
    let feeds = filters.map(|(snapshots, changes)| {
        let (mut writer, feed) = ring.reader(&[]);
        let followed = ring.streams[0].join(Filter::new(snapshots, changes), false);
        writer.join_broadcast(&ring.ring, &ring.waiters, vec![followed], Vec::new());
        (writer, feed)
    });
    let snapshot = |starts, is_news| Arrival::Snapshot { starts, is_news };
    let arrivals = [snapshot(true, true), Arrival::Change, snapshot(false, false), snapshot(false, true)];
    for (version, arrival) in (1..).zip(arrivals) {
        let mut event = update(version);
        event.value.stream_type = if arrival == Arrival::Change { StreamType::Realtime } else { StreamType::Snapshot };
        ring.put_as(0, &event, arrival);
    }
    let seen = feeds.map(|(_writer, mut feed)| {
        let seen = drain(&mut feed);
        assert_identity(feed.counts());
        (seen, feed.counts().filtered)
    });
    let [all, changes, once] = seen;
    assert_eq!(all, (vec![Data(1), Data(2), Data(4)], 1), "a repeated snapshot is no news");
    assert_eq!(changes, (vec![Data(2), Data(4)], 2), "a snapshot with news counts as a change");
    assert_eq!(once, (vec![Data(1)], 3));
}

#[test]
fn a_reader_with_a_new_filter_continues_at_its_position() {
    let mut ring = shared(16, 1);
    let (mut writer, mut feed) = ring.reader(&[0]);
    ring.publish(0, 1);
    assert_eq!(drain(&mut feed), [Data(1)]);
    ring.follow_again(&mut writer, 0, Filter::new(true, false));
    ring.publish(0, 2);
    assert_eq!(drain(&mut feed), []);
    ring.follow_again(&mut writer, 0, Filter::new(false, true));
    ring.publish(0, 3);
    assert_eq!(drain(&mut feed), [Data(3)]);
    let counts = feed.counts();
    assert_eq!((counts.received, counts.delivered, counts.filtered, counts.queued), (3, 2, 1, 0));
}

#[test]
fn the_state_of_a_new_socket_follows_the_old_sockets_events_and_the_report_of_the_new_one() {
    let mut ring = shared(16, 2);
    let Rig { mut writers, mut feed, sockets, .. } = rig(DataType::Trade, Overflow::DropOldest, 1);
    let mut writer = writers.remove(0);
    sockets[0].opened(Epoch(1), Nanos(0), None);
    ring.follow(&mut writer, &[0], &[]);
    [1, 2].into_iter().for_each(|version| ring.publish(0, version));
    assert_eq!(feed.pop().map(short), Some(Data(1)));
    sockets[0].opened(Epoch(2), Nanos(0), None);
    ring.socket = 2;
    ring.follow_from(&mut writer, 1, on_socket(51, 2));
    ring.publish(0, 3);
    assert_eq!(drain(&mut feed), [Data(2), Socket(1, 2), Data(51), Data(3)]);
    assert_counts(&feed, 4, 4, 0);
}

#[test]
fn any_number_of_readers_see_the_same_events() {
    for readers in [1, 10, 50, 200, 1000] {
        let mut ring = shared(32, 2);
        let mut feeds: Vec<_> = (0..readers).map(|_| ring.reader(&[0])).collect();
        (0..30).for_each(|version| ring.publish(version as usize % 2, version));
        let expected: Vec<_> = (0..30).step_by(2).map(Data).collect();
        assert!(feeds.iter_mut().all(|(_, feed)| drain(feed) == expected), "{readers} readers");
    }
}

#[test]
fn a_stalled_reader_does_not_affect_the_others() {
    let mut ring = shared(8, 1);
    let (_stalled_writer, mut stalled) = ring.reader(&[0]);
    let (_writer, mut feed) = ring.reader(&[0]);
    for version in 1..=100 {
        ring.publish(0, version);
        assert_eq!(drain(&mut feed), [Data(version)]);
    }
    assert_counts(&feed, 100, 100, 0);
    assert_counts(&stalled, 100, 0, 0);
    assert_eq!(drain(&mut stalled)[..2], [Gap(92), Data(93)]);
    assert_counts(&stalled, 100, 8, 92);
}

/// Reads until the feed is closed. Asserts that each trade is whole and in its place.
#[track_caller]
fn read_all(feed: &mut Feed<Trade>, pause: impl Fn(u64)) -> u64 {
    let (mut next, mut items) = (1, 0);
    while !feed.is_closed() {
        assert!(feed.wait(Duration::from_secs(30)), "a lost wake-up");
        while let Some(item) = feed.pop() {
            match item {
                Item::Data(event) => {
                    assert_eq!(event, derived(next), "torn or out of place");
                    next += 1;
                }
                Item::Gap { missed } => next += missed,
                Item::Epoch { .. } => panic!("there was only one socket"),
            }
            items += 1;
            pause(items);
        }
    }
    next - 1
}

#[test]
fn readers_of_any_speed_account_for_every_event_of_a_writer_at_full_speed() {
    const EVENTS: u64 = 100_000;
    let mut ring = shared(64, 2);
    let (writers, feeds): (Vec<_>, Vec<_>) = (0..3).map(|_| ring.reader(&[0])).unzip();
    thread::scope(|s| {
        let readers: Vec<_> = feeds.into_iter().zip([0, 7, 300]).collect();
        for (mut feed, every) in readers {
            s.spawn(move || {
                let pause = |items: u64| {
                    if every > 0 && items.is_multiple_of(every) {
                        thread::yield_now();
                    }
                };
                assert_eq!(read_all(&mut feed, pause), EVENTS);
                let counts = feed.counts();
                assert_eq!((counts.received, counts.queued), (EVENTS, 0));
                assert_eq!(counts.delivered + counts.dropped, EVENTS);
            });
        }
        for version in 1..=EVENTS {
            ring.put(0, &derived(version));
            ring.publish(1, version);
            if version % 16 == 0 {
                ring.wake(&writers);
            }
        }
        drop(writers);
    });
}

#[test]
fn a_waiting_reader_wakes_at_every_event() {
    const EVENTS: u64 = 2_000;
    let mut ring = shared(4, 1);
    let feeds = [(); 2].map(|()| ring.reader(&[0]));
    let accounts = feeds.each_ref().map(|(_, feed)| feed.counters());
    thread::scope(|s| {
        let writers = feeds.map(|(writer, mut feed)| {
            s.spawn(move || assert_eq!(read_all(&mut feed, |_| ()), EVENTS));
            writer
        });
        for version in 1..=EVENTS {
            ring.put(0, &derived(version));
            ring.wake(&writers);
            // The writer continues once both readers have delivered this event.
            while accounts.iter().any(|counters| counters.counts().delivered < version) {
                thread::yield_now();
            }
        }
    });
}

#[test]
fn a_reader_that_keeps_up_misses_no_event_of_streams_that_join_while_it_reads() {
    const STREAMS: usize = 1_500;
    // No reader is ever lapped here.
    let mut ring = shared(1 << 16, STREAMS as u32 + 1);
    let (mut writer, mut feed) = ring.reader(&[0]);
    thread::scope(|s| {
        let reader = s.spawn(move || {
            let mut seen = Vec::new();
            while !feed.is_closed() {
                seen.extend(drain(&mut feed));
            }
            (seen, feed.counts())
        });
        for stream in 1..STREAMS {
            (0..30).for_each(|version| ring.publish(STREAMS, version));
            ring.follow(&mut writer, &[stream], &[]);
            ring.publish(stream, stream as u64);
        }
        drop(writer);
        let (seen, counts) = reader.join().unwrap();
        assert_eq!(seen, (1..STREAMS as u64).map(Data).collect::<Vec<_>>());
        assert_eq!((counts.delivered, counts.dropped, counts.queued), (STREAMS as u64 - 1, 0, 0));
    });
}

#[test]
fn every_gap_is_reported_even_if_the_reader_is_lapped_while_it_searches() {
    let mut ring = shared(2, 2);
    let (writer, mut feed) = ring.reader(&[0]);
    let counters = feed.counters();
    let mut published = 0;
    thread::scope(|s| {
        s.spawn(move || {
            while !feed.is_closed() {
                feed.pop();
            }
        });
        for round in 0..300 {
            for version in 0..20 {
                // The last events belong to the other stream, so no event of the first stream reports its losses.
                let stream = usize::from(version > round % 16);
                ring.publish(stream, version);
                published += u64::from(stream == 0);
            }
            while counters.counts().queued > 0 {
                thread::yield_now();
            }
            assert_eq!(counters.counts().received, published);
        }
        drop(writer);
    });
}
