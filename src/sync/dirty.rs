//! The set of changed keys: one marker marks keys as changed, one drainer takes them, and each key is queued at most
//! once.
//!
//! The values are elsewhere: the marker's caller stores the newest value first, then marks its key. A slow drainer
//! finds fewer keys than there were changes, each with its newest value; the counts report the number of changes.
//!
//! # Synchronization
//!
//! Each key has one word: the number of its marks, and in the lowest bit whether it is pending.
//! * The [`Marker`] swaps in the new count with the bit set (MARK-AFTER-VALUE, AcqRel). The [`Drain`] clears the bit
//!   and gets the count in one step (CLEAR-THEN-VALUE, AcqRel), then loads the value. So the value is at least as new
//!   as the count. A mark after the clearing finds the bit clear and queues the key again; a mark before it is in the
//!   count. No change is lost between them.
//! * Pending keys wait in a ring in the order in which they were queued. The marker stores the key, then `tail`
//!   (TAIL-AFTER-KEY, Release); the drainer loads `tail` (Acquire), then the key. It finds the value of the mark that
//!   queued the key, or a newer one, before it clears the bit.
//! * The ring never overflows, so the marker does not check for room. It has a place for each key, and a key is queued
//!   only by a mark that finds its bit clear. The bit is cleared only after the key was taken out. So each key is in
//!   the ring at most once, whether its bit is cleared at once or later ([held](Drain::take_held)).
//! * A place is stored again only after it was loaded. In between the ring has turned once, with one key more than
//!   there are keys, so one key was queued twice. Its second mark found the bit clear (the Acquire of MARK-AFTER-VALUE
//!   pairs with the Release of CLEAR-THEN-VALUE), so it happened after the key was first taken out, and the place was
//!   loaded before that.

use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use crossbeam_utils::CachePadded;

use super::prim::{AtomicU32, AtomicU64, AtomicUsize};

/// The lowest bit of a key's word: the key is queued or held.
const PENDING: u64 = 1;

/// Returns the marker and the drainer of the keys `0..keys`, none of them changed. Allocates all memory.
///
/// # Panics
///
/// If `keys` exceeds `u32::MAX`.
pub fn set(keys: usize) -> (Marker, Drain) {
    assert!(u32::try_from(keys).is_ok(), "{keys} keys");
    let shared = Arc::new(Shared {
        words: (0..keys).map(|_| AtomicU64::new(0)).collect(),
        // Rounded up to a power of two, so that a place is found by masking.
        queue: (0..keys.next_power_of_two()).map(|_| AtomicU32::new(0)).collect(),
        tail: CachePadded::new(AtomicUsize::new(0)),
    });
    let marker = Marker { shared: shared.clone(), counts: vec![0; keys].into(), tail: 0 };
    (marker, Drain { shared, held: vec![false; keys].into(), head: 0 })
}

struct Shared {
    /// The count and [`PENDING`] bit of each key.
    words: Box<[AtomicU64]>,
    /// The pending keys, from the drainer's head to `tail`.
    queue: Box<[AtomicU32]>,
    /// The number of keys ever queued.
    tail: CachePadded<AtomicUsize>,
}

impl Shared {
    #[inline]
    fn place(&self, turn: usize) -> &AtomicU32 {
        &self.queue[turn & (self.queue.len() - 1)]
    }
}

/// The marking end. A set has one for life: it is not `Clone`, and marking takes `&mut`.
pub struct Marker {
    shared: Arc<Shared>,
    // The marker's own copies of the counts and of `Shared::tail`.
    counts: Box<[u64]>,
    tail: usize,
}

impl Marker {
    /// Counts a change of `key`, and queues the key if it is not pending. Call it after the change is stored; any
    /// atomic store will do. Never waits, never allocates, wakes no thread.
    ///
    /// # Panics
    ///
    /// If `key` is out of range.
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
        // Relaxed: ordered by TAIL-AFTER-KEY. The cast is lossless: `set` refuses keys that do not fit.
        self.shared.place(self.tail).store(key as u32, Relaxed);
        self.tail = self.tail.wrapping_add(1);
        // TAIL-AFTER-KEY: Release, pairs with the Acquire in `Drain::len`.
        self.shared.tail.store(self.tail, Release);
    }
}

/// The draining end. Belongs to one thread at a time.
pub struct Drain {
    shared: Arc<Shared>,
    // Whether each key is taken out and still pending.
    held: Box<[bool]>,
    // The number of keys ever taken out.
    head: usize,
}

impl Drain {
    /// Takes the key queued first, and returns it with the number of its marks so far. A value loaded after this is at
    /// least as new as the last of these marks; a later mark queues the key again. Never waits.
    #[allow(clippy::should_implement_trait, reason = "not an iterator: after `None`, there may be more")]
    #[inline]
    pub fn next(&mut self) -> Option<(usize, u64)> {
        let key = self.pop()?;
        Some((key, self.clear(key)))
    }

