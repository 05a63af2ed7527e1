//! A cursor into a ring that all readers of a connection share. No part of the ring belongs to one reader, so
//! publishing costs the same for a thousand readers as for one. A reader that falls a whole ring behind is lapped: it
//! loses the oldest events, and gets a gap with the number of lost events of its streams.
//!
//! Each record is tagged with its stream's number and its event number within the stream. So a reader skips records of
//! other streams without copying them, and the next event of a stream shows how many events of that stream were lost.
//! If a stream has no next event yet, the reader uses the stream's count. The writer raises the count after the event
//! can be read. So if a reader loads the count and then finds the ring empty, all counted events are behind its cursor:
//! it has read them, or they are lost.

use std::any::TypeId;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::Arc;

use super::counters::{FeedCounters, StreamCount};
use super::epoch_tracker::EpochTracker;
use super::source::Source;
use super::{Arrival, Filter, Item, Payload, Update};
use crate::model::{ConnectionId, Epoch, Stamps, StreamType, Words};
use crate::sync::broadcast::{self, Cursor, Peek, Record};
use crate::sync::waiters::Waiters;

/// The number of words of a record before the value: stamps, one word for connection, epoch and flags, and version.
const ENVELOPE_WORDS: usize = Stamps::MAX + 2;

/// Flags of a snapshot. They share a word with the connection and the epoch, which take 48 bits.
const STARTS: u64 = 1 << 62;
const IS_NEWS: u64 = 1 << 63;

/// Creates a ring of `capacity` events for the updates of one type on one connection.
///
/// # Panics
///
/// If `capacity` is not a power of two, or below 2.
pub fn broadcast<T: Words>(capacity: usize) -> Broadcaster<T> {
    Broadcaster { ring: broadcast::ring(capacity, T::MAX + ENVELOPE_WORDS), streams: 0, value: PhantomData }
}

/// The writing end of the ring, on the connection's thread.
pub struct Broadcaster<T> {
    ring: broadcast::Writer,
    streams: u32,
    value: PhantomData<fn(T)>,
}

/// The writer's record of one stream in the ring.
pub struct BroadcastStream {
    number: u32,
    events: u64,
    count: StreamCount,
}

impl BroadcastStream {
    /// Returns what a reader needs to follow the stream from now on. With `again`, the reader follows the stream
    /// already: it keeps its position, and `filter` applies to later events.
    pub fn join(&self, filter: Filter, again: bool) -> JoinedStream {
        JoinedStream {
            number: self.number,
            filter,
            next: self.events,
            count: self.count.clone(),
            again,
            later: Vec::new(),
        }
    }
}

/// A stream that a reader follows.
pub struct JoinedStream {
    number: u32,
    filter: Filter,
    /// The number of the next event to read.
    next: u64,
    count: StreamCount,
    /// Whether the reader follows the stream already.
    again: bool,
    /// Filters for later events, each with the number of the first event that it applies to.
    later: Vec<(u64, Filter)>,
}

impl JoinedStream {
    /// Returns the stream's count and the number of the feed's first event, if the feed does not follow the stream yet.
    pub(super) fn start(&self) -> Option<(StreamCount, u64)> {
        (!self.again).then(|| (self.count.clone(), self.next))
    }

    /// Moves past one event. Returns true if the reader wants that event.
    #[inline]
    fn accept(&mut self, arrival: Arrival) -> bool {
        if !self.later.is_empty() {
            self.change_filter();
        }
        self.next += 1;
        self.filter.takes(arrival)
    }

    #[cold]
    fn change_filter(&mut self) {
        let due = self.later.partition_point(|(from, _)| *from <= self.next);
        if let Some((_, filter)) = self.later.drain(..due).next_back() {
            self.filter = filter;
        }
    }
}

/// Streams that a reader follows from a position in the ring, and their states at that position.
pub(super) struct Joining<U> {
    start: u64,
    streams: Vec<JoinedStream>,
    states: Vec<Update<U>>,
}

impl<T: Words> Broadcaster<T> {
    /// Appends an event of a stream. Never waits. Costs the same for any number of readers.
    #[inline]
    pub fn publish(&mut self, stream: &mut BroadcastStream, update: &Update<T>, arrival: Arrival) {
        let Update { value, stamps, connection, epoch, version } = update;
        let origin = u64::from(epoch.0) << 16 | u64::from(connection.0) | flags(arrival);
        self.ring.publish([u64::from(stream.number), stream.events], |slot| {
            let word = &mut |word| slot.put(word);
            stamps.put(word);
            word(origin);
            word(*version);
            value.put(word);
        });
        stream.events += 1;
        // Raised after the event can be read; see the module documentation.
        stream.count.0.add(1);
    }

