//! Memory that takes turns: one writer fills a slot that nobody holds, any number of readers hold one while they read it.
//!
//! # Synchronization
//!
//! Each slot is a `RwLock` that is only tried. A held slot keeps the writer out, and the writer passes over it; a slot
//! that is being filled refuses readers. Slots are only ever added, in rows, and never move: each row is set once
//! (Release), and whoever has been told of a slot in it finds it (Acquire). Which slot a reader is told of, and what it
//! makes of a refusal, is not here.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::OnceLock;

use super::prim::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Slots in the beginning: one to read and one to fill.
const SLOTS: usize = 2;

/// The most slots of a row, which is what is added at once: more would keep the writer from its work.
const ROW_MAX: usize = 64;

/// Every place is below this: that of a slot is its row, counted from 0, times [`ROW_MAX`], plus where it is in the row.
/// The slots of as many candles, which are the smallest, take 48 GiB.
pub(super) const PLACES: u64 = 1 << 28;

/// Enough for all rows: each block has twice as many as the one before.
const BLOCKS: usize = (PLACES as usize / ROW_MAX).ilog2() as usize;

/// The most slots that the writer looks at before it appends more. Without a limit it would become slower with each slot
/// that is held; with one, it may overlook a slot that was let go, where more than this many are held.
const SEARCH_MAX: usize = 16;

/// The slots, as readers know them.
pub(super) struct Slots<T> {
    first: Row<T>,
    // Most cells never have a second row.
    others: OnceLock<Box<[Block<T>; BLOCKS]>>,
}

type Row<T> = Box<[Slot<T>]>;

/// Rows in a place that is found at once, however many there are.
type Block<T> = OnceLock<Box<[OnceLock<Row<T>>]>>;

/// On lines of its own, with its lock on the first: one miss brings both.
#[derive(Default)]
#[repr(align(64))]
struct Slot<T>(RwLock<T>);

impl<T: Default> Slots<T> {
    /// The slots and their writer.
    pub fn new() -> (SlotAllocator, Self) {
        let slots = Self { first: row(SLOTS), others: OnceLock::new() };
        let free = (0..SLOTS).map(Reverse).collect();
        (SlotAllocator { free, retired: VecDeque::with_capacity(SLOTS), rows: 1, slots: SLOTS }, slots)
    }

    /// Adds a row behind `rows` others.
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

/// The block of a row that is not the first, and where it is in the block.
fn split(row: usize) -> (usize, usize) {
    let block = row.ilog2() as usize;
    (block, row - (1 << block))
}

impl<T> Slots<T> {
    /// Holds a slot, unless it is being filled.
    #[inline]
    pub fn hold(&self, place: usize) -> Option<RwLockReadGuard<'_, T>> {
        // Poison, here and below: a writer that panicked left nothing that anybody is told of.
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
            None => self.slot_behind(place),
        }
    }

    // Not inlined: the way to the first row stays short.
    #[inline(never)]
    fn slot_behind(&self, place: usize) -> &Slot<T> {
        let (block, at) = split(place / ROW_MAX);
        let row = self.others.get().and_then(|others| others[block].get()?[at].get());
        &row.expect("nobody is told of a slot before it is there")[place % ROW_MAX]
    }
}

/// The slots that the writer may fill. It goes back to the first ones as soon as they are let go: they are
/// in the first row, which is the nearest to the writer and to all readers.
pub(super) struct SlotAllocator {
    // Was not held when the writer looked. Nobody is told of it any more; at most a late reader looks in for a moment.
    // The first one is taken first.
    free: BinaryHeap<Reverse<usize>>,
    // Was told of, and may be held: the one that waits longest first.
    retired: VecDeque<usize>,
    rows: usize,
    slots: usize,
}

impl SlotAllocator {
    /// A slot to fill, and its place. Waits for nobody; allocates only while readers hold more than ever before.
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

    /// Readers are told of the slot no more, and it may be filled again once nobody holds it.
    #[inline]
    pub fn retire(&mut self, place: usize) {
        self.retired.push_back(place);
    }

