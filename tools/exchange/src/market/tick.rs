//! Tick sizes and grouping levels, which define the valid prices. Prices are fixed point with eight decimals.

use crate::number::ONE;

/// The currency a market is quoted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quote {
    Krw,
    /// KRW-USDT and KRW-USDC, which have a finer tick between 1,000 and 10,000.
    KrwStable,
    Btc,
    Usdt,
}

/// The KRW tick sizes since 2025-07-31, as (lowest price, tick).
const KRW: [(i64, i64); 14] = [
    (1_000_000 * ONE, 1_000 * ONE),
    (500_000 * ONE, 500 * ONE),
    (100_000 * ONE, 100 * ONE),
    (50_000 * ONE, 50 * ONE),
    (10_000 * ONE, 10 * ONE),
    (5_000 * ONE, 5 * ONE),
    (100 * ONE, ONE),
    (10 * ONE, ONE / 10),
    (ONE, ONE / 100),
    (ONE / 10, ONE / 1_000),
    (ONE / 100, ONE / 10_000),
    (ONE / 1_000, ONE / 100_000),
    (ONE / 10_000, ONE / 1_000_000),
    (ONE / 100_000, ONE / 10_000_000),
];

impl Quote {
    /// Returns the tick at and above `price`.
    pub fn tick(self, price: i64) -> i64 {
        match self {
            Self::KrwStable if (1_000 * ONE..10_000 * ONE).contains(&price) => ONE / 2,
            Self::Krw | Self::KrwStable => KRW.iter().find(|(from, _)| price >= *from).map_or(1, |(_, tick)| *tick),
            Self::Btc => 1,
            Self::Usdt => usdt_tick(price),
        }
    }

    pub fn above(self, price: i64) -> i64 {
        price + self.tick(price)
    }

    /// Returns the next lower price; zero if there is none.
    pub fn below(self, price: i64) -> i64 {
        // At the lower edge of a band, the finer tick of the band below applies.
        (price - self.tick(price - 1)).max(0)
    }

    /// Rounds `price` down to the grid, but to one tick at least.
    pub fn snap(self, price: i64) -> i64 {
        let tick = self.tick(price);
        (price - price % tick).max(tick)
    }

    /// Whether books can be grouped.
    pub fn has_levels(self) -> bool {
        matches!(self, Self::Krw | Self::KrwStable)
    }

    /// Whether books can be grouped by `level` at this price: KRW markets have five powers of ten above the tick.
    pub fn supports_level(self, level: i64, price: i64) -> bool {
        level == 0 || self.has_levels() && (1..=5).any(|power| self.tick(price) * 10i64.pow(power) == level)
    }
}

/// The tick of USDT markets: 0.01 from 10 upward, then ten times finer for each factor of ten below.
fn usdt_tick(price: i64) -> i64 {
    let (mut from, mut tick) = (10 * ONE, ONE / 100);
    while price < from && tick > 1 {
        from /= 10;
        tick /= 10;
    }
    tick
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_follow_the_published_tables() {
        assert_eq!(Quote::Krw.tick(116_000_000 * ONE), 1_000 * ONE);
        assert_eq!(Quote::Krw.tick(4_999 * ONE), ONE);
        assert_eq!(Quote::Krw.tick(ONE / 200), ONE / 100_000);
        assert_eq!(Quote::Krw.tick(1), 1);
        assert_eq!(Quote::KrwStable.tick(1_463 * ONE), ONE / 2);
        assert_eq!(Quote::Btc.tick(2_925_000), 1);
        assert_eq!(Quote::Usdt.tick(87_000 * ONE), ONE / 100);
        assert_eq!(Quote::Usdt.tick(2 * ONE), ONE / 1_000);
        assert_eq!(Quote::Usdt.tick(1), 1);
    }

    #[test]
    fn stepping_down_across_a_band_uses_the_finer_tick_and_reverses() {
        let edge = 1_000_000 * ONE;
        assert_eq!(Quote::Krw.below(edge), edge - 500 * ONE);
        assert_eq!(Quote::Krw.above(Quote::Krw.below(edge)), edge);
        assert_eq!(Quote::Btc.below(1), 0);
    }

    #[test]
    fn only_krw_markets_group_and_only_by_their_levels() {
        let price = 116_000_000 * ONE;
        assert!(Quote::Krw.supports_level(10_000 * ONE, price));
        assert!(Quote::Krw.supports_level(100_000_000 * ONE, price));
        assert!(!Quote::Krw.supports_level(7 * ONE, price));
        assert!(!Quote::Btc.supports_level(100 * ONE, ONE));
        assert!(Quote::Btc.supports_level(0, ONE));
    }
}