    /// Adds a stream, with a number that is unique in this ring.
    pub fn add_stream(&mut self) -> BroadcastStream {
        self.streams += 1;
        BroadcastStream { number: self.streams - 1, events: 0, count: StreamCount::default() }
    }

    /// Returns the memory of the ring, in bytes.
    pub fn bytes(&self) -> usize {
        self.ring.bytes()
    }

    /// Bundles the streams that a reader follows from now on with their states.
    pub(super) fn joining<U>(&self, streams: Vec<JoinedStream>, states: Vec<Update<U>>) -> Joining<U> {
        Joining { start: self.ring.head(), streams, states }
    }

    /// Creates a reader at the current head of the ring, without streams.
    pub(super) fn reader<U>(
        &self,
        connection: ConnectionId,
        counters: Arc<FeedCounters>,
        epochs: EpochTracker,
        waiters: Arc<Waiters>,
    ) -> BroadcastReader<T, U> {
        counters.add_shared_bytes(self.bytes());
        BroadcastReader {
            cursor: self.ring.cursor(),
            streams: Vec::new(),
            states: VecDeque::new(),
            counts: Vec::new(),
            connection,
            lapped: false,
            since_sample: 0,
            counters,
            epochs,
            waiters,
            value: PhantomData,
        }
    }
}

#[inline]
fn flags(arrival: Arrival) -> u64 {
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    match arrival {
        Arrival::Change => 0,
        Arrival::Snapshot { starts, is_news } => flag(starts, STARTS) | flag(is_news, IS_NEWS),
    }
}

/// The reading end of the ring.
pub(super) struct BroadcastReader<T, U> {
    cursor: Cursor,
    /// Indexed by stream number.
    streams: Vec<Option<JoinedStream>>,
    /// The states of joined streams, each with its position in the ring.
    states: VecDeque<(u64, Update<U>)>,
    /// Scratch memory of [`report_missed`](Self::report_missed) for the event counts of the streams.
    counts: Vec<u64>,
    connection: ConnectionId,
    /// Whether events were lost that may not be reported yet.
    lapped: bool,
    /// The number of events popped since the last sample of the depth.
    since_sample: u8,
    counters: Arc<FeedCounters>,
    epochs: EpochTracker,
    waiters: Arc<Waiters>,
    value: PhantomData<fn() -> T>,
}

/// What the reader finds at the end of the ring.
enum End<T> {
    Item(Item<T>),
    Nothing,
    /// An event arrived meanwhile.
    NotYet,
}

/// The number of popped events between two samples of the depth. Each sample reads the writer's head, which may cost a
/// cache miss.
const SAMPLE_EVERY: u8 = 64;

impl<T: Words + Payload, U: Payload> BroadcastReader<T, U> {
    /// Moves to the next event of a followed stream. Returns the numbers of the stream and the event.
    #[inline]
    fn seek(&mut self) -> Option<(usize, u64)> {
        loop {
            match self.cursor.peek() {
                Peek::Empty => return None,
                Peek::Ready { tag: [stream, event] } if self.follows(stream as usize, event) => {
                    return Some((stream as usize, event));
                }
                Peek::Ready { .. } => self.cursor.advance(),
                Peek::Lapped { oldest } => self.skip_lost(oldest),
            }
        }
    }

    #[inline]
    fn follows(&self, stream: usize, event: u64) -> bool {
        // Events with lower numbers were published before the stream joined, or have been read.
        matches!(self.streams.get(stream), Some(Some(joined)) if event >= joined.next)
    }

    #[cold]
    fn skip_lost(&mut self, oldest: u64) {
        self.note_depth();
        self.cursor.skip_to(oldest);
        self.lapped = true;
    }

    /// Returns the number of lost events of a stream before this event.
    #[inline]
    fn missed(&mut self, stream: usize, event: u64) -> Option<u64> {
        let joined = self.streams.get_mut(stream)?.as_mut()?;
        let missed = event - std::mem::replace(&mut joined.next, event);
        (missed > 0).then_some(missed)
    }

