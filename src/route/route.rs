//! The route of one stream: its publisher, its readers, and how the socket carries it.

use std::collections::BTreeSet;
use std::mem;
use std::time::Duration;

use super::open_feeds::{OpenFeeds, Rings};
use super::router::Table;
use crate::feed::{Arrival, BroadcastStream, Broadcaster, Filter, JoinedStream, Mark, Update};
use crate::model::{DataType, EachNoun, Epoch, Family, Nanos, Noun, Receipt, Stamps, StreamKey, StreamType, Words};
use crate::plan::{Mode, StreamSet, StreamSpec};
use crate::pool::{Publisher, Timeline, Verdict};
use crate::sync::latest::{Version, Writer};

/// How long changes of an earlier subscription may still arrive after the socket asks again for a stream that was
/// dropped. At most two changes were observed, within one round trip.
const LEFTOVERS: Duration = Duration::from_secs(1);

/// The publisher and the readers of one stream.
pub(crate) struct Route<T: Noun> {
    publisher: Publisher<T>,
    /// How the socket carries the stream; `None` if it does not. Messages that arrive in that case were already in
    /// flight and are counted as unrouted.
    carried: Option<Carried>,
    /// Changes received before this time are leftovers.
    from: Nanos,
    /// The next snapshot will be the first one since the socket began to carry the stream.
    starts: bool,
    /// The epoch of the last socket that stopped carrying the stream.
    left: Epoch,
    readers: Vec<Reader<T>>,
    /// The feeds that read the stream from the shared ring.
    broadcast_readers: Vec<usize>,
    /// The stream's entry in that ring.
    broadcast_stream: Option<BroadcastStream>,
    /// A broadcast reader may still wait for its state.
    is_awaited: bool,
    /// The batch in which the stream last had an update.
    touched_in: u64,
}

/// How a socket carries a stream.
#[derive(Clone, Copy)]
struct Carried {
    spec: StreamSpec,
    epoch: Epoch,
    /// When the socket began to carry the stream.
    since: Nanos,
    /// When the exchange was last asked for a snapshot. A value received before that may be outdated.
    asked: Nanos,
}

/// A request that was sent. From then on the socket carries these streams and no others.
pub(crate) struct Request<'a> {
    pub at: Nanos,
    pub epoch: Epoch,
    pub streams: &'a StreamSet,
    /// The streams that were asked for without a snapshot.
    pub running: &'a BTreeSet<StreamKey>,
}

/// What a route did with a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Routed {
    Discarded,
    Delivered,
    /// Delivered, but the exchange's time of the message is in doubt.
    Doubted,
}

/// What a snapshot means to readers, apart from the gate's verdict on it.
#[derive(Clone, Copy)]
struct SnapshotKind {
    /// It is the first snapshot since the socket began to carry the stream.
    starts: bool,
    /// It is a later snapshot and equals the newest value.
    repeats: bool,
}

/// A feed's interest in one stream.
pub(crate) struct Reader<T> {
    /// The feed's place in [`OpenFeeds`].
    pub feed: usize,
    pub filter: Filter,
    pub keep: Keep<T>,
    /// How the feed kept the stream under its previous filter.
    pub spare: Option<Box<Keep<T>>>,
}

/// How a feed keeps the updates of a stream.
pub(crate) enum Keep<T> {
    /// In a ring that belongs to the feed.
    Queue,
    /// As the newest value, read from the pool.
    Newest(Mark),
    /// As the newest of the messages that the feed asked for. The pool may hold a different one.
    NewestOwn(Mark, Writer<T>),
}

impl<T: Noun> Route<T> {
    pub fn new(publisher: Publisher<T>) -> Self {
        Self {
            publisher,
            carried: None,
            from: Nanos::NEVER,
            starts: false,
            left: Epoch::default(),
            readers: Vec::new(),
            broadcast_readers: Vec::new(),
            broadcast_stream: None,
            is_awaited: false,
            touched_in: 0,
        }
    }

    pub fn publisher(&self) -> &Publisher<T> {
        &self.publisher
    }

