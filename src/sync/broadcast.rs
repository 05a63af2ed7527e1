//! The broadcast ring: one writer appends records, and each of any number of readers reads all of them at its own pace.
//!
//! The writer does not know the readers: publishing costs the same for one and for a thousand, and no reader can make
//! it wait. It overwrites the oldest record. A reader that is too slow learns which record is the oldest left.
//!
//! # Synchronization
//!
//! Record `p` lives in slot `p % capacity`. Each slot is a seqlock over atomic words, so a record that is overwritten
//! during a read is detected and never a data race. Its `seq` is `2p + 1` while record `p` is being written and `2p +
//! 2` once it is whole, so `seq` also names the record that a slot holds. Only the single [`Writer`] stores.
//! * Tag and words are stored before `seq` marks them as whole (WHOLE-AFTER-WORDS, Release), and loaded after it
//!   (Acquire): a reader that sees a whole record finds its words, or newer ones.
//! * Newer words are detected: `seq` marks the slot as being written before any word is stored (BEGUN-THEN-WORDS, a
//!   Release fence), and is loaded again after the words (WORDS-THEN-RECHECK, an Acquire fence). If one of the words
//!   was newer, the second load sees the newer `seq`.
//! * `head` is stored after the record is whole (HEAD-AFTER-RECORD, Release): a reader that sees a head finds all
//!   records below it, or newer ones. Readers load it when they compute their lag, and when they are lapped.
//! * A slot is begun after the previous record was whole (BEGUN-AFTER-LAST, Release): a reader that learns from a begun
//!   slot that it is lapped finds the records that are left.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crossbeam_utils::CachePadded;

use super::prim::{AtomicU64, fence};

/// Words of a slot before the record's own words: the sequence number and the tag.
const HEADER: usize = 3;
const SEQ: usize = 0;
const TAG: [usize; 2] = [1, 2];

/// Words per cache line.
const LINE: usize = 8;

/// Returns the writer of an empty ring of `capacity` records of at most `words` words. Allocates and touches all
/// memory.
///
/// # Panics
///
/// If `capacity` is not a power of two, or below 2: while one record is being written, another must be readable.
pub fn ring(capacity: usize, words: usize) -> Writer {
    assert!(capacity >= 2 && capacity.is_power_of_two(), "a ring of {capacity} records");
    let stride = (HEADER + words).next_multiple_of(LINE);
    // Not zeros: the allocator gets zeroed pages without touching them, and `publish` would then meet the page faults.
    let memory: Box<[AtomicU64]> = (0..capacity * stride + LINE - 1).map(|_| AtomicU64::new(u64::MAX)).collect();
    // If the alignment is not possible, slots are only slower.
    let first = memory.as_ptr().align_offset(size_of::<u64>() * LINE).min(LINE - 1);
    let head = CachePadded::new(AtomicU64::new(0));
    let ring = Ring { head, memory, first, stride, used: HEADER + words, mask: capacity as u64 - 1 };
    for position in 0..capacity as u64 {
        // Relaxed: no other thread has the ring yet.
        ring.slot(position)[SEQ].store(0, Relaxed);
    }
    Writer { ring: Arc::new(ring), head: 0 }
}

struct Ring {
    /// Records published so far. On a cache line of its own: readers seldom load it.
    head: CachePadded<AtomicU64>,
    memory: Box<[AtomicU64]>,
    /// The index of the first slot in `memory`, and the distance between two slots.
    first: usize,
    stride: usize,
    /// The number of used words in a slot.
    used: usize,
    mask: u64,
}

impl Ring {
    /// Returns the used words of a record's slot. One bounds check here makes the accesses that follow cheap.
    #[inline]
    fn slot(&self, position: u64) -> &[AtomicU64] {
        let start = self.first + (position & self.mask) as usize * self.stride;
        &self.memory[start..start + self.used]
    }

    fn capacity(&self) -> u64 {
        self.mask + 1
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.memory)
    }
}

/// The writing end. A ring has one for life: it is not `Clone`, and writing takes `&mut`.
pub struct Writer {
    ring: Arc<Ring>,
    // The writer's own copy of `Ring::head`.
    head: u64,
}

