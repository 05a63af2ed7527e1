//! Limits how often errors are reported, because the exchange decides how often they occur.

use std::time::Duration;

use crate::model::Nanos;

/// The minimum time between two reports of errors that were seen before.
const REPEAT_AFTER: Duration = Duration::from_secs(1);
/// The maximum number of kinds that are known. Errors of further kinds are reported like known ones.
const KINDS_MAX: usize = 64;

/// Reports the first error of each kind at once. After that, combines errors into one report per second, with their
/// number and the last one. So the number of reports is bounded, and their counts add up to the number of errors.
pub(super) struct Repeats<K, E> {
    /// The kinds that were reported.
    known: Vec<K>,
    waiting: Option<Repeated<E>>,
    /// The earliest time of the next combined report.
    due: Nanos,
}

/// Errors that are reported together.
#[derive(Debug, PartialEq)]
pub(super) struct Repeated<E> {
    pub count: u64,
    pub last: E,
}

impl<K, E> Default for Repeats<K, E> {
    fn default() -> Self {
        Self { known: Vec::new(), waiting: None, due: Nanos::default() }
    }
}

impl<K: PartialEq, E> Repeats<K, E> {
    /// Counts one more error. Returns it if it must be reported at once.
    pub fn add(&mut self, now: Nanos, kind: K, error: E) -> Option<Repeated<E>> {
        let is_first = self.learn(kind);
        if is_first || self.waiting.is_none() && now >= self.due {
            if self.waiting.is_none() {
                self.due = now + REPEAT_AFTER;
            }
            return Some(Repeated { count: 1, last: error });
        }
        let count = self.waiting.as_ref().map_or(0, |waiting| waiting.count) + 1;
        self.waiting = Some(Repeated { count, last: error });
        None
    }

    /// Returns true if the kind is new, and remembers it.
    fn learn(&mut self, kind: K) -> bool {
        let is_new = self.known.len() < KINDS_MAX && !self.known.contains(&kind);
        if is_new {
            self.known.push(kind);
        }
        is_new
    }

    /// Returns when the waiting errors must be reported; [`Nanos::NEVER`] if none wait.
    pub fn deadline(&self) -> Nanos {
        if self.waiting.is_some() { self.due } else { Nanos::NEVER }
    }

    /// Takes the waiting errors if their report is due.
    pub fn take_due(&mut self, now: Nanos) -> Option<Repeated<E>> {
        if now < self.deadline() {
            return None;
        }
        self.due = now + REPEAT_AFTER;
        self.take()
    }

    /// Takes the errors that were not reported yet.
    pub fn take(&mut self) -> Option<Repeated<E>> {
        self.waiting.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Nanos {
        Nanos::from_millis(1_000_000 + ms)
    }

    fn repeated<E>(count: u64, last: E) -> Repeated<E> {
        Repeated { count, last }
    }

    #[test]
    fn the_first_error_is_reported_at_once_and_the_others_once_per_second_with_their_number() {
        let mut repeats = Repeats::default();
        let mut reports = Vec::new();
        for ms in 0..3500 {
            reports.extend(repeats.take_due(at(ms)));
            reports.extend(repeats.add(at(ms), "kind", ms));
        }
        let expected = [(1, 0), (999, 999), (1000, 1999), (1000, 2999)].map(|(count, last)| repeated(count, last));
        assert_eq!(reports, expected);
        assert_eq!((repeats.deadline(), repeats.take_due(at(3999))), (at(4000), None), "too soon");
        assert_eq!(repeats.take_due(at(4000)), Some(repeated(500, 3499)), "due although no more errors follow");
        assert_eq!((repeats.deadline(), repeats.take_due(at(9000)), repeats.take()), (Nanos::NEVER, None, None));
    }

    #[test]
    fn rare_errors_are_reported_at_once() {
        let mut repeats = Repeats::default();
        for ms in [0, 1000, 5000] {
            assert_eq!(repeats.add(at(ms), "kind", ms), Some(repeated(1, ms)));
        }
        assert_eq!(repeats.add(at(5999), "kind", 4), None);
        assert_eq!(repeats.take(), Some(repeated(1, 4)));
    }

    #[test]
    fn only_a_bounded_number_of_kinds_is_reported_at_once() {
        let mut repeats = Repeats::default();
        let kinds = || (0..1000).chain(0..1000);
        let reported = kinds().filter_map(|kind| repeats.add(at(0), kind, kind)).count();
        assert_eq!(reported, KINDS_MAX);
        assert_eq!(repeats.take().map(|rest| rest.count), Some(2000 - KINDS_MAX as u64));
    }
}
