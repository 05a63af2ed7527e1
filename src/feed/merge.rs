//! Merges several sources into one sequence of items, round robin.
//!
//! A connection may have several sources, such as a ring for its trades and newest values for other types. When the
//! connection changes to a new socket, its sources reach that change one by one. A source that has reached the change
//! is held back until the other sources of its connection have returned everything from before it. Then the change is
//! reported once, and no data of the old socket follows. A source that is added later, or that has brought nothing yet,
//! starts at the socket that was last reported to the reader, so that it is held back like the others.

use std::any::TypeId;

use super::Item;
use super::broadcast::Joining;
use super::source::Source;
use crate::model::{ConnectionId, DisconnectKind, Epoch, Nanos};

/// The sources of a feed.
pub(super) struct Merge<T> {
    sources: Vec<MergedSource<T>>,
    // The index of the source to read next.
    next: usize,
}

struct MergedSource<T> {
    source: Box<dyn Source<T>>,
    /// A new socket that other sources of the connection have not reached yet.
    held: Option<EpochChange>,
}

/// The fields of [`Item::Epoch`].
struct EpochChange {
    connection: ConnectionId,
    old: Epoch,
    new: Epoch,
    reason: Option<DisconnectKind>,
    since: Option<Nanos>,
}

impl<T> MergedSource<T> {
    /// Returns true if this source may still return data of an earlier socket of the same connection.
    fn is_behind(&self, change: &EpochChange) -> bool {
        let (connection, seen) = self.source.epoch();
        // If a source has no socket, then no source of its connection has brought anything: see `align`.
        connection == change.connection && seen < change.new && seen != Epoch::default()
    }
}

impl<T> Merge<T> {
    pub fn new(sources: Vec<Box<dyn Source<T>>>) -> Self {
        Self { sources: sources.into_iter().map(|source| MergedSource { source, held: None }).collect(), next: 0 }
    }

    pub fn add(&mut self, source: Box<dyn Source<T>>) {
        self.sources.push(MergedSource { source, held: None });
        self.align(self.sources.len() - 1);
    }

    /// Sets a source back to the socket that was last reported to the reader. Data of a later socket then waits until
    /// the other sources of its connection have returned the data of this one.
    fn align(&mut self, newcomer: usize) {
        let (connection, _) = self.sources[newcomer].source.epoch();
        let reported = |(place, other): (usize, &MergedSource<T>)| {
            let (of, seen) = other.source.epoch();
            let reported = other.held.as_ref().map_or(seen, |change| change.old);
            (place != newcomer && of == connection && reported != Epoch::default()).then_some(reported)
        };
        if let Some(reported) = self.sources.iter().enumerate().filter_map(reported).min() {
            self.sources[newcomer].source.begin_at(reported);
        }
    }

    /// Pops an item from the next source that has one. Never waits.
    #[inline]
    pub fn pop(&mut self) -> Option<Item<T>> {
        // Nearly always there is one source.
        if let [MergedSource { source, .. }] = &mut self.sources[..] { source.pop() } else { self.pop_round_robin() }
    }

    fn pop_round_robin(&mut self) -> Option<Item<T>> {
        // One variable for the result: the compiler then writes an order book directly into the caller's place.
        let mut item = None;
        for _ in 0..self.sources.len() {
            let at = self.next;
            self.next = if at + 1 >= self.sources.len() { 0 } else { at + 1 };
            if self.sources[at].held.is_some() {
                continue;
            }
            if self.sources[at].source.epoch().1 == Epoch::default() {
                self.align(at);
            }
            let merged = &mut self.sources[at];
            item = merged.source.pop();
            if let Some(Item::Epoch { connection, old, new, reason, since }) = item {
                merged.held = Some(EpochChange { connection, old, new, reason, since });
                item = self.pop_epoch_change();
            }
            if item.is_some() {
                break;
            }
        }
        item
    }

    /// Pops the earliest held change that all sources of its connection have reached.
    #[cold]
    fn pop_epoch_change(&mut self) -> Option<Item<T>> {
        let changes = self.sources.iter().filter_map(|merged| merged.held.as_ref());
        let is_reached = |change: &&EpochChange| !self.sources.iter().any(|merged| merged.is_behind(change));
        let EpochChange { connection, new, .. } = *changes.filter(is_reached).min_by_key(|change| change.new)?;
        let is_same = |change: &mut EpochChange| (change.connection, change.new) == (connection, new);
        // Reported once for all sources. The largest `old` is the socket that the reader knows: a source may have
        // brought no data of a socket that others reported.
        let held = self.sources.iter_mut().filter_map(|merged| merged.held.take_if(is_same));
        let reported = held.max_by_key(|change| change.old);
        reported.map(|EpochChange { connection, old, new, reason, since }| Item::Epoch {
            connection,
            old,
            new,
            reason,
            since,
        })
    }

    pub fn is_ready(&mut self) -> bool {
        self.sources.iter_mut().any(|merged| merged.held.is_none() && merged.source.is_ready())
    }

    pub fn len(&self) -> usize {
        self.sources.iter().map(|merged| merged.source.len()).sum()
    }

    pub fn next_due(&self) -> Option<Nanos> {
        self.sources.iter().filter_map(|merged| merged.source.next_due()).min()
    }

    pub fn set_waiting(&self, waiting: bool) {
        self.sources.iter().for_each(|merged| merged.source.set_waiting(waiting));
    }

