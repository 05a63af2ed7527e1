//! Conflation: at most one update of each stream waits, a read returns the newest value, and no stream starves.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::support::*;
use hoga::feed::{Feed, FeedCounts, Opening, Overflow, open};
use hoga::model::{ConnectionId, DataType, Epoch, Nanos, Trade};
use hoga::net::SystemClock;
use hoga::sync::connection::ConnectionState;
use hoga::sync::latest;
use proptest::prelude::*;

const INTERVAL: Duration = Duration::from_millis(10);

fn numbers(feed: &mut Feed<Trade>) -> Vec<u64> {
    feed.map(|item| number(item).expect("a trade")).collect()
}

#[track_caller]
fn assert_counts(feed: &Feed<Trade>, received: u64, delivered: u64, conflated: u64) {
    let queued = received - delivered - conflated;
    assert_eq!(feed.counts(), FeedCounts { received, delivered, conflated, queued, ..FeedCounts::default() });
}

#[test]
fn one_update_of_each_stream_waits_and_it_is_the_newest() {
    let (mut newest, mut feed, _) = newest(Overflow::Conflate, 3);
    for (stream, value) in [(1, 1), (0, 2), (1, 3), (1, 4), (2, 5), (0, 6)] {
        newest.publish(stream, value);
    }
    assert_eq!(feed.peek_len(), 3);
    assert_counts(&feed, 6, 0, 0);
    assert_eq!(numbers(&mut feed), [4, 6, 5], "in the order of their first change");
    assert_counts(&feed, 6, 3, 3);
}

#[test]
fn the_versions_of_a_stream_show_how_many_values_were_skipped() {
    for overflow in [Overflow::Conflate, Overflow::Throttle(Duration::from_nanos(1))] {
        let (mut newest, mut feed, clock) = newest(overflow, 2);
        let (mut last, mut skipped) = ([0; 2], 0);
        for (round, values) in [1, 4, 0, 7, 2].into_iter().enumerate() {
            (0..values).for_each(|value| newest.publish(value % 2, 100 * round as u64 + value as u64));
            clock.advance(INTERVAL);
            for item in feed.by_ref() {
                let hoga::feed::Item::Data(update) = item else { panic!("{overflow}: {item:?}") };
                let last = &mut last[update.value.sequential_id.get().unwrap() as usize % 2];
                skipped += update.version - *last - 1;
                *last = update.version;
            }
            assert_eq!(feed.counts().conflated, skipped, "{overflow}");
        }
        assert_eq!(skipped, 2 + 5);
    }
}

#[test]
fn a_stream_that_changes_at_every_pop_does_not_starve_others() {
    let (mut newest, mut feed, _) = newest(Overflow::Conflate, 3);
    (0..3).for_each(|stream| newest.publish(stream, stream as u64));
    let mut popped = Vec::new();
    for value in 10..14 {
        newest.publish(0, value);
        popped.extend(feed.pop().and_then(number));
    }
    assert_eq!(popped, [10, 1, 2, 13]);
}

#[test]
fn a_mark_after_its_value_was_read_is_conflated_and_delivers_nothing() {
    let (mut newest, mut feed, _) = newest(Overflow::Conflate, 1);
    newest.publish(0, 1);
    newest.put(0, 2, 1);
    assert_eq!(numbers(&mut feed), [2]);
    newest.mark(0);
    assert!(numbers(&mut feed).is_empty());
    assert_counts(&feed, 2, 1, 1);
}

/// Regression: each stream became a separate source, which the reader had to poll from then on.
#[test]
fn streams_that_join_one_by_one_share_few_sources() {
    const STREAMS: u64 = 1_000;
    let (mut newest, mut feed, _) = newest(Overflow::Conflate, 1);
    let allocates_on_join = |newest: &mut Newest, feed: &mut Feed<Trade>| {
        let before = feed.counters().bytes();
        let (cell, reader) = latest::cell();
        newest.marks.extend(newest.writer.conflate(vec![reader]));
        newest.cells.push(cell);
        assert_eq!(feed.pop(), None);
        feed.counters().bytes() > before
    };
    let sources = (1..STREAMS).filter(|_| allocates_on_join(&mut newest, &mut feed)).count();
    assert!(sources <= 10, "{sources} sources for {STREAMS} streams");
    (0..STREAMS).for_each(|stream| newest.publish(stream as usize, stream));
    let mut popped = numbers(&mut feed);
    popped.sort_unstable();
    assert!(popped.into_iter().eq(0..STREAMS));
}

#[test]
fn a_throttled_stream_delivers_once_per_interval_and_its_last_value_at_the_end() {
    let (mut newest, mut feed, clock) = newest(Overflow::Throttle(INTERVAL), 1);
    newest.publish(0, 1);
    assert_eq!(numbers(&mut feed), [1]);
    for value in 2..=9 {
        newest.publish(0, value);
        clock.advance(Duration::from_millis(1));
        assert!(numbers(&mut feed).is_empty());
    }
    assert_eq!(feed.peek_len(), 1);
    clock.advance(Duration::from_millis(2));
    assert_eq!(numbers(&mut feed), [9]);
    assert_counts(&feed, 9, 2, 7);
    clock.advance(INTERVAL * 3);
    assert!(numbers(&mut feed).is_empty());
    newest.publish(0, 10);
    assert_eq!(numbers(&mut feed), [10], "the interval has passed");
}

