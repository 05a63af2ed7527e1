//! Newest values of changed streams: at most one update of each stream waits, and the reader gets the newest value.
//!
//! The writer stores the value in the stream's cell, then marks the stream (`sync::dirty`). The reader takes the stream
//! that has waited longest and loads its cell. Other marks of the stream up to then, and marks of updates that arrived
//! too late to be the newest, are counted as conflated.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::counters::FeedCounters;
use super::epoch_tracker::EpochTracker;
use super::source::Source;
use super::{Item, Update};
use crate::model::{Clock, ConnectionId, Epoch, FromWords, Nanos};
use crate::sync::dirty::{self, Drain, Marker};
use crate::sync::latest::{Reader, Version};

/// Loads the newest value of a stream.
pub(super) trait Newest<T>: Send + Sync {
    fn load(&self) -> Option<Update<T>>;
}

impl<T, U: FromWords + Into<T>> Newest<T> for Reader<U> {
    #[inline]
    fn load(&self) -> Option<Update<T>> {
        let Version { value, stamps, epoch, connection, version } = self.load().version?;
        Some(Update { value: value.into(), stamps, connection, epoch, version })
    }
}

/// The source of each stream's newest value, indexed by the stream's key in the set of changed streams. An entry is set
/// before its first mark, so a reader that sees the mark sees the entry.
type Values<T> = Arc<[OnceLock<Box<dyn Newest<T>>>]>;

/// Creates an empty segment: a fixed-size part of a feed's conflated streams, with room for `streams` of them.
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
    /// Returns true if there is room for another stream.
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

/// The reader's progress in one stream.
#[derive(Clone, Copy, Default)]
struct Stream {
    /// The number of marks that are consumed.
    consumed: u64,
    /// The version that was delivered last.
    version: u64,
    /// If the feed is throttled, the time before which the stream's next value is not delivered.
    due: Nanos,
}

/// A source of changed streams of one connection.
pub(super) struct Conflated<T> {
    dirty: Drain,
    values: Values<T>,
    streams: Vec<Stream>,
    throttle: Option<Throttle>,
    /// The items to pop next, while the source changes to another socket.
    transition: VecDeque<Transition<T>>,
    counters: Arc<FeedCounters>,
    epochs: EpochTracker,
}

/// A step in the change from one socket to another.
enum Transition<T> {
    Data(Update<T>),
    /// The next updates came over this socket.
    To(Epoch),
}

/// The schedule of a throttled source. It holds each stream that has changed or whose interval has not ended. Most of
/// them have been delivered, and wait for the end of their interval. While a stream is scheduled, its key is held, so
/// marks are counted but do not queue it.
struct Throttle {
    interval: Duration,
    clock: Arc<dyn Clock>,
    /// Due times and keys, the earliest first.
    schedule: VecDeque<(Nanos, usize)>,
}