    /// Pops the next state, if the cursor has reached its position. A new socket is reported first.
    #[cold]
    fn pop_state(&mut self) -> Option<Item<U>> {
        let (place, state) = *self.states.front()?;
        if self.cursor.position() < place {
            return None;
        }
        if let Some(change) = self.epochs.advance(state.epoch) {
            return Some(change);
        }
        self.states.pop_front();
        self.counters.reader.delivered.add(1);
        self.counters.reader.taken.add(1);
        Some(Item::Data(state))
    }

    /// Handles an empty ring: there may be a gap or a new socket to report.
    #[inline]
    fn at_the_end(&mut self) -> End<U> {
        if !self.lapped && self.epochs.unseen().is_none() { End::Nothing } else { self.report_missed() }
    }

    /// Reports lost events of streams that have no event left to read, and a new socket that has brought no data yet.
    #[cold]
    fn report_missed(&mut self) -> End<U> {
        // Cleared first: if the reader is lapped again from here on, it loses more events than the counts below
        // include.
        self.lapped = false;
        // The socket and the counts are loaded before the ring is read again: all earlier events are visible then.
        let socket = self.epochs.unseen();
        self.counts.clear();
        self.counts.extend(self.streams.iter().flatten().map(|joined| joined.count.0.get()));
        if self.seek().is_some() {
            // The tag of the new event shows what is missing before it. Other streams may still have losses to report.
            self.lapped = true;
            return End::NotYet;
        }
        let mut missed = 0;
        for (joined, count) in self.streams.iter_mut().flatten().zip(&self.counts) {
            missed += count.saturating_sub(joined.next);
            joined.next = joined.next.max(*count);
        }
        if missed > 0 {
            return End::Item(self.gap(missed));
        }
        socket.and_then(|socket| self.epochs.advance(socket)).map_or(End::Nothing, End::Item)
    }

    /// Counts an event that was read. Returns true if the reader wants it.
    #[inline]
    fn accept(&mut self, stream: usize, arrival: Arrival) -> bool {
        let Some(Some(joined)) = self.streams.get_mut(stream) else { return false };
        let wanted = joined.accept(arrival);
        let reader = &self.counters.reader;
        if wanted {
            reader.delivered.add(1)
        } else {
            reader.filtered.add(1)
        }
        reader.taken.add(1);
        self.sample_depth();
        wanted
    }

    /// Marks a snapshot as a change if the reader wants only changes of the stream.
    #[cold]
    fn relabel(&self, stream: usize, item: &mut Option<Item<U>>) {
        let joined = self.streams.get(stream).and_then(Option::as_ref);
        if let (Some(Item::Data(update)), true) = (item, joined.is_some_and(|f| f.filter.is_of_changes())) {
            update.value = update.value.with_stream_type(StreamType::Realtime);
        }
    }

    /// Adds streams and their states.
    pub fn join(&mut self, joining: &mut Joining<U>) {
        // The cursor may have passed the first events of these streams, so it goes back. Because of the event numbers,
        // nothing is delivered twice.
        if joining.start < self.cursor.position() {
            self.cursor.skip_to(joining.start);
        }
        joining.streams.drain(..).for_each(|stream| self.add(stream));
        self.states.extend(joining.states.drain(..).map(|state| (joining.start, state)));
    }

    /// Adds one stream. A stream that is followed already keeps its position.
    fn add(&mut self, stream: JoinedStream) {
        let number = stream.number as usize;
        if self.streams.len() <= number {
            let more = number + 1 - self.streams.len();
            self.counters.add_bytes(more * (size_of::<Option<JoinedStream>>() + size_of::<u64>()));
            self.streams.resize_with(number + 1, || None);
            self.counts.clear();
            self.counts.reserve(number + 1);
        }
        match &mut self.streams[number] {
            // Events that the writer published before the change, and that are still unread, keep the old filter.
            Some(known) => known.later.push((stream.next, stream.filter)),
            unknown => *unknown = Some(stream),
        }
    }

    fn gap(&mut self, missed: u64) -> Item<U> {
        self.counters.reader.dropped.add(missed);
        self.counters.reader.taken.add(missed);
        Item::Gap { missed }
    }

    /// Records the distance to the writer. It includes events of streams that the reader does not follow, because it
    /// shows how close the reader is to a loss.
    fn note_depth(&self) {
        self.counters.reader.depth_max.raise(self.cursor.lag().min(self.cursor.capacity()));
    }

    #[inline]
    fn sample_depth(&mut self) {
        self.since_sample += 1;
        if self.since_sample == SAMPLE_EVERY {
            self.since_sample = 0;
            self.note_depth();
        }
    }
}