#[test]
fn a_throttled_stream_does_not_wake_the_reader_within_its_interval() {
    let (mut newest, mut feed, _) = newest(Overflow::Throttle(INTERVAL), 1);
    newest.publish(0, 1);
    assert!(feed.wait(Duration::ZERO));
    assert_eq!(numbers(&mut feed), [1]);
    newest.publish(0, 2);
    assert!(!feed.wait(Duration::ZERO));
}

#[test]
fn streams_that_are_always_due_do_not_starve_others() {
    let (mut newest, mut feed, clock) = newest(Overflow::Throttle(INTERVAL), 3);
    let mut popped = [0; 3];
    for value in 0..30 {
        (0..3).for_each(|stream| newest.publish(stream, value * 3 + stream as u64));
        // The reader is so slow that each stream is due again before the next pop.
        clock.advance(INTERVAL * 2);
        popped[feed.pop().and_then(number).unwrap() as usize % 3] += 1;
    }
    assert_eq!(popped, [10; 3]);
}

#[test]
fn the_last_value_is_delivered_even_if_the_writer_is_gone_when_its_interval_ends() {
    let (mut newest, mut feed, clock) = newest(Overflow::Throttle(INTERVAL), 1);
    newest.publish(0, 1);
    assert_eq!(numbers(&mut feed), [1]);
    newest.publish(0, 2);
    drop(newest);
    assert_eq!(feed.pop(), None);
    assert!(!feed.is_closed() && !feed.wait(Duration::ZERO), "one value is still due");
    clock.advance(INTERVAL);
    assert!(feed.wait(Duration::ZERO) && !feed.is_closed());
    assert_eq!(numbers(&mut feed), [2]);
    assert!(feed.is_closed() && feed.wait(Duration::ZERO));
}

/// Opens a feed with the system clock.
fn live(overflow: Overflow, streams: usize) -> (Newest, Feed<Trade>) {
    let (mut writers, feed) = open(Opening {
        overflow,
        data_types: &[DataType::Trade],
        connections: &[Arc::new(ConnectionState::new(ConnectionId(0), Nanos(0)))],
        clock: Arc::new(SystemClock::new()),
        signal: Arc::default(),
    });
    (Newest::new(writers.remove(0), streams), feed)
}

#[test]
fn a_waiting_reader_wakes_for_the_value_at_the_end_of_the_interval() {
    let (mut newest, mut feed) = live(Overflow::Throttle(INTERVAL), 1);
    for value in 1..=3 {
        newest.publish(0, value);
        while numbers(&mut feed) != [value] {
            assert!(feed.wait(Duration::from_secs(30)), "the reader did not wake");
        }
    }
}

#[track_caller]
fn ends_with_the_newest_on_real_threads(overflow: Overflow) {
    const STREAMS: usize = 5;
    const CHANGES: u64 = 50_000;
    let (mut newest, mut feed) = live(overflow, STREAMS);
    let counters = feed.counters();
    thread::scope(|s| {
        s.spawn(move || {
            for value in 0..CHANGES {
                newest.publish(value as usize % STREAMS, value);
                if value % 8 == 0 {
                    newest.writer.flush();
                    let counts = counters.counts();
                    assert_identity(counts);
                    assert_eq!(counts.received, value + 1);
                }
            }
        });
        let mut last = [None; STREAMS];
        while !feed.is_closed() {
            assert!(feed.wait(Duration::from_secs(30)), "a lost wake-up");
            while let Some(item) = feed.pop() {
                let value = number(item).unwrap();
                let last = last[value as usize % STREAMS].replace(value);
                assert!(last < Some(value), "{value} after {last:?}");
                let hoga::feed::Item::Data(update) = item else { panic!("only trades") };
                assert_eq!((update.value, update.stamps), (derived(value).value, derived(value).stamps), "torn");
            }
        }
        assert_eq!(last, std::array::from_fn(|stream| Some(CHANGES - (STREAMS - stream) as u64)));
        let counts = feed.counts();
        assert_eq!((counts.received, counts.queued), (CHANGES, 0));
    });
}

#[test]
fn between_threads_the_newest_value_of_each_stream_is_always_delivered() {
    ends_with_the_newest_on_real_threads(Overflow::Conflate);
    ends_with_the_newest_on_real_threads(Overflow::Throttle(Duration::from_micros(200)));
}

const K: usize = 3;

