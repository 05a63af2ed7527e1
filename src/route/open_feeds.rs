//! The writing ends of the feeds that read from one connection, on the connection's thread.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::feed::{AnyWriter, Broadcaster, Filter, Mark, Update, broadcast};
use crate::model::{AnyNoun, EachNoun, Family, Noun, NounKind, Placed, StreamKey};
use crate::plan::{DemandId, StreamSpec};
use crate::sync::waiters::Waiters;

/// The rings that the readers of a connection share, at most one per message type.
pub(crate) type Rings = EachNoun<SharedRings>;

/// Maps each type to its shared ring, if there is one.
pub(crate) struct SharedRings;

impl Family for SharedRings {
    type Of<T: Noun> = Option<Broadcaster<T>>;
}

/// A ring of any type, to be sent to the thread that writes it.
pub(crate) type AnyRing = AnyNoun<NewRings>;

/// Maps each type to a new ring.
pub(crate) struct NewRings;

impl Family for NewRings {
    type Of<T: Noun> = Broadcaster<T>;
}

/// Creates a ring for messages of this type.
pub(crate) fn new_ring(kind: NounKind, capacity: usize) -> AnyRing {
    with_noun!(kind, T => T::into_any(broadcast(capacity)))
}

/// Adds the ring of a type that has none yet.
pub(crate) fn add<T: Noun>(rings: &mut Rings, ring: Broadcaster<T>) {
    *T::place(rings) = Some(ring);
}

/// A feed's writing end for one connection, and the streams that the connection carries for it.
pub(crate) struct NewFeed {
    pub id: DemandId,
    pub specs: Vec<StreamSpec>,
    pub writer: AnyWriter,
}

/// A feed that has a reader.
pub(crate) struct OpenFeed {
    pub id: DemandId,
    pub writer: AnyWriter,
    /// The streams that have this feed among their readers.
    pub keys: BTreeSet<StreamKey>,
    /// The streams that the feed follows in a shared ring, each with its filter.
    pub broadcast_streams: BTreeMap<StreamKey, Filter>,
    /// The batch in which the feed's reader was last woken from a shared ring.
    woken_in: u64,
}

/// The open feeds of a connection.
pub(crate) struct OpenFeeds {
    /// The feeds by place. A feed keeps its place, and an empty place is reused for a later feed.
    places: Vec<Option<OpenFeed>>,
    empty: Vec<usize>,
    by_id: HashMap<DemandId, usize>,
    /// Feeds with something to flush.
    unflushed: Vec<usize>,
    /// Streams with updates since the last flush.
    touched: Vec<StreamKey>,
    /// The number of the current batch: one more after each flush.
    batch: u64,
    /// Counts sleeping readers of the pool and of shared rings.
    pub waiters: Arc<Waiters>,
}

impl OpenFeeds {
    pub fn new(waiters: Arc<Waiters>) -> Self {
        Self {
            places: Vec::new(),
            empty: Vec::new(),
            by_id: HashMap::new(),
            unflushed: Vec::new(),
            touched: Vec::new(),
            batch: 1,
            waiters,
        }
    }

    /// Adds a feed and returns its place. Allocates everything that the feed will need, so that no later delivery
    /// allocates.
    pub fn add(&mut self, id: DemandId, writer: AnyWriter) -> usize {
        let place = self.empty.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.places[place] =
            Some(OpenFeed { id, writer, keys: BTreeSet::new(), broadcast_streams: BTreeMap::new(), woken_in: 0 });
        self.by_id.insert(id, place);
        self.unflushed.reserve(self.places.len().saturating_sub(self.unflushed.len()));
        place
    }

    pub fn place(&self, id: DemandId) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    pub fn get(&mut self, place: usize) -> Option<&mut OpenFeed> {
        self.places.get_mut(place)?.as_mut()
    }

    pub fn remove(&mut self, place: usize) -> Option<OpenFeed> {
        let feed = self.places.get_mut(place)?.take()?;
        self.by_id.remove(&feed.id);
        self.empty.push(place);
        Some(feed)
    }

    /// Makes each feed with its own ring lose updates.
    #[cfg(feature = "testing")]
    pub fn lose(&mut self, updates: u64) {
        self.places.iter_mut().flatten().for_each(|open| open.writer.lose(updates));
    }

    /// Reserves room for this number of streams to flush.
    pub fn reserve_touched(&mut self, streams: usize) {
        self.touched.reserve(streams.saturating_sub(self.touched.len()));
    }

    #[inline]
    pub fn push<T: Noun>(&mut self, place: usize, update: &Update<T>) {
        let Some(open) = self.places[place].as_mut() else { return };
        let is_first = match &mut open.writer {
            AnyWriter::Event(writer) => writer.push(update.map(Into::into)),
            typed => typed.typed::<T>().is_some_and(|writer| writer.push(update)),
        };
        if is_first {
            self.unflushed.push(place);
        }
    }

    #[inline]
    pub fn mark(&mut self, place: usize, mark: Mark) {
        let Some(open) = self.places[place].as_mut() else { return };
        if open.writer.mark(mark) {
            self.unflushed.push(place);
        }
    }

    #[inline]
    pub fn filter(&mut self, place: usize) {
        if let Some(open) = self.places[place].as_mut() {
            open.writer.filter();
        }
    }

    /// Notes that a stream has an update. `touched_in` is the stream's record of the batch in which it last had one.
    #[inline]
    pub fn touch(&mut self, touched_in: &mut u64, key: impl FnOnce() -> StreamKey) {
        if std::mem::replace(touched_in, self.batch) != self.batch {
            self.touched.push(key());
        }
    }

    /// Hands over everything that was pushed and marked since the last call. Returns the streams whose readers must be
    /// woken. One fence for the whole batch decides whether any reader sleeps.
    #[inline]
    pub fn flush(&mut self) -> Option<Vec<StreamKey>> {
        for place in self.unflushed.drain(..) {
            if let Some(open) = self.places[place].as_mut() {
                open.writer.flush();
            }
        }
        if self.touched.is_empty() {
            return None;
        }
        self.batch += 1;
        if self.waiters.any() {
            return Some(std::mem::take(&mut self.touched));
        }
        self.touched.clear();
        None
    }

    /// Wakes a reader of the shared ring, at most once per batch.
    pub fn wake(&mut self, place: usize) {
        let batch = self.batch;
        if let Some(open) = self.places[place].as_mut()
            && std::mem::replace(&mut open.woken_in, batch) != batch
        {
            open.writer.wake();
        }
    }

    /// Takes the list of streams back after use, to reuse its memory.
    pub fn reuse_touched(&mut self, mut touched: Vec<StreamKey>) {
        touched.clear();
        self.touched = touched;
    }
}
