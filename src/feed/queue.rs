//! A ring that one feed uses, from one connection's thread to the reader. When the ring is full, the newest updates are
//! dropped and counted, and the reader gets a gap in their place.
//!
//! # Synchronization
//!
//! * The ring is rtrb's: single producer, single consumer, Release and Acquire on its own indices.
//! * The writer raises `WriterCounters::dropped` after all pushes that precede the drop (Release in `Count::add`). The
//!   reader loads it before it looks into the ring (Acquire in `Count::get`). If the ring is empty after that load, it
//!   holds no update from before the drop, so the gap comes last.
//! * Each slot has the number of drops before its update, so a gap between two updates needs no slot of the ring.
//! * The reader counts an update as taken before it frees the slot, so the writer never sees more waiting updates than
//!   slots. A thread that loads the counters may see more: it loads the arrivals last, and they include updates that
//!   arrived during its loads.

use std::iter;
use std::sync::Arc;

use rtrb::{Consumer, Producer, RingBuffer};

use super::counters::{FeedCounters, WriterCounters};
use super::epoch_tracker::EpochTracker;
use super::source::Source;
use super::{Item, Payload, Update};
use crate::model::{ConnectionId, Epoch};
use crate::sync::signal::Signal;

struct Slot<T> {
    update: Update<T>,
    // The number of updates dropped before this one.
    dropped_before: u64,
}

/// Returns the memory of a ring of `capacity` updates, in bytes.
pub fn ring_bytes<T>(capacity: usize) -> usize {
    capacity.saturating_mul(size_of::<Slot<T>>())
}

/// Creates both ends of a ring, and adds its memory to the feed's counters.
pub(super) fn queue<T: Payload>(
    capacity: usize,
    counters: &Arc<FeedCounters>,
    writer_counters: Arc<WriterCounters>,
    epochs: EpochTracker,
    room: Option<Arc<Signal>>,
) -> (QueueWriter<T>, Queue<T>) {
    let (mut ring, mut queued) = RingBuffer::new(capacity);
    warm_up(&mut ring, &mut queued);
    counters.add_bytes(ring_bytes::<T>(capacity));
    let writer = QueueWriter { ring, writer_counters: writer_counters.clone(), dropped: 0 };
    (writer, Queue { ring: queued, counters: counters.clone(), writer_counters, reported: 0, epochs, room })
}

/// Touches all of the ring's memory, so that the connection's thread has no page faults there.
fn warm_up<T: Payload>(ring: &mut Producer<Slot<T>>, queued: &mut Consumer<Slot<T>>) {
    let blank = || Slot { update: Update::blank(), dropped_before: 0 };
    while ring.push(blank()).is_ok() {}
    while queued.pop().is_ok() {}
}

/// The writing end of the ring.
pub(super) struct QueueWriter<T> {
    ring: Producer<Slot<T>>,
    writer_counters: Arc<WriterCounters>,
    // The writer's own copy of `WriterCounters::dropped`.
    dropped: u64,
}

impl<T: Payload> QueueWriter<T> {
    /// Appends an update, or counts it as dropped if there is no room. Never waits.
    #[inline]
    pub fn push(&mut self, update: &Update<T>) {
        self.writer_counters.received.add(1);
        let dropped_before = self.dropped;
        let Ok(place) = self.ring.write_chunk_uninit(1) else { return self.drop_newest() };
        // The slot is reserved first, so the update is copied once, directly into the ring.
        place.fill_from_iter(iter::once_with(|| Slot { update: *update, dropped_before }));
    }

    /// Returns true if there is room for an update.
    pub fn has_room(&self) -> bool {
        !self.ring.is_full()
    }

    /// Records the number of waiting updates.
    #[inline]
    pub fn note_depth(&self) {
        self.writer_counters.depth_max.raise((self.ring.buffer().capacity() - self.ring.slots()) as u64);
    }

    /// Drops this number of updates, as if the ring had been full.
    #[cfg(feature = "testing")]
    pub fn lose(&mut self, updates: u64) {
        for _ in 0..updates {
            self.writer_counters.received.add(1);
            self.drop_newest();
        }
    }

    #[cold]
    fn drop_newest(&mut self) {
        self.dropped += 1;
        self.writer_counters.dropped.add(1);
    }
}

/// The reading end of the ring.
pub(super) struct Queue<T> {
    ring: Consumer<Slot<T>>,
    counters: Arc<FeedCounters>,
    writer_counters: Arc<WriterCounters>,
    // The number of drops that were reported to the reader.
    reported: u64,
    epochs: EpochTracker,
    // Wakes a blocking writer when there is room.
    room: Option<Arc<Signal>>,
}

impl<T: Payload> Queue<T> {
    #[cold]
    fn at_the_end(&mut self) -> Option<Item<T>> {
        // Loaded before the ring is checked: all earlier pushes are visible below.
        let (dropped, socket) = (self.writer_counters.dropped.get(), self.epochs.unseen());
        if dropped == self.reported && socket.is_none() {
            return None;
        }
        // An update that arrived meanwhile may precede the drops. Its slot has the number of drops before it, so `pop`
        // finds the right order.
        if !self.ring.is_empty() {
            return self.pop();
        }
        if dropped > self.reported { Some(self.gap(dropped)) } else { self.epochs.advance(socket?) }
    }

    /// Takes the next update. It is copied once, from its slot to the caller.
    #[inline]
    fn take(&mut self) -> Option<Item<T>> {
        let item = self.ring.peek().ok().map(|next| Item::Data(next.update));
        self.counters.reader.delivered.add(1);
        self.counters.reader.taken.add(1);
        if let Ok(slot) = self.ring.read_chunk(1) {
            slot.commit_all();
        }
        if let Some(room) = &self.room {
            room.notify();
        }
        item
    }

    fn gap(&mut self, dropped: u64) -> Item<T> {
        let missed = dropped - self.reported;
        self.reported = dropped;
        Item::Gap { missed }
    }
}

impl<T: Payload> Source<T> for Queue<T> {
    #[inline]
    fn pop(&mut self) -> Option<Item<T>> {
        let Ok(next) = self.ring.peek() else { return self.at_the_end() };
        let (dropped, epoch) = (next.dropped_before, next.update.epoch);
        if dropped > self.reported {
            return Some(self.gap(dropped));
        }
        if let Some(change) = self.epochs.advance(epoch) {
            return Some(change);
        }
        self.take()
    }

    fn is_ready(&mut self) -> bool {
        !self.ring.is_empty() || self.writer_counters.dropped.get() > self.reported || self.epochs.unseen().is_some()
    }

    fn epoch(&self) -> (ConnectionId, Epoch) {
        self.epochs.seen()
    }

    fn begin_at(&mut self, socket: Epoch) {
        self.epochs.begin_at(socket);
    }

    fn len(&self) -> usize {
        self.ring.slots()
    }
}

impl<T> Drop for Queue<T> {
    fn drop(&mut self) {
        if let Some(room) = &self.room {
            room.notify();
        }
    }
}