impl Throttle {
    /// Inserts a key in the order of due times. Nearly always it goes to the end.
    fn add(&mut self, due: Nanos, key: usize) {
        let place = self.schedule.partition_point(|(other, _)| *other <= due);
        self.schedule.insert(place, (due, key));
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

    /// Delivers each stream at most once per interval.
    pub fn throttled(self, interval: Duration, clock: Arc<dyn Clock>) -> Self {
        self.counters.add_bytes(self.streams.len() * size_of::<(Nanos, usize)>());
        let schedule = VecDeque::with_capacity(self.streams.len() + 1);
        Self { throttle: Some(Throttle { interval, clock, schedule }), ..self }
    }

    /// Consumes the marks of a stream up to `count`. Returns the newest value, if the reader does not have it yet.
    #[inline]
    fn consume(&mut self, key: usize, count: u64) -> Option<Update<T>> {
        let stream = &mut self.streams[key];
        let marks = count - std::mem::replace(&mut stream.consumed, count);
        if marks == 0 {
            return None;
        }
        let Some(newest) = self.values[key].get() else { unreachable!("the entry is set before the first mark") };
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

    /// Returns the newest value of the stream that has waited longest.
    #[inline]
    fn take(&mut self) -> Option<Update<T>> {
        if self.throttle.is_some() {
            return self.take_throttled();
        }
        loop {
            let (key, count) = self.dirty.next()?;
            if let Some(update) = self.consume(key, count) {
                return Some(update);
            }
        }
    }

    fn take_throttled(&mut self) -> Option<Update<T>> {
        let Throttle { interval, clock, .. } = self.throttle.as_ref()?;
        let (now, interval) = (clock.now(), *interval);
        self.schedule_changed(now);
        loop {
            let schedule = &mut self.throttle.as_mut()?.schedule;
            let (_, key) = *schedule.front().filter(|(due, _)| *due <= now)?;
            schedule.pop_front();
            let count = self.dirty.count(key);
            if let Some(update) = self.deliver(key, count, now, interval) {
                // The key is still held: marks do not queue it, so it must stay scheduled.
                self.throttle.as_mut()?.add(now + interval, key);
                return Some(update);
            }
            // From here on, a mark queues the key. A mark that arrived just before that is consumed now.
            let count = self.dirty.release(key);
            if let Some(update) = self.deliver(key, count, now, interval) {
                return Some(update);
            }
        }
    }

    /// Schedules the streams that have changed, after all streams that are due and before all that are delivered from
    /// now on. So no stream is starved, even if the reader is slow.
    #[inline]
    fn schedule_changed(&mut self, now: Nanos) {
        let Some(throttle) = &mut self.throttle else { return };
        while let Some(key) = self.dirty.take_held() {
            throttle.add(self.streams[key].due.max(now), key);
        }
    }

    #[inline]
    fn delivered(&self, update: Update<T>) -> Item<T> {
        self.counters.reader.delivered.add(1);
        self.counters.reader.taken.add(1);
        Item::Data(update)
    }

    /// Handles a new socket: first come the newest values of the old one, even of throttled streams that are not due,
    /// then the change of the socket, then the new data.
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

    /// Takes the newest value of every changed stream, due or not.
    fn take_all(&mut self, changed: &mut Vec<Update<T>>) {
        let Some(Throttle { interval, clock, .. }) = &self.throttle else {
            // At most once per stream: a stream that changes again meanwhile can wait.
            for _ in 0..self.streams.len() {
                let Some((key, count)) = self.dirty.next() else { return };
                changed.extend(self.consume(key, count));
            }
            return;
        };
        let (now, interval) = (clock.now(), *interval);
        self.schedule_changed(now);
        for (due, key) in
            self.throttle.as_mut().map(|throttle| std::mem::take(&mut throttle.schedule)).unwrap_or_default()
        {
            let count = self.dirty.count(key);
            let update = self.deliver(key, count, now, interval);
            let due = if update.is_some() { now + interval } else { due };
            changed.extend(update);
            if let Some(throttle) = &mut self.throttle {
                throttle.add(due, key);
            }
        }
    }

    fn deliver(&mut self, key: usize, count: u64, now: Nanos, interval: Duration) -> Option<Update<T>> {
        let update = self.consume(key, count)?;
        self.streams[key].due = now + interval;
        Some(update)
    }

    /// Returns the due times of scheduled streams that have changed, the earliest first.
    fn changes_due(&self) -> impl Iterator<Item = Nanos> + '_ {
        let scheduled = self.throttle.iter().flat_map(|throttle| &throttle.schedule);
        scheduled.filter(|(_, key)| self.dirty.count(*key) > self.streams[*key].consumed).map(|(due, _)| *due)
    }

    /// Returns true if a changed stream is due.
    fn has_due(&self) -> bool {
        let Some(throttle) = &self.throttle else { return false };
        self.changes_due().next().is_some_and(|due| due <= throttle.clock.now())
    }
}

impl<T: Send> Source<T> for Conflated<T> {
    #[inline]
    fn pop(&mut self) -> Option<Item<T>> {
        if !self.transition.is_empty() {
            return self.pop_transition();
        }
        self.counters.reader.depth_max.raise(self.dirty.len() as u64);
        // Loaded before the set of changed streams: all marks of the old socket are visible below.
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
            self.schedule_changed(now);
        }
        !self.transition.is_empty() || !self.dirty.is_empty() || self.epochs.unseen().is_some() || self.has_due()
    }

