//! The last items of a feed, kept by its reader.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;

use super::{Feed, Item, Payload};
use crate::model::Nanos;

/// The last items of a feed, in order, with its gaps and changes of sockets in their places. The feed's reader keeps it,
/// so a history costs the connection's thread nothing beyond the feed, and continues over lost connections. Of what the
/// feed's policy does not keep, the history has nothing either: record trades from a feed that
/// [drops the newest](super::Overflow::DropNewest), and each stream from a feed of its own.
///
/// ```no_run
/// # use hoga::{History, prelude::*};
/// # fn record(engine: &Engine) -> hoga::Result<()> {
/// let mut feed = engine.feed(trade("KRW-BTC"), Overflow::DROP_NEWEST)?;
/// let mut history = History::new(1000);
/// # let is_done = || true;
/// while !is_done() {
///     feed.wait(std::time::Duration::from_millis(100))?;
///     history.record(&mut feed);
///     let of_last_ten: f64 = history.last(10).filter_map(|item| item.data()?.value.trade_volume.get()).sum();
///     println!("{of_last_ten} in {} bytes", history.bytes());
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct History<T> {
    items: VecDeque<Item<T>>,
    capacity: usize,
    forgotten: u64,
}

impl<T: Payload> History<T> {
    /// Creates a history of at most `capacity` items, and allocates all of its memory. A capacity of 0 counts as 1.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self { items: VecDeque::with_capacity(capacity), capacity, forgotten: 0 }
    }

    /// Moves everything that waits in the feed into the history. Never waits. Returns the number of items.
    pub fn record(&mut self, feed: &mut Feed<T>) -> usize {
        let mut recorded = 0;
        while let Some(item) = feed.pop() {
            self.push(item);
            recorded += 1;
        }
        recorded
    }

    /// Appends one item, and forgets the oldest if there is no room.
    pub fn push(&mut self, item: Item<T>) {
        if self.items.len() == self.capacity {
            self.items.pop_front();
            self.forgotten += 1;
        }
        self.items.push_back(item);
    }

    /// Returns the last `updates` updates, oldest first, with the gaps and changes of sockets between and after them. If
    /// the history has fewer, returns all of it.
    pub fn last(&self, updates: usize) -> impl DoubleEndedIterator<Item = &Item<T>> {
        let data = self.items.iter().enumerate().rev().filter(|(_, item)| item.data().is_some());
        let first = match updates {
            0 => self.items.len(),
            updates => data.map(|(place, _)| place).nth(updates - 1).unwrap_or(0),
        };
        self.items.range(first..)
    }

    /// Returns the updates that were received in this interval, oldest first, with the gaps and changes of sockets
    /// between them.
    pub fn received(&self, interval: Range<Nanos>) -> impl DoubleEndedIterator<Item = &Item<T>> {
        let is_in = |item: &Item<T>| item.data().is_some_and(|update| interval.contains(&update.stamps.received));
        let first = self.items.iter().position(is_in).unwrap_or(self.items.len());
        let end = self.items.iter().rposition(is_in).map_or(first, |last| last + 1);
        self.items.range(first..end)
    }

    /// Returns the number of items.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Returns true if nothing was recorded yet.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Returns the number of items that were forgotten, because there was no room.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Returns the memory of the history, in bytes.
    pub fn bytes(&self) -> usize {
        self.items.capacity() * size_of::<Item<T>>()
    }
}

impl<T> fmt::Debug for History<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "History({} of at most {} items, {} forgotten)", self.items.len(), self.capacity, self.forgotten)
    }
}
