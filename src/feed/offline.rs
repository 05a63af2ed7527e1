//! Feeds whose writer may wait, for recordings and other sources that can be paused.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::reader::{Feed, Opening, open_with};
use super::{FeedWriter, Overflow, Payload, Update};
use crate::model::{Clock, ConnectionId, Nanos};
use crate::sync::connection::ConnectionState;
use crate::sync::signal::Signal;

/// How often a waiting writer checks for room and for the end of its reader, even if it is not woken.
const CHECK_EVERY: Duration = Duration::from_millis(100);

/// Creates a feed that loses nothing, because its writer waits for room: [`Overflow::Block`]. The ring holds `capacity`
/// updates.
///
/// # Panics
///
/// If the capacity is zero or more than [`Overflow::CAPACITY_MAX`].
pub fn blocking<T: Payload>(capacity: usize, clock: Arc<dyn Clock>) -> (BlockingWriter<T>, Feed<T>) {
    let room = Arc::<Signal>::default();
    let opening = Opening {
        overflow: Overflow::DropNewest { capacity },
        data_types: &[crate::model::DataType::Trade],
        connections: &[Arc::new(ConnectionState::new(ConnectionId(0), Nanos(0)))],
        clock,
        signal: Arc::default(),
    };
    let (mut writers, feed) = open_with(opening, Some(room.clone()));
    (BlockingWriter { writer: writers.remove(0), room }, feed)
}

/// The writing end of a feed that loses nothing. Created by [`blocking`].
pub struct BlockingWriter<T: Payload> {
    writer: FeedWriter<T>,
    room: Arc<Signal>,
}

/// The error of [`BlockingWriter::push`]: the reader is gone. Contains the update that was not delivered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Abandoned<T>(pub Update<T>);

impl<T: Payload> fmt::Debug for BlockingWriter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingWriter").field("abandoned", &self.writer.is_abandoned()).finish_non_exhaustive()
    }
}

impl<T: Payload> BlockingWriter<T> {
    /// Appends an update and wakes the reader. Waits while the ring is full.
    ///
    /// # Errors
    ///
    /// Returns the update in [`Abandoned`] if the reader is gone.
    pub fn push(&mut self, update: Update<T>) -> Result<(), Abandoned<T>> {
        let writer = &self.writer;
        while !writer.has_room() && !writer.is_abandoned() {
            self.room.wait_until(CHECK_EVERY, || writer.has_room() || writer.is_abandoned());
        }
        if self.writer.is_abandoned() {
            return Err(Abandoned(update));
        }
        self.writer.push(update);
        self.writer.flush();
        Ok(())
    }
}
