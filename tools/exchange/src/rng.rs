//! Seeded random numbers, the only ones that the core uses. The same seed and inputs give the same results.

/// SplitMix64: small, well mixed, and every seed works.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Creates an independent generator for one `part` of the exchange, so that adding a part does not change the
    /// others.
    pub fn for_part(seed: u64, part: u64) -> Self {
        let mut rng = Self(seed ^ part.wrapping_add(1).wrapping_mul(0xD1B5_4A32_D192_ED03));
        rng.next();
        rng
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in `0..bound`. A `bound` of zero counts as one.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound.max(1))) >> 64) as u64
    }

    /// Uniform in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// Uniform in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// The time until the next event of a Poisson process with `per_second` events, in ns, at least 1.
    pub fn wait_ns(&mut self, per_second: f64) -> u64 {
        let seconds = -(1.0 - self.unit()).ln() / per_second.max(1e-9);
        // At most a year, so that the sum with `now` cannot overflow.
        ((seconds * 1e9) as u64).clamp(1, 365 * 86_400 * 1_000_000_000)
    }
}
