//! The latest-value cell: one writer replaces the value, any number of readers see the newest whole one.
//!
//! # Synchronization
//!
//! * `newest` is swapped by the one [`Writer`] and loaded by readers. A [`Version`] is never changed while it is shared:
//!   it is filled while the writer alone holds it, and arc-swap publishes the pointer (Release in `swap`, Acquire in
//!   `load`). So one load is consistent in all its fields.
//! * `version` is stored by the writer after the swap (VERSION-AFTER-VALUE, Release) and loaded by readers (Acquire):
//!   who sees a version finds that value, or a newer one.
//! * A version that was replaced is used again once no reader holds it. `swap` turns what readers borrowed into counted
//!   references before it returns, and nobody can reach a replaced version anew, so a count of one stays one.
//!   `Arc::get_mut` checks it (Acquire, pairs with the Release of a reader's drop: its reads are over) and is the only
//!   way to the memory, so a mistake here would cost an allocation and never a torn value.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};

use arc_swap::{ArcSwapOption, Cache, Guard};
use crossbeam_utils::CachePadded;

use super::prim::AtomicU64;
use crate::model::{ConnectionId, Epoch, Nanos, Receipt, Stamps};

/// Replaced versions kept for use again. As long as readers hold at most this many different old versions, publishing
/// allocates nothing; beyond, each publish allocates one version and the last reader frees it. Price: that many values
/// of memory at most, and only if readers did hold them.
pub const RETIRED_MAX: usize = 16;

/// A value and its proof, published at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version<T> {
    /// The value.
    pub value: T,
    /// When it happened, when it was received, when it was published.
    pub stamps: Stamps,
    /// The socket it came from.
    pub epoch: Epoch,
    /// The connection it came from.
    pub connection: ConnectionId,
    /// Counts the values of this cell from 1. A [confirmation](Writer::confirm) keeps it.
    pub version: u64,
}

/// An empty cell, as its one writer and its first reader. Allocates the little it needs to grow without moving.
pub fn cell<T>() -> (Writer<T>, Reader<T>) {
    let cell =
        Shared(Arc::new(CachePadded::new(Cell { newest: ArcSwapOption::const_empty(), version: AtomicU64::new(0) })));
    let retired = VecDeque::with_capacity(RETIRED_MAX + 1);
    (Writer { cell: cell.clone(), retired, version: 0 }, Reader { cell })
}

/// The writing end. There is one for each cell, for life: it is not `Clone` and writing takes `&mut`.
pub struct Writer<T> {
    cell: Shared<T>,
    // Replaced versions, the one waiting longest first. Some may still be held by readers.
    retired: VecDeque<Arc<Version<T>>>,
    // The writer's own copy of `Cell::version`.
    version: u64,
}

impl<T: Copy> Writer<T> {
    /// Makes `value` the newest and returns its version. Does not lock; allocates only while readers hold more old
    /// versions than ever before, up to [`RETIRED_MAX`].
    #[inline]
    pub fn publish(&mut self, value: &T, exchange_ms: u64, receipt: &Receipt, published: Nanos) -> u64 {
        self.version += 1;
        let stamps = Stamps { exchange_ms, received: receipt.received, published };
        self.put(value, stamps, receipt);
        // VERSION-AFTER-VALUE: Release, pairs with the Acquire in `Reader::version`.
        self.cell.0.version.store(self.version, Release);
        self.version
    }

    /// The newest value was heard again: renews where it came from and when, and keeps value, exchange time and
    /// version. Nothing happens while there is no value.
    pub fn confirm(&mut self, receipt: &Receipt, published: Nanos) {
        let newest = self.cell.0.newest.load_full();
        if let Some(newest) = newest {
            self.put(&newest.value, Stamps { received: receipt.received, published, ..newest.stamps }, receipt);
        }
    }

    /// The version of the newest value; 0 for none yet.
    pub fn version(&self) -> u64 {
        self.version
    }

