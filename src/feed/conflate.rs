//! Newest values, as they change: at most one update of each stream waits, and it is the newest when it is read.
//!
//! The writer puts the value where readers load newest values from, then marks the stream (`sync::dirty`). The reader
//! takes the stream that waits longest and loads. What was marked in between, or was too late to be the newest, has been
//! merged into that value, and is counted as conflated.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::counters::FeedCounters;
use super::epoch_tracker::EpochTracker;
use super::source::Source;
use super::{Item, Update};
use crate::model::{Clock, ConnectionId, Epoch, Nanos};
use crate::sync::dirty::{self, Drain, Marker};
use crate::sync::latest::{Reader, Version};

/// Loads the newest value of a stream.
pub(super) trait Newest<T>: Send + Sync {
    fn load(&self) -> Option<Update<T>>;
}

impl<T, U: Copy + Into<T> + Send + Sync> Newest<T> for Reader<U> {
    #[inline]
    fn load(&self) -> Option<Update<T>> {
        let loaded = self.load();
        let Version { value, stamps, epoch, connection, version } = *loaded.get()?;
        Some(Update { value: value.into(), stamps, connection, epoch, version })
    }
}

/// Where the newest values of the streams are, by their keys in the set of changed streams. An entry is set before its first
/// mark, so a reader that finds the mark finds the entry.
type Values<T> = Arc<[OnceLock<Box<dyn Newest<T>>>]>;

/// A segment: space for a number of streams, all of them still to be added.
pub(super) fn segment<T>(streams: usize) -> (ConflatedWriter<T>, ConflatedReader<T>) {
    let (marker, drain) = dirty::set(streams);
    let values: Values<T> = (0..streams).map(|_| OnceLock::new()).collect();
    (ConflatedWriter { marker, values: values.clone(), used: 0 }, ConflatedReader { drain, values })
}

/// The writing end of a segment.
pub(super) struct ConflatedWriter<T> {
    pub marker: Marker,
    values: Values<T>,
    used: usize,
}

impl<T> ConflatedWriter<T> {
    /// There is room for another stream.
    pub fn has_room(&self) -> bool {
        self.used < self.values.len()
    }

    /// Adds a stream and returns its key.
    ///
    /// # Panics
    ///
    /// If there is no room.
    pub fn add(&mut self, newest: impl Newest<T> + 'static) -> usize {
        self.values[self.used].get_or_init(|| Box::new(newest));
        self.used += 1;
        self.used - 1
    }
}

/// The reading end of a segment.
pub(super) struct ConflatedReader<T> {
    drain: Drain,
    values: Values<T>,
}

/// What the reader has had of one stream.
#[derive(Clone, Copy, Default)]
struct Stream {
    /// Marks that have been settled.
    settled: u64,
    /// The version that was delivered last.
    version: u64,
    /// Nothing is delivered before this time.
    rests_until: Nanos,
}

/// Streams of one connection, as they change.
pub(super) struct Conflated<T> {
    dirty: Drain,
    values: Values<T>,
    streams: Vec<Stream>,
    throttle: Option<Throttle>,
    /// What comes next where the connection turned to another socket.
    transition: VecDeque<Transition<T>>,
    counters: Arc<FeedCounters>,
    epochs: EpochTracker,
}

/// A step over from one socket to another.
enum Transition<T> {
    Data(Update<T>),
    /// What follows came over this socket.
    To(Epoch),
}

/// Streams that wait for their turn, most of them because they have had one and rest. Their marks are counted and do not
/// queue them.
struct Throttle {
    interval: Duration,
    clock: Arc<dyn Clock>,
    /// Whose turn comes when, the first in front.
    resting: VecDeque<(Nanos, usize)>,
}

impl Throttle {
    /// Keys have their turns in the order of their times. Nearly always the newcomer is the last.
    fn rest(&mut self, until: Nanos, key: usize) {
        let place = self.resting.partition_point(|(other, _)| *other <= until);
        self.resting.insert(place, (until, key));
    }
}

