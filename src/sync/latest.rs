//! The latest-value cell: one writer replaces the value, and any number of readers copy the newest one.
//!
//! A cell is a few slots of atomic words. Publication `t` goes to slot `t % SLOTS`, so a reader can copy a publication
//! until the writer begins the publication `SLOTS` later. Readers only load: they write nothing that another thread
//! reads, so any number of them read at the speed of one. The writer only stores.
//!
//! # Synchronization
//!
//! Only the single [`Writer`] stores. A *ticket* is the number of a publication, counted from 1.
//! * `newest` is the ticket of the newest publication. It is stored after the words of its slot (NEWEST-AFTER-WORDS,
//!   Release), and loaded before them (Acquire): a reader that sees a ticket finds its words, or later words of the same
//!   slot.
//! * Later words are detected. The first word of a slot is the ticket of its content. It is stored before the other
//!   words (TICKET-THEN-WORDS, a Release fence), and loaded again after them (WORDS-THEN-TICKET, an Acquire fence). If
//!   one of the words was later, this load sees the later ticket.
//! * A reader that finds a later ticket starts over. It then sees a later `newest`, because `newest` is stored before the
//!   next slot is begun (TICKET-AFTER-NEWEST, Release). So a reader starts over only if `SLOTS - 1` values were published
//!   and another one begun during its copy: reading is lock-free, but not wait-free.
//! * `version` is stored after `newest` (VERSION-AFTER-VALUE, Release), and loaded with Acquire: a reader that sees a
//!   version finds that value, or a newer one.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::prim::{AtomicU64, fence, spin_loop};
use crate::model::{ConnectionId, Epoch, FromWords, Nanos, Receipt, Stamps, Words};

/// The number of slots. More of them give readers more time for a copy, and take more memory. Fewer in models, where a
/// reader must be overtaken within few steps.
const SLOTS: usize = if cfg!(loom) { 2 } else { 4 };

/// Words of a slot before the value's own words: the ticket, the version, three stamps and the origin.
const HEADER: usize = 6;
const TICKET: usize = 0;

/// Words per cache line.
const LINE: usize = 8;

/// The ticket of a cell without a value.
const NOTHING: u64 = 0;

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

/// Returns the single writer and the first reader of an empty cell. Allocates all the memory that the cell ever needs.
pub fn cell<T: Words>() -> (Writer<T>, Reader<T>) {
    let cell = Arc::new(Cell::new(HEADER + T::MAX));
    let reader = Reader { cell: cell.clone(), value: PhantomData };
    (Writer { reader: reader.clone(), newest: NOTHING, version: 0 }, reader)
}

/// The writing end. A cell has one for life: it is not `Clone`, and writing takes `&mut`.
pub struct Writer<T> {
    reader: Reader<T>,
    // The writer's own copies of the cell's fields.
    newest: u64,
    version: u64,
}

impl<T: Words> Writer<T> {
    /// Makes `value` the newest and returns its version. Never waits, never allocates.
    #[inline]
    pub fn publish(&mut self, value: &T, exchange_ms: u64, receipt: &Receipt, published: Nanos) -> u64 {
        self.version += 1;
        self.put(value, Stamps { exchange_ms, received: receipt.received, published }, receipt);
        // VERSION-AFTER-VALUE: Release, pairs with the Acquire in `Reader::version`.
        self.reader.cell.version.store(self.version, Release);
        self.version
    }

    /// Confirms the newest value: renews its origin, receive stamp and publish stamp, and keeps its value, exchange
    /// stamp and version. Does nothing if there is no value.
    pub fn confirm(&mut self, receipt: &Receipt, published: Nanos) {
        if let Some(newest) = self.reader.load().version {
            self.put(&newest.value, Stamps { received: receipt.received, published, ..newest.stamps }, receipt);
        }
    }

    /// Returns the version of the newest value; 0 before the first.
    pub fn version(&self) -> u64 {
        self.version
    }

