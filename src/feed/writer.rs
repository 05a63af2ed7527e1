//! The writing end of a feed, on one connection's thread.

use std::any::TypeId;
use std::borrow::Borrow;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Sender;

use super::broadcast::{Broadcaster, JoinedStream};
use super::conflate::{Conflated, ConflatedWriter, segment};
use super::counters::WriterCounters;
use super::epoch_tracker::EpochTracker;
use super::queue::QueueWriter;
use super::reader::{Join, Shared};
use super::{Overflow, Payload, Update};
use crate::model::{Clock, FromWords, Words};
use crate::sync::connection::ConnectionState;
use crate::sync::latest::Reader;
use crate::sync::waiters::Waiters;

/// A feed with this many unread joins counts as neglected. Its streams of removed markets are then not paused, because
/// each pause is another join.
const UNREAD_JOINS_MAX: u64 = 64;

/// A writing end of a feed, on one connection's thread. Updates of one writer stay in order.
pub struct FeedWriter<T> {
    pub(super) queue: Option<QueueWriter<T>>,
    /// Conflated streams. All segments but the last are full.
    pub(super) segments: Vec<ConflatedWriter<T>>,
    /// The number of streams that the segments can hold.
    pub(super) conflated_capacity: usize,
    /// The types that have a source reading the shared ring.
    pub(super) broadcast_types: Vec<TypeId>,
    pub(super) joins: Sender<Join<T>>,
    pub(super) shared: Arc<Shared>,
    pub(super) writer_counters: Arc<WriterCounters>,
    pub(super) connection: Arc<ConnectionState>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) overflow: Overflow,
    /// The writer added something since the last flush, which a sleeping reader may wait for.
    pub(super) unflushed: bool,
}

/// Identifies a conflated stream of a feed, to mark it when it changes.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    segment: usize,
    key: usize,
}

impl<T: Payload> FeedWriter<T> {
    /// Returns the policy for updates that are not read in time.
    pub fn overflow(&self) -> Overflow {
        self.overflow
    }

    /// Appends an update to the feed's own ring, or counts it as dropped if the ring is full. Never blocks, and does
    /// not wake the reader: call [`flush`](Self::flush) after each batch. Returns true for the first push or mark after
    /// a flush.
    ///
    /// Pass a reference if the update is stored elsewhere: then it is copied only once.
    #[inline]
    pub fn push(&mut self, update: impl Borrow<Update<T>>) -> bool {
        if let Some(queue) = &mut self.queue {
            queue.push(update.borrow());
        }
        !std::mem::replace(&mut self.unflushed, true)
    }

    /// Returns true if the feed's own ring has room for an update, or if the feed has no own ring.
    pub(super) fn has_room(&self) -> bool {
        self.queue.as_ref().is_none_or(QueueWriter::has_room)
    }

    /// Marks a conflated stream whose cell has a new value. Returns true for the first push or mark after a flush.
    #[inline]
    pub fn mark(&mut self, mark: Mark) -> bool {
        self.writer_counters.received.add(1);
        self.segments[mark.segment].marker.mark(mark.key);
        !std::mem::replace(&mut self.unflushed, true)
    }

    /// Makes a feed with its own ring lose updates.
    #[cfg(feature = "testing")]
    pub fn lose(&mut self, updates: u64) {
        if let Some(queue) = &mut self.queue {
            queue.lose(updates);
            self.shared.signal.notify();
        }
    }

    /// Counts an update that the reader does not want.
    #[inline]
    pub fn filter(&mut self) {
        self.writer_counters.received.add(1);
        self.writer_counters.filtered.add(1);
    }

    /// Wakes the reader if it sleeps, and if the writer added something since the last flush. Costs a fence and a load
    /// if the reader is awake.
    #[inline]
    pub fn flush(&mut self) {
        if std::mem::take(&mut self.unflushed) {
            if let Some(queue) = &self.queue {
                queue.note_depth();
            }
            self.shared.signal.notify();
        }
    }

    /// Wakes the reader if it sleeps. Call it after [`Waiters::any`], whose one fence is enough for all readers.
    pub fn wake(&self) {
        self.shared.signal.notify_fenced();
    }

    /// Returns true if the reader is gone.
    pub fn is_abandoned(&self) -> bool {
        self.shared.counters.reader_gone.load(Relaxed)
    }

    /// Adds conflated streams, each given as a reader of its cell. Returns a mark for each stream, in the same order.
    /// The feed's reader gets no value of a stream before the stream is marked for the first time.
    ///
    /// The streams are kept in segments, because a set of changed keys has a fixed size. Each segment is one more
    /// source for the reader to check. The first segment is as large as the first call needs. Every later segment is at
    /// least as large as all earlier ones together, so a thousand streams that are added one by one take eleven
    /// segments.
    pub fn conflate<U>(&mut self, streams: Vec<Reader<U>>) -> Vec<Mark>
    where
        U: FromWords + Into<T> + 'static,
    {
        let count = streams.len();
        let mut add = |(added, newest): (usize, Reader<U>)| {
            if !self.segments.last().is_some_and(ConflatedWriter::has_room) {
                self.add_segment((count - added).max(self.conflated_capacity));
            }
            let segment = self.segments.len() - 1;
            Mark { segment, key: self.segments[segment].add(newest) }
        };
        streams.into_iter().enumerate().map(&mut add).collect()
    }

    fn add_segment(&mut self, streams: usize) {
        let (writer, reader) = segment(streams);
        self.segments.push(writer);
        self.conflated_capacity += streams;
        let mut source = Conflated::new(reader, self.shared.counters.clone(), self.epoch_tracker());
        if let Overflow::Throttle(interval) = self.overflow {
            source = source.throttled(interval, self.clock.clone());
        }
        self.join(Join::Source(Box::new(source)));
    }

    /// Adds streams that are read from a shared ring, and their current states.
    pub fn join_broadcast<U>(
        &mut self,
        ring: &Broadcaster<U>,
        waiters: &Arc<Waiters>,
        streams: Vec<JoinedStream>,
        states: Vec<Update<T>>,
    ) where
        U: Payload + Words + Into<T>,
    {
        self.shared.counters.add_streams(streams.iter().filter_map(JoinedStream::start));
        self.writer_counters.received.add(states.len() as u64);
        let (connection, carries) = (self.connection.id(), TypeId::of::<U>());
        let mut joining = ring.joining(streams, states);
        if self.broadcast_types.contains(&carries) {
            return self.join(Join::Streams { connection, carries, joining });
        }
        self.broadcast_types.push(carries);
        let (counters, epochs) = (self.shared.counters.clone(), self.epoch_tracker());
        let mut reader = ring.reader(connection, counters, epochs, waiters.clone());
        reader.join(&mut joining);
        self.join(Join::Source(Box::new(reader)));
    }

    /// Returns true if the reader has left 64 or more joins unread.
    pub fn is_neglected(&self) -> bool {
        self.shared.joined.get().saturating_sub(self.shared.taken.load(Relaxed)) >= UNREAD_JOINS_MAX
    }

    fn epoch_tracker(&self) -> EpochTracker {
        EpochTracker::new(self.connection.clone())
    }

    fn join(&mut self, join: Join<T>) {
        // Fails only if the reader is gone.
        let _ = self.joins.send(join);
        self.shared.joined.add_one();
        self.shared.signal.notify();
    }
}

impl<T> Drop for FeedWriter<T> {
    fn drop(&mut self) {
        self.shared.writers.take_one();
        self.shared.signal.notify();
    }
}
