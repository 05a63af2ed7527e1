//! How long updates take on their way to a reader, recorded by the reader.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::model::{Nanos, Stamps};

/// Decimal digits that are kept of each time: 1 %.
const DIGITS: u8 = 2;

/// How long updates took. What was published before the reader was there, the state of a stream that ran already, is left
/// out: it did not wait for the reader.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Latencies {
    since: Nanos,
    /// From the read of the socket until the update was handed to the pool and the feeds: its publish stamp, taken once
    /// for each message.
    pub receive_to_publish: Latency,
    /// From there until the reader popped it.
    pub publish_to_read: Latency,
}

impl Latencies {
    /// Of a reader that is there from now on.
    pub(crate) fn since(now: Nanos) -> Self {
        Self { since: now, ..Self::default() }
    }

    /// Records one update.
    #[inline]
    pub(crate) fn record(&mut self, stamps: &Stamps, popped: Nanos) {
        if stamps.published >= self.since {
            self.receive_to_publish.record(stamps.published.since(stamps.received));
            self.publish_to_read.record(popped.since(stamps.published));
        }
    }
}

/// How long something took, many times: about 30 KB, whatever the number of times.
#[derive(Clone)]
pub struct Latency(Histogram<u64>);

impl Latency {
    /// Longest time that is told apart from longer ones, in ns: a minute.
    pub const LONGEST_NS: u64 = 60_000_000_000;

    /// Nothing recorded yet.
    pub fn new() -> Self {
        // The bounds are constants of which the library approves.
        Self(Histogram::new_with_max(Self::LONGEST_NS, DIGITS).unwrap_or_else(|_| unreachable!("valid bounds")))
    }

    /// Records one time.
    #[inline]
    pub fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Records one time as often as it occurred.
    pub fn record_many(&mut self, time: Duration, times: u64) {
        self.0.saturating_record_n(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), times);
    }

    /// Adds what another recorded.
    pub fn add(&mut self, other: &Self) {
        // Both have the same bounds, so nothing is out of range.
        let _ = self.0.add(&other.0);
    }

    /// How often something was recorded.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that this part of all did not exceed: 0.5 is the median, 0.99 leaves the slowest hundredth out, 1 none.
    pub fn quantile(&self, part: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(part))
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

/// The same as for people, because a histogram has hundreds of counts.
impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Latency({self})")
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, max] = [self.quantile(0.5), self.quantile(0.99), self.max()];
        write!(f, "p50 {p50:?}, p99 {p99:?}, max {max:?}, {} times", self.count())
    }
}
