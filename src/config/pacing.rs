//! How much of the limits an engine uses.

use std::time::Duration;

/// How hard an engine leans on the exchange's limits. The limits themselves are [`Limits`](super::Limits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Pacing {
    /// Gathers changes for 200 ms, uses 60 % of the request limits, and keeps every window 500 ms longer than the
    /// exchange counts. For a path whose delay varies, or an address whose limits others use too. The newest demand is
    /// on the wire latest.
    Conservative,
    /// Gathers changes for 50 ms, uses the limits in full, and keeps every window 250 ms longer.
    #[default]
    Balanced,
    /// Gathers changes for 10 ms, uses the limits in full, and keeps every window 50 ms longer. For a path whose delay
    /// varies by less than that: where it varies more, the exchange may count one too many and refuse. Changes that go on
    /// for 20 s use the minute's requests up, and the next one waits.
    Aggressive,
}

impl Pacing {
    /// How long changes of demand are gathered into one request.
    pub const fn window(self) -> Duration {
        Duration::from_millis(match self {
            Self::Conservative => 200,
            Self::Balanced => 50,
            Self::Aggressive => 10,
        })
    }

    /// How much longer than the exchange's every window is kept. The exchange counts arrivals, and the network may
    /// deliver bunched what was sent evenly.
    pub const fn margin(self) -> Duration {
        Duration::from_millis(match self {
            Self::Conservative => 500,
            Self::Balanced => 250,
            Self::Aggressive => 50,
        })
    }

    /// The part of a request limit that is used; at least 1.
    pub const fn share_of(self, limit: u32) -> u32 {
        match self {
            // Rounded up, so that something is left of 1.
            Self::Conservative => (limit * 3).div_ceil(5),
            Self::Balanced | Self::Aggressive => limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;

    #[test]
    fn the_default_pacing_uses_the_documented_limits_in_full() {
        let (pacing, limits) = (Pacing::default(), Limits::default());
        assert_eq!(pacing.margin(), crate::session::MARGIN);
        assert_eq!(pacing.share_of(limits.requests_per_second), 5);
        assert_eq!(pacing.share_of(limits.requests_per_minute), 100);
    }

    #[test]
    fn a_share_is_never_more_than_the_limit_nor_nothing() {
        for limit in 1..=10_000 {
            let share = Pacing::Conservative.share_of(limit);
            assert!(
                (1..=limit).contains(&share) && u64::from(share) * 5 < u64::from(limit) * 3 + 5,
                "{share} of {limit}"
            );
        }
    }
}
