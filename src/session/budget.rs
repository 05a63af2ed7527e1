//! A rate limit as an exact sliding window: who asks is told yes, or when to ask again. Nobody blocks.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::Nanos;

/// At most `count` acquisitions in any stretch of `window`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In how long.
    pub window: Duration,
}

/// The exchange counts arrivals, and the network may deliver bunched what was sent evenly. Every window is kept this
/// much longer than it asks for, which covers delays that differ by up to a quarter of a second. The price: four
/// requests a second instead of five, once the first five are spent. [`Pacing`](crate::config::Pacing) may choose more
/// or less.
pub const MARGIN: Duration = Duration::from_millis(250);

/// Who says whether a connection may be opened now. The exchange counts connects per address, so the answer may depend
/// on connections that the asking one knows nothing of.
pub trait DialBudget: Send {
    /// Takes one connect, or says from when on to ask again. A refusal costs nothing. What was taken stays taken, even if
    /// the connect fails: the exchange may have seen it.
    fn try_acquire(&mut self, now: Nanos) -> Result<(), Nanos>;

    /// The exchange refused this address: grants nothing before `until`, to nobody who shares this budget.
    fn hold(&mut self, now: Nanos, until: Nanos);
}

/// One or more rates that all must hold, kept as a log of the acquisitions of the longest window.
#[derive(Debug, Clone)]
pub struct Budget {
    rates: Vec<Rate>,
    margin: Duration,
    log: VecDeque<Nanos>,
    /// Nothing is granted before.
    held_until: Nanos,
}

impl Budget {
    /// A budget that nobody has used yet, whose windows are [`MARGIN`] longer than asked for.
    pub fn new(rates: impl Into<Vec<Rate>>) -> Self {
        Self::with_margin(rates, MARGIN)
    }

    /// The same with another margin.
    pub fn with_margin(rates: impl Into<Vec<Rate>>, margin: Duration) -> Self {
        let rates = rates.into();
        let log = VecDeque::with_capacity(longest(&rates));
        Self { rates, margin, log, held_until: Nanos::default() }
    }

    /// Takes one acquisition, or says from when on one may be had. A refusal costs nothing.
    pub fn try_acquire(&mut self, now: Nanos) -> Result<(), Nanos> {
        let free_at = self.free_at();
        if free_at > now {
            return Err(free_at);
        }
        self.record(now);
        Ok(())
    }

    /// From when on the next acquisition may be had.
    pub fn free_at(&self) -> Nanos {
        self.rates.iter().map(|rate| self.leaves(*rate)).max().unwrap_or_default().max(self.held_until)
    }

    /// Somebody else who shares the limit took one at `at`. Call in the order of time.
    pub fn record(&mut self, at: Nanos) {
        if self.log.len() >= longest(&self.rates) {
            self.log.pop_front();
        }
        self.log.push_back(at);
    }

    /// Grants nothing before `until`. A longer hold stays.
    pub fn hold(&mut self, until: Nanos) {
        self.held_until = self.held_until.max(until);
    }

    /// When the acquisition that stands `rate.count` back leaves the window.
    fn leaves(&self, rate: Rate) -> Nanos {
        let count = rate.count as usize;
        match self.log.len().checked_sub(count) {
            Some(back) => self.log[back] + rate.window + self.margin,
            None => Nanos::default(),
        }
    }
}

impl DialBudget for Budget {
    fn try_acquire(&mut self, now: Nanos) -> Result<(), Nanos> {
        Self::try_acquire(self, now)
    }

    fn hold(&mut self, _: Nanos, until: Nanos) {
        Self::hold(self, until);
    }
}

fn longest(rates: &[Rate]) -> usize {
    rates.iter().map(|rate| rate.count as usize).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(ms: u64) -> Nanos {
        Nanos::from_millis(1_000_000 + ms)
    }

    #[test]
    fn the_sixth_in_a_second_waits_until_the_first_is_a_second_old() {
        let mut budget = Budget::new([Rate { count: 5, window: SECOND }]);
        for i in 0..5 {
            assert_eq!(budget.try_acquire(at(i * 10)), Ok(()));
        }
        let free = at(0) + SECOND + MARGIN;
        assert_eq!(budget.try_acquire(at(500)), Err(free));
        assert_eq!(budget.try_acquire(Nanos(free.0 - 1)), Err(free));
        assert_eq!(budget.try_acquire(free), Ok(()));
        assert_eq!(budget.try_acquire(free), Err(at(10) + SECOND + MARGIN));
    }

    proptest! {
        #[test]
        fn no_window_ever_holds_more_than_its_count(gaps in prop::collection::vec(0u64..400, 1..400)) {
            let rates = [Rate { count: 5, window: SECOND }, Rate { count: 20, window: 10 * SECOND }];
            let mut budget = Budget::new(rates);
            let (mut now, mut granted) = (at(0), Vec::new());
            for gap in gaps {
                now = now + Duration::from_millis(gap);
                if budget.try_acquire(now).is_ok() { granted.push(now); }
            }
            for rate in rates {
                for (i, first) in granted.iter().enumerate() {
                    let in_window = granted[i..].iter().take_while(|t| t.since(*first) < rate.window).count();
                    prop_assert!(in_window <= rate.count as usize);
                }
            }
        }
    }
}
