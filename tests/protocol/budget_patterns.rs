//! Budgets against an independent model of the exchange: a million generated patterns with random delays must not
//! exceed a limit.

use std::time::Duration;

use hoga::config::{Limits, Pacing};
use hoga::model::Nanos;
use hoga::session::{Budget, Rate};
use hoga_testing::Rng;

const PATTERNS: u64 = 1_000_000;
const SECOND: Duration = Duration::from_secs(1);
const START: Nanos = Nanos::from_millis(1_790_000_000_000);

/// A model of the exchange: the times of arrivals. It is independent of the budget's algorithm.
#[derive(Default)]
struct Arrivals(Vec<Nanos>);

impl Arrivals {
    /// Returns the number of arrivals beyond `rate.count` within `rate.window`.
    fn violations(&mut self, rate: Rate) -> usize {
        self.0.sort_unstable();
        let count = rate.count as usize;
        self.0.windows(count + 1).filter(|w| w[count].since(w[0]) < rate.window).count()
    }
}

/// Simulates a sender: in bursts, sporadically, or as soon as the budget allows.
fn pattern(rng: &mut Rng, attempts: usize, pacing: Pacing, rates: &[Rate], arrivals: &mut Arrivals) {
    let ours: Vec<_> = rates.iter().map(|r| Rate { count: pacing.share_of(r.count), ..*r }).collect();
    let mut budget = Budget::with_margin(ours, pacing.margin());
    // The delay that the margin must cover: 200 ms by default.
    let delay_max = pacing.margin() * 4 / 5;
    let longest_gap = [Duration::from_millis(1), Duration::from_millis(60), SECOND][rng.below(3)];
    let is_eager = rng.below(2) == 0;
    let mut now = START + rng.up_to(SECOND);
    for _ in 0..attempts {
        now = now + rng.up_to(longest_gap);
        if is_eager && budget.free_at() > now {
            assert_eq!(budget.try_acquire(now), Err(budget.free_at()));
            now = budget.free_at();
            assert_eq!(budget.clone().try_acquire(now), Ok(()), "granted at the announced time");
        }
        if budget.try_acquire(now).is_ok() {
            arrivals.0.push(now + rng.up_to(delay_max));
        }
    }
}

/// Returns mostly the documented limits, and sometimes others, because limits are configurable.
fn rates(rng: &mut Rng) -> Vec<Rate> {
    let limits = Limits::default();
    match rng.below(4) {
        0 => vec![Rate { count: limits.connects_per_second, window: SECOND }],
        1 => vec![
            Rate { count: 1 + rng.below(5) as u32, window: SECOND },
            Rate { count: 3 + rng.below(12) as u32, window: 10 * SECOND },
        ],
        _ => vec![
            Rate { count: limits.requests_per_second, window: SECOND },
            Rate { count: limits.requests_per_minute, window: 60 * SECOND },
        ],
    }
}

#[test]
fn a_million_patterns_never_exceed_a_limit_as_the_exchange_counts_it() {
    let mut rng = Rng::new(1);
    let mut arrivals = Arrivals::default();
    let (mut sent, mut violations) = (0, 0);
    for n in 0..PATTERNS {
        let pacing = [Pacing::Conservative, Pacing::Balanced, Pacing::Aggressive][rng.below(3)];
        let rates = rates(&mut rng);
        // Only a few patterns are long enough to use up a minute's budget.
        let attempts = if n % 2_000 == 0 { 600 } else { 4 + rng.below(16) };
        arrivals.0.clear();
        pattern(&mut rng, attempts, pacing, &rates, &mut arrivals);
        sent += arrivals.0.len();
        violations += rates.iter().map(|&rate| arrivals.violations(rate)).sum::<usize>();
    }
    assert_eq!(violations, 0);
    assert!(sent as u64 > 5 * PATTERNS, "the patterns sent requests: {sent}");
}

#[test]
fn the_model_detects_violations() {
    let mut violations = 0;
    for seed in 0..100 {
        let (mut rng, mut arrivals) = (Rng::new(seed), Arrivals::default());
        let rate = Rate { count: 5, window: SECOND };
        let mut budget = Budget::with_margin([rate], Duration::ZERO);
        let mut now = START;
        for _ in 0..50 {
            now = now.max(budget.free_at());
            budget.try_acquire(now).unwrap();
            arrivals.0.push(now + rng.up_to(Duration::from_millis(200)));
        }
        violations += arrivals.violations(rate);
    }
    assert!(violations > 100, "without a margin, varying delays exceed the limit: {violations}");
}