impl Writer {
    /// Appends a record: `tag`, and the words that `write` puts. Never waits, never allocates, wakes no thread.
    ///
    /// If `write` panics, nothing is published, but the oldest record is lost.
    #[inline]
    pub fn publish(&mut self, tag: [u64; 2], write: impl FnOnce(&mut Slot<'_>)) {
        let slot = self.ring.slot(self.head);
        // BEGUN-AFTER-LAST: Release, pairs with the Acquire in `Cursor::state`.
        slot[SEQ].store(2 * self.head + 1, Release);
        // BEGUN-THEN-WORDS: pairs with WORDS-THEN-RECHECK in `Cursor::is_still`.
        fence(Release);
        for (at, word) in TAG.into_iter().zip(tag) {
            slot[at].store(word, Relaxed);
        }
        let mut record = Slot { words: &slot[HEADER..], len: 0 };
        write(&mut record);
        // WHOLE-AFTER-WORDS: Release, pairs with the Acquire in `Cursor::state`.
        slot[SEQ].store(2 * self.head + 2, Release);
        self.head += 1;
        // HEAD-AFTER-RECORD: Release, pairs with the Acquire in `Cursor::head`.
        self.ring.head.store(self.head, Release);
    }

    /// Returns the number of records published so far.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Returns a cursor at the next record to be published.
    pub fn cursor(&self) -> Cursor {
        Cursor { ring: self.ring.clone(), position: self.head }
    }

    /// Returns the size in bytes of the ring, which its writer and all its readers share.
    pub fn bytes(&self) -> usize {
        self.ring.bytes()
    }
}

/// The record that is being written.
pub struct Slot<'a> {
    words: &'a [AtomicU64],
    len: usize,
}

impl Slot<'_> {
    /// Appends a word to the record. A word that does not fit is dropped, because the ring was made too small; builds
    /// with debug assertions panic.
    #[inline]
    pub fn put(&mut self, word: u64) {
        debug_assert!(self.len < self.words.len(), "a record of more than {} words", self.words.len());
        if let Some(next) = self.words.get(self.len) {
            next.store(word, Relaxed);
            self.len += 1;
        }
    }
}

/// The words of a record, during a read.
pub struct Record<'a> {
    words: std::slice::Iter<'a, AtomicU64>,
}

impl Record<'_> {
    /// Returns the next word. The words that were put are followed by remains of an earlier record, and then by zeros.
    #[inline]
    pub fn take(&mut self) -> u64 {
        self.words.next().map_or(0, |word| word.load(Relaxed))
    }
}

/// The state of the record at a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peek {
    /// The record has not been published yet.
    Empty,
    /// The record was overwritten.
    Lapped {
        /// The oldest record that may be left, later than the cursor. It may be overwritten by now, too.
        oldest: u64,
    },
    /// The record can be read.
    Ready {
        /// Its tag.
        tag: [u64; 2],
    },
}

/// The state of the record at the cursor, according to its slot's sequence number.
enum State {
    Empty,
    Whole,
    /// The slot holds this later record, or it is being written.
    Later(u64),
}

/// A reading end: the position of one reader in the ring. A clone starts at the same position and moves independently.
#[derive(Clone)]
pub struct Cursor {
    ring: Arc<Ring>,
    position: u64,
}

impl Cursor {
    /// Returns the state of the record here. Loads only the sequence number and the tag.
    #[inline]
    pub fn peek(&self) -> Peek {
        let slot = self.ring.slot(self.position);
        match self.state(slot) {
            State::Empty => Peek::Empty,
            State::Later(record) => self.lapped(record),
            State::Whole => {
                let tag = TAG.map(|at| slot[at].load(Relaxed));
                // If it was overwritten during the load, the second look finds it lapped.
                if self.is_still(slot) { Peek::Ready { tag } } else { self.peek() }
            }
        }
    }