/// Reads a record into `item`. Returns its kind of arrival and its epoch.
#[inline]
fn read<T: Words + Payload + Into<U>, U>(record: &mut Record<'_>, item: &mut Option<Item<U>>) -> (Arrival, Epoch) {
    let word = &mut || record.take();
    let stamps = Stamps::take(word);
    let socket = word();
    let (connection, epoch) = (ConnectionId(socket as u16), Epoch((socket >> 16) as u32));
    let version = word();
    let value = T::take(word);
    let arrival = match value.stream_type() {
        StreamType::Realtime => Arrival::Change,
        StreamType::Snapshot => Arrival::Snapshot { starts: socket & STARTS != 0, is_news: socket & IS_NEWS != 0 },
    };
    *item = Some(Item::Data(Update { value: value.into(), stamps, connection, epoch, version }));
    (arrival, epoch)
}

impl<T: Words, U> Source<U> for BroadcastReader<T, U>
where
    T: Payload + Into<U>,
    U: Payload,
{
    #[inline]
    fn pop(&mut self) -> Option<Item<U>> {
        // One variable for the result: the compiler then reads an order book directly into the caller's place.
        let mut item = None;
        loop {
            let next = self.seek();
            if !self.states.is_empty()
                && let Some(item) = self.pop_state()
            {
                return Some(item);
            }
            let Some((stream, event)) = next else {
                match self.at_the_end() {
                    End::NotYet => continue,
                    End::Nothing => return None,
                    End::Item(item) => return Some(item),
                }
            };
            if let Some(missed) = self.missed(stream, event) {
                return Some(self.gap(missed));
            }
            // `None` means that the record was overwritten meanwhile.
            let Some((arrival, epoch)) = self.cursor.read(|record| read::<T, U>(record, &mut item)) else {
                continue;
            };
            if let Some(change) = self.epochs.advance(epoch) {
                return Some(change);
            }
            self.cursor.advance();
            if self.accept(stream, arrival) {
                if arrival != Arrival::Change {
                    self.relabel(stream, &mut item);
                }
                return item;
            }
        }
    }

    fn is_ready(&mut self) -> bool {
        !self.states.is_empty() || self.seek().is_some() || self.lapped || self.epochs.unseen().is_some()
    }

    fn epoch(&self) -> (ConnectionId, Epoch) {
        self.epochs.seen()
    }

    fn begin_at(&mut self, socket: Epoch) {
        self.epochs.begin_at(socket);
    }

    fn len(&self) -> usize {
        let streams = self.streams.iter().flatten();
        let waiting = streams.map(|joined| joined.count.0.get().saturating_sub(joined.next)).sum::<u64>();
        waiting as usize + self.states.len()
    }

    fn set_waiting(&self, waiting: bool) {
        if waiting { self.waiters.enter() } else { self.waiters.leave() }
    }

    fn add_streams(&mut self, connection: ConnectionId, carries: TypeId, mut joining: Joining<U>) -> Joining<U> {
        if connection != self.connection || carries != TypeId::of::<T>() {
            return joining;
        }
        self.join(&mut joining);
        joining
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::model::{Nanos, Noun, Trade};
    use crate::sync::connection::ConnectionState;

    /// The reader may pass events of a stream between the writer's join and its own.
    #[test]
    fn a_stream_that_joins_behind_the_cursor_loses_nothing() {
        let mut ring = broadcast::<Trade>(8);
        let mut stream = ring.add_stream();
        let connection = Arc::new(ConnectionState::new(ConnectionId(0), Nanos(0)));
        let epochs = EpochTracker::new(connection);
        let mut reader = ring.reader::<Trade>(ConnectionId(0), Arc::default(), epochs, Arc::default());
        let mut joining = ring.joining(vec![stream.join(Filter::new(true, true), false)], Vec::new());
        for version in 1..=2 {
            let value = Update::<Trade>::blank().value.with_stream_type(StreamType::Realtime);
            ring.publish(&mut stream, &Update { value, version, ..Update::blank() }, Arrival::Change);
        }
        assert!(reader.pop().is_none(), "it does not follow the stream yet");
        assert_eq!(reader.cursor.position(), 2);
        reader.join(&mut joining);
        let popped: Vec<_> = std::iter::from_fn(|| reader.pop()).collect();
        let is = |item: &Item<Trade>, expected| matches!(item, Item::Data(update) if update.version == expected);
        assert!(popped.len() == 2 && is(&popped[0], 1) && is(&popped[1], 2), "{popped:?}");
    }
}
