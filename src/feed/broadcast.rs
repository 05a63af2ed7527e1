//! A cursor into the ring that all readers of a connection share. Nothing of it is the reader's own, so the writer pays
//! the same for a thousand readers as for one; who falls a whole ring behind loses the oldest events and is told how
//! many of its own were among them.
//!
//! Each record is tagged with the number of its stream and of the event within the stream. So a reader passes over what
//! is not for it without copying it, and finds at the next event of a stream how many of that stream it has missed. Of
//! streams that have no next event yet, it asks the counts, which the writer raises after the event can be read: a count
//! seen while nothing is left to read is a count of events behind the cursor.

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

/// Stamps, connection and epoch, version.
const PROOF_WORDS: usize = Stamps::MAX + 2;

/// Flags of a snapshot, in the word of connection and epoch, which take 48 bits.
const STARTS: u64 = 1 << 62;
const IS_NEWS: u64 = 1 << 63;

/// A ring for the updates of one type on one connection.
pub fn broadcast<T: Words>(capacity: usize) -> Broadcaster<T> {
    Broadcaster { ring: broadcast::ring(capacity, T::MAX + PROOF_WORDS), streams: 0, value: PhantomData }
}

/// The writing end, on the connection's thread.
pub struct Broadcaster<T> {
    ring: broadcast::Writer,
    streams: u32,
    value: PhantomData<fn(T)>,
}

/// A stream in the ring, as its writer knows it.
pub struct BroadcastStream {
    number: u32,
    events: u64,
    count: StreamCount,
}

impl BroadcastStream {
    /// A reader follows the stream from now on. With `again` it did so before: it keeps its place, and what comes from now on
    /// meets another filter.
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
    /// The number of its next event.
    next: u64,
    count: StreamCount,
    /// The reader has it already.
    again: bool,
    /// Filters of later events, each from an event on.
    later: Vec<(u64, Filter)>,
}

impl JoinedStream {
    /// From here on its events are the feed's, if they were not before.
    pub(super) fn begins(&self) -> Option<(StreamCount, u64)> {
        (!self.again).then(|| (self.count.clone(), self.next))
    }

    /// Goes from one event to the next; true if the reader wants this one.
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

/// Streams that a reader follows from a place in the ring, and their state at that place.
pub(super) struct Joining<U> {
    start: u64,
    streams: Vec<JoinedStream>,
    states: Vec<Update<U>>,
}

impl<T: Words> Broadcaster<T> {
    /// Appends an event of a stream. Never waits, and costs the same for any number of readers.
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
        // After the event can be read, see above.
        stream.count.0.add(1);
    }

    /// Another stream, by a number of its own in this ring.
    pub fn add_stream(&mut self) -> BroadcastStream {
        self.streams += 1;
        BroadcastStream { number: self.streams - 1, events: 0, count: StreamCount::default() }
    }

    /// Memory of the ring, in bytes.
    pub fn bytes(&self) -> usize {
        self.ring.bytes()
    }

    /// Streams that a reader follows from now on, and their state.
    pub(super) fn joining<U>(&self, streams: Vec<JoinedStream>, states: Vec<Update<U>>) -> Joining<U> {
        Joining { start: self.ring.head(), streams, states }
    }

    /// A reader that starts here, without streams.
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
            since_look: 0,
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

/// The reading end.
pub(super) struct BroadcastReader<T, U> {
    cursor: Cursor,
    /// By their numbers.
    streams: Vec<Option<JoinedStream>>,
    /// The state of streams that have joined, each with its place in the ring.
    states: VecDeque<(u64, Update<U>)>,
    /// How far their writer was, when that was looked at last. Kept for its memory.
    counts: Vec<u64>,
    connection: ConnectionId,
    /// It has lost events, and perhaps not been told of all.
    lapped: bool,
    /// Pops since the depth was looked at.
    since_look: u8,
    counters: Arc<FeedCounters>,
    epochs: EpochTracker,
    waiters: Arc<Waiters>,
    value: PhantomData<fn() -> T>,
}

/// What is found where nothing is left to read.
enum End<T> {
    Item(Item<T>),
    Nothing,
    /// Something came in meanwhile.
    NotYet,
}

/// Pops between two looks at how far the writer is ahead: each look may cost a cache miss.
const LOOK_EVERY: u8 = 64;

impl<T: Words + Payload, U: Payload> BroadcastReader<T, U> {
    /// Goes to the next event of a stream that it follows; gives the stream's number and the event's.
    #[inline]
    fn seek(&mut self) -> Option<(usize, u64)> {
        loop {
            match self.cursor.peek() {
                Peek::Empty => return None,
                Peek::Ready { tag: [stream, event] } if self.follows(stream as usize, event) => {
                    return Some((stream as usize, event));
                }
                Peek::Ready { .. } => self.cursor.advance(),
                Peek::Lapped { oldest } => self.lose(oldest),
            }
        }
    }