    /// Removes a feed from the readers and returns its entry.
    pub fn take_reader(&mut self, feed: usize) -> Option<Reader<T>> {
        let place = self.readers.iter().position(|reader| reader.feed == feed)?;
        Some(self.readers.swap_remove(place))
    }

    /// Stops delivery to a feed, which keeps its place.
    pub fn pause_reader(&mut self, feed: usize) {
        for reader in self.readers.iter_mut().filter(|reader| reader.feed == feed) {
            reader.filter = Filter::nothing();
        }
    }

    pub fn add_reader(&mut self, reader: Reader<T>) {
        self.readers.push(reader);
    }

    /// Applies a request that asks for the stream.
    fn ask(&mut self, spec: StreamSpec, Request { at, epoch, running, .. }: &Request<'_>) {
        self.publisher.set_only_snapshots(spec.mode == Mode::SnapshotOnly);
        // No snapshot comes if the stream runs already, or if only changes are requested.
        let is_running = spec.mode == Mode::RealtimeOnly || running.contains(&spec.key);
        let begins = Carried { spec, epoch: *epoch, since: *at, asked: *at };
        self.carried = Some(match self.carried {
            Some(before) if before.epoch == *epoch && is_running => {
                (self.from, self.starts) = (Nanos::default(), false);
                Carried { spec, asked: before.since, ..before }
            }
            Some(before) if before.epoch == *epoch => Carried { spec, asked: *at, ..before },
            _ => {
                self.starts = spec.mode != Mode::RealtimeOnly;
                let may_have_leftovers = self.starts && self.left == *epoch;
                self.from = if may_have_leftovers { *at + LEFTOVERS } else { Nanos::default() };
                begins
            }
        });
    }

    /// Applies a request that does not ask for the stream.
    fn end(&mut self) {
        if let Some(carried) = self.carried.take() {
            (self.left, self.from) = (carried.epoch, Nanos::NEVER);
        }
    }
}

impl<T: Noun> Route<T> {
    /// Adds a feed that follows the stream in the shared ring. `again` is true if it did so before.
    pub fn add_broadcast_reader(
        &mut self,
        feed: usize,
        filter: Filter,
        ring: &mut Broadcaster<T>,
        again: bool,
    ) -> JoinedStream {
        self.resume_broadcast_reader(feed);
        self.is_awaited |= filter.awaits();
        self.broadcast_stream.get_or_insert_with(|| ring.add_stream()).join(filter, again)
    }

    /// Stops delivery to a feed, which keeps its place in the shared ring.
    pub fn pause_broadcast_reader(&mut self, feed: usize, ring: &mut Broadcaster<T>) -> JoinedStream {
        self.broadcast_readers.retain(|reader| *reader != feed);
        self.broadcast_stream.get_or_insert_with(|| ring.add_stream()).join(Filter::nothing(), true)
    }

    /// Adds a feed that already has a place in the shared ring, with the same filter.
    pub fn resume_broadcast_reader(&mut self, feed: usize) {
        self.broadcast_readers.push(feed);
    }

    /// Returns the newest value as a snapshot, for a feed that begins to read the stream. Returns `None` if the value
    /// may be outdated, or if the stream is not carried with the mode and depth that the feed needs. In both cases a
    /// snapshot is on its way or will be requested.
    pub fn state(&self, spec: &StreamSpec) -> Option<Update<T>> {
        let carried = self.carried.filter(|carried| carried.spec.serves(spec))?;
        let Version { value, stamps, epoch, connection, version } = self.publisher.current(carried.asked)?;
        Some(Update { value: value.with_stream_type(StreamType::Snapshot), stamps, connection, epoch, version })
    }