    /// Reads the record here. Returns `None` if it is not published, or was overwritten before or during the read:
    /// [`peek`](Self::peek) reports which. `take` must accept any words, because during an overwrite they may be of two
    /// records; its result is then discarded.
    #[inline]
    pub fn read<R>(&self, take: impl FnOnce(&mut Record<'_>) -> R) -> Option<R> {
        let slot = self.ring.slot(self.position);
        let State::Whole = self.state(slot) else { return None };
        let taken = take(&mut Record { words: slot[HEADER..].iter() });
        self.is_still(slot).then_some(taken)
    }

    /// Moves to the next record.
    #[inline]
    pub fn advance(&mut self) {
        self.position += 1;
    }

    /// Moves to a record, forward or back. An overwritten record is lapped, an unpublished one is empty.
    pub fn skip_to(&mut self, position: u64) {
        self.position = position;
    }

    /// Returns the position of the cursor, counted in records from 0.
    #[inline]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Returns the number of published records that the cursor has not passed. Loads the line that the writer stores
    /// with each record, so do not call it for each record.
    pub fn lag(&self) -> u64 {
        self.head().saturating_sub(self.position)
    }

    /// Returns the number of records that the ring holds.
    pub fn capacity(&self) -> u64 {
        self.ring.capacity()
    }

    /// Returns the size in bytes of the ring, which its writer and all its readers share.
    pub fn bytes(&self) -> usize {
        self.ring.bytes()
    }

    #[inline]
    fn state(&self, slot: &[AtomicU64]) -> State {
        // Acquire, pairs with WHOLE-AFTER-WORDS and BEGUN-AFTER-LAST in `Writer::publish`.
        let seq = slot[SEQ].load(Acquire);
        let whole = 2 * self.position + 2;
        if seq < whole {
            State::Empty
        } else if seq == whole {
            State::Whole
        } else {
            State::Later((seq - 1) / 2)
        }
    }

    /// Returns true if everything loaded from the slot since `state` found it whole belongs to the record here.
    #[inline]
    fn is_still(&self, slot: &[AtomicU64]) -> bool {
        // WORDS-THEN-RECHECK: pairs with BEGUN-THEN-WORDS in `Writer::publish`.
        fence(Acquire);
        slot[SEQ].load(Relaxed) == 2 * self.position + 2
    }

    /// Computes the oldest record left, after a later `record`, perhaps not published yet, took this slot.
    #[cold]
    fn lapped(&self, record: u64) -> Peek {
        Peek::Lapped { oldest: self.head().max(record + 1) - self.ring.capacity() }
    }

    fn head(&self) -> u64 {
        // Acquire, pairs with HEAD-AFTER-RECORD in `Writer::publish`.
        self.ring.head.load(Acquire)
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::Arc as ModelArc;
    use loom::thread;

    /// Every word of a record follows from its position.
    fn publish(writer: &mut Writer) {
        let position = writer.head();
        writer.publish([position, !position], |slot| slot.put(position + 100));
    }

    /// One reader's results, with the checks on them.
    struct Reading {
        cursor: Cursor,
        delivered: u64,
        missed: u64,
    }

    impl Reading {
        fn of(writer: &Writer) -> Self {
            Self { cursor: writer.cursor(), delivered: 0, missed: 0 }
        }

        /// Looks once. Returns false if there was nothing.
        fn step(&mut self) -> bool {
            let position = self.cursor.position();
            match self.cursor.peek() {
                Peek::Empty => return false,
                Peek::Ready { tag } => {
                    assert_eq!(tag, [position, !position], "torn tag");
                    self.read(position);
                }
                Peek::Lapped { oldest } => {
                    assert!(oldest > position, "lapped without a loss");
                    self.missed += oldest - position;
                    self.cursor.skip_to(oldest);
                    assert_ne!(self.cursor.peek(), Peek::Empty, "the oldest record {oldest} is not visible");
                }
            }
            true
        }

        fn read(&mut self, position: u64) {
            if let Some(word) = self.cursor.read(|record| record.take()) {
                assert_eq!(word, position + 100, "torn record");
                self.delivered += 1;
                self.cursor.advance();
            }
        }

        fn steps(mut self, looks: usize) -> Self {
            for _ in 0..looks {
                self.step();
            }
            self
        }

        /// Reads to the end, after the last record is published.
        fn finish(mut self, published: u64) -> (u64, u64) {
            while self.step() {}
            assert_eq!((self.cursor.lag(), self.cursor.position()), (0, published));
            assert_eq!(self.delivered + self.missed, published);
            (self.delivered, self.missed)
        }
    }

    fn bounded(preemptions: usize) -> loom::model::Builder {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(preemptions);
        builder
    }

    #[test]
    fn a_reader_that_is_never_lapped_reads_every_record_whole_and_in_order() {
        loom::model(|| {
            let mut writer = ring(2, 1);
            let reading = Reading::of(&writer);
            let reader = thread::spawn(move || reading.steps(2));
            for _ in 0..2 {
                publish(&mut writer);
            }
            assert_eq!(reader.join().unwrap().finish(2), (2, 0));
        });
    }

    #[test]
    fn a_lapped_reader_learns_exactly_how_many_it_missed() {
        bounded(2).check(|| {
            let mut writer = ring(2, 1);
            let reading = Reading::of(&writer);
            publish(&mut writer);
            publish(&mut writer);
            let reader = thread::spawn(move || reading.steps(2));
            publish(&mut writer);
            publish(&mut writer);
            let (delivered, _) = reader.join().unwrap().finish(4);
            assert!(delivered >= 2, "the last two records are left");
        });
    }

    #[test]
    fn a_record_that_is_overwritten_during_a_read_is_never_half_delivered() {
        loom::model(|| {
            let mut writer = ring(2, 1);
            let reading = Reading::of(&writer);
            publish(&mut writer);
            publish(&mut writer);
            let reader = thread::spawn(move || reading.steps(1));
            publish(&mut writer);
            reader.join().unwrap().finish(3);
        });
    }

    #[test]
    fn two_readers_do_not_disturb_each_other() {
        bounded(2).check(|| {
            let mut writer = ring(2, 1);
            let readings = [Reading::of(&writer), Reading::of(&writer)];
            publish(&mut writer);
            let readers = readings.map(|reading| thread::spawn(move || reading.steps(1)));
            publish(&mut writer);
            publish(&mut writer);
            for reader in readers {
                reader.join().unwrap().finish(3);
            }
        });
    }

    /// The seqlock alone: record 0 is in the slot, and record 1 overwrites it while a reader reads.
    fn a_read_is_whole_or_refused(writer_fence: bool, reader_fence: bool) {
        loom::model(move || {
            let slot = ModelArc::new([AtomicU64::new(2), AtomicU64::new(0), AtomicU64::new(0)]);
            let writer = thread::spawn({
                let slot = slot.clone();
                move || {
                    slot[0].store(3, Release);
                    if writer_fence {
                        fence(Release);
                    }
                    slot[1].store(1, Relaxed);
                    slot[2].store(1, Relaxed);
                    slot[0].store(4, Release);
                }
            });
            if slot[0].load(Acquire) == 2 {
                let words = [1, 2].map(|at: usize| slot[at].load(Relaxed));
                if reader_fence {
                    fence(Acquire);
                }
                assert!(slot[0].load(Relaxed) != 2 || words == [0, 0], "torn record");
            }
            writer.join().unwrap();
        });
    }

    #[test]
    fn with_both_fences_a_read_is_whole_or_refused() {
        a_read_is_whole_or_refused(true, true);
    }

    #[test]
    #[should_panic(expected = "torn record")]
    fn planted_without_the_writers_fence_a_torn_record_passes_as_whole() {
        a_read_is_whole_or_refused(false, true);
    }

    #[test]
    #[should_panic(expected = "torn record")]
    fn planted_without_the_readers_fence_a_torn_record_passes_as_whole() {
        a_read_is_whole_or_refused(true, false);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn publish(writer: &mut Writer, words: &[u64]) {
        writer.publish([writer.head(), 7], |slot| words.iter().for_each(|&word| slot.put(word)));
    }

    /// Reads the first words of the record at the cursor.
    fn read<const N: usize>(cursor: &Cursor) -> Option<[u64; N]> {
        cursor.read(|record| [(); N].map(|()| record.take()))
    }

    #[test]
    fn records_arrive_whole_and_in_order_with_their_tags() {
        let mut writer = ring(4, 3);
        let mut cursor = writer.cursor();
        assert_eq!((cursor.peek(), read::<3>(&cursor)), (Peek::Empty, None));
        let records = [[1, 2, 3], [0, 0, 0], [4, 0, 0], [5, 6, 0]];
        records.iter().for_each(|words| publish(&mut writer, words));
        assert_eq!((writer.head(), cursor.lag()), (4, 4));
        for (position, words) in (0..).zip(records) {
            assert_eq!((cursor.position(), cursor.peek()), (position, Peek::Ready { tag: [position, 7] }));
            assert_eq!(read(&cursor), Some(words));
            cursor.advance();
        }
        assert_eq!((cursor.peek(), cursor.lag()), (Peek::Empty, 0));
    }

    #[test]
    fn a_cursor_sees_records_published_after_it_was_made_and_its_clone_moves_independently() {
        let mut writer = ring(4, 1);
        publish(&mut writer, &[1]);
        let mut cursor = writer.cursor();
        assert_eq!(cursor.peek(), Peek::Empty);
        publish(&mut writer, &[2]);
        let behind = cursor.clone();
        cursor.advance();
        assert_eq!((cursor.peek(), cursor.lag()), (Peek::Empty, 0));
        assert_eq!((behind.peek(), behind.lag()), (Peek::Ready { tag: [1, 7] }, 1));
    }

    #[test]
    fn a_lapped_reader_learns_the_oldest_record_that_is_left() {
        let mut writer = ring(4, 1);
        let mut cursor = writer.cursor();
        for word in 0..4 {
            publish(&mut writer, &[word]);
            assert_eq!(cursor.peek(), Peek::Ready { tag: [0, 7] });
        }
        for oldest in 1..20 {
            publish(&mut writer, &[oldest + 3]);
            assert_eq!((cursor.peek(), read::<1>(&cursor)), (Peek::Lapped { oldest }, None));
        }
        cursor.skip_to(19);
        assert_eq!(read(&cursor), Some([19]));
    }

    #[test]
    fn a_record_that_is_being_written_is_not_visible_and_its_predecessor_is_gone() {
        let mut writer = ring(2, 1);
        let (early, mut next) = (writer.cursor(), writer.cursor());
        publish(&mut writer, &[0]);
        publish(&mut writer, &[1]);
        next.skip_to(2);
        writer.publish([2, 7], |slot| {
            slot.put(2);
            assert_eq!((early.peek(), read::<1>(&early)), (Peek::Lapped { oldest: 1 }, None));
            assert_eq!((next.peek(), next.lag()), (Peek::Empty, 0));
        });
        assert_eq!(next.peek(), Peek::Ready { tag: [2, 7] });
    }

    #[test]
    fn a_panic_while_a_record_is_written_publishes_nothing_and_the_next_record_takes_its_position() {
        let mut writer = ring(2, 1);
        let cursor = writer.cursor();
        let planted = std::panic::AssertUnwindSafe(|| writer.publish([0; 2], |_| panic!("planted")));
        assert!(std::panic::catch_unwind(planted).is_err());
        assert_eq!((cursor.peek(), cursor.lag(), writer.head()), (Peek::Empty, 0, 0));
        publish(&mut writer, &[1]);
        assert_eq!(cursor.peek(), Peek::Ready { tag: [0, 7] });
    }

    #[test]
    fn the_words_after_the_end_of_a_slot_read_as_zeros() {
        let mut writer = ring(2, 3);
        let cursor = writer.cursor();
        publish(&mut writer, &[1, 2, 3]);
        assert_eq!(read(&cursor), Some([1]));
        assert_eq!(read(&cursor), Some([1, 2, 3, 0, 0]));
    }

    #[test]
    #[cfg_attr(debug_assertions, should_panic(expected = "more than 1 words"))]
    fn one_word_too_many_is_a_bug_of_the_caller_and_damages_no_other_record() {
        let mut writer = ring(2, 1);
        let cursor = writer.cursor();
        publish(&mut writer, &[1, 2]);
        assert_eq!(read(&cursor), Some([1]));
    }

    #[test]
    fn a_capacity_must_be_a_power_of_two_and_at_least_two() {
        for capacity in [0, 1, 3, 6] {
            assert!(std::panic::catch_unwind(|| ring(capacity, 1)).is_err(), "{capacity}");
        }
    }

    #[test]
    fn slots_start_on_cache_lines() {
        for words in [0, 1, 4, 5, 150] {
            let writer = ring(8, words);
            for position in 0..8 {
                assert_eq!(writer.ring.slot(position).as_ptr() as usize % 64, 0);
            }
            assert!(writer.bytes() >= 8 * 8 * (HEADER + words) && writer.bytes() == writer.cursor().bytes());
        }
    }
}
