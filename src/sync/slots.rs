//! Reusable memory slots: one writer fills a slot that no reader holds, and readers hold a slot while they read it.
//!
//! # Synchronization
//!
//! Each slot is a `RwLock` that is only ever tried. A held slot refuses the writer, which skips it; a slot that is
//! being filled refuses readers. Slots are only ever added, in rows, and never move: each row is set once (Release),
//! and a reader that has the place of a slot in it finds it (Acquire). How readers get places, and what they do when a
//! slot refuses them, is up to the caller.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::OnceLock;

use super::prim::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The initial number of slots: one to read and one to fill.
const SLOTS: usize = 2;

/// The maximum number of slots in a row. A row is allocated at once, and a larger one would delay the writer too long.
const ROW_MAX: usize = 64;

/// All places are below this. The place of a slot is its row, counted from 0, times [`ROW_MAX`], plus its index in the
/// row. This many slots of candles, which are the smallest, take 48 GiB.
pub(super) const PLACES: u64 = 1 << 28;

/// The number of blocks that hold all rows: each block has twice as many as the previous one.
const BLOCKS: usize = (PLACES as usize / ROW_MAX).ilog2() as usize;

/// The maximum number of slots that the writer tries before it adds more. Without a limit, each held slot would slow
/// the writer down. With it, the writer may miss a released slot if more than this many are held.
const SEARCH_MAX: usize = 16;

/// The slots, as readers see them.
pub(super) struct Slots<T> {
    first: Row<T>,
    // Most cells never have a second row.
    others: OnceLock<Box<[Block<T>; BLOCKS]>>,
}

type Row<T> = Box<[Slot<T>]>;

/// A block of rows. Blocks double in size, so a row is found in constant time.
type Block<T> = OnceLock<Box<[OnceLock<Row<T>>]>>;

/// A slot on its own cache lines, with its lock on the first: one miss loads the lock and the start of the content.
#[derive(Default)]
#[repr(align(64))]
struct Slot<T>(RwLock<T>);

impl<T: Default> Slots<T> {
    /// Returns the slots and the writer's allocator.
    pub fn new() -> (SlotAllocator, Self) {
        let slots = Self { first: row(SLOTS), others: OnceLock::new() };
        let free = (0..SLOTS).map(Reverse).collect();
        (SlotAllocator { free, retired: VecDeque::with_capacity(SLOTS), rows: 1, slots: SLOTS }, slots)
    }

    /// Adds a row after `rows` others.
    fn add_row(&self, rows: usize, len: usize) {
        let others = self.others.get_or_init(|| Box::new(std::array::from_fn(|_| OnceLock::new())));
        let (block, at) = split(rows);
        let block = others[block].get_or_init(|| (0..1 << block).map(|_| OnceLock::new()).collect());
        assert!(block[at].set(row(len)).is_ok(), "there is one writer");
    }
}

fn row<T: Default>(len: usize) -> Row<T> {
    (0..len).map(|_| Slot::default()).collect()
}

/// Returns the block of a row other than the first, and its index in the block.
fn split(row: usize) -> (usize, usize) {
    let block = row.ilog2() as usize;
    (block, row - (1 << block))
}

impl<T> Slots<T> {
    /// Holds a slot, unless it is being filled.
    #[inline]
    pub fn hold(&self, place: usize) -> Option<RwLockReadGuard<'_, T>> {
        // Also refuses a poisoned slot, as does `fill`. The writer that panicked never published it.
        self.slot(place).0.try_read().ok()
    }

    #[inline]
    fn fill(&self, place: usize) -> Option<RwLockWriteGuard<'_, T>> {
        self.slot(place).0.try_write().ok()
    }

    #[inline]
    fn slot(&self, place: usize) -> &Slot<T> {
        match self.first.get(place) {
            Some(slot) => slot,
            None => self.slot_in_later_row(place),
        }
    }

    // Not inlined, to keep the path to the first row short.
    #[inline(never)]
    fn slot_in_later_row(&self, place: usize) -> &Slot<T> {
        let (block, at) = split(place / ROW_MAX);
        let row = self.others.get().and_then(|others| others[block].get()?[at].get());
        &row.expect("a row is added before its places are used")[place % ROW_MAX]
    }
}

/// The writer's record of the slots that it may fill. It prefers low places, because the first row is the fastest to
/// reach for the writer and all readers.
pub(super) struct SlotAllocator {
    // Slots that were not held when the writer last tried them. Readers do not get their places any more; a late reader
    // may hold one for a moment. The lowest place is used first.
    free: BinaryHeap<Reverse<usize>>,
    // Replaced slots that may still be held, the longest retired first.
    retired: VecDeque<usize>,
    rows: usize,
    slots: usize,
}

