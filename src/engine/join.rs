//! A feed begins to read streams: each gets its place among the stream's readers, and the state of what runs already,
//! because the exchange is not asked for that again. Between two batches of frames, so nothing lies between the state
//! and the updates after it, and nothing comes twice.

use std::sync::Arc;

use super::open_feeds::{AnyFeed, OpenFeeds, Rings, Routed};
use super::route::{AnyRoute, Keep, Reader, Route};
use super::router::Table;
use crate::feed::{FeedWriter, Filter, Followed, Mark, Overflow, Payload, Update};
use crate::model::{Event, Receipt, StreamKey};
use crate::plan::{Mode, Want};
use crate::sync::latest::{self, Writer};
use crate::sync::sleepers::Sleepers;

/// A feed reads those streams of `wants` that are of this type.
pub(super) fn join<T: Routed>(
    table: &mut Table,
    feeds: &mut OpenFeeds,
    rings: &mut Rings,
    place: usize,
    wants: &[Want],
) {
    let sleepers = feeds.sleepers.clone();
    let Some(open) = feeds.get(place) else { return };
    let overflow = open.writer.overflow();
    let mut joining = Joining::<T> { place, ..Joining::default() };
    for want in wants.iter().filter(|want| T::comes_as(want.key.data_type)) {
        let Some(route) = route::<T>(table, want.key) else { continue };
        let is_known = !open.keys.insert(want.key);
        // A market may be listed again, or be wanted in another way: it starts anew, with a snapshot. But a reader of
        // the shared ring still has its place there, and will see what came before.
        let follows = is_known && route.followers().contains(&place);
        let was_paused = open.paused.remove(&want.key);
        let before = is_known.then(|| route.take_reader(place)).flatten();
        if is_known {
            route.leave(place);
        }
        let filter = filter(want.mode);
        match overflow.of(want.key.data_type) {
            Overflow::DropNewest { .. } => joining.queue(route, filter),
            // One value for each socket: the ring is for those who read all that comes.
            Overflow::DropOldest if !filter.is_of_snapshots() => {
                joining.follow(route, filter, rings, follows, was_paused);
            }
            _ => joining.conflate(route, want.key, filter, before.map(|reader| reader.keep)),
        }
    }
    let queued = std::mem::take(&mut joining.queued);
    let changed = match &mut open.writer {
        AnyFeed::Event(writer) => joining.finish::<Event>(table, writer, rings, &sleepers),
        typed => T::typed(typed).map(|writer| joining.finish::<T>(table, writer, rings, &sleepers)).unwrap_or_default(),
    };
    changed.into_iter().for_each(|mark| feeds.mark(place, mark));
    queued.iter().for_each(|state| feeds.push(place, state));
}

/// A feed does not want those of `keys` any more that are of this type. It keeps what it has for them, because it may want
/// them again. What it has not read of them by now may still be delivered; in a shared ring it is passed over.
pub(super) fn pause<T: Routed>(
    table: &mut Table,
    feeds: &mut OpenFeeds,
    rings: &mut Rings,
    place: usize,
    keys: &[StreamKey],
) {
    let sleepers = feeds.sleepers.clone();
    let Some(open) = feeds.get(place) else { return };
    let mut joining = Joining::<T> { place, ..Joining::default() };
    for key in keys.iter().filter(|key| T::comes_as(key.data_type) && open.keys.contains(key)) {
        let Some(route) = route::<T>(table, *key) else { continue };
        open.paused.insert(*key);
        if route.followers().contains(&place) {
            route.leave(place);
            joining.follow(route, Filter::nothing(), rings, true, false);
        }
        route.pause_reader(place);
    }
    match &mut open.writer {
        AnyFeed::Event(writer) => drop(joining.finish::<Event>(table, writer, rings, &sleepers)),
        typed => drop(T::typed(typed).map(|writer| joining.finish::<T>(table, writer, rings, &sleepers))),
    }
}

fn filter(mode: Mode) -> Filter {
    Filter::new(mode != Mode::RealtimeOnly, mode != Mode::SnapshotOnly)
}

fn route<T: Routed>(table: &mut Table, key: StreamKey) -> Option<&mut Route<T>> {
    table.get_mut(&key.market).and_then(|routes| T::route(routes, key.data_type))
}

/// What was found out about the streams of one type that a feed begins to read.
struct Joining<T> {
    place: usize,
    /// The state of streams that are kept in the feed's own ring.
    queued: Vec<Update<T>>,
    conflated: Vec<Conflating<T>>,
    /// Streams of which the newest value is kept as before, and there is one.
    changed: Vec<Mark>,
    followed: Vec<Followed>,
    /// The state of streams that are read from the shared ring.
    states: Vec<Update<T>>,
}