    #[inline]
    fn put(&mut self, value: &T, stamps: Stamps, receipt: &Receipt) {
        let cell = &*self.reader.cell;
        self.newest += 1;
        let slot = cell.slot(self.newest, HEADER + T::MAX);
        // TICKET-AFTER-NEWEST: Release, pairs with the Acquire in `Reader::still_holds`.
        slot[TICKET].store(self.newest, Release);
        // TICKET-THEN-WORDS: pairs with WORDS-THEN-TICKET in `Reader::still_holds`.
        fence(Release);
        let mut words = slot[TICKET + 1..].iter();
        let mut put = |word| {
            let next = words.next();
            debug_assert!(next.is_some(), "a value of more than {} words", T::MAX);
            if let Some(next) = next {
                next.store(word, Relaxed);
            }
        };
        put(self.version);
        stamps.put(&mut put);
        put(origin(receipt));
        value.put(&mut put);
        // NEWEST-AFTER-WORDS: Release, pairs with the Acquire in `Cell::newest`.
        cell.newest.store(self.newest, Release);
    }
}

/// A reading end; clone it freely. Reading neither waits for the writer nor stores anything that another thread loads.
///
/// `T` is the type of the cell's values, or of a part of them.
pub struct Reader<T> {
    cell: Arc<Cell>,
    value: PhantomData<fn() -> T>,
}

impl<T: FromWords> Reader<T> {
    /// Returns a copy of the newest version. Copies only the words that the value has, and starts over only if the
    /// writer published [`SLOTS`] values meanwhile.
    #[inline]
    pub fn load(&self) -> Loaded<T> {
        loop {
            match self.try_load() {
                Some(loaded) => return loaded,
                None => spin_loop(),
            }
        }
    }

    /// Returns a copy of the newest version, or `None` if it was overwritten during the copy. Then there is a newer one.
    #[inline]
    pub fn try_load(&self) -> Option<Loaded<T>> {
        let ticket = self.cell.newest();
        if ticket == NOTHING {
            return Some(Loaded::NOTHING);
        }
        let slot = self.cell.slot(ticket, HEADER + T::WORDS);
        let version = take(slot);
        still_holds(slot, ticket).then_some(Loaded { ticket, version: Some(version) })
    }

    /// Returns a copy of the newest version if it is newer than `version`. If it is not, costs one atomic load.
    #[inline]
    pub fn load_if_newer(&self, version: u64) -> Option<Loaded<T>> {
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
    pub fn is_newest(&self, loaded: &Loaded<T>) -> bool {
        self.cell.newest() == loaded.ticket
    }

    /// Returns a reader that keeps a copy of the last value. Its loads cost one atomic load while the value is
    /// unchanged.
    pub fn cached(&self) -> CachedReader<T> {
        CachedReader { reader: self.clone(), seen: Loaded::NOTHING }
    }

    /// Same as [`load`](Self::load), but copies only a part of the value: a `P` is read from the first words of a `T`.
    pub fn load_part<P: FromWords>(&self) -> Loaded<P> {
        self.part().load()
    }

    /// Returns a reader of the same cell that copies only a part of the value: a `P` is read from the first words of a
    /// `T`.
    pub fn part<P: FromWords>(&self) -> Reader<P> {
        Reader { cell: self.cell.clone(), value: PhantomData }
    }
}

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Self {
        Self { cell: self.cell.clone(), value: PhantomData }
    }
}

/// Reads the words of a slot after its ticket. They may be of two publications, see [`still_holds`].
#[inline]
fn take<T: FromWords>(slot: &[AtomicU64]) -> Version<T> {
    let mut words = slot[TICKET + 1..].iter();
    let mut next = || words.next().map_or(0, |word| word.load(Relaxed));
    let (version, stamps) = (next(), Stamps::take(&mut next));
    let (connection, epoch) = from_origin(next());
    Version { value: T::from_words(&mut next), stamps, epoch, connection, version }
}

/// Returns true if everything loaded from the slot since `Cell::newest` returned `ticket` belongs to that publication.
#[inline]
fn still_holds(slot: &[AtomicU64], ticket: u64) -> bool {
    // WORDS-THEN-TICKET: pairs with TICKET-THEN-WORDS in `Writer::put`.
    fence(Acquire);
    // Acquire, pairs with TICKET-AFTER-NEWEST in `Writer::put`.
    slot[TICKET].load(Acquire) == ticket
}

