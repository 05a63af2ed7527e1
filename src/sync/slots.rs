//! Memory that takes turns: one writer fills a slot that nobody holds, any number of readers hold one while they read it.
//!
//! # Synchronization
//!
//! Each slot is a `RwLock` that is only tried. A held slot keeps the writer out, and the writer passes over it; a slot
//! that is being filled refuses readers. The list of slots grows at its end and never moves: each row is set once
//! (Release), and whoever has been told of a slot there finds it (Acquire). Which slot a reader is told of, and what it
//! makes of a refusal, is not here.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::OnceLock;

use super::prim::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Slots in the beginning: one to read and one to fill.
const SLOTS: usize = 2;

/// The most slots that are appended at once: more would keep the writer from its work.
const ROW_MAX: usize = 64;

/// The most slots that the writer looks at before it appends more. Without a limit it would become slower with each slot
/// that is held; with one, it may overlook a slot that was let go, where more than this many are held.
const LOOKS_MAX: usize = 16;

/// The slots, as readers know them.
pub(super) struct Slots<T> {
    row: Box<[Slot<T>]>,
    rest: OnceLock<Box<Slots<T>>>,
}

/// On lines of its own, with its lock on the first: one miss brings both.
#[derive(Default)]
#[repr(align(64))]
struct Slot<T>(RwLock<T>);

impl<T: Default> Slots<T> {
    /// The slots and their writer.
    pub fn new() -> (Turns, Self) {
        (Turns { free: (0..SLOTS).rev().collect(), told: VecDeque::with_capacity(SLOTS) }, Self::row(SLOTS))
    }

    fn row(len: usize) -> Self {
        Self { row: (0..len).map(|_| Slot::default()).collect(), rest: OnceLock::new() }
    }

    /// Appends half as many slots as there are, within limits; says which.
    fn grow(&self) -> Range<usize> {
        let (mut last, mut len) = (self, self.row.len());
        while let Some(rest) = last.rest.get() {
            (last, len) = (rest, len + rest.row.len());
        }
        let more = (len / 2).min(ROW_MAX);
        assert!(last.rest.set(Box::new(Self::row(more))).is_ok(), "there is one writer");
        len..len + more
    }
}

impl<T> Slots<T> {
    /// Holds a slot, unless it is being filled. Slots behind the first cost a cache miss for each row in front of them.
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
        match self.row.get(place) {
            Some(slot) => slot,
            None => self.slot_behind(place - self.row.len()),
        }
    }

    fn slot_behind(&self, place: usize) -> &Slot<T> {
        self.rest.get().expect("nobody is told of a slot before it is there").slot(place)
    }
}

/// The writer's account of the slots that it may fill.
pub(super) struct Turns {
    // Was not held when the writer looked. Nobody is told of it any more; at most a late reader looks in for a moment.
    free: Vec<usize>,
    // Was told of, and may be held: the one that waits longest first.
    told: VecDeque<usize>,
}