/// A stream of which the newest value is kept.
struct Conflating<T> {
    key: StreamKey,
    filter: Filter,
    /// Where it is kept, if not in the pool.
    own: Option<Writer<T>>,
    newest: latest::Reader<T>,
    /// The version that the reader need not see.
    known: u64,
    state: Option<Update<T>>,
}

impl<T> Default for Joining<T> {
    fn default() -> Self {
        Self {
            place: 0,
            queued: Vec::new(),
            conflated: Vec::new(),
            changed: Vec::new(),
            followed: Vec::new(),
            states: Vec::new(),
        }
    }
}

impl<T: Routed> Joining<T> {
    fn queue(&mut self, route: &mut Route<T>, mut filter: Filter) {
        self.queued.extend(state(route, &mut filter));
        route.add_reader(Reader { feed: self.place, filter, keep: Keep::Queue });
    }

    /// `again`: it did so before; `was_paused`: but was not given anything meanwhile.
    fn follow(&mut self, route: &mut Route<T>, mut filter: Filter, rings: &mut Rings, again: bool, was_paused: bool) {
        if !again || was_paused {
            self.states.extend(state(route, &mut filter));
        }
        if let Some(ring) = T::ring(rings) {
            self.followed.push(route.add_follower(self.place, filter, ring, again));
        }
    }

    /// Who wants all that comes reads the pool's values; who does not must not see the others.
    fn conflate(&mut self, route: &mut Route<T>, key: StreamKey, mut filter: Filter, before: Option<Keep<T>>) {
        let state = state(route, &mut filter);
        // What there is already serves again, so that a market may come and go for ever.
        match before {
            Some(Keep::Newest(mark)) if filter.is_of_all() => {
                route.add_reader(Reader { feed: self.place, filter, keep: Keep::Newest(mark) });
                return self.changed.extend(state.map(|_| mark));
            }
            Some(Keep::NewestOwn(mark, mut own)) if !filter.is_of_all() => {
                self.changed.extend(state.map(|state| {
                    put(&mut own, &state);
                    mark
                }));
                return route.add_reader(Reader { feed: self.place, filter, keep: Keep::NewestOwn(mark, own) });
            }
            _ => {}
        }
        let publisher = route.publisher();
        let conflating = if filter.is_of_all() {
            let known = if state.is_some() { 0 } else { publisher.version() };
            Conflating { key, filter, own: None, newest: publisher.newest(), known, state }
        } else {
            let (own, newest) = latest::cell();
            Conflating { key, filter, own: Some(own), newest, known: 0, state }
        };
        self.conflated.push(conflating);
    }

    /// Gives the feed its new sources; gives what of them has changed already.
    fn finish<U: Payload>(
        self,
        table: &mut Table,
        writer: &mut FeedWriter<U>,
        rings: &mut Rings,
        sleepers: &Arc<Sleepers>,
    ) -> Vec<Mark>
    where
        T: Into<U>,
    {
        if !self.followed.is_empty()
            && let Some(ring) = T::ring(rings)
        {
            let states = self.states.into_iter().map(|state| state.map(Into::into)).collect();
            writer.follow(ring, sleepers, self.followed, states);
        }
        let mut changed = self.changed;
        if self.conflated.is_empty() {
            return changed;
        }
        let newest = self.conflated.iter().map(|stream| (stream.newest.clone(), stream.known)).collect();
        let marks = writer.conflate(newest);
        let streams = self.conflated.into_iter().zip(marks);
        changed.extend(streams.filter_map(|(stream, mark)| stream.begin(self.place, mark, table)));
        changed
    }
}

impl<T: Routed> Conflating<T> {
    /// Gives the mark back if there is a state to be read.
    fn begin(self, feed: usize, mark: Mark, table: &mut Table) -> Option<Mark> {
        let Self { key, filter, own, state, .. } = self;
        let keep = match own {
            None => Keep::Newest(mark),
            Some(mut own) => {
                if let Some(state) = &state {
                    put(&mut own, state);
                }
                Keep::NewestOwn(mark, own)
            }
        };
        route::<T>(table, key)?.add_reader(Reader { feed, filter, keep });
        state.map(|_| mark)
    }
}

/// Makes the state the newest value.
fn put<T: Copy>(own: &mut Writer<T>, state: &Update<T>) {
    let Update { value, stamps, connection, epoch, .. } = state;
    let receipt = Receipt { connection: *connection, epoch: *epoch, received: stamps.received };
    own.publish(value, stamps.exchange_ms, &receipt, stamps.published);
}

/// The state of a stream that runs, for who wants it.
fn state<T: Routed>(route: &Route<T>, filter: &mut Filter) -> Option<Update<T>> {
    let state = filter.wants_state().then(|| route.state()).flatten()?;
    filter.had_snapshot(state.epoch);
    Some(state)
}