/// Connection and epoch in one word.
#[inline]
fn origin(receipt: &Receipt) -> u64 {
    u64::from(receipt.connection.0) << 32 | u64::from(receipt.epoch.0)
}

#[inline]
fn from_origin(word: u64) -> (ConnectionId, Epoch) {
    (ConnectionId((word >> 32) as u16), Epoch(word as u32))
}

/// The result of one load: a copy of the newest version, if there was one.
#[derive(Debug, Clone, Copy)]
pub struct Loaded<T> {
    ticket: u64,
    /// The version, or `None` if nothing had been published.
    pub version: Option<Version<T>>,
}

impl<T> Loaded<T> {
    const NOTHING: Self = Self { ticket: NOTHING, version: None };
}

/// A reader with a copy of the last value, see [`Reader::cached`].
pub struct CachedReader<T> {
    reader: Reader<T>,
    seen: Loaded<T>,
}

impl<T: FromWords> CachedReader<T> {
    /// Returns the newest version, if there is one. Copies it only if it has changed.
    #[inline]
    pub fn load(&mut self) -> &Loaded<T> {
        if !self.reader.is_newest(&self.seen) {
            self.seen = self.reader.load();
        }
        &self.seen
    }
}

/// The state shared by both ends. On its own cache line, which the writer stores for each publication and every reader
/// loads first.
#[repr(align(64))]
struct Cell {
    newest: AtomicU64,
    version: AtomicU64,
    memory: Box<[AtomicU64]>,
    /// The index of the first slot in `memory`, and the distance between two slots.
    first: usize,
    stride: usize,
}

impl Cell {
    /// Returns an empty cell with slots of `words` words. Each slot begins on a cache line.
    fn new(words: usize) -> Self {
        let stride = words.next_multiple_of(LINE);
        let memory: Box<[_]> = (0..SLOTS * stride + LINE - 1).map(|_| AtomicU64::new(0)).collect();
        // If the alignment is not possible, slots are only slower.
        let first = memory.as_ptr().align_offset(size_of::<u64>() * LINE).min(LINE - 1);
        Self { newest: AtomicU64::new(NOTHING), version: AtomicU64::new(0), memory, first, stride }
    }

    #[inline]
    fn newest(&self) -> u64 {
        // Acquire, pairs with NEWEST-AFTER-WORDS in `Writer::put`.
        self.newest.load(Acquire)
    }