    /// Takes the key queued first and holds it: it stays pending, so that further marks only count, until
    /// [`release`](Self::release). A value loaded after this is at least as new as the mark that queued the key.
    pub fn take_held(&mut self) -> Option<usize> {
        let key = self.pop()?;
        self.held[key] = true;
        Some(key)
    }

    /// Returns the number of marks of `key` so far. A value loaded after this is at least as new as the last of them.
    ///
    /// # Panics
    ///
    /// If `key` is out of range.
    pub fn count(&self, key: usize) -> u64 {
        // Acquire, pairs with MARK-AFTER-VALUE in `Marker::mark`.
        self.shared.words[key].load(Acquire) >> 1
    }

    /// Releases a held key and returns the number of its marks so far, as [`next`](Self::next) does. For a key that is
    /// not held, only returns its [`count`](Self::count).
    ///
    /// # Panics
    ///
    /// If `key` is out of range.
    pub fn release(&mut self, key: usize) -> u64 {
        // If the bit of a queued key were cleared, the key could be queued twice and the queue could overflow.
        if std::mem::take(&mut self.held[key]) { self.clear(key) } else { self.count(key) }
    }

    /// Returns the number of queued keys, without held ones.
    #[inline]
    pub fn len(&self) -> usize {
        // Acquire, pairs with TAIL-AFTER-KEY in `Marker::queue`.
        self.shared.tail.load(Acquire).wrapping_sub(self.head)
    }

    /// Returns true if no key is queued.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the size in bytes of both ends.
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

    /// Clears the bit of a key that was taken out of the queue, and returns its count.
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
        /// Changes a key. Its value is the number of changes.
        fn change(&mut self, key: usize) {
            self.values[key].store(self.marker.counts[key] + 1, Relaxed);
            self.marker.mark(key);
        }
    }

    /// What the drainer has seen of each key, with the checks on it.
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

        /// Takes a key and holds it for a moment.
        fn hold(&mut self) -> bool {
            let Some(key) = self.drain.take_held() else { return false };
            let value = self.values[key].load(Relaxed);
            assert!(value > self.counted[key], "taken out before its value was visible");
            let count = self.drain.release(key);
            self.account(key, count);
            true
        }

        fn account(&mut self, key: usize, count: u64) {
            assert!(count > self.counted[key], "nothing changed");
            let value = self.values[key].load(Relaxed);
            assert!(value >= count, "{count} marks, but the value is {value}");
            (self.counted[key], self.seen[key]) = (count, value);
        }
    }

    fn both(keys: usize) -> (Writing, Reading) {
        let (marker, drain) = set(keys);
        let values = ModelArc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        (Writing { values: values.clone(), marker }, Reading { values, drain, counted: [0; 2], seen: [0; 2] })
    }

    /// The drainer looks `looks` times while the keys in `changes` are changed in order, and afterwards takes the rest.
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
    fn the_drainer_ends_up_with_the_newest_values_of_two_keys_while_the_queue_wraps() {
        no_change_is_lost(&[0, 1, 0, 1, 0], 3, Reading::take);
    }

    #[test]
    fn a_held_key_ends_up_with_its_newest_value() {
        no_change_is_lost(&[0, 1, 0, 0], 2, Reading::hold);
    }

    #[test]
    fn a_drainer_that_saw_a_queued_key_takes_it() {
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

    /// The word alone: the drainer loads the value after it clears the bit, or before.
    fn the_last_change_is_seen_or_queued(clear_first: bool) {
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
    fn with_the_bit_cleared_first_the_last_change_is_seen_or_queued() {
        the_last_change_is_seen_or_queued(true);
    }

    #[test]
    #[should_panic(expected = "lost change")]
    fn planted_with_the_value_loaded_first_the_last_change_is_lost() {
        the_last_change_is_seen_or_queued(false);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_queued_once_however_often_it_is_marked() {
        let (mut marker, mut drain) = set(3);
        assert_eq!((drain.next(), drain.is_empty()), (None, true));
        [2, 0, 2, 2].into_iter().for_each(|key| marker.mark(key));
        assert_eq!(drain.len(), 2);
        assert_eq!([drain.next(), drain.next(), drain.next()], [Some((2, 3)), Some((0, 1)), None]);
        marker.mark(2);
        assert_eq!((drain.next(), drain.count(2), drain.count(1)), (Some((2, 4)), 4, 0));
    }

    #[test]
    fn a_busy_key_is_queued_behind_the_others() {
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
    fn releasing_a_key_that_is_not_held_changes_nothing() {
        let (mut marker, mut drain) = set(2);
        for round in 1..50 {
            marker.mark(0);
            assert_eq!(drain.release(0), round, "it is queued and not held");
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
    fn a_set_reports_its_memory_and_its_marker_outlives_its_drainer() {
        let (mut marker, drain) = set(1);
        assert!(drain.bytes() > 0);
        drop(drain);
        marker.mark(0);
    }

    #[test]
    #[should_panic(expected = "out of bounds")]
    fn a_key_out_of_range_is_a_bug_of_the_caller() {
        set(0).0.mark(0);
    }
}