    #[inline]
    fn follows(&self, stream: usize, event: u64) -> bool {
        // What was under way when a stream was added is older than its first event here.
        matches!(self.streams.get(stream), Some(Some(joined)) if event >= joined.next)
    }

    #[cold]
    fn lose(&mut self, oldest: u64) {
        self.note_depth();
        self.cursor.skip_to(oldest);
        self.lapped = true;
    }

    /// How many events of a stream, before this one, are lost.
    #[inline]
    fn missed(&mut self, stream: usize, event: u64) -> Option<u64> {
        let joined = self.streams.get_mut(stream)?.as_mut()?;
        let missed = event - std::mem::replace(&mut joined.next, event);
        (missed > 0).then_some(missed)
    }

    /// The next state, if the cursor has come to its place. A change of the socket is reported first.
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

    /// Nothing is left to read: perhaps something is to be told.
    #[inline]
    fn at_the_end(&mut self) -> End<U> {
        if !self.lapped && self.epochs.unseen().is_none() { End::Nothing } else { self.tell() }
    }

    /// Tells of lost events of streams that have none left to read, and of a new socket that brought nothing yet.
    #[cold]
    fn tell(&mut self) -> End<U> {
        // Before the rest: who is lapped from here on has more to tell than the counts say.
        self.lapped = false;
        // Before the ring is looked at again: what came before these is visible then.
        let socket = self.epochs.unseen();
        self.counts.clear();
        self.counts.extend(self.streams.iter().flatten().map(|joined| joined.count.0.get()));
        if self.seek().is_some() {
            // An event that came in meanwhile knows what is missing before it. Other streams may have to be told of.
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

    /// The event was read: settles it; true if the reader asked for it.
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
        self.look();
        wanted
    }

    /// A reader of changes alone gets a snapshot that brings news as a change.
    #[cold]
    fn relabel(&self, stream: usize, item: &mut Option<Item<U>>) {
        let joined = self.streams.get(stream).and_then(Option::as_ref);
        if let (Some(Item::Data(update)), true) = (item, joined.is_some_and(|f| f.filter.is_of_changes())) {
            update.value = update.value.with_stream_type(StreamType::Realtime);
        }
    }

    /// Adds streams and their state.
    pub fn join(&mut self, joining: &mut Joining<U>) {
        // It may have passed their first events before it knew of them. What it has had already it passes over again,
        // by its numbers.
        if joining.start < self.cursor.position() {
            self.cursor.skip_to(joining.start);
        }
        joining.streams.drain(..).for_each(|stream| self.add(stream));
        self.states.extend(joining.states.drain(..).map(|state| (joining.start, state)));
    }

    /// A stream that was followed before goes on where it was.
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
            // The reader may have read less than the writer had written when the filter changed.
            Some(known) => known.later.push((stream.next, stream.filter)),
            unknown => *unknown = Some(stream),
        }
    }

    fn gap(&mut self, missed: u64) -> Item<U> {
        self.counters.reader.dropped.add(missed);
        self.counters.reader.taken.add(missed);
        Item::Gap { missed }
    }

    /// The ring holds other streams too: this is how close it is to losing something.
    fn note_depth(&self) {
        self.counters.reader.depth_max.raise(self.cursor.lag().min(self.cursor.capacity()));
    }

    #[inline]
    fn look(&mut self) {
        self.since_look += 1;
        if self.since_look == LOOK_EVERY {
            self.since_look = 0;
            self.note_depth();
        }
    }
}

/// Puts a record where the item is wanted; says what it is.
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
        // One variable, which the compiler makes the caller's: an order book is read into its place.
        let mut item = None;
        loop {
            let next = self.seek();
            if !self.states.is_empty()
                && let Some(told) = self.pop_state()
            {
                return Some(told);
            }
            let Some((stream, event)) = next else {
                match self.at_the_end() {
                    End::NotYet => continue,
                    End::Nothing => return None,
                    End::Item(told) => return Some(told),
                }
            };
            if let Some(missed) = self.missed(stream, event) {
                return Some(self.gap(missed));
            }
            // Without an answer it was overwritten meanwhile.
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
