//! The set of changed keys: one marker says which key has changed, one drainer takes the keys, each waiting at most once.
//!
//! What changed is not here: the marker stores the newest value first, then marks its key. A drainer that is slow finds
//! fewer keys than there were changes, and each with its newest value; how many changes it was, the counts tell.
//!
//! # Synchronization
//!
//! Each key has one word: how often it was marked, and whether it is pending, which is the lowest bit.
//! * The [`Marker`] swaps in the new count with the bit set (MARK-AFTER-VALUE, AcqRel). The [`Drain`] clears the bit
//!   and learns the count in one step (CLEAR-THEN-VALUE, AcqRel), then loads the value. So the value is at least as new
//!   as the count. A mark that comes after the clearing finds the bit clear and queues the key anew; one that comes
//!   before is in the count. No change is lost between them.
//! * Pending keys wait in a ring, the one waiting longest first. The marker stores the key, then `tail`
//!   (TAIL-AFTER-KEY, Release); the drainer loads `tail` (Acquire), then the key. It finds the value of the mark that
//!   queued the key, or a newer one, before it clears anything.
//! * The ring is never full, and the marker never asks. It has a place for each key, and a key is queued only by a mark
//!   that found its bit clear, which is cleared only after the key was taken out: each key is in it at most once,
//!   whether its bit is cleared at once or later ([held](Drain::take_held)).
//! * A place is written again only after it was read. Since then the ring has turned once, with one key more than there
//!   are, so one key was queued twice meanwhile: the second mark found the bit clear (the Acquire of MARK-AFTER-VALUE,
//!   pairs with the Release of CLEAR-THEN-VALUE), hence after the first of the two was taken out, and that place was
//!   read before.

use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use crossbeam_utils::CachePadded;

use super::prim::{AtomicU32, AtomicU64, AtomicUsize};

/// The lowest bit of a key's word: it waits, or is held.
const PENDING: u64 = 1;

/// The keys `0..keys`, none changed, as their marker and their drainer. All memory is allocated here.
///
/// # Panics
///
/// If there are more keys than a `u32` counts.
pub fn set(keys: usize) -> (Marker, Drain) {
    assert!(u32::try_from(keys).is_ok(), "{keys} keys");
    let shared = Arc::new(Shared {
        words: (0..keys).map(|_| AtomicU64::new(0)).collect(),
        // Filled up to a power of two, so that a place is found by masking.
        queue: (0..keys.next_power_of_two()).map(|_| AtomicU32::new(0)).collect(),
        tail: CachePadded::new(AtomicUsize::new(0)),
    });
    let marker = Marker { shared: shared.clone(), counts: vec![0; keys].into(), tail: 0 };
    (marker, Drain { shared, held: vec![false; keys].into(), head: 0 })
}

struct Shared {
    /// For each key its count and [`PENDING`].
    words: Box<[AtomicU64]>,
    /// The pending keys, from the drainer's head to `tail`.
    queue: Box<[AtomicU32]>,
    /// Keys ever queued.
    tail: CachePadded<AtomicUsize>,
}

impl Shared {
    #[inline]
    fn place(&self, turn: usize) -> &AtomicU32 {
        &self.queue[turn & (self.queue.len() - 1)]
    }
}

/// The marking end. There is one for each set, for life: it is not `Clone` and marking takes `&mut`.
pub struct Marker {
    shared: Arc<Shared>,
    // The marker's own copies of the counts and of `Shared::tail`.
    counts: Box<[u64]>,
    tail: usize,
}

impl Marker {
    /// Counts a change of `key`; queues it if it does not wait already. Call it after the change is stored; any atomic
    /// store will do. Never waits, allocates nothing, wakes nobody.
    ///
    /// # Panics
    ///
    /// If there is no such key.
    #[inline]
    pub fn mark(&mut self, key: usize) {
        let count = &mut self.counts[key];
        *count += 1;
        // MARK-AFTER-VALUE: AcqRel. Release, pairs with CLEAR-THEN-VALUE in `Drain::clear` and the Acquire in
        // `Drain::count`; Acquire, pairs with CLEAR-THEN-VALUE: the place in the queue is free.
        let before = self.shared.words[key].swap(*count << 1 | PENDING, AcqRel);
        if before & PENDING == 0 {
            self.queue(key);
        }
    }

