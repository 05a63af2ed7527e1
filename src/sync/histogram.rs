//! A histogram that one thread fills while others read it.
//!
//! # Synchronization
//!
//! Each count has one writer, the [`Recorder`], so adding is a plain load and store and no count is ever lost. A reader
//! loads each count separately (Relaxed): one count may be a moment older than another, but no count ever decreases.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::prim::AtomicU64;

/// Each value below this has its own bucket. Above, each power of two is split into [`HALF`] buckets. This separates
/// values that differ by 1 %, like a `Histogram` of hdrhistogram with two digits: see the test.
const EXACT: u64 = 256;
const HALF: usize = EXACT as usize / 2;

/// Returns the writer and the first reader of a histogram of values up to `largest`. Larger values count as `largest`.
/// Takes 1 KiB for each power of two.
pub fn histogram(largest: u64) -> (Recorder, Recorded) {
    let counts: Arc<[AtomicU64]> = (0..=place(largest)).map(|_| AtomicU64::new(0)).collect();
    (Recorder { counts: counts.clone() }, Recorded { counts })
}

/// The writing end. A histogram has one for life: it is not `Clone`, and writing takes `&mut`.
#[derive(Debug)]
pub struct Recorder {
    counts: Arc<[AtomicU64]>,
}

impl Recorder {
    /// Counts a value. Uses no lock and no read-modify-write.
    #[inline]
    pub fn record(&mut self, value: u64) {
        let place = place(value).min(self.counts.len() - 1);
        let count = &self.counts[place];
        count.store(count.load(Relaxed) + 1, Relaxed);
    }
}

/// The reading end.
#[derive(Debug, Clone)]
pub struct Recorded {
    counts: Arc<[AtomicU64]>,
}

impl Recorded {
    /// Calls `visit` with the least value and the count of each bucket that is not empty, in ascending order.
    pub fn each(&self, mut visit: impl FnMut(u64, u64)) {
        for (place, count) in self.counts.iter().enumerate() {
            match count.load(Relaxed) {
                0 => {}
                count => visit(least(place), count),
            }
        }
    }
}

/// Returns the bucket of a value.
#[inline]
fn place(value: u64) -> usize {
    let doublings = (value | (EXACT - 1)).ilog2() - (EXACT - 1).ilog2();
    doublings as usize * HALF + (value >> doublings) as usize
}

/// Returns the least value of a bucket.
fn least(place: usize) -> u64 {
    let doublings = (place / HALF).saturating_sub(1);
    ((place - doublings * HALF) as u64) << doublings
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use hdrhistogram::Histogram;
    use proptest::prelude::*;

    #[test]
    fn buckets_are_contiguous() {
        for place_ in 0..=place(u64::MAX) {
            assert_eq!(place(least(place_)), place_);
            assert!(place_ == 0 || place(least(place_) - 1) == place_ - 1);
        }
    }

    proptest! {
        #[test]
        fn it_separates_values_as_hdrhistogram_does(values in proptest::collection::vec(any::<(u64, u32)>(), 1..200)) {
            const LARGEST: u64 = 60_000_000_000;
            let (mut recorder, recorded) = histogram(LARGEST);
            let mut direct = Histogram::<u64>::new_with_max(LARGEST, 2).unwrap();
            for (value, shift) in values {
                // Values of all magnitudes.
                let value = (value >> (shift % 64)).min(LARGEST);
                recorder.record(value);
                direct.record(value).unwrap();
            }
            let mut copy = Histogram::<u64>::new_with_max(LARGEST, 2).unwrap();
            recorded.each(|value, count| copy.record_n(value, count).unwrap());
            prop_assert_eq!(copy.len(), direct.len());
            for part in [0.0, 0.1, 0.5, 0.9, 0.99, 1.0] {
                prop_assert_eq!(copy.value_at_quantile(part), direct.value_at_quantile(part));
            }
        }
    }

    #[test]
    fn a_value_that_is_too_large_counts_as_the_largest() {
        let (mut recorder, recorded) = histogram(1000);
        recorder.record(u64::MAX);
        recorder.record(1000);
        let mut seen = Vec::new();
        recorded.each(|value, count| seen.push((value, count)));
        assert_eq!(seen, [(1000, 2)]);
    }

    #[test]
    fn many_readers_lose_no_count_and_see_none_decrease() {
        const TIMES: u64 = 100_000;
        let (mut recorder, recorded) = histogram(10_000);
        let total = |recorded: &Recorded| {
            let mut total = 0;
            recorded.each(|_, count| total += count);
            total
        };
        std::thread::scope(|threads| {
            for _ in 0..3 {
                threads.spawn(|| {
                    let mut last = 0;
                    while last < TIMES {
                        let now = total(&recorded);
                        assert!((last..=TIMES).contains(&now), "{now} after {last}");
                        last = now;
                        std::thread::yield_now();
                    }
                });
            }
            threads.spawn(move || (0..TIMES).for_each(|i| recorder.record(i % 9_000)));
        });
        assert_eq!(total(&recorded), TIMES);
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;

    #[test]
    fn a_reader_sees_every_count_once_the_writer_is_done_and_no_excess_before() {
        loom::model(|| {
            let (mut recorder, recorded) = histogram(1);
            let reader = recorded.clone();
            let writer = loom::thread::spawn(move || [0, 1, 0].into_iter().for_each(|value| recorder.record(value)));
            let sum = |recorded: &Recorded| {
                let mut sum = [0, 0];
                recorded.each(|value, count| sum[value as usize] = count);
                sum
            };
            let [zeros, ones] = sum(&reader);
            let [later_zeros, later_ones] = sum(&reader);
            assert!(zeros <= later_zeros && later_zeros <= 2 && ones <= later_ones && later_ones <= 1);
            writer.join().unwrap();
            assert_eq!(sum(&recorded), [2, 1]);
        });
    }
}