    fn epoch(&self) -> (ConnectionId, Epoch) {
        self.epochs.seen()
    }

    fn begin_at(&mut self, socket: Epoch) {
        self.epochs.begin_at(socket);
    }

    fn len(&self) -> usize {
        let held = self.transition.iter().filter(|step| matches!(step, Transition::Data(_))).count();
        self.dirty.len() + self.changes_due().count() + held
    }

    fn next_due(&self) -> Option<Nanos> {
        self.changes_due().next()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::model::Receipt;
    use crate::sync::connection::ConnectionState;
    use crate::sync::latest;

    #[test]
    fn depth_max_is_the_largest_number_of_waiting_streams() {
        let mut rig = rig(3);
        [0, 1, 1].into_iter().for_each(|key| rig.writer.marker.mark(key));
        assert!(rig.feed.pop().is_none(), "marks without values");
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
            assert!(feed.pop().is_none(), "the stream has not changed yet");
            writer.publish(&value, 0, &receipt, Nanos(0));
            segment_writer.marker.mark(key);
            assert!(matches!(feed.pop(), Some(Item::Data(update)) if update.value == value));
        }
        assert!(!segment_writer.has_room());
    }

    /// A feed and the writing ends of its streams.
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

        /// Pops all items: values unchanged, a new socket as 0.
        fn popped(&mut self) -> Vec<u64> {
            let value = |item: Item<u64>| if let Item::Data(update) = item { update.value } else { 0 };
            std::iter::from_fn(|| self.feed.pop().map(value)).collect()
        }
    }

    #[test]
    fn changes_of_the_old_socket_come_before_the_new_one_even_if_another_stream_is_ahead() {
        let mut rig = rig(3);
        (0..3).for_each(|key| rig.publish(key, 10 + key as u64, 1));
        rig.connection.opened(Epoch(2), Nanos(0), None);
        rig.publish(0, 20, 2);
        assert_eq!(rig.popped(), [11, 12, 0, 20]);
    }

    #[test]
    fn each_socket_is_reported_before_its_data() {
        let mut rig = rig(3);
        rig.publish(0, 10, 1);
        assert_eq!(rig.popped(), [10]);
        for (key, epoch) in [(2, 2), (1, 3)] {
            rig.connection.opened(Epoch(epoch), Nanos(0), None);
            rig.publish(key, 10 * u64::from(epoch), epoch);
        }
        rig.publish(0, 31, 3);
        rig.connection.opened(Epoch(4), Nanos(0), None);
        assert_eq!(rig.popped(), [0, 20, 0, 30, 31, 0]);
    }

    #[test]
    fn throttled_changes_come_before_the_new_socket() {
        let mut rig = rig(2);
        let clock = Arc::new(FrozenClock);
        rig.feed = rig.feed.throttled(Duration::from_secs(1), clock);
        (0..2).for_each(|key| rig.publish(key, 10 + key as u64, 1));
        assert_eq!(rig.popped(), [10, 11]);
        rig.publish(0, 12, 1);
        assert!(rig.popped().is_empty(), "the interval has not ended");
        rig.connection.opened(Epoch(2), Nanos(0), None);
        rig.publish(1, 20, 2);
        assert_eq!(rig.popped(), [12, 0, 20]);
    }

    /// A clock that stands still.
    struct FrozenClock;

    impl Clock for FrozenClock {
        fn now(&self) -> Nanos {
            Nanos(1)
        }
    }
}
