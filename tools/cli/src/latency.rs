//! Prints latencies as quantiles, because a mean hides the slow events.

use std::time::Duration;

use hoga::feed::Latency;

use crate::object::Object;

/// Writes the latencies as JSON fields.
pub fn fields(object: &mut Object, latency: &Latency) {
    object
        .plain("count", latency.count())
        .plain("p50_ns", latency.quantile(0.50).as_nanos())
        .plain("p99_ns", latency.quantile(0.99).as_nanos())
        .plain("p999_ns", latency.quantile(0.999).as_nanos())
        .plain("max_ns", latency.max().as_nanos());
}

/// Returns the latencies as text for people.
pub fn quantiles(latency: &Latency) -> String {
    if latency.count() == 0 {
        return "-".to_owned();
    }
    let [p50, p99, p999] = [0.50, 0.99, 0.999].map(|part| short(latency.quantile(part)));
    format!("p50 {p50:>8}  p99 {p99:>8}  p99.9 {p999:>8}  max {:>8}", short(latency.max()))
}

/// Returns a time with about three digits and its unit.
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
}
