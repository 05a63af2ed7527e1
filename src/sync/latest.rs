//! The latest-value cell: one writer replaces the value, and any number of readers see the newest complete one.
//!
//! The value moves between a few slots. The writer fills a slot that is not the newest and that no reader holds, and
//! then makes it the newest. Readers hold the newest slot while they read it. Neither side ever waits for a slot: the
//! writer skips held slots, and a reader is refused by its slot only if there is a newer one by then.
//!
//! # Synchronization
//!
//! * The slots protect their contents (`sync::slots`): a mistake here could cost a retry, but never a torn value.
//! * `newest` holds one `Ticket`: the place of a slot and a count of publications. The single [`Writer`] stores it
//!   after the slot is filled and released (NEWEST-AFTER-SLOT, Release), and readers load it (Acquire): a reader that
//!   sees a ticket finds the slot filled. The writer does not touch the newest slot.
//! * A reader may be overtaken after it loads `newest` and before it holds the slot. Then the slot is being filled
//!   again, or holds another ticket, perhaps one that is not published yet, and the reader starts over. It finds a
//!   newer ticket in `newest`, because the writer stored that before it returned to this slot. So a reader retries only
//!   if the writer made progress.
//! * The writer stores `version` after `newest` (VERSION-AFTER-VALUE, Release), and readers load it (Acquire): a reader
//!   that sees a version finds that value, or a newer one.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};

use super::prim::{AtomicU64, RwLockReadGuard, spin_loop};
use super::slots::{PLACES, SlotAllocator, Slots};
use crate::model::{ConnectionId, Epoch, Nanos, Receipt, Stamps};

/// A value with its stamps and origin, published together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version<T> {
    /// The value.
    pub value: T,
    /// The exchange, receive and publish stamps.
    pub stamps: Stamps,
    /// The socket it came from.
    pub epoch: Epoch,
    /// The connection it came from.
    pub connection: ConnectionId,
    /// Counts the values of this cell from 1. A [confirmation](Writer::confirm) keeps it.
    pub version: u64,
}

/// Returns the single writer and the first reader of an empty cell. Allocates all the memory that the cell needs,
/// unless readers hold versions that have been replaced.
pub fn cell<T>() -> (Writer<T>, Reader<T>) {
    let (allocator, slots) = Slots::new();
    let cell = Arc::new(Cell { newest: AtomicU64::new(Ticket::NONE.0), version: AtomicU64::new(0), slots });
    (Writer { cell: cell.clone(), allocator, newest: Ticket::NONE, version: 0 }, Reader { cell })
}

/// The writing end. A cell has one for life: it is not `Clone`, and writing takes `&mut`.
pub struct Writer<T> {
    cell: Arc<Cell<T>>,
    allocator: SlotAllocator,
    // The writer's own copies of the cell's fields.
    newest: Ticket,
    version: u64,
}

impl<T: Copy> Writer<T> {
    /// Makes `value` the newest and returns its version. Never waits; allocates only if readers hold more old versions
    /// than ever before. That memory stays with the cell and is reused.
    #[inline]
    pub fn publish(&mut self, value: &T, exchange_ms: u64, receipt: &Receipt, published: Nanos) -> u64 {
        self.version += 1;
        self.put(value, Stamps { exchange_ms, received: receipt.received, published }, receipt);
        // VERSION-AFTER-VALUE: Release, pairs with the Acquire in `Reader::version`.
        self.cell.version.store(self.version, Release);
        self.version
    }

    /// Confirms the newest value: renews its origin, receive stamp and publish stamp, and keeps its value, exchange
    /// stamp and version. Does nothing if there is no value.
    pub fn confirm(&mut self, receipt: &Receipt, published: Nanos) {
        // A read lock on a slot fails only while the slot is being filled, and only this writer fills slots.
        let newest = self.cell.hold(self.newest).and_then(|held| held.version);
        if let Some(newest) = newest {
            self.put(&newest.value, Stamps { received: receipt.received, published, ..newest.stamps }, receipt);
        }
    }

    /// Returns the version of the newest value; 0 before the first.
    pub fn version(&self) -> u64 {
        self.version
    }