#[derive(Debug, Clone, Copy)]
enum Step {
    Publish(usize),
    /// Stores a value without marking it.
    Put(usize),
    /// Marks a stream whose value may have been read.
    Mark(usize),
    Pop,
    Advance(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..K).prop_map(Step::Publish),
        1 => (0..K).prop_map(Step::Put),
        1 => (0..K).prop_map(Step::Mark),
        4 => Just(Step::Pop),
        2 => (0..8u64).prop_map(Step::Advance),
    ];
    prop::collection::vec(step, 0..80)
}

/// A model of the feed.
#[derive(Default)]
struct Model {
    now: u64,
    interval: u64,
    value: u64,
    newest: [u64; K],
    marked: [u64; K],
    /// The newest value at the last mark, which must be delivered.
    owed: [u64; K],
    delivered: [u64; K],
    due_at: [u64; K],
    /// Changed streams, in the order of their first change.
    changed: VecDeque<usize>,
}

impl Model {
    fn mark(&mut self, stream: usize) {
        self.marked[stream] += 1;
        self.owed[stream] = self.newest[stream];
        if !self.changed.contains(&stream) {
            self.changed.push_back(stream);
        }
    }

    fn is_due(&self, stream: usize) -> bool {
        self.owed[stream] > self.delivered[stream] && self.due_at[stream] <= self.now
    }

    /// Returns the next value of a feed without intervals.
    fn next(&mut self) -> Option<u64> {
        while let Some(stream) = self.changed.pop_front() {
            if self.newest[stream] > self.delivered[stream] {
                return Some(self.newest[stream]);
            }
        }
        None
    }

    fn popped(&mut self, value: u64) {
        let stream = self.newest.iter().position(|newest| *newest == value).expect("the newest value of a stream");
        assert!(value > self.delivered[stream], "{value} was delivered twice");
        assert!(self.due_at[stream] <= self.now, "{value} was delivered too early");
        self.delivered[stream] = value;
        self.due_at[stream] = self.now + self.interval;
    }
}

fn run(overflow: Overflow, steps: Vec<Step>) {
    let (mut newest, mut feed, clock) = newest(overflow, K);
    let interval = if let Overflow::Throttle(interval) = overflow { interval.as_nanos() as u64 } else { 0 };
    let mut model = Model { interval, ..Model::default() };
    for step in steps {
        match step {
            Step::Publish(stream) | Step::Put(stream) => {
                model.value += 1;
                newest.put(stream, model.value, 1);
                model.newest[stream] = model.value;
                if let Step::Publish(_) = step {
                    newest.mark(stream);
                    model.mark(stream);
                }
            }
            Step::Mark(stream) => {
                newest.mark(stream);
                model.mark(stream);
            }
            Step::Pop => {
                let popped = feed.pop().and_then(number);
                if interval == 0 {
                    assert_eq!(popped, model.next());
                }
                match popped {
                    Some(value) => model.popped(value),
                    None => assert!(!(0..K).any(|stream| model.is_due(stream)), "something was due"),
                }
            }
            Step::Advance(time) => {
                model.now += time;
                clock.set(Nanos(model.now));
            }
        }
        let counts = feed.counts();
        assert_identity(counts);
        assert_eq!(counts.received, model.marked.iter().sum::<u64>());
        assert!(feed.peek_len() <= K);
    }
    model.now += 1_000;
    clock.set(Nanos(model.now));
    numbers(&mut feed).into_iter().for_each(|value| model.popped(value));
    assert!((0..K).all(|stream| model.delivered[stream] >= model.owed[stream]), "the last values are delivered");
    assert_eq!((feed.counts().queued, feed.peek_len()), (0, 0));
}

proptest! {
    #[test]
    fn any_interleaving_conflates_like_a_naive_list_of_changed_streams(steps in steps()) {
        run(Overflow::Conflate, steps);
    }

    #[test]
    fn any_interleaving_throttles_and_ends_with_the_last_values(steps in steps(), interval in 1u64..12) {
        run(Overflow::Throttle(Duration::from_nanos(interval)), steps);
    }
}

#[test]
fn an_update_after_a_reported_socket_counts_as_delivered_only_when_popped() {
    let Rig { mut writers, mut feed, sockets, .. } = rig(DataType::Trade, Overflow::Conflate, 1);
    sockets[0].opened(Epoch(1), Nanos(0), None);
    let mut newest = Newest::new(writers.remove(0), 1);
    newest.put(0, 1, 1);
    newest.mark(0);
    assert_eq!(feed.pop().map(short), Some(Seen::Data(1)));
    sockets[0].opened(Epoch(2), Nanos(0), None);
    newest.put(0, 2, 2);
    newest.mark(0);
    assert_eq!(feed.pop().map(short), Some(Seen::Socket(1, 2)));
    assert_eq!((feed.counts().delivered, feed.counts().queued, feed.peek_len()), (1, 1, 1));
    assert_eq!(feed.pop().map(short), Some(Seen::Data(2)));
    assert_eq!((feed.counts().delivered, feed.counts().queued, feed.peek_len()), (2, 0, 0));
}