impl Turns {
    /// A slot to fill, and its place. Waits for nobody; allocates only while readers hold more than ever before.
    #[inline]
    pub fn next<'a, T: Default>(&mut self, slots: &'a Slots<T>) -> (usize, RwLockWriteGuard<'a, T>) {
        if self.told.len() > 1 {
            self.look_again(slots);
        }
        if let Some(place) = self.told.pop_front() {
            if let Some(slot) = slots.fill(place) {
                return (place, slot);
            }
            self.told.push_back(place);
        }
        self.next_free(slots)
    }

    /// Readers are told of the slot no more, and it may be filled again once nobody holds it.
    #[inline]
    pub fn put_back(&mut self, place: usize) {
        self.told.push_back(place);
    }

    /// One more look than the one at the slot whose turn it is, because one slot comes in between two calls: so what is
    /// let go is found in time, and what is held for ever slows nobody down.
    #[cold]
    fn look_again<T>(&mut self, slots: &Slots<T>) {
        if let Some(place) = self.told.pop_front() {
            match slots.fill(place) {
                Some(_) => self.free.push(place),
                None => self.told.push_back(place),
            }
        }
    }

    #[cold]
    fn next_free<'a, T: Default>(&mut self, slots: &'a Slots<T>) -> (usize, RwLockWriteGuard<'a, T>) {
        while let Some(place) = self.free.pop() {
            match slots.fill(place) {
                Some(slot) => return (place, slot),
                None => self.told.push_back(place),
            }
        }
        self.search(slots)
    }

    #[cold]
    fn search<'a, T: Default>(&mut self, slots: &'a Slots<T>) -> (usize, RwLockWriteGuard<'a, T>) {
        for _ in 0..self.told.len().min(LOOKS_MAX) {
            let Some(place) = self.told.pop_front() else { break };
            if let Some(slot) = slots.fill(place) {
                return (place, slot);
            }
            self.told.push_back(place);
        }
        let more = slots.grow();
        // Each of them has room for all, so that moving slots from one to the other does not allocate.
        self.told.reserve(more.end - self.told.len());
        self.free.reserve(more.end);
        self.free.extend(more.rev());
        self.next_free(slots)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// A writer that never gives its newest slot away, and a count of what it filled.
    struct Writer<'a> {
        slots: &'a Slots<u64>,
        turns: Turns,
        newest: Option<usize>,
        filled: u64,
    }

    impl<'a> Writer<'a> {
        fn new(slots: &'a Slots<u64>, turns: Turns) -> Self {
            Self { slots, turns, newest: None, filled: 0 }
        }

        fn fill(&mut self) -> usize {
            let (place, mut slot) = self.turns.next(self.slots);
            self.filled += 1;
            *slot = self.filled;
            if let Some(replaced) = self.newest.replace(place) {
                self.turns.put_back(replaced);
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
            self.turns.free.len() + self.turns.told.len() + usize::from(self.newest.is_some())
        }
    }

    #[track_caller]
    fn untouched(held: &[(u64, RwLockReadGuard<'_, u64>)]) {
        assert!(held.iter().all(|(filled, slot)| **slot == *filled), "a slot was filled while it was held");
    }

    #[test]
    fn two_slots_take_turns_while_nobody_holds_one() {
        let (turns, slots) = Slots::new();
        let mut writer = Writer::new(&slots, turns);
        let places: Vec<_> = (0..6).map(|_| writer.fill()).collect();
        assert_eq!(places, [0, 1, 0, 1, 0, 1]);
    }

    #[test]
    fn a_slot_that_is_being_filled_refuses_readers() {
        let (mut turns, slots) = Slots::<u64>::new();
        let (place, slot) = turns.next(&slots);
        assert!(slots.hold(place).is_none());
        drop(slot);
        assert!(slots.hold(place).is_some());
    }

    #[test]
    fn a_held_slot_is_passed_over_and_comes_back_when_it_is_let_go() {
        let (turns, slots) = Slots::new();
        let mut writer = Writer::new(&slots, turns);
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
        let (turns, slots) = Slots::new();
        let mut writer = Writer::new(&slots, turns);
        untouched(&writer.hold(LOOKS_MAX));
        let slots = writer.len();
        for _ in 0..100 {
            untouched(&writer.hold(LOOKS_MAX));
        }
        assert_eq!(writer.len(), slots);
    }

    #[test]
    fn memory_grows_with_what_is_held_at_once_and_not_with_what_is_filled() {
        for many in [1, LOOKS_MAX, 50, 1_000] {
            let (turns, slots) = Slots::new();
            let mut writer = Writer::new(&slots, turns);
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

    #[test]
    fn slots_stay_where_they_are_when_more_are_appended() {
        let (turns, slots) = Slots::new();
        let mut writer = Writer::new(&slots, turns);
        let first: *const Slot<u64> = slots.slot(0);
        let held = writer.hold(300);
        assert_eq!(writer.len(), 141 + 3 * ROW_MAX, "half as many more each time: 3, 4, 6, 9, ... 141");
        assert_eq!(first, &raw const *slots.slot(0));
        untouched(&held);
    }
}
