//! Latency of events, as a distribution: a mean hides what matters.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::object::Object;

/// Longest latency told apart, in ns; longer ones count as this.
const HIGHEST_NS: u64 = 60_000_000_000;
/// Three significant digits: 0.1 % of any value.
const DIGITS: u8 = 3;

/// A distribution of latencies.
pub struct Latency(Histogram<u64>);

impl Latency {
    pub fn new() -> Self {
        Self(Histogram::new_with_max(HIGHEST_NS, DIGITS).expect("the bounds are constants that fit each other"))
    }

    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The fields of a summary.
    pub fn fields(&self, object: &mut Object) {
        object
            .plain("count", self.0.len())
            .plain("p50_ns", self.0.value_at_quantile(0.50))
            .plain("p99_ns", self.0.value_at_quantile(0.99))
            .plain("p999_ns", self.0.value_at_quantile(0.999))
            .plain("max_ns", self.0.max());
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("-");
        }
        let at = |quantile| short(Duration::from_nanos(self.0.value_at_quantile(quantile)));
        let max = short(Duration::from_nanos(self.0.max()));
        write!(f, "p50 {:>8}  p99 {:>8}  p99.9 {:>8}  max {max:>8}", at(0.50), at(0.99), at(0.999))
    }
}

/// A time with three or four digits and its unit.
pub fn short(time: Duration) -> String {
    let ns = time.as_nanos() as f64;
    let (value, unit) = match ns {
        ..1e3 => return format!("{ns} ns"),
        ..1e6 => (ns / 1e3, "µs"),
        ..1e9 => (ns / 1e6, "ms"),
        _ => (ns / 1e9, "s"),
    };
    if value < 100.0 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_at_any_size() {
        let texts = [999, 1_500, 123_400, 45_000_000, 2_000_000_000].map(|ns| short(Duration::from_nanos(ns)));
        assert_eq!(texts, ["999 ns", "1.5 µs", "123 µs", "45.0 ms", "2.0 s"]);
    }

    #[test]
    fn what_is_longer_than_the_histogram_counts_as_its_end() {
        let mut latency = Latency::new();
        latency.record(Duration::from_secs(3600));
        assert!(latency.0.max() >= HIGHEST_NS);
    }
}