    /// One more look than the one at the slot whose turn it is, because one slot comes in between two calls: so what is
    /// let go is found in time, and what is held for ever slows nobody down.
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

    /// Adds half as many slots as there are, within limits.
    fn grow<T: Default>(&mut self, slots: &Slots<T>) {
        let more = (self.slots / 2).min(ROW_MAX);
        slots.add_row(self.rows, more);
        let first = self.rows * ROW_MAX;
        (self.rows, self.slots) = (self.rows + 1, self.slots + more);
        // Each of them has room for all, so that moving slots from one to the other does not allocate.
        self.retired.reserve(self.slots - self.retired.len());
        self.free.reserve(self.slots - self.free.len());
        self.free.extend((first..first + more).map(Reverse));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// A writer that never gives its newest slot away, and a count of what it filled.
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

        /// Fills as many slots and holds them, each with what was filled into it.
        fn hold(&mut self, many: usize) -> Vec<(u64, RwLockReadGuard<'a, u64>)> {
            let fill = |_| {
                let place = self.fill();
                (self.filled, self.slots.hold(place).expect("it is filled"))
            };
            (0..many).map(fill).collect()
        }

        /// How many slots there are.
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
    fn two_slots_take_turns_while_nobody_holds_one() {
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
    fn a_held_slot_is_passed_over_and_comes_back_when_it_is_let_go() {
        let (allocator, slots) = Slots::new();
        let mut writer = Writer::new(&slots, allocator);
        let held = writer.hold(1);
        assert!(!writer.fill_many(100).contains(&0));
        assert_eq!(writer.len(), 3);
        untouched(&held);
        drop(held);
        let again = writer.hold(2);
        assert_eq!(writer.len(), 3, "the first is among them");
        untouched(&again);
    }

    #[test]
    fn as_many_as_were_held_before_take_no_more_memory() {
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
    fn memory_grows_with_what_is_held_at_once_and_not_with_what_is_filled() {
        for many in [1, SEARCH_MAX, 50, 1_000] {
            let (allocator, slots) = Slots::new();
            let mut writer = Writer::new(&slots, allocator);
            for _ in 0..5 {
                let held = writer.hold(many);
                writer.fill_many(10_000);
                untouched(&held);
                // Let go of some, here and there.
                let kept: Vec<_> = held.into_iter().filter(|(filled, _)| filled % 7 < 3).collect();
                writer.fill_many(10_000);
                untouched(&kept);
            }
            assert!(writer.len() <= 3 * many, "{} slots for {many} held at once", writer.len());
        }
    }

    /// The writer went on among the slots that it had come to while many were held, behind all others, for ever.
    #[test]
    fn the_first_two_slots_take_turns_again_once_nobody_holds_one() {
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
    fn the_nearest_slots_take_turns_around_those_that_stay_held() {
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
    fn every_slot_has_a_place_of_its_own_however_many_there_are() {
        let (allocator, slots) = Slots::new();
        let mut writer = Writer::new(&slots, allocator);
        let held = writer.hold(20_000);
        let addresses: HashSet<*const u64> = held.iter().map(|(_, slot)| &raw const **slot).collect();
        assert_eq!(addresses.len(), held.len());
        untouched(&held);
    }

    #[test]
    fn there_are_blocks_for_all_places() {
        let last = PLACES as usize / ROW_MAX - 1;
        assert_eq!((split(1), split(2), split(3), split(4)), ((0, 0), (1, 0), (1, 1), (2, 0)));
        assert_eq!(split(last), (BLOCKS - 1, (1 << (BLOCKS - 1)) - 1));
    }

    #[test]
    fn slots_stay_where_they_are_when_more_are_appended() {
        let (allocator, slots) = Slots::new();
        let mut writer = Writer::new(&slots, allocator);
        let first: *const Slot<u64> = slots.slot(0);
        let held = writer.hold(300);
        assert_eq!(writer.len(), 141 + 3 * ROW_MAX, "half as many more each time: 3, 4, 6, 9, ... 141");
        assert_eq!(first, &raw const *slots.slot(0));
        untouched(&held);
    }
}
