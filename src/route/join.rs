//! Adds feeds to the readers of their streams, and pauses them.
//!
//! If a stream already runs, the feed receives its newest value, because the exchange is not asked for another
//! snapshot. A feed joins between two batches of frames, so no update is lost between that value and the next one, and
//! none is delivered twice. If a stream does not run yet, the feed begins with the snapshot that the exchange is asked
//! for.

use std::sync::Arc;

use super::open_feeds::{OpenFeeds, Rings};
use super::route::{AnyRoute, Keep, Reader, Route, put, route};
use super::router::Table;
use crate::feed::{AnyWriter, FeedWriter, Filter, JoinedStream, Mark, Overflow, Payload, Update};
use crate::model::{Event, Noun, StreamKey, Words};
use crate::plan::{Mode, StreamSpec};
use crate::sync::latest::{self, Writer};
use crate::sync::waiters::Waiters;

/// Adds the feed at `place` to the readers of those `specs` whose messages have this type.
pub(crate) fn join<T: Noun>(
    table: &mut Table,
    feeds: &mut OpenFeeds,
    rings: &mut Rings,
    place: usize,
    specs: &[StreamSpec],
) {
    let waiters = feeds.waiters.clone();
    let Some(open) = feeds.get(place) else { return };
    let overflow = open.writer.overflow();
    let mut joining = Joining::<T> { place, ..Joining::default() };
    for spec in specs.iter().filter(|spec| spec.key.data_type.kind() == T::KIND) {
        let Some(route) = route::<T>(table, spec.key) else { continue };
        let is_known = !open.keys.insert(spec.key);
        // The market was listed again, or the mode changed: the stream starts again, with a snapshot.
        let before = is_known.then(|| route.take_reader(place)).flatten();
        if is_known {
            route.leave(place);
        }
        let filter = filter(spec.mode);
        match overflow.of(spec.key.data_type) {
            Overflow::DropNewest { .. } => joining.queue(route, spec, filter),
            // The ring is for feeds that read everything. A feed that only wants snapshots gets one value per socket
            // and does not need it. But a feed that already follows the stream in the ring continues to do so, even if
            // its mode changes.
            Overflow::DropOldest if !filter.is_of_snapshots() || open.broadcast_streams.contains_key(&spec.key) => {
                let before = open.broadcast_streams.insert(spec.key, filter);
                joining.join_broadcast(route, spec, filter, rings, before);
            }
            _ => joining.conflate(route, spec, filter, before),
        }
    }
    let queued = std::mem::take(&mut joining.queued);
    let changed = match &mut open.writer {
        AnyWriter::Event(writer) => joining.finish::<Event>(table, writer, rings, &waiters),
        typed => {
            typed.typed::<T>().map(|writer| joining.finish::<T>(table, writer, rings, &waiters)).unwrap_or_default()
        }
    };
    changed.into_iter().for_each(|mark| feeds.mark(place, mark));
    queued.iter().for_each(|state| feeds.push(place, state));
}

/// Stops delivery to the feed at `place` of those `keys` whose messages have this type. The feed keeps its places for
/// them, because it may want them again. Unread updates may still be delivered, except in a shared ring, whose reader
/// skips them.
pub(crate) fn pause<T: Noun>(
    table: &mut Table,
    feeds: &mut OpenFeeds,
    rings: &mut Rings,
    place: usize,
    keys: &[StreamKey],
) {
    let waiters = feeds.waiters.clone();
    let Some(open) = feeds.get(place) else { return };
    let mut joining = Joining::<T> { place, ..Joining::default() };
    for key in keys.iter().filter(|key| key.data_type.kind() == T::KIND && open.keys.contains(key)) {
        let Some(route) = route::<T>(table, *key) else { continue };
        route.pause_reader(place);
        // Each change of the streams that a feed follows in a shared ring is queued for the feed's reader. If the feed
        // is not read, every new list of markets would queue more changes. So a neglected feed continues to follow the
        // stream.
        if let Some(filter) = open.broadcast_streams.get_mut(key)
            && !open.writer.is_neglected()
            && let Some(ring) = T::place(rings)
        {
            *filter = Filter::nothing();
            joining.joined.push(route.pause_broadcast_reader(place, ring));
        }
    }
    match &mut open.writer {
        AnyWriter::Event(writer) => drop(joining.finish::<Event>(table, writer, rings, &waiters)),
        typed => drop(typed.typed::<T>().map(|writer| joining.finish::<T>(table, writer, rings, &waiters))),
    }
}

fn filter(mode: Mode) -> Filter {
    Filter::new(mode != Mode::RealtimeOnly, mode != Mode::SnapshotOnly)
}

/// The streams of one type that a feed begins to read, sorted by how the feed keeps them.
struct Joining<T> {
    place: usize,
    /// The state of streams that the feed keeps in a ring of its own.
    queued: Vec<Update<T>>,
    conflated: Vec<Conflating<T>>,
    /// Streams that continue to be conflated and have a value to read.
    changed: Vec<Mark>,
    joined: Vec<JoinedStream>,
    /// The state of streams that the feed reads from the shared ring.
    states: Vec<Update<T>>,
}