    /// Adds streams to the source that reads this connection and type from a shared ring.
    pub fn add_streams(&mut self, connection: ConnectionId, carries: TypeId, mut joining: Joining<T>) {
        for merged in &mut self.sources {
            joining = merged.source.add_streams(connection, carries, joining);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::feed::Update;
    use crate::model::Stamps;
    use std::collections::VecDeque;

    /// A source that returns scripted values, and reports each new socket before its values.
    struct Script {
        connection: ConnectionId,
        seen: Epoch,
        values: VecDeque<(u32, char)>,
        /// The newest socket at the end of the script.
        newest: u32,
    }

    impl Source<char> for Script {
        fn pop(&mut self) -> Option<Item<char>> {
            let new = Epoch(self.values.front().map_or(self.newest, |(epoch, _)| *epoch));
            let old = self.seen;
            self.seen = old.max(new);
            if old != Epoch::default() && old < new {
                return Some(Item::Epoch { connection: self.connection, old, new, reason: None, since: None });
            }
            let (epoch, value) = self.values.pop_front()?;
            let (connection, epoch) = (self.connection, Epoch(epoch));
            Some(Item::Data(Update { value, stamps: Stamps::default(), connection, epoch, version: 0 }))
        }

        fn is_ready(&mut self) -> bool {
            !self.values.is_empty() || self.seen < Epoch(self.newest)
        }

        fn epoch(&self) -> (ConnectionId, Epoch) {
            (self.connection, self.seen)
        }

        fn begin_at(&mut self, socket: Epoch) {
            self.seen = socket;
        }

        fn len(&self) -> usize {
            self.values.len()
        }
    }

    fn script(connection: u16, seen: u32, values: &[(u32, char)], newest: u32) -> Box<dyn Source<char>> {
        let (connection, values) = (ConnectionId(connection), values.iter().copied().collect());
        Box::new(Script { connection, seen: Epoch(seen), values, newest })
    }

    /// Pops all items of merged scripts: values unchanged, new sockets as their numbers.
    fn merged<const N: usize>(scripts: [Box<dyn Source<char>>; N]) -> String {
        let mut merge = Merge::new(Vec::new());
        scripts.into_iter().for_each(|script| merge.add(script));
        let popped = pop(&mut merge, usize::MAX);
        assert!(!merge.is_ready(), "a source was held forever: {popped}");
        popped
    }

    /// Pops at most `items` items.
    fn pop(merge: &mut Merge<char>, items: usize) -> String {
        let popped = std::iter::from_fn(|| {
            merge.pop().map(|item| match item {
                Item::Data(update) => update.value.to_string(),
                Item::Epoch { new, .. } => format!(" {new} "),
                Item::Gap { .. } => unreachable!("no script has gaps"),
            })
        });
        popped.take(items).collect()
    }

    #[test]
    fn sources_take_turns() {
        let [some, others] = [[(1, 'a'), (1, 'b'), (1, 'c')], [(1, 'x'), (1, 'y'), (1, 'z')]];
        assert_eq!(merged([script(0, 1, &some, 1), script(0, 1, &others, 1)]), "axbycz");
    }

    #[test]
    fn a_new_socket_is_reported_once_between_the_data_of_the_old_and_the_new() {
        let (short, long) = ([(1, 'a'), (2, 'B')], [(1, 'x'), (1, 'y'), (1, 'z'), (2, 'X')]);
        let expected = "axyz 2 BX";
        let items = merged([script(0, 1, &short, 2), script(0, 1, &long, 2)]);
        assert_eq!(items.replace("XB", "BX"), expected);
    }

    #[test]
    fn a_source_without_data_does_not_hold_up_the_others() {
        assert_eq!(merged([script(0, 1, &[(1, 'a'), (2, 'B')], 2), script(0, 1, &[], 2)]), "a 2 B");
        // The second source has never brought anything.
        assert_eq!(merged([script(0, 1, &[(1, 'a'), (2, 'B')], 2), script(0, 0, &[], 2)]), "a 2 B");
    }

    #[test]
    fn a_source_that_missed_a_socket_waits_for_one_that_did_not() {
        let (all, last) = ([(1, 'a'), (2, 'b'), (3, 'c')], [(1, 'x'), (3, 'z')]);
        let items = merged([script(0, 1, &all, 3), script(0, 1, &last, 3)]);
        assert_eq!(items.replace("zc", "cz"), "ax 2 b 3 cz");
    }

    #[test]
    fn a_source_added_at_the_new_socket_waits_for_the_data_of_the_old_one() {
        let items = merged([script(0, 1, &[(1, 'a'), (1, 'b'), (2, 'c')], 2), script(0, 2, &[(2, 'X'), (2, 'Y')], 2)]);
        assert!(items.starts_with("ab 2 "), "{items}");
        assert_eq!(items.len(), "ab 2 cXY".len());
    }

    #[test]
    fn a_source_whose_first_data_is_of_the_new_socket_waits_for_the_data_of_the_old_one() {
        let items = merged([script(0, 1, &[(1, 'a'), (1, 'b'), (2, 'c')], 2), script(0, 0, &[(2, 'X')], 2)]);
        assert!(items.starts_with("ab 2 "), "{items}");
    }

    #[test]
    fn a_source_added_while_others_are_held_back_is_held_back_with_them() {
        let mut merge =
            Merge::new(vec![script(0, 1, &[(2, 'a')], 2), script(0, 1, &[(1, 'x'), (1, 'y'), (1, 'z')], 2)]);
        let mut items = pop(&mut merge, 1);
        merge.add(script(0, 2, &[(2, 'N')], 2));
        items += &pop(&mut merge, usize::MAX);
        assert!(items.starts_with("xyz 2 "), "{items}");
    }

    #[test]
    fn connections_change_sockets_independently() {
        let items = merged([script(0, 1, &[(1, 'a'), (2, 'B')], 2), script(1, 1, &[(1, 'x'), (1, 'y'), (1, 'z')], 1)]);
        assert_eq!(items, "ax 2 yBz");
    }
}