    /// Publishes to the pool, then to the feeds, with the same stamps. Discards the message if it is a leftover or the
    /// socket does not carry the stream. `timeline` belongs to the connection.
    #[inline]
    pub fn publish(
        &mut self,
        feeds: &mut OpenFeeds,
        ring: &mut Option<Broadcaster<T>>,
        timeline: &mut Timeline,
        published: Nanos,
        receipt: Receipt,
        value: &T,
    ) -> Routed {
        let exchange_ms = T::latest_ms(value.order());
        let (snapshot, is_doubted) = match value.stream_type() {
            StreamType::Realtime if receipt.received < self.from => return Routed::Discarded,
            StreamType::Realtime => (None, timeline.doubts_change(exchange_ms, receipt.received)),
            StreamType::Snapshot => {
                let snapshot = self.receive_snapshot(value);
                if snapshot.is_none() {
                    return Routed::Discarded;
                }
                (snapshot, timeline.doubts_snapshot(exchange_ms, receipt.received))
            }
        };
        if is_doubted {
            self.publisher.doubt(receipt.received, timeline);
        }
        let verdict = self.publisher.publish(&receipt, value, timeline, || published);
        if verdict == Verdict::Published {
            feeds.touch(&mut self.touched_in, || self.publisher.key());
        }
        if (!self.readers.is_empty() || !self.broadcast_readers.is_empty())
            && let Some(arrival) = self.arrival(verdict, snapshot, value)
        {
            let update = Update {
                value: *value,
                stamps: Stamps { exchange_ms: value.exchange_ms(), received: receipt.received, published },
                connection: receipt.connection,
                epoch: receipt.epoch,
                version: self.publisher.version(),
            };
            self.deliver(feeds, ring, verdict, arrival, &update);
        }
        if is_doubted { Routed::Doubted } else { Routed::Delivered }
    }

    /// Classifies a snapshot that arrived. Returns `None` if the socket does not carry the stream.
    #[cold]
    fn receive_snapshot(&mut self, value: &T) -> Option<SnapshotKind> {
        self.carried?;
        self.from = Nanos::default();
        let starts = mem::take(&mut self.starts);
        let newest = self.publisher.newest();
        let is_known = || {
            newest.load().version.is_some_and(|n| {
                n.value.with_stream_type(StreamType::Snapshot) == value.with_stream_type(StreamType::Snapshot)
            })
        };
        Some(SnapshotKind { starts, repeats: !starts && is_known() })
    }

    /// Returns what the message means to feeds, or `None` if they do not get it.
    #[inline]
    fn arrival(&self, verdict: Verdict, snapshot: Option<SnapshotKind>, value: &T) -> Option<Arrival> {
        let is_news = self.publisher.is_news(verdict, value);
        match snapshot {
            None => is_news.then_some(Arrival::Change),
            Some(SnapshotKind { starts, repeats }) => {
                (verdict != Verdict::OldEpoch).then_some(Arrival::Snapshot { starts, is_news: is_news && !repeats })
            }
        }
    }

    #[inline]
    fn deliver(
        &mut self,
        feeds: &mut OpenFeeds,
        ring: &mut Option<Broadcaster<T>>,
        verdict: Verdict,
        arrival: Arrival,
        update: &Update<T>,
    ) {
        for reader in &mut self.readers {
            reader.deliver(feeds, verdict, arrival, update);
        }
        if !self.broadcast_readers.is_empty() {
            self.broadcast(feeds, ring, arrival, update);
        }
    }

    #[inline]
    fn broadcast(
        &mut self,
        feeds: &mut OpenFeeds,
        ring: &mut Option<Broadcaster<T>>,
        arrival: Arrival,
        update: &Update<T>,
    ) {
        if let (Some(ring), Some(broadcast_stream)) = (ring, &mut self.broadcast_stream) {
            ring.publish(broadcast_stream, update, arrival);
            self.is_awaited &= arrival == Arrival::Change;
            feeds.touch(&mut self.touched_in, || self.publisher.key());
        }
    }

    /// Sends the newest value to feeds that wait for a snapshot, if the newest request did not ask for one.
    fn send_state(&mut self, feeds: &mut OpenFeeds, ring: &mut Option<Broadcaster<T>>) {
        let awaits = |reader: &Reader<T>| reader.filter.awaits();
        if !self.is_awaited && !self.readers.iter().any(awaits) {
            return;
        }
        let Some(state) = self.carried.and_then(|carried| self.state(&carried.spec)) else { return };
        let arrival = Arrival::Snapshot { starts: false, is_news: false };
        for reader in self.readers.iter_mut().filter(|reader| awaits(reader)) {
            reader.deliver(feeds, Verdict::Duplicate, arrival, &state);
        }
        if self.is_awaited {
            self.broadcast(feeds, ring, arrival, &state);
        }
    }
}