    #[inline]
    fn put(&mut self, value: &T, stamps: Stamps, receipt: &Receipt) {
        let Receipt { epoch, connection, .. } = *receipt;
        let (place, mut slot) = self.allocator.next(&self.cell.slots);
        let ticket = self.newest.next(place);
        let version = Some(Version { value: *value, stamps, epoch, connection, version: self.version });
        *slot = Content { ticket, version };
        drop(slot);
        // NEWEST-AFTER-SLOT: Release, pairs with the Acquire in `Cell::newest`.
        self.cell.newest.store(ticket.0, Release);
        let replaced = mem::replace(&mut self.newest, ticket);
        if replaced != Ticket::NONE {
            self.allocator.retire(replaced.place());
        }
    }
}

/// A reading end; clone it freely. Reading never waits for the writer, and slows it by a cache miss at most.
pub struct Reader<T> {
    cell: Arc<Cell<T>>,
}

impl<T> Reader<T> {
    /// Returns the newest version. Takes 10 to 20 ns. While the result lives, its memory is not reused. Readers that
    /// load at the same moment contend for the slot's cache line: for polling, use
    /// [`load_if_newer`](Self::load_if_newer) or a [`cached`](Self::cached) reader.
    #[inline]
    pub fn load(&self) -> Loaded<'_, T> {
        loop {
            let newest = self.cell.newest();
            if newest == Ticket::NONE {
                return Loaded(None);
            }
            if let Some(held) = self.cell.hold(newest) {
                return Loaded(Some(held));
            }
            // Overtaken: there is a newer one.
            spin_loop();
        }
    }

    /// Returns the newest version if it is newer than `version`. If it is not, costs one atomic load.
    #[inline]
    pub fn load_if_newer(&self, version: u64) -> Option<Loaded<'_, T>> {
        (self.version() > version).then(|| self.load())
    }

    /// Returns the number of values published so far. A later [`load`](Self::load) finds this version or a newer one.
    #[inline]
    pub fn version(&self) -> u64 {
        // Acquire, pairs with VERSION-AFTER-VALUE in `Writer::publish`.
        self.cell.version.load(Acquire)
    }

    /// Returns true if `loaded`, loaded by this reader or one of its clones, is still the newest version and has not
    /// been confirmed since. One atomic load, which is not reordered before earlier loads.
    #[inline]
    pub fn is_newest(&self, loaded: &Loaded<'_, T>) -> bool {
        self.cell.newest() == loaded.0.as_ref().map_or(Ticket::NONE, |held| held.ticket)
    }

    /// Returns a reader that keeps a copy of the last value. Its loads cost one atomic load while the value is
    /// unchanged.
    pub fn cached(&self) -> CachedReader<T> {
        CachedReader { reader: self.clone(), seen: Content::default() }
    }
}

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Self {
        Self { cell: self.cell.clone() }
    }
}

/// The result of one [`Reader::load`]. Stays on the thread that loaded it.
pub struct Loaded<'a, T>(Option<RwLockReadGuard<'a, Content<T>>>);

impl<T> Loaded<'_, T> {
    /// Returns the version, or `None` if nothing had been published.
    #[inline]
    pub fn get(&self) -> Option<&Version<T>> {
        self.0.as_ref()?.version.as_ref()
    }
}

/// A reader with a copy of the last value, see [`Reader::cached`].
pub struct CachedReader<T> {
    reader: Reader<T>,
    seen: Content<T>,
}

impl<T: Copy> CachedReader<T> {
    /// Returns the newest version, or `None` if nothing has been published.
    #[inline]
    pub fn load(&mut self) -> Option<&Version<T>> {
        if self.reader.cell.newest() != self.seen.ticket
            && let Loaded(Some(newest)) = self.reader.load()
        {
            self.seen = *newest;
        }
        self.seen.version.as_ref()
    }
}

/// The state shared by both ends. On its own cache lines; the first has the fields that polling readers load.
#[repr(align(64))]
struct Cell<T> {
    newest: AtomicU64,
    version: AtomicU64,
    slots: Slots<Content<T>>,
}

impl<T> Cell<T> {
    #[inline]
    fn newest(&self) -> Ticket {
        // Acquire, pairs with NEWEST-AFTER-SLOT in `Writer::put`.
        Ticket(self.newest.load(Acquire))
    }

    /// Holds the slot named by a ticket, if it still contains that publication.
    #[inline]
    fn hold(&self, ticket: Ticket) -> Option<RwLockReadGuard<'_, Content<T>>> {
        self.slots.hold(ticket.place()).filter(|held| held.ticket == ticket)
    }
}