    /// Returns the first words of a publication's slot. One bounds check here makes the accesses that follow cheap.
    #[inline]
    fn slot(&self, ticket: u64, words: usize) -> &[AtomicU64] {
        let start = self.first + ticket as usize % SLOTS * self.stride;
        &self.memory[start..start + words]
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::thread;

    fn receipt(epoch: u32, received: u64) -> Receipt {
        Receipt { connection: ConnectionId(0), epoch: Epoch(epoch), received: Nanos(received) }
    }

    /// Publishes a value in which every field follows from the version.
    fn publish(writer: &mut Writer<u64>) {
        let next = writer.version() + 1;
        writer.publish(&(next + 100), next, &receipt(next as u32, next), Nanos(next));
    }

    fn check(version: &Version<u64>) -> u64 {
        let Version { value, stamps, version, epoch, .. } = *version;
        assert_eq!((value, stamps.exchange_ms, stamps.published), (version + 100, version, Nanos(version)), "torn");
        assert_eq!((stamps.received, u64::from(epoch.0)), (Nanos(version), version), "torn");
        version
    }

    /// Loads twice. Asserts that each load is whole, and that the second is not older than what was seen before.
    fn read(reader: &Reader<u64>) {
        let first = reader.load().version.as_ref().map_or(0, check);
        let version = reader.version();
        let second = reader.load().version.as_ref().map_or(0, check);
        assert!(second >= version && second >= first, "{second} after {first}, version {version}");
    }

    fn bounded(preemptions: usize) -> loom::model::Builder {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(preemptions);
        builder
    }

    /// Runs one reader against a writer that publishes `times` after a first value.
    fn one_reader(times: usize, read: impl Fn(&Reader<u64>) + Copy + Send + Sync + 'static) {
        bounded(2).check(move || {
            let (mut writer, reader) = cell();
            publish(&mut writer);
            let reading = thread::spawn(move || read(&reader));
            (0..times).for_each(|_| publish(&mut writer));
            reading.join().unwrap();
        });
    }

    #[test]
    fn a_reader_that_sees_a_version_loads_it_whole_or_a_newer_one() {
        loom::model(|| {
            let (mut writer, reader) = cell();
            let reading = thread::spawn(move || {
                let version = reader.version();
                let seen = reader.load().version.as_ref().map_or(0, check);
                assert!(seen >= version, "version {version}, loaded {seen}");
            });
            publish(&mut writer);
            publish(&mut writer);
            reading.join().unwrap();
        });
    }

    #[test]
    fn versions_never_go_back() {
        one_reader(1, read);
    }

    #[test]
    fn two_readers_do_not_disturb_each_other() {
        bounded(2).check(|| {
            let (mut writer, reader) = cell();
            publish(&mut writer);
            let load = |reader: Reader<u64>| move || assert!(reader.load().version.as_ref().map_or(0, check) >= 1);
            let readings = [reader.clone(), reader].map(|reader| thread::spawn(load(reader)));
            publish(&mut writer);
            for reading in readings {
                reading.join().unwrap();
            }
        });
    }

    /// Each failed try needs a publication: `SLOTS` publications after the first value overwrite its slot once.
    #[test]
    fn a_reader_starts_over_only_if_its_slot_was_overwritten_and_then_loads_a_whole_version() {
        one_reader(SLOTS - 1, |reader| assert!(reader.try_load().is_some(), "the slot was not overwritten"));
        one_reader(SLOTS, |reader| {
            let first = reader.try_load();
            let loaded = first.or_else(|| reader.try_load()).expect("the second try sees a newer ticket");
            assert!(loaded.version.as_ref().map_or(0, check) >= 1);
        });
    }

    #[test]
    #[should_panic(expected = "the slot was not overwritten")]
    fn planted_one_more_publication_overtakes_a_reader() {
        one_reader(SLOTS, |reader| assert!(reader.try_load().is_some(), "the slot was not overwritten"));
    }

    #[test]
    #[should_panic(expected = "torn")]
    fn planted_without_the_second_look_a_value_is_torn() {
        one_reader(SLOTS, |reader| {
            let ticket = reader.cell.newest();
            check(&take(reader.cell.slot(ticket, HEADER + 1)));
        });
    }

    #[test]
    #[should_panic(expected = "torn")]
    fn planted_without_the_acquire_fence_a_value_is_torn() {
        one_reader(SLOTS, |reader| {
            let ticket = reader.cell.newest();
            let slot = reader.cell.slot(ticket, HEADER + 1);
            let version: Version<u64> = take(slot);
            if slot[TICKET].load(Relaxed) == ticket {
                check(&version);
            }
        });
    }

    #[test]
    #[should_panic(expected = "torn")]
    fn planted_with_a_relaxed_load_of_the_newest_ticket_a_value_is_torn() {
        one_reader(1, |reader| {
            let ticket = reader.cell.newest.load(Relaxed);
            let slot = reader.cell.slot(ticket, HEADER + 1);
            let version: Version<u64> = take(slot);
            if still_holds(slot, ticket) {
                check(&version);
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
                    let newest = cached.load().version.expect("it was published before");
                    assert_eq!((newest.value, newest.version), (101, 1));
                    assert!([1, 2, 3].contains(&newest.epoch.0) && newest.epoch.0 >= seen);
                    assert_eq!(newest.stamps.received, Nanos(u64::from(newest.epoch.0)), "torn stamps");
                    seen = newest.epoch.0;
                }
            });
            for epoch in [2, 3] {
                writer.confirm(&receipt(epoch, u64::from(epoch)), Nanos(u64::from(epoch)));
            }
            reading.join().unwrap();
        });
    }

    /// Reads two cells. The second is always written after the first, so it is never ahead.
    fn read_two_cells(look_again: bool) {
        bounded(3).check(move || {
            let ((mut first, reader), (mut second, other)) = (cell(), cell());
            let reading = thread::spawn(move || {
                let (loaded, last) = (reader.load(), other.load());
                if !look_again || (reader.is_newest(&loaded) && other.is_newest(&last)) {
                    let [loaded, last] = [loaded, last].map(|loaded| loaded.version.as_ref().map_or(0, check));
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

    fn value(reader: &Reader<u64>) -> u64 {
        reader.load().version.unwrap().value
    }

    #[test]
    fn an_empty_cell_has_version_zero_and_no_value() {
        let (writer, reader) = cell::<u64>();
        assert_eq!((writer.version(), reader.version()), (0, 0));
        assert!(reader.load().version.is_none());
        assert!(reader.load_if_newer(0).is_none());
        assert!(reader.cached().load().version.is_none());
    }

    #[test]
    fn one_load_is_one_version_with_its_stamps_and_origin() {
        let (mut writer, reader) = cell();
        assert_eq!(writer.publish(&5u64, 11, &receipt(u32::MAX, 22), Nanos(33)), 1);
        let stamps = Stamps { exchange_ms: 11, received: Nanos(22), published: Nanos(33) };
        let expected = Version { value: 5, stamps, epoch: Epoch(u32::MAX), connection: ConnectionId(7), version: 1 };
        assert_eq!(reader.load().version, Some(expected));
        assert_eq!(reader.cached().load().version, Some(expected));
        assert_eq!(reader.load_if_newer(0).unwrap().version, Some(expected));
        assert!(reader.load_if_newer(1).is_none());
    }

    #[test]
    fn a_confirmation_renews_the_stamps_and_keeps_value_and_version() {
        let (mut writer, reader) = cell();
        writer.confirm(&receipt(1, 1), Nanos(1));
        assert!(reader.load().version.is_none(), "there was nothing to confirm");
        writer.publish(&5u64, 11, &receipt(3, 22), Nanos(33));
        let mut cached = reader.cached();
        writer.confirm(&receipt(4, 44), Nanos(55));
        let stamps = Stamps { exchange_ms: 11, received: Nanos(44), published: Nanos(55) };
        let expected = Version { value: 5, stamps, epoch: Epoch(4), connection: ConnectionId(7), version: 1 };
        assert_eq!(reader.load().version, Some(expected));
        assert_eq!(cached.load().version, Some(expected));
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
    fn a_copy_does_not_change_when_its_slot_is_overwritten() {
        let (mut writer, reader) = cell();
        put(&mut writer, 1);
        let first = reader.load();
        for published in 2..100 {
            put(&mut writer, published);
            assert_eq!((value(&reader), first.version.unwrap().value), (published, 1));
        }
    }

    #[test]
    fn a_slot_holds_its_publication_until_as_many_more_as_there_are_slots_have_begun() {
        let (mut writer, reader) = cell();
        put(&mut writer, 1);
        let (ticket, words) = (reader.cell.newest(), HEADER + 1);
        for published in 2..2 + SLOTS as u64 {
            assert!(still_holds(reader.cell.slot(ticket, words), ticket));
            put(&mut writer, published);
        }
        assert!(!still_holds(reader.cell.slot(ticket, words), ticket), "overwritten");
    }

    #[test]
    fn slots_begin_on_cache_lines_and_do_not_overlap() {
        for words in [1, 2, 3, 130] {
            let cell = Cell::new(HEADER + words);
            let starts = (0..SLOTS as u64).map(|ticket| cell.slot(ticket, HEADER + words).as_ptr().addr());
            let starts: Vec<_> = starts.collect();
            assert!(starts.iter().all(|start| start.is_multiple_of(size_of::<u64>() * LINE)));
            assert!(starts.windows(2).all(|pair| pair[1] - pair[0] >= (HEADER + words) * size_of::<u64>()));
        }
    }

    #[test]
    fn the_ends_outlive_each_other() {
        let (mut writer, reader) = cell();
        put(&mut writer, 1);
        drop(reader.clone());
        put(&mut writer, 2);
        drop(writer);
        assert_eq!((reader.version(), value(&reader)), (2, 2));
        let (mut writer, reader) = cell();
        drop(reader);
        put(&mut writer, 1);
        assert_eq!(writer.version(), 1);
    }
}