/// A stream of which the feed keeps only the newest value.
struct Conflating<T> {
    key: StreamKey,
    filter: Filter,
    /// Holds the newest value, unless the feed reads it from the pool.
    own: Option<Writer<T>>,
    newest: latest::Reader<T>,
    spare: Option<Box<Keep<T>>>,
    state: Option<Update<T>>,
}

impl<T> Default for Joining<T> {
    fn default() -> Self {
        Self {
            place: 0,
            queued: Vec::new(),
            conflated: Vec::new(),
            changed: Vec::new(),
            joined: Vec::new(),
            states: Vec::new(),
        }
    }
}

impl<T: Noun> Joining<T> {
    fn queue(&mut self, route: &mut Route<T>, spec: &StreamSpec, mut filter: Filter) {
        self.queued.extend(state(route, spec, &mut filter));
        route.add_reader(Reader { feed: self.place, filter, keep: Keep::Queue, spare: None });
    }

    /// `before` is the filter with which the feed followed the stream earlier, if it did. The reader of such a feed
    /// still knows the stream and is only notified if the filter changes.
    fn join_broadcast(
        &mut self,
        route: &mut Route<T>,
        spec: &StreamSpec,
        mut filter: Filter,
        rings: &mut Rings,
        before: Option<Filter>,
    ) {
        if before.is_some_and(|before| before.wants_the_same_as(&filter)) {
            return route.resume_broadcast_reader(self.place);
        }
        if let Some(ring) = T::place(rings) {
            self.states.extend(state(route, spec, &mut filter));
            self.joined.push(route.add_broadcast_reader(self.place, filter, ring, before.is_some()));
        }
    }

    /// A feed that wants every message reads the values of the pool. Any other feed keeps its own, because the pool
    /// also holds messages that the feed did not ask for.
    fn conflate(&mut self, route: &mut Route<T>, spec: &StreamSpec, mut filter: Filter, before: Option<Reader<T>>) {
        let state = state(route, spec, &mut filter);
        // Each `Keep` is reused, so that a feed does not grow while a market is listed and delisted repeatedly.
        let fits = |keep: &Keep<T>| matches!(keep, Keep::Newest(_)) == filter.is_of_all();
        let (kept, spare) = match before {
            Some(Reader { keep, spare, .. }) if fits(&keep) => (Some(keep), spare),
            Some(Reader { keep, spare, .. }) => (spare.map(|spare| *spare), Some(Box::new(keep))),
            None => (None, None),
        };
        if let Some(mut keep) = kept {
            if let Some(state) = &state {
                self.changed.extend(keep.put(state));
            }
            return route.add_reader(Reader { feed: self.place, filter, keep, spare });
        }
        let (own, newest) = if filter.is_of_all() {
            (None, route.publisher().newest())
        } else {
            let (own, newest) = latest::cell();
            (Some(own), newest)
        };
        self.conflated.push(Conflating { key: spec.key, filter, own, newest, spare, state });
    }

    /// Adds the new sources to the feed. Returns the marks of streams that already have a value to read.
    fn finish<U: Payload>(
        self,
        table: &mut Table,
        writer: &mut FeedWriter<U>,
        rings: &mut Rings,
        waiters: &Arc<Waiters>,
    ) -> Vec<Mark>
    where
        T: Into<U>,
    {
        if !self.joined.is_empty()
            && let Some(ring) = T::place(rings)
        {
            let states = self.states.into_iter().map(|state| state.map(Into::into)).collect();
            writer.join_broadcast(ring, waiters, self.joined, states);
        }
        let mut changed = self.changed;
        if self.conflated.is_empty() {
            return changed;
        }
        let newest = self.conflated.iter().map(|stream| stream.newest.clone()).collect();
        let marks = writer.conflate(newest);
        let streams = self.conflated.into_iter().zip(marks);
        changed.extend(streams.filter_map(|(stream, mark)| stream.begin(self.place, mark, table)));
        changed
    }
}

impl<T: Noun> Conflating<T> {
    /// Adds the feed to the readers of the stream. Returns its mark if there is a state to read.
    fn begin(self, feed: usize, mark: Mark, table: &mut Table) -> Option<Mark> {
        let Self { key, filter, own, spare, state, .. } = self;
        let mut keep = own.map_or(Keep::Newest(mark), |own| Keep::NewestOwn(mark, own));
        let changed = state.and_then(|state| keep.put(&state));
        route::<T>(table, key)?.add_reader(Reader { feed, filter, keep, spare });
        changed
    }
}

impl<T: Words> Keep<T> {
    /// Stores the state, unless the pool holds it already. Returns the mark to set.
    fn put(&mut self, state: &Update<T>) -> Option<Mark> {
        match self {
            Self::Queue => None,
            Self::Newest(mark) => Some(*mark),
            Self::NewestOwn(mark, own) => {
                put(own, state);
                Some(*mark)
            }
        }
    }
}

/// Returns the state of a running stream, if the filter waits for it.
fn state<T: Noun>(route: &Route<T>, spec: &StreamSpec, filter: &mut Filter) -> Option<Update<T>> {
    let state = filter.awaits().then(|| route.state(spec)).flatten()?;
    filter.had_state();
    Some(state)
}