/// The content of a slot. Empty until the slot is first used.
#[derive(Clone, Copy)]
struct Content<T> {
    ticket: Ticket,
    version: Option<Version<T>>,
}

impl<T> Default for Content<T> {
    fn default() -> Self {
        Self { ticket: Ticket::NONE, version: None }
    }
}

/// The name of one publication: the place of its slot in the low 28 bits, and a count in the others. The count wraps
/// after 2^36 publications, which take two years at a thousand a second. Only a reader that sleeps through exactly that
/// many could confuse two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticket(u64);

impl Ticket {
    /// The ticket of an empty slot, and of a cell without a value.
    const NONE: Self = Self(0);

    /// Returns the ticket of the next publication.
    #[inline]
    fn next(self, place: usize) -> Self {
        let place = place as u64;
        assert!(place < PLACES, "readers hold too many versions of one cell");
        Self((self.0 / PLACES + 1).wrapping_mul(PLACES) | place)
    }

    #[inline]
    fn place(self) -> usize {
        (self.0 % PLACES) as usize
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::thread;

    /// Publishes a value in which every field follows from the version.
    fn publish(writer: &mut Writer<u64>) {
        let next = writer.version() + 1;
        let receipt = Receipt { connection: ConnectionId(0), epoch: Epoch(1), received: Nanos(next) };
        writer.publish(&(next + 100), next, &receipt, Nanos(next));
    }

    fn check(version: &Version<u64>) -> u64 {
        let Version { value, stamps, version, .. } = *version;
        assert_eq!((value, stamps.exchange_ms, stamps.published), (version + 100, version, Nanos(version)), "torn");
        version
    }

    /// Holds a version for a few steps, releases it and loads the next. Not both at once: loom's lock does not support
    /// a thread that holds it twice.
    fn read(reader: &Reader<u64>) {
        let held = reader.load();
        let before = held.get().map_or(0, check);
        let version = reader.version();
        assert_eq!(held.get().map_or(0, check), before, "overwritten while it was held");
        drop(held);
        let seen = reader.load().get().map_or(0, check);
        assert!(seen >= version && seen >= before, "{seen} after {before}, version {version}");
    }

    fn bounded(preemptions: usize) -> loom::model::Builder {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(preemptions);
        builder
    }

    #[test]
    fn a_reader_that_sees_a_version_loads_it_whole_or_a_newer_one() {
        loom::model(|| {
            let (mut writer, reader) = cell();
            let reading = thread::spawn(move || {
                let version = reader.version();
                let seen = reader.load().get().map_or(0, check);
                assert!(seen >= version, "version {version}, loaded {seen}");
            });
            publish(&mut writer);
            publish(&mut writer);
            reading.join().unwrap();
        });
    }

    #[test]
    fn versions_never_go_back_and_are_not_overwritten_while_held() {
        bounded(3).check(|| {
            let (mut writer, reader) = cell();
            publish(&mut writer);
            let reading = thread::spawn(move || read(&reader));
            for _ in 0..3 {
                publish(&mut writer);
            }
            reading.join().unwrap();
        });
    }

    #[test]
    fn two_readers_do_not_disturb_each_other() {
        bounded(2).check(|| {
            let (mut writer, reader) = cell();
            publish(&mut writer);
            let readings = [reader.clone(), reader].map(|reader| thread::spawn(move || read(&reader)));
            publish(&mut writer);
            publish(&mut writer);
            for reading in readings {
                reading.join().unwrap();
            }
        });
    }

    #[test]
    fn a_cached_reader_sees_the_confirmation_or_the_version_before_it() {
        bounded(3).check(|| {
            let (mut writer, reader) = cell();
            publish(&mut writer);
            let reading = thread::spawn(move || {
                let mut cached = reader.cached();
                let mut seen = 0;
                for _ in 0..2 {
                    let newest = cached.load().expect("it was published before");
                    assert_eq!((newest.value, newest.version), (101, 1));
                    assert!([1, 2, 3].contains(&newest.epoch.0) && newest.epoch.0 >= seen);
                    assert_eq!(newest.stamps.received, Nanos(u64::from(newest.epoch.0)), "torn stamps");
                    seen = newest.epoch.0;
                }
            });
            for epoch in [2, 3] {
                let received = Nanos(u64::from(epoch));
                writer.confirm(&Receipt { connection: ConnectionId(0), epoch: Epoch(epoch), received }, received);
            }
            reading.join().unwrap();
        });
    }

    /// Reads two cells. The second is always written after the first, so it is never ahead.
    fn read_two_cells(look_again: bool) {
        loom::model(move || {
            let ((mut first, reader), (mut second, other)) = (cell(), cell());
            let reading = thread::spawn(move || {
                let (loaded, last) = (reader.load(), other.load());
                if !look_again || (reader.is_newest(&loaded) && other.is_newest(&last)) {
                    let [loaded, last] = [loaded, last].map(|loaded| loaded.get().map_or(0, check));
                    assert!(loaded >= last, "never visible together");
                }
            });
            publish(&mut first);
            publish(&mut second);
            reading.join().unwrap();
        });
    }

    #[test]
    fn versions_that_are_still_the_newest_were_visible_together() {
        read_two_cells(true);
    }

    #[test]
    #[should_panic(expected = "never visible together")]
    fn planted_without_the_second_look_versions_were_not_visible_together() {
        read_two_cells(false);
    }

    /// Shows why slots contain tickets: without the check, a reader can find a value that is not published yet.
    #[test]
    #[should_panic(expected = "not published yet")]
    fn planted_without_the_ticket_check_a_reader_finds_an_unpublished_value() {
        loom::model(|| {
            let (mut writer, reader) = cell();
            publish(&mut writer);
            let reading = thread::spawn(move || {
                let newest = reader.cell.newest();
                let seen = reader.cell.slots.hold(newest.place()).and_then(|slot| slot.version);
                let published = reader.load().get().map_or(0, check);
                assert!(seen.is_none_or(|seen| seen.version <= published), "not published yet");
            });
            publish(&mut writer);
            publish(&mut writer);
            reading.join().unwrap();
        });
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
    fn an_empty_cell_has_version_zero_and_no_value() {
        let (writer, reader) = cell::<u64>();
        assert_eq!((writer.version(), reader.version()), (0, 0));
        assert!(reader.load().get().is_none());
        assert!(reader.load_if_newer(0).is_none());
        assert!(reader.cached().load().is_none());
    }

    #[test]
    fn one_load_is_one_version_with_its_stamps_and_origin() {
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
    fn a_confirmation_renews_the_stamps_and_keeps_value_and_version() {
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
    fn a_version_is_the_newest_until_the_next_one_or_a_confirmation() {
        let (mut writer, reader) = cell();
        let nothing = reader.load();
        assert!(reader.is_newest(&nothing));
        put(&mut writer, 1);
        let first = reader.load();
        assert!(!reader.is_newest(&nothing) && reader.clone().is_newest(&first));
        writer.confirm(&receipt(2, 2), Nanos(2));
        let confirmed = reader.load();
        assert!(!reader.is_newest(&first) && reader.is_newest(&confirmed));
        put(&mut writer, 2);
        assert!(!reader.is_newest(&confirmed));
    }

    #[test]
    fn two_slots_alternate_while_no_reader_holds_one() {
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
    fn a_held_version_is_never_overwritten_and_the_other_slots_alternate() {
        let (mut writer, reader) = cell();
        put(&mut writer, 1);
        let held = reader.load();
        let mut seen = std::collections::HashSet::from([address(&reader)]);
        for value in 2..1_000 {
            put(&mut writer, value);
            seen.insert(address(&reader));
            assert_eq!(held.get().unwrap().value, 1);
        }
        assert_eq!(seen.len(), 3, "one held, two that alternate");
    }

    #[test]
    fn an_overtaken_reader_does_not_get_the_new_content_of_its_slot() {
        let (mut writer, reader) = cell();
        put(&mut writer, 1);
        let first = reader.cell.newest();
        assert_eq!(reader.cell.hold(first).unwrap().version.unwrap().value, 1);
        put(&mut writer, 2);
        put(&mut writer, 3);
        let third = reader.cell.newest();
        assert_eq!((first.place(), reader.cell.hold(first).is_some()), (third.place(), false));
    }

    #[test]
    fn the_ends_outlive_each_other() {
        let (mut writer, reader) = cell();
        put(&mut writer, 1);
        drop(reader.clone());
        put(&mut writer, 2);
        let loaded = reader.load();
        drop(writer);
        assert_eq!((reader.version(), loaded.get().unwrap().value), (2, 2));
        let (mut writer, reader) = cell();
        drop(reader);
        put(&mut writer, 1);
        assert_eq!(writer.version(), 1);
    }
}