impl<T> Conflated<T> {
    pub fn new(
        ConflatedReader { drain: dirty, values }: ConflatedReader<T>,
        counters: Arc<FeedCounters>,
        epochs: EpochTracker,
    ) -> Self {
        let streams = vec![Stream::default(); values.len()];
        counters.add_bytes(dirty.bytes() + size_of_val(&*values) + size_of_val(&*streams));
        Self { dirty, values, streams, throttle: None, transition: VecDeque::new(), counters, epochs }
    }

    /// Lets each stream rest after it has been delivered.
    pub fn throttled(self, interval: Duration, clock: Arc<dyn Clock>) -> Self {
        self.counters.add_bytes(self.streams.len() * size_of::<(Nanos, usize)>());
        let resting = VecDeque::with_capacity(self.streams.len() + 1);
        Self { throttle: Some(Throttle { interval, clock, resting }), ..self }
    }

    /// Settles the marks of a stream up to `count`; gives its newest value, if the reader has not had that.
    #[inline]
    fn settle(&mut self, key: usize, count: u64) -> Option<Update<T>> {
        let stream = &mut self.streams[key];
        let marks = count - std::mem::replace(&mut stream.settled, count);
        if marks == 0 {
            return None;
        }
        let Some(newest) = self.values[key].get() else { unreachable!("put there before it was marked") };
        let fresh = newest.load().filter(|update| update.version > stream.version);
        let reader = &self.counters.reader;
        let merged = marks - u64::from(fresh.is_some());
        reader.conflated.add(merged);
        reader.taken.add(merged);
        if let Some(update) = &fresh {
            stream.version = update.version;
        }
        fresh
    }

    /// The newest value of the stream that has waited longest.
    #[inline]
    fn take(&mut self) -> Option<Update<T>> {
        if self.throttle.is_some() {
            return self.take_throttled();
        }
        loop {
            let (key, count) = self.dirty.next()?;
            if let Some(update) = self.settle(key, count) {
                return Some(update);
            }
        }
    }

    fn take_throttled(&mut self) -> Option<Update<T>> {
        let Throttle { interval, clock, .. } = self.throttle.as_ref()?;
        let (now, interval) = (clock.now(), *interval);
        self.queue_changed(now);
        loop {
            let resting = &mut self.throttle.as_mut()?.resting;
            let (_, key) = *resting.front().filter(|(until, _)| *until <= now)?;
            resting.pop_front();
            let count = self.dirty.count(key);
            if let Some(update) = self.deliver(key, count, now, interval) {
                // Still queued, so far as its writer knows: it goes on resting.
                self.throttle.as_mut()?.rest(now + interval, key);
                return Some(update);
            }
            // From here on a mark queues it. One that came just before is settled now.
            let count = self.dirty.release(key);
            if let Some(update) = self.deliver(key, count, now, interval) {
                return Some(update);
            }
        }
    }

    /// Streams that changed wait for their turn among those that rest: behind all whose turn has come, and before any
    /// that is delivered from now on. So none is passed over, however slow the reader is.
    #[inline]
    fn queue_changed(&mut self, now: Nanos) {
        let Some(throttle) = &mut self.throttle else { return };
        while let Some(key) = self.dirty.take_held() {
            throttle.rest(self.streams[key].rests_until.max(now), key);
        }
    }

    #[inline]
    fn delivered(&self, update: Update<T>) -> Item<T> {
        self.counters.reader.delivered.add(1);
        self.counters.reader.taken.add(1);
        Item::Data(update)
    }

    /// The connection has turned to another socket: the newest values from before come first, also of streams that rest,
    /// then the reader is told, then comes what is new.
    #[cold]
    fn change_epoch(&mut self, socket: Option<Epoch>, first: Option<Update<T>>) {
        let mut changed: Vec<_> = first.into_iter().collect();
        self.take_all(&mut changed);
        changed.sort_by_key(|update| update.epoch);
        for update in changed {
            self.transition.extend([Transition::To(update.epoch), Transition::Data(update)]);
        }
        self.transition.extend(socket.map(Transition::To));
    }

    fn pop_transition(&mut self) -> Option<Item<T>> {
        loop {
            match self.transition.pop_front()? {
                Transition::Data(update) => return Some(self.delivered(update)),
                Transition::To(socket) => {
                    if let Some(change) = self.epochs.advance(socket) {
                        return Some(change);
                    }
                }
            }
        }
    }

