//! Latencies of updates on their way to a reader, recorded by the reader.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::model::{Nanos, Stamps, saturating_ns};

/// The number of significant decimal digits of each recorded time: a resolution of 1 %.
const DIGITS: u8 = 2;

/// The latencies of a feed's updates. Updates that were published before recording started, such as the state that a
/// new feed of a running stream begins with, are left out: they did not wait for the reader.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Latencies {
    since: Nanos,
    /// Time from the read of the socket to the publish stamp. The stamp is taken once for each message, when it is
    /// handed to the pool and the feeds.
    pub receive_to_publish: Latency,
    /// Time from the publish stamp until the reader popped the update.
    pub publish_to_read: Latency,
}

impl Latencies {
    /// Creates empty histograms for a reader that starts at `now`.
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

/// A histogram of durations. Takes about 30 KB for any number of records.
#[derive(Clone)]
pub struct Latency(Histogram<u64>);

impl Latency {
    /// The longest duration that can be recorded, in ns: one minute. A longer one is recorded as one minute.
    pub const LONGEST_NS: u64 = 60_000_000_000;

    /// Creates an empty histogram.
    pub fn new() -> Self {
        // The bounds are constants that hdrhistogram accepts.
        Self(Histogram::new_with_max(Self::LONGEST_NS, DIGITS).unwrap_or_else(|_| unreachable!("valid bounds")))
    }

    /// Records a duration.
    #[inline]
    pub fn record(&mut self, time: Duration) {
        self.0.saturating_record(saturating_ns(time));
    }

    /// Records a duration that occurred `times` times.
    pub fn record_many(&mut self, time: Duration, times: u64) {
        self.0.saturating_record_n(saturating_ns(time), times);
    }

    /// Adds the records of another histogram.
    pub fn add(&mut self, other: &Self) {
        // Both have the same bounds, so nothing is out of range.
        let _ = self.0.add(&other.0);
    }

    /// Returns the number of records.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Returns the duration that this fraction of the records did not exceed: 0.5 is the median, 0.99 is p99, 1 is the
    /// maximum.
    pub fn quantile(&self, part: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(part))
    }

    /// Returns the longest duration.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

/// Same summary as [`Display`](fmt::Display): a histogram has hundreds of counts.
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_recorded_between_its_own_stamps() {
        let published = |published| Stamps { exchange_ms: 0, received: Nanos(1_000), published: Nanos(published) };
        let mut latencies = Latencies::since(Nanos(1_100));
        latencies.record(&published(1_099), Nanos(1_140));
        assert_eq!(latencies.publish_to_read.count(), 0, "published before the reader started");
        latencies.record(&published(1_100), Nanos(1_140));
        let times = [&latencies.receive_to_publish, &latencies.publish_to_read];
        assert_eq!(times.map(|time| (time.count(), time.max().as_nanos())), [(1, 100), (1, 40)]);
    }
}