    #[inline]
    fn queue(&mut self, key: usize) {
        // Relaxed: ordered by TAIL-AFTER-KEY. It fits: `set` refused keys that do not.
        self.shared.place(self.tail).store(key as u32, Relaxed);
        self.tail = self.tail.wrapping_add(1);
        // TAIL-AFTER-KEY: Release, pairs with the Acquire in `Drain::len`.
        self.shared.tail.store(self.tail, Release);
    }
}

/// The draining end. Belongs to one thread at a time.
pub struct Drain {
    shared: Arc<Shared>,
    // Keys that are taken out and still pending.
    held: Box<[bool]>,
    // Keys ever taken out.
    head: usize,
}

impl Drain {
    /// The key that waits longest, and how many marks it has had in all. What is loaded from here on is at least as new
    /// as the last of these marks; a later mark queues the key anew. Never waits.
    #[allow(
        clippy::should_implement_trait,
        reason = "not an iterator: there may be more after it said that there is none"
    )]
    #[inline]
    pub fn next(&mut self) -> Option<(usize, u64)> {
        let key = self.pop()?;
        Some((key, self.clear(key)))
    }

    /// The key that waits longest, held back: it stays pending, so that further marks only count, until
    /// [`release`](Self::release). What is loaded from here on is at least as new as the mark that queued it.
    pub fn take_held(&mut self) -> Option<usize> {
        let key = self.pop()?;
        self.held[key] = true;
        Some(key)
    }

    /// How many marks `key` has had in all. What is loaded from here on is at least as new as the last of them.
    ///
    /// # Panics
    ///
    /// If there is no such key.
    pub fn count(&self, key: usize) -> u64 {
        // Acquire, pairs with MARK-AFTER-VALUE in `Marker::mark`.
        self.shared.words[key].load(Acquire) >> 1
    }

    /// Lets go of a held key and returns how many marks it has had in all, as [`next`](Self::next) does. Of a key that
    /// is not held it is the [`count`](Self::count), and nothing changes.
    ///
    /// # Panics
    ///
    /// If there is no such key.
    pub fn release(&mut self, key: usize) -> u64 {
        // Clearing the bit of a key in the queue would let it in twice, and then the queue may be too short.
        if std::mem::take(&mut self.held[key]) { self.clear(key) } else { self.count(key) }
    }

    /// Keys that wait, without those that are held.
    #[inline]
    pub fn len(&self) -> usize {
        // Acquire, pairs with TAIL-AFTER-KEY in `Marker::queue`.
        self.shared.tail.load(Acquire).wrapping_sub(self.head)
    }

    /// No key waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory of both ends.
    pub fn bytes(&self) -> usize {
        let Shared { words, queue, .. } = &*self.shared;
        let counts = words.len() * size_of::<u64>();
        size_of::<Shared>() + size_of_val(&**words) + size_of_val(&**queue) + size_of_val(&*self.held) + counts
    }

    #[inline]
    fn pop(&mut self) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        // Relaxed: ordered by the Acquire in `len`.
        let key = self.shared.place(self.head).load(Relaxed);
        self.head = self.head.wrapping_add(1);
        Some(key as usize)
    }

    /// Only for a key that was taken out of the queue.
    #[inline]
    fn clear(&self, key: usize) -> u64 {
        // CLEAR-THEN-VALUE: AcqRel, pairs with MARK-AFTER-VALUE in `Marker::mark`, both ways.
        self.shared.words[key].fetch_and(!PENDING, AcqRel) >> 1
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::Arc as ModelArc;
    use loom::thread;

    /// The pool's use: a value for each key, the marks, the drainer.
    struct Writing {
        values: ModelArc<[AtomicU64; 2]>,
        marker: Marker,
    }

    impl Writing {
        /// The value of a key is how often it was changed.
        fn change(&mut self, key: usize) {
            self.values[key].store(self.marker.counts[key] + 1, Relaxed);
            self.marker.mark(key);
        }
    }

    /// What the drainer has seen of each key, with all that is checked of it.
    struct Reading {
        values: ModelArc<[AtomicU64; 2]>,
        drain: Drain,
        counted: [u64; 2],
        seen: [u64; 2],
    }

    impl Reading {
        fn take(&mut self) -> bool {
            let Some((key, count)) = self.drain.next() else { return false };
            self.account(key, count);
            true
        }

        /// Holds a key for a moment.
        fn hold(&mut self) -> bool {
            let Some(key) = self.drain.take_held() else { return false };
            let value = self.values[key].load(Relaxed);
            assert!(value > self.counted[key], "taken out before its value was there");
            let count = self.drain.release(key);
            self.account(key, count);
            true
        }

        fn account(&mut self, key: usize, count: u64) {
            assert!(count > self.counted[key], "nothing changed");
            let value = self.values[key].load(Relaxed);
            assert!(value >= count, "marked {count} times and the value is {value}");
            (self.counted[key], self.seen[key]) = (count, value);
        }
    }

    fn both(keys: usize) -> (Writing, Reading) {
        let (marker, drain) = set(keys);
        let values = ModelArc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        (Writing { values: values.clone(), marker }, Reading { values, drain, counted: [0; 2], seen: [0; 2] })
    }

    /// While the keys are changed in this order, the drainer looks so often; when they have been, it takes the rest.
    fn no_change_is_lost(changes: &'static [usize], looks: usize, look: fn(&mut Reading) -> bool) {
        let mut bounded = loom::model::Builder::new();
        bounded.preemption_bound = Some(4);
        bounded.check(move || {
            let (mut writing, mut reading) = both(2);
            let reader = thread::spawn(move || {
                for _ in 0..looks {
                    look(&mut reading);
                }
                reading
            });
            changes.iter().for_each(|&key| writing.change(key));
            let mut reading = reader.join().unwrap();
            while look(&mut reading) {}
            let changed = [0, 1].map(|key| changes.iter().filter(|&&k| k == key).count() as u64);
            assert_eq!(reading.seen, changed, "the newest values");
            assert_eq!(reading.counted, changed, "all marks");
        });
    }

    #[test]
    fn the_drainer_ends_up_with_the_newest_value_of_one_key() {
        no_change_is_lost(&[0, 0, 0], 2, Reading::take);
    }

    #[test]
    fn the_drainer_ends_up_with_the_newest_values_of_two_keys_while_the_queue_turns() {
        no_change_is_lost(&[0, 1, 0, 1, 0], 3, Reading::take);
    }

    #[test]
    fn a_key_that_was_held_ends_up_with_its_newest_value() {
        no_change_is_lost(&[0, 1, 0, 0], 2, Reading::hold);
    }

    #[test]
    fn a_drainer_that_saw_a_key_waiting_takes_it() {
        loom::model(|| {
            let (mut writing, mut reading) = both(2);
            let reader = thread::spawn(move || {
                let waiting = reading.drain.len();
                (0..waiting).for_each(|_| assert!(reading.take()));
            });
            writing.change(1);
            writing.change(0);
            reader.join().unwrap();
        });
    }

    /// The word alone: the drainer loads the value after it cleared the bit, or before.
    fn the_last_change_is_seen_or_waits(clear_first: bool) {
        loom::model(move || {
            let (mut writing, reading) = both(2);
            writing.change(0);
            let reader = thread::spawn(move || {
                let Reading { values, mut drain, .. } = reading;
                let key = drain.pop().unwrap();
                let value = || values[key].load(Relaxed);
                let early = (!clear_first).then(value);
                drain.clear(key);
                (early.unwrap_or_else(value), drain)
            });
            writing.change(0);
            let (value, drain) = reader.join().unwrap();
            assert!(value == 2 || !drain.is_empty(), "lost change");
        });
    }

    #[test]
    fn with_the_bit_cleared_first_the_last_change_is_seen_or_waits() {
        the_last_change_is_seen_or_waits(true);
    }

    #[test]
    #[should_panic(expected = "lost change")]
    fn planted_with_the_value_loaded_first_the_last_change_is_lost() {
        the_last_change_is_seen_or_waits(false);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_key_waits_once_however_often_it_is_marked() {
        let (mut marker, mut drain) = set(3);
        assert_eq!((drain.next(), drain.is_empty()), (None, true));
        [2, 0, 2, 2].into_iter().for_each(|key| marker.mark(key));
        assert_eq!(drain.len(), 2);
        assert_eq!([drain.next(), drain.next(), drain.next()], [Some((2, 3)), Some((0, 1)), None]);
        marker.mark(2);
        assert_eq!((drain.next(), drain.count(2), drain.count(1)), (Some((2, 4)), 4, 0));
    }

    #[test]
    fn a_busy_key_goes_behind_those_that_wait() {
        let (mut marker, mut drain) = set(3);
        [0, 1, 2].into_iter().for_each(|key| marker.mark(key));
        for round in 0..100 {
            let (key, _) = drain.next().unwrap();
            assert_eq!(key, round % 3);
            marker.mark(key);
        }
    }

    #[test]
    fn a_held_key_only_counts_until_it_is_released() {
        let (mut marker, mut drain) = set(2);
        marker.mark(1);
        assert_eq!((drain.take_held(), drain.len()), (Some(1), 0));
        marker.mark(1);
        marker.mark(1);
        assert_eq!((drain.next(), drain.count(1)), (None, 3));
        assert_eq!((drain.release(1), drain.next()), (3, None));
        marker.mark(1);
        assert_eq!(drain.next(), Some((1, 4)));
    }

    #[test]
    fn a_key_that_is_not_held_cannot_be_released() {
        let (mut marker, mut drain) = set(2);
        for round in 1..50 {
            marker.mark(0);
            assert_eq!(drain.release(0), round, "it waits and is not held");
            marker.mark(1);
        }
        assert_eq!(drain.len(), 2);
        assert_eq!([drain.next(), drain.next(), drain.next()], [Some((0, 49)), Some((1, 49)), None]);
    }

    #[test]
    fn all_keys_fit_with_any_of_them_held() {
        for keys in 1..9 {
            let (mut marker, mut drain) = set(keys);
            for round in 0..50 {
                (0..keys).for_each(|key| marker.mark(key));
                assert_eq!(drain.len(), keys);
                let held: Vec<_> = (0..round % (keys + 1)).map(|_| drain.take_held().unwrap()).collect();
                (0..keys).for_each(|key| marker.mark(key));
                assert_eq!(drain.len() + held.len(), keys);
                let mut all: Vec<_> = std::iter::from_fn(|| drain.next()).map(|(key, _)| key).collect();
                all.extend(held.iter().inspect(|&&key| assert_eq!(drain.release(key), 2 * (round as u64 + 1))));
                all.sort_unstable();
                assert!(all.into_iter().eq(0..keys));
            }
        }
    }

    #[test]
    fn a_set_says_what_it_takes_and_its_marker_outlives_its_drainer() {
        let (mut marker, drain) = set(1);
        assert!(drain.bytes() > 0);
        drop(drain);
        marker.mark(0);
    }

    #[test]
    #[should_panic(expected = "out of bounds")]
    fn a_key_that_does_not_exist_is_a_mistake_of_the_caller() {
        set(0).0.mark(0);
    }
}