    /// Every stream that has changed, whether it rests or not.
    fn take_all(&mut self, changed: &mut Vec<Update<T>>) {
        let Some(Throttle { interval, clock, .. }) = &self.throttle else {
            // No more than there are: what changes meanwhile can wait.
            for _ in 0..self.streams.len() {
                let Some((key, count)) = self.dirty.next() else { return };
                changed.extend(self.settle(key, count));
            }
            return;
        };
        let (now, interval) = (clock.now(), *interval);
        self.queue_changed(now);
        for (until, key) in
            self.throttle.as_mut().map(|throttle| std::mem::take(&mut throttle.resting)).unwrap_or_default()
        {
            let count = self.dirty.count(key);
            let update = self.deliver(key, count, now, interval);
            let until = if update.is_some() { now + interval } else { until };
            changed.extend(update);
            if let Some(throttle) = &mut self.throttle {
                throttle.rest(until, key);
            }
        }
    }

    fn deliver(&mut self, key: usize, count: u64, now: Nanos, interval: Duration) -> Option<Update<T>> {
        let update = self.settle(key, count)?;
        self.streams[key].rests_until = now + interval;
        Some(update)
    }

    /// Streams that have changed while they rest, the first to wake in front.
    fn resting_with_news(&self) -> impl Iterator<Item = Nanos> + '_ {
        let resting = self.throttle.iter().flat_map(|throttle| &throttle.resting);
        resting.filter(|(_, key)| self.dirty.count(*key) > self.streams[*key].settled).map(|(until, _)| *until)
    }

    /// A stream's rest is over, and it has changed.
    fn has_rested(&self) -> bool {
        let Some(throttle) = &self.throttle else { return false };
        self.resting_with_news().next().is_some_and(|until| until <= throttle.clock.now())
    }
}

impl<T: Send> Source<T> for Conflated<T> {
    #[inline]
    fn pop(&mut self) -> Option<Item<T>> {
        if !self.transition.is_empty() {
            return self.pop_transition();
        }
        self.counters.reader.depth_max.raise(self.dirty.len() as u64);
        // Before the streams are looked at: what was marked on the socket before is visible below.
        let socket = self.epochs.unseen();
        match self.take() {
            Some(update) if !self.epochs.is_new(update.epoch) => Some(self.delivered(update)),
            None if socket.is_none() => None,
            first => {
                self.change_epoch(socket, first);
                self.pop_transition()
            }
        }
    }

    fn is_ready(&mut self) -> bool {
        if let Some(throttle) = &self.throttle {
            let now = throttle.clock.now();
            self.queue_changed(now);
        }
        !self.transition.is_empty() || !self.dirty.is_empty() || self.epochs.unseen().is_some() || self.has_rested()
    }

    fn epoch(&self) -> (ConnectionId, Epoch) {
        self.epochs.seen()
    }

    fn begin_at(&mut self, socket: Epoch) {
        self.epochs.begin_at(socket);
    }

    fn len(&self) -> usize {
        let held = self.transition.iter().filter(|step| matches!(step, Transition::Data(_))).count();
        self.dirty.len() + self.resting_with_news().count() + held
    }

