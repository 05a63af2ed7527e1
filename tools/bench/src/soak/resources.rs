//! Samples of memory, threads and descriptors, and how they grow after the warm-up.

use std::time::Duration;

use hoga::model::Nanos;
use hoga_bench::process;
use hoga_testing::allocations;

/// The part of the run that counts as warm-up.
const WARM_UP: f64 = 0.4;

#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub at: Nanos,
    pub rss: u64,
    /// Bytes allocated and not freed.
    pub live: u64,
    pub threads: u64,
    pub descriptors: u64,
}

impl Sample {
    pub fn take(at: Nanos) -> Self {
        Self {
            at,
            rss: process::resident().unwrap_or_default(),
            live: allocations::live_bytes().try_into().unwrap_or_default(),
            threads: process::threads().unwrap_or_default(),
            descriptors: process::descriptors().unwrap_or_default(),
        }
    }
}

/// At most one sample a second, while no fault is active.
#[derive(Debug, Default)]
pub struct Samples(Vec<Sample>);

/// A resource at the start, after the warm-up and at the end of a run.
#[derive(Debug, Clone, Copy)]
pub struct Growth {
    pub start: u64,
    pub warm: u64,
    pub end: u64,
    /// The slope of a line through all samples after the warm-up, per minute.
    pub per_minute: f64,
}

impl Growth {
    /// Returns by how much the resource grew after the warm-up.
    pub fn after_warm_up(&self) -> u64 {
        self.end.saturating_sub(self.warm)
    }
}

impl Samples {
    /// Takes a sample if the last one is a second old.
    pub fn offer(&mut self, now: Nanos) {
        if self.0.last().is_none_or(|last| now.since(last.at) >= Duration::from_secs(1)) {
            self.0.push(Sample::take(now));
        }
    }

    /// Returns the growth of a resource. Buffers take some of it for a moment, so the values after the warm-up and at
    /// the end are the smallest of a quarter of the remaining time.
    pub fn growth(&self, of: impl Fn(&Sample) -> u64) -> Growth {
        let warm = &self.0[(self.0.len() as f64 * WARM_UP) as usize..];
        let quarter = warm.len().div_ceil(4);
        let least = |samples: &[Sample]| samples.iter().map(&of).min().unwrap_or_default();
        Growth {
            start: self.0.first().map_or(0, &of),
            warm: least(&warm[..quarter]),
            end: least(&warm[warm.len() - quarter..]),
            per_minute: slope(warm, &of),
        }
    }
}

/// Returns the slope of the least-squares line.
fn slope(samples: &[Sample], of: &impl Fn(&Sample) -> u64) -> f64 {
    let Some(first) = samples.first() else { return 0.0 };
    let points: Vec<_> =
        samples.iter().map(|sample| (sample.at.since(first.at).as_secs_f64() / 60.0, of(sample) as f64)).collect();
    let count = points.len() as f64;
    let mean = |part: fn(&(f64, f64)) -> f64| points.iter().map(part).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let covariance: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let variance: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    if variance > 0.0 { covariance / variance } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(second: u64, live: u64) -> Sample {
        Sample { at: Nanos::from_millis(1000 * second), rss: 0, live, threads: 0, descriptors: 0 }
    }

    #[test]
    fn growth_leaves_out_the_warm_up_and_what_faults_take_for_a_moment() {
        let steady = Samples((0..100).map(|n| sample(n, if n < 35 { n } else { 20 + 50 * (n % 3) })).collect());
        let growth = steady.growth(|sample| sample.live);
        assert_eq!((growth.start, growth.warm, growth.end, growth.after_warm_up()), (0, 20, 20, 0));
        let leak = Samples((0..100).map(|n| sample(n, 10 * n)).collect()).growth(|sample| sample.live);
        assert_eq!((leak.warm, leak.after_warm_up()), (400, 450));
        assert!((leak.per_minute - 600.0).abs() < 1e-6, "{leak:?}");
    }
}
