//! Decides which markets exist from the lists of a source, and when to ask the source again. A faulty list must not end
//! the streams of markets that exist.

use std::time::Duration;

use super::Universe;

/// The pause after the first failure. It doubles with each further failure in a row.
const RETRY_FIRST: Duration = Duration::from_secs(1);

/// The maximum pause after a failure.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// The lists of one source.
///
/// A list is *doubtful* if it has entries without a usable market code, or if it has fewer than three quarters of the
/// known markets. The markets of a doubtful list are used, but a market leaves only when two lists in a row lack it.
#[derive(Debug)]
pub struct MarketList {
    every: Duration,
    /// The last list, if it was doubtful.
    doubtful: Option<Universe>,
    /// The number of failures since the last list.
    failures: u32,
    pause: Duration,
}

impl MarketList {
    /// Creates the state of a source that has not been asked yet and is asked at intervals of `every`.
    pub fn new(every: Duration) -> Self {
        Self { every, doubtful: None, failures: 0, pause: Duration::ZERO }
    }

    /// Takes a list, of which `unusable` entries have no usable market code. Returns the markets that exist from now
    /// on. `known` are those that existed before.
    pub fn listed(&mut self, known: &Universe, list: Universe, unusable: u64) -> Universe {
        (self.failures, self.pause) = (0, self.every);
        let is_doubtful = unusable > 0 || list.len() < known.len() - known.len() / 4;
        let last = std::mem::replace(&mut self.doubtful, is_doubtful.then(|| list.clone()));
        if !is_doubtful {
            return list;
        }
        let kept = list.delisted_since(known).filter(|market| last.as_ref().is_none_or(|last| last.contains(*market)));
        list.markets().iter().copied().chain(kept).collect()
    }

    /// Records that the source returned no list. If the server has blocked this address, asking soon would only prolong
    /// the block.
    pub fn failed(&mut self, is_blocked: bool) {
        let doubled = RETRY_FIRST.saturating_mul(1 << self.failures.min(16));
        self.pause = if is_blocked { RETRY_MAX } else { doubled.min(RETRY_MAX) }.min(self.every);
        self.failures = self.failures.saturating_add(1);
    }

    /// Returns the time to wait before the source is asked again.
    pub fn pause(&self) -> Duration {
        self.pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Market;

    const EVERY: Duration = Duration::from_secs(60);

    fn universe(codes: &str) -> Universe {
        codes.split_whitespace().map(|code| format!("KRW-{code}").parse::<Market>().unwrap()).collect()
    }

    /// Takes the lists one after the other, each with its number of unusable entries. Returns the markets after each.
    fn after_each(known: &str, lists: &[(&str, u64)]) -> Vec<Universe> {
        let (mut list, mut known) = (MarketList::new(EVERY), universe(known));
        let mut after = Vec::new();
        for (codes, unusable) in lists {
            known = list.listed(&known, universe(codes), *unusable);
            after.push(known.clone());
        }
        after
    }

    #[track_caller]
    fn check(known: &str, lists: &[(&str, u64)], expected: &[&str]) {
        assert_eq!(after_each(known, lists), expected.iter().map(|codes| universe(codes)).collect::<Vec<_>>());
    }

    #[test]
    fn a_whole_list_is_believed_at_once() {
        check("", &[("A B C D", 0)], &["A B C D"]);
        check("A B C D", &[("A B C", 0), ("A B C E", 0)], &["A B C", "A B C E"]);
    }

    #[test]
    fn a_short_list_delists_only_what_the_next_list_lacks_too() {
        check("A B C D", &[("A B", 0), ("A B", 0)], &["A B C D", "A B"]);
        check("A B C D", &[("A B", 0), ("C D", 0), ("C", 0)], &["A B C D", "A B C D", "C D"]);
        check("A B C D", &[("A B", 0), ("A B C", 0)], &["A B C D", "A B C"]);
    }

    #[test]
    fn three_quarters_of_the_markets_are_enough_and_one_less_is_not() {
        check("A B C D E F G H", &[("A B C D E F", 0)], &["A B C D E F"]);
        check("A B C D E F G H", &[("A B C D E", 0)], &["A B C D E F G H"]);
        check("A B C D E", &[("A B C D", 0)], &["A B C D"]);
        check("A B C D E", &[("A B C", 0)], &["A B C D E"]);
    }

    #[test]
    fn a_list_with_unusable_entries_adds_markets_and_delists_none() {
        check("A B C D", &[("A B C E", 1), ("A B C E", 0)], &["A B C D E", "A B C E"]);
        check("A B C D", &[("A B C", 1), ("A B C", 1)], &["A B C D", "A B C"]);
    }

    #[test]
    fn an_empty_list_delists_nothing_unless_it_comes_twice() {
        check("A B", &[("", 0), ("A B", 0), ("", 0), ("", 0)], &["A B", "A B", "A B", ""]);
    }

    #[test]
    fn a_market_that_returns_is_listed_again() {
        check("A B C D", &[("A", 0), ("A", 0), ("A B C D", 0)], &["A B C D", "A", "A B C D"]);
    }

    #[test]
    fn a_failure_is_not_a_list() {
        let (mut list, known) = (MarketList::new(EVERY), universe("A B C D"));
        assert_eq!(list.listed(&known, universe("A"), 0), known);
        list.failed(false);
        assert_eq!(list.listed(&known, universe("A"), 0), universe("A"), "the second list in a row");
    }

    #[test]
    fn failures_are_retried_after_seconds_with_growing_pauses() {
        let mut list = MarketList::new(EVERY);
        let pauses = |list: &mut MarketList| {
            let pause = |_| {
                list.failed(false);
                list.pause().as_secs()
            };
            (0..8).map(pause).collect::<Vec<_>>()
        };
        assert_eq!(list.pause(), Duration::ZERO, "the first request waits for nothing");
        assert_eq!(pauses(&mut list), [1, 2, 4, 8, 16, 32, 60, 60]);
        list.listed(&Universe::default(), universe("A"), 0);
        assert_eq!(list.pause(), EVERY);
        assert_eq!(pauses(&mut list)[..2], [1, 2], "a list ends the row of failures");
        let mut list = MarketList::new(Duration::from_secs(3));
        assert_eq!(pauses(&mut list)[..4], [1, 2, 3, 3], "never longer than the interval");
    }

    #[test]
    fn a_block_is_waited_for() {
        let mut list = MarketList::new(Duration::from_secs(600));
        list.failed(true);
        assert_eq!(list.pause(), RETRY_MAX);
    }
}
