//! The writing end of a feed: what one connection's thread does for it.

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
use crate::model::{Clock, Words};
use crate::sync::connection::ConnectionState;
use crate::sync::latest::Reader;
use crate::sync::waiters::Waiters;

/// Unread changes of what a feed reads, above which it is not told of markets that are gone.
const UNREAD_JOINS_MAX: u64 = 64;

/// A writing end of a feed, on a connection's thread. Updates of one writer stay in order.
pub struct FeedWriter<T> {
    pub(super) queue: Option<QueueWriter<T>>,
    /// Conflated streams. All segments but the last are full.
    pub(super) segments: Vec<ConflatedWriter<T>>,
    /// How many conflated streams the segments take.
    pub(super) conflated_capacity: usize,
    /// The types of which there is a source that reads the shared ring.
    pub(super) broadcast_types: Vec<TypeId>,
    pub(super) joins: Sender<Join<T>>,
    pub(super) shared: Arc<Shared>,
    pub(super) writer_counters: Arc<WriterCounters>,
    pub(super) connection: Arc<ConnectionState>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) overflow: Overflow,
    /// Something happened since the last flush that a sleeping reader waits for.
    pub(super) unflushed: bool,
}

/// A stream of a feed that is conflated: what to mark when it changes.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    segment: usize,
    key: usize,
}

impl<T: Payload> FeedWriter<T> {
    /// What becomes of updates that are not read in time.
    pub fn overflow(&self) -> Overflow {
        self.overflow
    }

    /// Appends an update to the feed's own ring, or counts it as dropped if the reader has not kept up. Never blocks and
    /// wakes nobody: call [`flush`](Self::flush) after each batch. True if this is the first thing to flush.
    ///
    /// An update that is kept elsewhere is best lent: then it is copied once.
    #[inline]
    pub fn push(&mut self, update: impl Borrow<Update<T>>) -> bool {
        if let Some(queue) = &mut self.queue {
            queue.push(update.borrow());
        }
        !std::mem::replace(&mut self.unflushed, true)
    }

    /// There is room for an update in the feed's own ring, if it has one.
    pub(super) fn has_room(&self) -> bool {
        self.queue.as_ref().is_none_or(QueueWriter::has_room)
    }

    /// A stream that is conflated has a new newest value. True if this is the first thing to flush.
    #[inline]
    pub fn mark(&mut self, mark: Mark) -> bool {
        self.writer_counters.received.add(1);
        self.segments[mark.segment].marker.mark(mark.key);
        !std::mem::replace(&mut self.unflushed, true)
    }

    /// Counts an update that the reader did not ask for.
    #[inline]
    pub fn filter(&mut self) {
        self.writer_counters.received.add(1);
        self.writer_counters.filtered.add(1);
    }

    /// Wakes the reader if it sleeps and anything happened since the last flush. A fence and a load otherwise.
    #[inline]
    pub fn flush(&mut self) {
        if std::mem::take(&mut self.unflushed) {
            if let Some(queue) = &self.queue {
                queue.note_depth();
            }
            self.shared.signal.notify();
        }
    }

    /// Wakes the reader if it sleeps. After [`Waiters::any`], which has the fence for all of them.
    pub fn wake(&self) {
        self.shared.signal.notify_fenced();
    }

    /// The reader is gone; nothing will be seen any more.
    pub fn is_abandoned(&self) -> bool {
        self.shared.counters.reader_gone.load(Relaxed)
    }

    /// Adds streams that are conflated, given by where their newest values are. Returns a mark for each, in the same order.
    /// The reader gets nothing of a stream before its first mark.
    ///
    /// Each segment is one more source for the reader to look at. The first segment fits the first streams; every later
    /// one is as large as all before it together, so a thousand streams that are added one by one take eleven segments.
    pub fn conflate<U>(&mut self, streams: Vec<Reader<U>>) -> Vec<Mark>
    where
        U: Payload + Into<T>,
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

    /// Adds streams that are read from a shared ring, and their state at this moment.
    pub fn join_broadcast<U>(
        &mut self,
        ring: &Broadcaster<U>,
        waiters: &Arc<Waiters>,
        streams: Vec<JoinedStream>,
        states: Vec<Update<T>>,
    ) where
        U: Payload + Words + Into<T>,
    {
        self.shared.counters.add_streams(streams.iter().filter_map(JoinedStream::begins));
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

    /// The reader has left 64 changes of what it reads unread.
    pub fn is_neglected(&self) -> bool {
        self.shared.joined.get().saturating_sub(self.shared.taken.load(Relaxed)) >= UNREAD_JOINS_MAX
    }

    fn epoch_tracker(&self) -> EpochTracker {
        EpochTracker::new(self.connection.clone())
    }

    fn join(&mut self, join: Join<T>) {
        // A reader that is gone needs nothing.
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