    fn next_due(&self) -> Option<Nanos> {
        self.resting_with_news().next()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::model::Receipt;
    use crate::sync::connection::ConnectionState;
    use crate::sync::latest;

    #[test]
    fn it_is_known_how_many_streams_waited_at_most() {
        let mut rig = rig(3);
        [0, 1, 1].into_iter().for_each(|key| rig.writer.marker.mark(key));
        assert!(rig.feed.pop().is_none(), "the marks were for nothing");
        rig.writer.marker.mark(2);
        rig.feed.pop();
        assert_eq!(rig.feed.counters.depth_max(), 2);
    }

    #[test]
    fn a_segment_takes_streams_until_it_is_full() {
        let (mut segment_writer, reader) = segment::<u64>(2);
        let mut feed = Conflated::new(
            reader,
            Arc::default(),
            EpochTracker::new(Arc::new(ConnectionState::new(ConnectionId(0), Nanos(0)))),
        );
        let receipt = Receipt { connection: ConnectionId(0), epoch: Epoch(1), received: Nanos(0) };
        for value in 1..=2 {
            let (mut writer, reader) = latest::cell::<u64>();
            assert!(segment_writer.has_room());
            let key = segment_writer.add(reader);
            assert!(feed.pop().is_none(), "it has not changed yet");
            writer.publish(&value, 0, &receipt, Nanos(0));
            segment_writer.marker.mark(key);
            assert!(matches!(feed.pop(), Some(Item::Data(update)) if update.value == value));
        }
        assert!(!segment_writer.has_room());
    }

    /// Streams of a feed, their writers, and what they mark.
    struct Rig {
        writer: ConflatedWriter<u64>,
        writers: Vec<latest::Writer<u64>>,
        connection: Arc<ConnectionState>,
        feed: Conflated<u64>,
    }

    fn rig(streams: usize) -> Rig {
        let (mut writer, reader) = segment(streams);
        let (writers, readers): (Vec<_>, Vec<_>) = (0..streams).map(|_| latest::cell::<u64>()).unzip();
        let connection = Arc::new(ConnectionState::new(ConnectionId(0), Nanos(0)));
        connection.opened(Epoch(1), Nanos(0), None);
        readers.into_iter().enumerate().for_each(|(key, reader)| assert_eq!(writer.add(reader), key));
        let feed = Conflated::new(reader, Arc::default(), EpochTracker::new(connection.clone()));
        Rig { writer, writers, connection, feed }
    }

    impl Rig {
        fn publish(&mut self, key: usize, value: u64, epoch: u32) {
            let receipt = Receipt { connection: ConnectionId(0), epoch: Epoch(epoch), received: Nanos(0) };
            self.writers[key].publish(&value, 0, &receipt, Nanos(0));
            self.writer.marker.mark(key);
        }

        /// Values as they are, a new socket as 0.
        fn told(&mut self) -> Vec<u64> {
            let value = |item: Item<u64>| if let Item::Data(update) = item { update.value } else { 0 };
            std::iter::from_fn(|| self.feed.pop().map(value)).collect()
        }
    }

    #[test]
    fn what_changed_on_the_old_socket_comes_before_the_new_one_also_where_another_stream_is_ahead() {
        let mut rig = rig(3);
        (0..3).for_each(|key| rig.publish(key, 10 + key as u64, 1));
        rig.connection.opened(Epoch(2), Nanos(0), None);
        rig.publish(0, 20, 2);
        assert_eq!(rig.told(), [11, 12, 0, 20]);
    }

    #[test]
    fn each_socket_that_brought_something_is_told_before_that() {
        let mut rig = rig(3);
        rig.publish(0, 10, 1);
        assert_eq!(rig.told(), [10]);
        for (key, epoch) in [(2, 2), (1, 3)] {
            rig.connection.opened(Epoch(epoch), Nanos(0), None);
            rig.publish(key, 10 * u64::from(epoch), epoch);
        }
        rig.publish(0, 31, 3);
        rig.connection.opened(Epoch(4), Nanos(0), None);
        assert_eq!(rig.told(), [0, 20, 0, 30, 31, 0]);
    }

    #[test]
    fn what_rests_when_the_socket_turns_comes_before_that() {
        let mut rig = rig(2);
        let clock = Arc::new(Standing);
        rig.feed = rig.feed.throttled(Duration::from_secs(1), clock);
        (0..2).for_each(|key| rig.publish(key, 10 + key as u64, 1));
        assert_eq!(rig.told(), [10, 11]);
        rig.publish(0, 12, 1);
        assert!(rig.told().is_empty(), "it rests");
        rig.connection.opened(Epoch(2), Nanos(0), None);
        rig.publish(1, 20, 2);
        assert_eq!(rig.told(), [12, 0, 20]);
    }

    /// A clock that stands still.
    struct Standing;

    impl Clock for Standing {
        fn now(&self) -> Nanos {
            Nanos(1)
        }
    }
}
