//! The feeds that read from one connection: their writing ends, on its thread.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::feed::{AnyWriter, Broadcaster, Filter, Mark, Update, broadcast};
use crate::model::{AnyNoun, EachNoun, Family, Noun, NounKind, Placed, StreamKey};
use crate::plan::{DemandId, StreamSpec};
use crate::sync::waiters::Waiters;

/// The rings that all readers of a connection share, one for each type that somebody reads that way.
pub(crate) type Rings = EachNoun<SharedRings>;

/// Of each type, a shared ring if there is one.
pub(crate) struct SharedRings;

impl Family for SharedRings {
    type Of<T: Noun> = Option<Broadcaster<T>>;
}

/// A ring of any type, on its way to the thread that writes it.
pub(crate) type AnyRing = AnyNoun<NewRings>;

/// Of each type, a new ring.
pub(crate) struct NewRings;

impl Family for NewRings {
    type Of<T: Noun> = Broadcaster<T>;
}

/// A ring for messages of this type.
pub(crate) fn new_ring(kind: NounKind, capacity: usize) -> AnyRing {
    with_noun!(kind, T => T::into_any(broadcast(capacity)))
}

/// Adds a ring of a type that has none.
pub(crate) fn add<T: Noun>(rings: &mut Rings, ring: Broadcaster<T>) {
    *T::place(rings) = Some(ring);
}

/// A feed's writing end for one connection, and the streams of it that the connection carries.
pub(crate) struct NewFeed {
    pub id: DemandId,
    pub specs: Vec<StreamSpec>,
    pub writer: AnyWriter,
}

/// A feed that somebody reads.
pub(crate) struct OpenFeed {
    pub id: DemandId,
    pub writer: AnyWriter,
    /// The streams that know of it.
    pub keys: BTreeSet<StreamKey>,
    /// The streams that it follows in a shared ring, each with its filter.
    pub broadcast_streams: BTreeMap<StreamKey, Filter>,
    /// The batch in which it was last woken from a shared ring.
    woken_in: u64,
}

/// All of them.
pub(crate) struct OpenFeeds {
    /// A feed keeps its place; an empty one is taken by another.
    places: Vec<Option<OpenFeed>>,
    empty: Vec<usize>,
    by_id: HashMap<DemandId, usize>,
    /// Those with something to flush.
    unflushed: Vec<usize>,
    /// Streams that brought something since the last flush.
    touched: Vec<StreamKey>,
    /// Counts flushes.
    batch: u64,
    /// Readers of the pool and of shared rings that sleep.
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

    /// Adds a feed and returns its place. All that it needs while frames arrive is allocated here.
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

    /// There may be as many streams to flush as this.
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

    /// A stream brought something; `touched_in` is its own note of when it last did.
    #[inline]
    pub fn touch(&mut self, touched_in: &mut u64, key: impl FnOnce() -> StreamKey) {
        if std::mem::replace(touched_in, self.batch) != self.batch {
            self.touched.push(key());
        }
    }

    /// Hands over what was pushed and marked since the last call. Returns the streams whose readers
    /// have to be woken: one fence for the whole batch settles whether any of them sleeps.
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

    /// Wakes a reader of the shared ring, once for each batch.
    pub fn wake(&mut self, place: usize) {
        let batch = self.batch;
        if let Some(open) = self.places[place].as_mut()
            && std::mem::replace(&mut open.woken_in, batch) != batch
        {
            open.writer.wake();
        }
    }

    /// The streams were dealt with; their memory is used again.
    pub fn give_back(&mut self, mut touched: Vec<StreamKey>) {
        touched.clear();
        self.touched = touched;
    }
}
