//! Runs real threads at full rate. Readers of a broadcast ring see each record once, whole and in order, or learn that
//! they missed it. A drainer of changed keys accounts for every mark.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use hoga::sync::broadcast::{Cursor, Peek, Writer, ring};
use hoga::sync::dirty::{Drain, set};

const CAPACITY: usize = 256;
const WORDS: usize = 24;
const RECORDS: u64 = 1_500_000;

/// Returns a word of record `position`. The record's length and words follow from the position. Its last word is the
/// sum of the others.
fn word(position: u64, index: usize) -> u64 {
    position.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(index as u32)
}

fn len(position: u64) -> usize {
    1 + (word(position, 1) % WORDS as u64) as usize
}

fn publish(writer: &mut Writer) {
    let position = writer.head();
    writer.publish([position, word(position, 0)], |slot| {
        slot.put(len(position) as u64);
        let words = (1..len(position)).map(|index| word(position, index));
        let sum = words.fold(0u64, |sum, word| {
            slot.put(word);
            sum.wrapping_add(word)
        });
        slot.put(sum);
    });
}

/// Asserts that a record is whole and belongs to this position.
fn check(position: u64, words: &[u64]) {
    let (sum, words) = words.split_last().expect("at least the sum");
    assert_eq!(words.len() + 1, len(position), "length of record {position}");
    assert!(words.iter().zip(1..).all(|(&w, index)| w == word(position, index)), "torn record {position}");
    assert_eq!(*sum, words.iter().fold(0, |sum, word| u64::wrapping_add(sum, *word)), "sum of record {position}");
}

/// Reads until the last record has passed. Returns the numbers of delivered and missed records.
fn read_all(mut cursor: Cursor, pause: impl Fn(u64)) -> (u64, u64) {
    let (mut delivered, mut missed, mut into) = (0, 0, [0; WORDS]);
    while cursor.position() < RECORDS {
        let position = cursor.position();
        match cursor.peek() {
            Peek::Empty => thread::yield_now(),
            Peek::Lapped { oldest } => {
                assert!(oldest > position && oldest < RECORDS, "{oldest} after {position}");
                missed += oldest - position;
                cursor.skip_to(oldest);
            }
            Peek::Ready { tag } => {
                assert_eq!(tag, [position, word(position, 0)], "torn tag");
                let copied = cursor.read(|record| {
                    // A torn record may hold any length.
                    let len = (record.take() as usize).min(WORDS);
                    into[..len].iter_mut().for_each(|word| *word = record.take());
                    len
                });
                let Some(len) = copied else { continue };
                check(position, &into[..len]);
                delivered += 1;
                cursor.advance();
                pause(delivered);
            }
        }
    }
    (delivered, missed)
}

#[test]
fn readers_of_every_speed_get_whole_records_in_order_and_learn_how_many_they_missed() {
    let mut writer = ring(CAPACITY, WORDS + 1);
    let pauses: [fn(u64); 4] = [
        |_| {},
        |read| (0..read % 64).for_each(|_| std::hint::spin_loop()),
        |read| {
            if read % 100 == 0 {
                thread::yield_now()
            }
        },
        |read| {
            if read % 1_000 == 0 {
                thread::sleep(Duration::from_millis(1))
            }
        },
    ];
    thread::scope(|s| {
        let readers = pauses.map(|pause| {
            let cursor = writer.cursor();
            s.spawn(move || read_all(cursor, pause))
        });
        for position in 0..RECORDS {
            publish(&mut writer);
            // A pause now and then lets all readers catch up.
            if position % 10_000 == 0 {
                thread::sleep(Duration::from_millis(1));
            }
        }
        assert_eq!(writer.head(), RECORDS);
        for reader in readers {
            let (delivered, missed) = reader.join().unwrap();
            assert_eq!(delivered + missed, RECORDS);
            assert!(delivered >= CAPACITY as u64, "every reader gets at least the last records");
        }
    });
}

const KEYS: usize = 100;
const MARKS: u64 = 3_000_000;

/// The drainer's record of each key: the marks that it accounted for and the value that it read last.
struct Accounts {
    drain: Drain,
    known: [(u64, u64); KEYS],
    accounted: u64,
}

impl Accounts {
    fn account(&mut self, values: &[AtomicU64; KEYS], key: usize, count: u64) {
        let (before, _) = self.known[key];
        assert!(count > before, "key {key} was drained without a new mark: {count} marks after {before}");
        let value = values[key].load(Relaxed);
        assert!(value >= count, "key {key} was marked {count} times and its value is {value}");
        self.accounted += count - before;
        self.known[key] = (count, value);
    }

    /// Drains one key. If the number of accounted marks is divisible by 3, holds the key for a moment. Returns false if
    /// no key waits.
    fn step(&mut self, values: &[AtomicU64; KEYS]) -> bool {
        if !self.accounted.is_multiple_of(3) {
            let next = self.drain.next();
            return next.map(|(key, count)| self.account(values, key, count)).is_some();
        }
        let Some(key) = self.drain.take_held() else { return false };
        assert!(values[key].load(Relaxed) > self.known[key].0, "key {key} was drained before its value");
        let count = self.drain.release(key);
        self.account(values, key, count);
        true
    }
}

#[test]
fn every_mark_of_a_changed_key_is_accounted_for_and_the_newest_values_are_read() {
    let (mut marker, drain) = set(KEYS);
    let values: [AtomicU64; KEYS] = std::array::from_fn(|_| AtomicU64::new(0));
    let mut changes = [0; KEYS];
    let accounts = thread::scope(|s| {
        let drainer = s.spawn(|| {
            let mut accounts = Accounts { drain, known: [(0, 0); KEYS], accounted: 0 };
            while accounts.accounted < MARKS {
                if !accounts.step(&values) {
                    thread::yield_now();
                }
                assert!(accounts.drain.len() <= KEYS);
            }
            accounts
        });
        for mark in 0..MARKS {
            // A few keys change often, most of them rarely.
            let random = (mark.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize;
            let key = (random % KEYS) * (random / KEYS % KEYS) / KEYS;
            changes[key] += 1;
            values[key].store(changes[key], Relaxed);
            marker.mark(key);
        }
        drainer.join().unwrap()
    });
    assert_eq!((accounts.accounted, accounts.drain.len()), (MARKS, 0));
    assert_eq!(accounts.known, changes.map(|changes| (changes, changes)));
}