    #[inline]
    fn put(&mut self, value: &T, stamps: Stamps, receipt: &Receipt) {
        let Receipt { epoch, connection, .. } = *receipt;
        let fresh = Version { value: *value, stamps, epoch, connection, version: self.version };
        let mut next = self.unshared();
        match next.as_mut().and_then(Arc::get_mut) {
            Some(old) => *old = fresh,
            None => next = Some(self.allocate(fresh)),
        }
        if let Some(replaced) = self.cell.0.newest.swap(next) {
            self.retire(replaced);
        }
    }

    /// The first value comes with the version that takes turns with it, so that warm-up is one value long.
    #[cold]
    fn allocate(&mut self, fresh: Version<T>) -> Arc<Version<T>> {
        if self.cell.0.newest.load().is_none() {
            self.retired.push_back(Arc::new(fresh));
        }
        Arc::new(fresh)
    }

    /// A retired version that no reader holds. The versions looked at and found held go to the end of the queue.
    #[inline]
    fn unshared(&mut self) -> Option<Arc<Version<T>>> {
        for _ in 0..self.retired.len() {
            let oldest = self.retired.pop_front()?;
            if Arc::strong_count(&oldest) == 1 {
                return Some(oldest);
            }
            self.retired.push_back(oldest);
        }
        None
    }

    #[inline]
    fn retire(&mut self, replaced: Arc<Version<T>>) {
        self.retired.push_back(replaced);
        if self.retired.len() > RETIRED_MAX {
            // Held by a reader, or `unshared` would have taken it: its last reader frees it.
            self.retired.pop_front();
        }
    }
}

/// A reading end; clone it at will. Reading never waits for the writer and never slows it by more than a cache miss.
pub struct Reader<T> {
    cell: Shared<T>,
}

impl<T> Reader<T> {
    /// The newest version. About ten ns; while it lives, its memory is not used again.
    #[inline]
    pub fn load(&self) -> Loaded<T> {
        Loaded(self.cell.0.newest.load())
    }

    /// The newest version if it is newer than `version`, otherwise nothing for the price of one atomic load.
    #[inline]
    pub fn load_if_newer(&self, version: u64) -> Option<Loaded<T>> {
        (self.version() > version).then(|| self.load())
    }

    /// Counts values; 0 for none yet. A [`load`](Self::load) that follows finds this version or a newer one.
    #[inline]
    pub fn version(&self) -> u64 {
        // Acquire, pairs with VERSION-AFTER-VALUE in `Writer::publish`.
        self.cell.0.version.load(Acquire)
    }

    /// A reader that remembers what it saw: about three ns while nothing changed. It keeps the version it saw last from
    /// being used again, so hold one for each thread that reads often, not one for each place that may read.
    pub fn cached(&self) -> CachedReader<T> {
        CachedReader { cache: Cache::new(self.cell.clone()) }
    }
}

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Self {
        Self { cell: self.cell.clone() }
    }
}

/// What one [`Reader::load`] found.
pub struct Loaded<T>(Guard<Option<Arc<Version<T>>>>);

impl<T> Loaded<T> {
    /// The version, unless nothing has been published yet.
    #[inline]
    pub fn get(&self) -> Option<&Version<T>> {
        self.0.as_deref()
    }
}

/// See [`Reader::cached`].
pub struct CachedReader<T> {
    cache: Cache<Shared<T>, Option<Arc<Version<T>>>>,
}

impl<T> CachedReader<T> {
    /// The newest version, unless nothing has been published yet.
    #[inline]
    pub fn load(&mut self) -> Option<&Version<T>> {
        // The cache compares pointers. That is safe with versions used again: it holds the one it compares with, and a
        // version that is held is not used again.
        self.cache.load().as_deref()
    }
}

struct Cell<T> {
    newest: ArcSwapOption<Version<T>>,
    version: AtomicU64,
}

/// The cell as both ends and arc-swap's cache hold it.
struct Shared<T>(Arc<CachePadded<Cell<T>>>);

