//! The share of the exchange's limits that an engine uses.

use std::time::Duration;

/// How closely an engine approaches the exchange's limits, which are [`Limits`](super::Limits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Pacing {
    /// Gathers changes for 200 ms, uses 60 % of the request limits, and extends every rate window by 500 ms. For a
    /// network path with varying delay, or an IP address whose limits are shared with others. New demand takes longest
    /// to reach the exchange.
    Conservative,
    /// Gathers changes for 50 ms, uses the limits in full, and extends every rate window by 250 ms.
    #[default]
    Balanced,
    /// Gathers changes for 10 ms, uses the limits in full, and extends every rate window by 50 ms. For a network path
    /// whose delay varies by less than 50 ms; if it varies more, the exchange may count one request too many and
    /// refuse. Changes that continue for 20 s use up the requests of the minute, and the next request waits.
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

    /// How much each rate window is longer than the exchange's. The exchange counts arrivals, and the network may
    /// deliver evenly sent requests in a bunch.
    pub const fn margin(self) -> Duration {
        Duration::from_millis(match self {
            Self::Conservative => 500,
            Self::Balanced => 250,
            Self::Aggressive => 50,
        })
    }

    /// The part of a request limit that is used. At least 1 if the limit is.
    pub const fn share_of(self, limit: u32) -> u32 {
        match self {
            // Rounded up, so that a limit of 1 leaves 1.
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
    fn a_share_is_positive_and_at_most_sixty_percent_rounded_up() {
        for limit in 1..=10_000 {
            let share = Pacing::Conservative.share_of(limit);
            assert!(
                (1..=limit).contains(&share) && u64::from(share) * 5 < u64::from(limit) * 3 + 5,
                "{share} of {limit}"
            );
        }
    }
}