impl<T: Noun> Reader<T> {
    #[inline]
    fn deliver(&mut self, feeds: &mut OpenFeeds, verdict: Verdict, arrival: Arrival, update: &Update<T>) {
        if !self.filter.takes(arrival) {
            return feeds.filter(self.feed);
        }
        let change;
        let update = if arrival != Arrival::Change && self.filter.is_of_changes() {
            change = Update { value: update.value.with_stream_type(StreamType::Realtime), ..*update };
            &change
        } else {
            update
        };
        match &mut self.keep {
            Keep::Queue => feeds.push(self.feed, update),
            Keep::Newest(mark) => feeds.mark(self.feed, *mark),
            Keep::NewestOwn(mark, newest) => {
                // A late change must not replace the newer one that is already there.
                if verdict == Verdict::Published || self.filter.is_of_snapshots() {
                    put(newest, update);
                }
                feeds.mark(self.feed, *mark);
            }
        }
    }
}

/// Stores an update as the newest value.
#[inline]
pub(crate) fn put<T: Words>(newest: &mut Writer<T>, update: &Update<T>) {
    let Update { value, stamps, connection, epoch, .. } = update;
    let receipt = Receipt { connection: *connection, epoch: *epoch, received: stamps.received };
    newest.publish(value, stamps.exchange_ms, &receipt, stamps.published);
}

/// A route of any message type.
pub(crate) trait AnyRoute {
    /// Applies a request that was sent, with or without this stream.
    fn requested(&mut self, request: &Request<'_>, feeds: &mut OpenFeeds, rings: &mut Rings);
    /// Removes a feed from the readers.
    fn leave(&mut self, feed: usize);
    /// Wakes readers that wait for a newer value in the pool.
    fn wake(&self);
    /// Marks the value as suspect, because a newer message was refused.
    fn refused(&self, received: Nanos);
    /// Returns the feeds that read the stream from the shared ring.
    fn broadcast_readers(&self) -> &[usize];
}

impl<T: Noun> AnyRoute for Route<T> {
    fn requested(&mut self, request: &Request<'_>, feeds: &mut OpenFeeds, rings: &mut Rings) {
        let Some(spec) = request.streams.get(self.publisher.key()) else { return self.end() };
        self.ask(*spec, request);
        self.send_state(feeds, T::place(rings));
    }

    fn leave(&mut self, feed: usize) {
        self.readers.retain(|reader| reader.feed != feed);
        self.broadcast_readers.retain(|reader| *reader != feed);
    }

    fn wake(&self) {
        self.publisher.wake();
    }

    fn refused(&self, received: Nanos) {
        self.publisher.refused(received);
    }

    fn broadcast_readers(&self) -> &[usize] {
        &self.broadcast_readers
    }
}

/// The streams of one scope, which is usually a market.
pub(crate) type Routes = EachNoun<Streams>;

/// Maps each type to its streams. Every message is looked up in the table of scopes, so each scope has one entry with a
/// short list per type: most markets have few streams.
pub(crate) struct Streams;

impl Family for Streams {
    type Of<T: Noun> = Vec<(DataType, Route<T>)>;
}

/// Returns the route of a stream of this type.
#[inline]
pub(crate) fn route<T: Noun>(table: &mut Table, key: StreamKey) -> Option<&mut Route<T>> {
    let (first, others) = T::place(table.get_mut(&key.scope)?).split_first_mut()?;
    let is_match = |(data_type, _): &&mut (DataType, Route<T>)| *data_type == key.data_type;
    // The first entry has its own check, because most markets have one stream of a type.
    let found = if is_match(&first) { first } else { others.iter_mut().find(is_match)? };
    Some(&mut found.1)
}

/// Returns the route of a stream of any type.
pub(crate) fn any_route(table: &mut Table, key: StreamKey) -> Option<&mut dyn AnyRoute> {
    fn any<T: Noun>(route: &mut Route<T>) -> &mut dyn AnyRoute {
        route
    }
    with_noun!(key.data_type.kind(), T => route::<T>(table, key).map(any))
}