/// arc-swap's cache wants to reach its cell this way.
impl<T> Deref for Shared<T> {
    type Target = ArcSwapOption<Version<T>>;
    fn deref(&self) -> &Self::Target {
        &self.0.newest
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn receipt(epoch: u32, received: u64) -> Receipt {
        Receipt { connection: ConnectionId(7), epoch: Epoch(epoch), received: Nanos(received) }
    }

    fn put(writer: &mut Writer<u64>, value: u64) {
        writer.publish(&value, value, &receipt(1, value), Nanos(value + 1));
    }

    fn address(reader: &Reader<u64>) -> *const Version<u64> {
        reader.load().get().unwrap()
    }

    #[test]
    fn an_empty_cell_says_so() {
        let (writer, reader) = cell::<u64>();
        assert_eq!((writer.version(), reader.version()), (0, 0));
        assert!(reader.load().get().is_none());
        assert!(reader.load_if_newer(0).is_none());
        assert!(reader.cached().load().is_none());
    }

    #[test]
    fn one_load_is_one_version_with_its_whole_proof() {
        let (mut writer, reader) = cell();
        assert_eq!(writer.publish(&5u64, 11, &receipt(3, 22), Nanos(33)), 1);
        let stamps = Stamps { exchange_ms: 11, received: Nanos(22), published: Nanos(33) };
        let expected = Version { value: 5, stamps, epoch: Epoch(3), connection: ConnectionId(7), version: 1 };
        assert_eq!(reader.load().get(), Some(&expected));
        assert_eq!(reader.cached().load(), Some(&expected));
        assert_eq!(reader.load_if_newer(0).unwrap().get(), Some(&expected));
        assert!(reader.load_if_newer(1).is_none());
    }

    #[test]
    fn a_confirmation_renews_the_proof_and_keeps_value_and_version() {
        let (mut writer, reader) = cell();
        writer.confirm(&receipt(1, 1), Nanos(1));
        assert!(reader.load().get().is_none(), "there was nothing to confirm");
        writer.publish(&5u64, 11, &receipt(3, 22), Nanos(33));
        let mut cached = reader.cached();
        writer.confirm(&receipt(4, 44), Nanos(55));
        let stamps = Stamps { exchange_ms: 11, received: Nanos(44), published: Nanos(55) };
        let expected = Version { value: 5, stamps, epoch: Epoch(4), connection: ConnectionId(7), version: 1 };
        assert_eq!(reader.load().get(), Some(&expected));
        assert_eq!(cached.load(), Some(&expected));
        assert!(reader.load_if_newer(1).is_none());
    }

    #[test]
    fn two_versions_take_turns_while_nobody_holds_one() {
        let (mut writer, reader) = cell();
        put(&mut writer, 1);
        let first = address(&reader);
        put(&mut writer, 2);
        let second = address(&reader);
        for value in 3..100 {
            put(&mut writer, value);
            assert_eq!(address(&reader), if value % 2 == 1 { first } else { second });
        }
    }

    #[test]
    fn a_held_version_is_never_written_again_and_the_others_go_on_in_turn() {
        let (mut writer, reader) = cell();
        put(&mut writer, 1);
        let held = reader.load();
        let mut seen = std::collections::HashSet::from([address(&reader)]);
        for value in 2..1_000 {
            put(&mut writer, value);
            seen.insert(address(&reader));
            assert_eq!(held.get().unwrap().value, 1);
        }
        assert_eq!(seen.len(), 3, "one held, two in turn");
    }

    #[test]
    fn more_held_versions_than_the_limit_cost_memory_and_never_the_truth() {
        let (mut writer, reader) = cell();
        let mut held = Vec::new();
        for value in 1..=3 * RETIRED_MAX as u64 {
            put(&mut writer, value);
            held.push(reader.load());
        }
        assert!(writer.retired.len() <= RETIRED_MAX);
        for (loaded, value) in held.iter().zip(1..) {
            let version = loaded.get().unwrap();
            assert_eq!((version.value, version.version), (value, value));
        }
    }

    #[test]
    fn the_ends_outlive_each_other() {
        let (mut writer, reader) = cell();
        put(&mut writer, 1);
        let loaded = reader.load();
        drop(writer);
        assert_eq!(reader.version(), 1);
        drop(reader);
        assert_eq!(loaded.get().unwrap().value, 1);
    }
}
