//! What a batch has of one market.

use super::{Health, Reading};
use crate::model::Nanos;

/// What a [`Batch`](super::Batch) has of one market.
#[derive(Debug)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "a quote is not kept in bulk, and a box would allocate")]
pub enum Quote<'a, T> {
    /// A value that nothing speaks against: its health is [`Live`](Health::Live) or [`Quiet`](Health::Quiet).
    Value(Reading<'a, T>),
    /// A value that may be outdated. The health of the reading has the reason.
    Stale {
        /// The value.
        reading: Reading<'a, T>,
        /// Since when it may be outdated.
        since: Nanos,
    },
    /// The stream is subscribed, and nothing has arrived yet.
    NotYet {
        /// Since when a value is missing.
        since: Nanos,
    },
    /// The stream is not subscribed.
    NotSubscribed,
    /// The text is not a market code, or the market has left the list of markets, or the exchange was asked for the
    /// stream repeatedly and has never sent anything.
    NoSuchMarket,
}

impl<'a, T> Quote<'a, T> {
    pub(super) fn of(reading: Reading<'a, T>) -> Self {
        let (health, has_value) = (reading.health(), reading.value().is_some());
        let since = health.since().unwrap_or_default();
        match health {
            Health::Gone { .. } => Self::NoSuchMarket,
            Health::NotSubscribed { .. } => Self::NotSubscribed,
            _ if reading.is_unanswered() => Self::NoSuchMarket,
            _ if !has_value => Self::NotYet { since },
            _ if health.is_undisputed() => Self::Value(reading),
            _ => Self::Stale { reading, since },
        }
    }

    /// Returns the value if nothing speaks against it.
    pub fn value(&self) -> Option<&T> {
        if let Self::Value(reading) = self { reading.value() } else { None }
    }
}
