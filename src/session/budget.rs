//! A rate limit as an exact sliding window. Grants an acquisition or returns the time to ask again; never blocks.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::Nanos;

/// At most `count` acquisitions within any `window`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The number of acquisitions.
    pub count: u32,
    /// The length of the window.
    pub window: Duration,
}

/// The default margin added to each window, 250 ms. The exchange counts arrivals, and the network may bunch requests
/// that were sent evenly; the margin covers delays that differ by up to 250 ms. Price: four requests a second instead
/// of five, once the first five are spent. [`Pacing`](crate::config::Pacing) may set another margin.
pub const MARGIN: Duration = Duration::from_millis(250);

/// Decides whether a connection may be opened now. The exchange counts connects per address, so the answer may depend
/// on other connections, including those of other processes.
pub trait DialBudget: Send {
    /// Takes one connect, or returns the time to ask again. A refusal costs nothing. A connect that fails
    /// still counts, because the exchange may have counted it. A connect may try several addresses, of which only one
    /// gets a request.
    fn try_acquire(&mut self, now: Nanos) -> Result<(), Nanos>;

    /// Grants nothing before `until` to any user of this budget, because the exchange refused this address.
    fn hold(&mut self, now: Nanos, until: Nanos);
}

/// One or more rates that must all hold. Keeps a log of the newest acquisitions; its length is the largest count.
#[derive(Debug, Clone)]
pub struct Budget {
    rates: Vec<Rate>,
    margin: Duration,
    log: VecDeque<Nanos>,
    /// No acquisition is granted before this time.
    held_until: Nanos,
}

impl Budget {
    /// Creates an unused budget whose windows are [`MARGIN`] longer than `rates` say.
    pub fn new(rates: impl Into<Vec<Rate>>) -> Self {
        Self::with_margin(rates, MARGIN)
    }

    /// Creates an unused budget with another margin.
    pub fn with_margin(rates: impl Into<Vec<Rate>>, margin: Duration) -> Self {
        let rates = rates.into();
        let log = VecDeque::with_capacity(longest(&rates));
        Self { rates, margin, log, held_until: Nanos::default() }
    }

    /// Sets other rates and another margin. Earlier acquisitions still count.
    pub fn set_rates(&mut self, rates: impl Into<Vec<Rate>>, margin: Duration) {
        (self.rates, self.margin) = (rates.into(), margin);
    }

    /// Takes one acquisition, or returns the time at which one will be free. A refusal costs nothing.
    pub fn try_acquire(&mut self, now: Nanos) -> Result<(), Nanos> {
        let free_at = self.free_at();
        if free_at > now {
            return Err(free_at);
        }
        self.record(now);
        Ok(())
    }

    /// Returns the time from which the next acquisition is free.
    pub fn free_at(&self) -> Nanos {
        self.rates.iter().map(|rate| self.next_free(*rate)).max().unwrap_or_default().max(self.held_until)
    }

    /// Records an acquisition at `at` by another user of the same limit. Call in order of time.
    pub fn record(&mut self, at: Nanos) {
        while self.log.len() >= longest(&self.rates).max(1) {
            self.log.pop_front();
        }
        self.log.push_back(at);
    }

    /// Grants nothing before `until`. Does not shorten a longer hold.
    pub fn hold(&mut self, until: Nanos) {
        self.held_until = self.held_until.max(until);
    }

    /// Returns when the oldest of the newest `rate.count` acquisitions leaves the window.
    fn next_free(&self, rate: Rate) -> Nanos {
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
    fn the_sixth_acquisition_waits_until_the_first_leaves_the_window() {
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