impl SlotAllocator {
    /// Returns a slot to fill, and its place. Never waits; allocates only if readers hold more slots than ever before.
    #[inline]
    pub fn next<'a, T: Default>(&mut self, slots: &'a Slots<T>) -> (usize, RwLockWriteGuard<'a, T>) {
        if self.retired.len() > 1 {
            self.rescan(slots);
        }
        if let Some(place) = self.retired.pop_front() {
            match slots.fill(place) {
                Some(_) if self.has_free_before(place) => self.free.push(Reverse(place)),
                Some(slot) => return (place, slot),
                None => self.retired.push_back(place),
            }
        }
        self.next_free(slots)
    }

    #[inline]
    fn has_free_before(&self, place: usize) -> bool {
        self.free.peek().is_some_and(|Reverse(first)| *first < place)
    }

    /// Retires a slot: readers do not get its place any more, and it may be filled again once no reader holds it.
    #[inline]
    pub fn retire(&mut self, place: usize) {
        self.retired.push_back(place);
    }

    /// Tries one retired slot more. One slot is retired between two calls of `next`, so with two tries per call the
    /// writer finds released slots in time, and slots that stay held do not slow it down.
    #[cold]
    fn rescan<T>(&mut self, slots: &Slots<T>) {
        if let Some(place) = self.retired.pop_front() {
            match slots.fill(place) {
                Some(_) => self.free.push(Reverse(place)),
                None => self.retired.push_back(place),
            }
        }
    }

    #[cold]
    fn next_free<'a, T: Default>(&mut self, slots: &'a Slots<T>) -> (usize, RwLockWriteGuard<'a, T>) {
        while let Some(Reverse(place)) = self.free.pop() {
            match slots.fill(place) {
                Some(slot) => return (place, slot),
                None => self.retired.push_back(place),
            }
        }
        self.search(slots)
    }

    #[cold]
    fn search<'a, T: Default>(&mut self, slots: &'a Slots<T>) -> (usize, RwLockWriteGuard<'a, T>) {
        for _ in 0..self.retired.len().min(SEARCH_MAX) {
            let Some(place) = self.retired.pop_front() else { break };
            if let Some(slot) = slots.fill(place) {
                return (place, slot);
            }
            self.retired.push_back(place);
        }
        self.grow(slots);
        self.next_free(slots)
    }

    /// Adds half as many slots as there are, at most [`ROW_MAX`].
    fn grow<T: Default>(&mut self, slots: &Slots<T>) {
        let more = (self.slots / 2).min(ROW_MAX);
        slots.add_row(self.rows, more);
        let first = self.rows * ROW_MAX;
        (self.rows, self.slots) = (self.rows + 1, self.slots + more);
        // Each queue has room for all slots, so that moving a slot between them does not allocate.
        self.retired.reserve(self.slots - self.retired.len());
        self.free.reserve(self.slots - self.free.len());
        self.free.extend((first..first + more).map(Reverse));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// A writer that keeps its newest slot and counts its fills.
    struct Writer<'a> {
        slots: &'a Slots<u64>,
        allocator: SlotAllocator,
        newest: Option<usize>,
        filled: u64,
    }

    impl<'a> Writer<'a> {
        fn new(slots: &'a Slots<u64>, allocator: SlotAllocator) -> Self {
            Self { slots, allocator, newest: None, filled: 0 }
        }

        fn fill(&mut self) -> usize {
            let (place, mut slot) = self.allocator.next(self.slots);
            self.filled += 1;
            *slot = self.filled;
            if let Some(replaced) = self.newest.replace(place) {
                self.allocator.retire(replaced);
            }
            place
        }

        fn fill_many(&mut self, times: usize) -> HashSet<usize> {
            (0..times).map(|_| self.fill()).collect()
        }

        /// Fills and holds `many` slots. Returns each with the value filled into it.
        fn hold(&mut self, many: usize) -> Vec<(u64, RwLockReadGuard<'a, u64>)> {
            let fill = |_| {
                let place = self.fill();
                (self.filled, self.slots.hold(place).expect("the slot is filled"))
            };
            (0..many).map(fill).collect()
        }

        /// Returns the number of slots.
        fn len(&self) -> usize {
            let len = self.allocator.free.len() + self.allocator.retired.len() + usize::from(self.newest.is_some());
            assert_eq!(len, self.allocator.slots, "a slot is lost");
            len
        }
    }

    #[track_caller]
    fn untouched(held: &[(u64, RwLockReadGuard<'_, u64>)]) {
        assert!(held.iter().all(|(filled, slot)| **slot == *filled), "a slot was filled while it was held");
    }

    #[test]
    fn two_slots_alternate_while_no_reader_holds_one() {
        let (allocator, slots) = Slots::new();
        let mut writer = Writer::new(&slots, allocator);
        let places: Vec<_> = (0..6).map(|_| writer.fill()).collect();
        assert_eq!(places, [0, 1, 0, 1, 0, 1]);
    }

    #[test]
    fn a_slot_that_is_being_filled_refuses_readers() {
        let (mut allocator, slots) = Slots::<u64>::new();
        let (place, slot) = allocator.next(&slots);
        assert!(slots.hold(place).is_none());
        drop(slot);
        assert!(slots.hold(place).is_some());
    }

    #[test]
    fn a_held_slot_is_skipped_and_reused_after_its_release() {
        let (allocator, slots) = Slots::new();
        let mut writer = Writer::new(&slots, allocator);
        let held = writer.hold(1);
        assert!(!writer.fill_many(100).contains(&0));
        assert_eq!(writer.len(), 3);
        untouched(&held);
        drop(held);
        let again = writer.hold(2);
        assert_eq!(writer.len(), 3, "the first slot is reused");
        untouched(&again);
    }

    #[test]
    fn holding_as_many_slots_as_before_takes_no_more_memory() {
        let (allocator, slots) = Slots::new();
        let mut writer = Writer::new(&slots, allocator);
        untouched(&writer.hold(SEARCH_MAX));
        let slots = writer.len();
        for _ in 0..100 {
            untouched(&writer.hold(SEARCH_MAX));
        }
        assert_eq!(writer.len(), slots);
    }

    #[test]
    fn memory_grows_with_the_slots_held_at_once_and_not_with_the_fills() {
        for many in [1, SEARCH_MAX, 50, 1_000] {
            let (allocator, slots) = Slots::new();
            let mut writer = Writer::new(&slots, allocator);
            for _ in 0..5 {
                let held = writer.hold(many);
                writer.fill_many(10_000);
                untouched(&held);
                // Release some, here and there.
                let kept: Vec<_> = held.into_iter().filter(|(filled, _)| filled % 7 < 3).collect();
                writer.fill_many(10_000);
                untouched(&kept);
            }
            assert!(writer.len() <= 3 * many, "{} slots for {many} held at once", writer.len());
        }
    }

    /// A past bug: the writer never returned from the slots that it had added, after the others, while many were held.
    #[test]
    fn the_first_two_slots_alternate_again_once_no_reader_holds_one() {
        for many in [1, SEARCH_MAX, 1_000, 10_000] {
            let (allocator, slots) = Slots::new();
            let mut writer = Writer::new(&slots, allocator);
            let held = writer.hold(many);
            untouched(&held);
            drop(held);
            writer.fill_many(2 * many);
            assert_eq!(writer.fill_many(100), HashSet::from([0, 1]), "{many} were held");
        }
    }

    #[test]
    fn the_nearest_slots_are_used_around_those_that_stay_held() {
        let (allocator, slots) = Slots::new();
        let mut writer = Writer::new(&slots, allocator);
        let mut held = writer.hold(1_000);
        held.truncate(1);
        writer.fill_many(2_000);
        // The first place is held, and the second and third row have one place each.
        assert!(writer.fill_many(100).is_subset(&HashSet::from([1, ROW_MAX, 2 * ROW_MAX])));
        untouched(&held);
    }

    #[test]
    fn each_slot_has_its_own_address_however_many_there_are() {
        let (allocator, slots) = Slots::new();
        let mut writer = Writer::new(&slots, allocator);
        let held = writer.hold(20_000);
        let addresses: HashSet<*const u64> = held.iter().map(|(_, slot)| &raw const **slot).collect();
        assert_eq!(addresses.len(), held.len());
        untouched(&held);
    }

    #[test]
    fn the_blocks_cover_all_places() {
        let last = PLACES as usize / ROW_MAX - 1;
        assert_eq!((split(1), split(2), split(3), split(4)), ((0, 0), (1, 0), (1, 1), (2, 0)));
        assert_eq!(split(last), (BLOCKS - 1, (1 << (BLOCKS - 1)) - 1));
    }

    #[test]
    fn slots_do_not_move_when_more_are_added() {
        let (allocator, slots) = Slots::new();
        let mut writer = Writer::new(&slots, allocator);
        let first: *const Slot<u64> = slots.slot(0);
        let held = writer.hold(300);
        assert_eq!(writer.len(), 141 + 3 * ROW_MAX, "grows by half each time: 3, 4, 6, 9, ... 141");
        assert_eq!(first, &raw const *slots.slot(0));
        untouched(&held);
    }
}
