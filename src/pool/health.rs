//! Health: how far a reading can be trusted, as a pure function of its inputs. No clock, no atomics.

use std::fmt;
use std::time::Duration;

use crate::model::{Epoch, Nanos};
use crate::sync::connection::ConnectionSnapshot;

/// How far a reading can be trusted at the time of the call. The first row that applies:
///
/// | health | when |
/// | --- | --- |
/// | `NotListed` | the same as `NotSubscribed`, because the market has left the list of markets |
/// | `NotSubscribed` | the stream is not subscribed any more; a remaining value is history |
/// | `Disconnected` | its connection has no socket |
/// | `NoData` | connected and subscribed, and nothing has arrived yet |
/// | `Stale` | the value is from before the stream was last subscribed, or from an older socket, or the connection has brought no data for longer than the pool's `stale_after` |
/// | `Live` | none of these |
///
/// `Live` depends on the connection, not on the stream: a quiet market is live while its connection brings data of
/// other markets. It says that the connection works, not that this market has traded lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// Connected and subscribed, and nothing has arrived yet.
    NoData,
    /// The newest value of a stream that is subscribed, on a connection that brings data.
    Live,
    /// There is a value and a connection, but the value may be outdated.
    Stale {
        /// When the value was last known to be current: the end of its socket, the end of its subscription, or the
        /// connection's last data.
        since: Nanos,
    },
    /// The connection is down.
    Disconnected {
        /// When the connection went down; if it was never up, when it was created.
        since: Nanos,
    },
    /// The stream is not subscribed any more.
    NotSubscribed,
    /// The stream is not subscribed any more, because its market has left the list of markets. It is subscribed again
    /// if the market returns and a pattern matches it.
    NotListed,
}

impl Health {
    /// Returns true for `Live`: the value is fit to trade on.
    #[inline]
    pub fn is_live(self) -> bool {
        self == Self::Live
    }

    /// Returns a short, stable word for logs and scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoData => "no_data",
            Self::Live => "live",
            Self::Stale { .. } => "stale",
            Self::Disconnected { .. } => "disconnected",
            Self::NotSubscribed => "not_subscribed",
            Self::NotListed => "not_listed",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NoData => "no data",
            Self::Live => "live",
            Self::Stale { .. } => "stale",
            Self::Disconnected { .. } => "disconnected",
            Self::NotSubscribed => "not subscribed",
            Self::NotListed => "not listed",
        })
    }
}

/// The inputs of [`Health`].
#[derive(Debug, Clone, Copy)]
pub(super) struct HealthInputs {
    pub subscription: SubscriptionState,
    pub connection: ConnectionSnapshot,
    /// Epoch and receive time of the value, if any.
    pub value: Option<(Epoch, Nanos)>,
    pub stale_after: Duration,
}

/// Whether a stream is subscribed, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SubscriptionState {
    pub subscribed: bool,
    /// Whether the subscription ended because the market left the list of markets. Has no meaning while subscribed.
    pub delisted: bool,
    /// When the stream was last subscribed again or moved to another connection. Zero: never.
    pub renewed: Nanos,
    /// When the stream was last dropped, or lost its connection before it moved to another. Zero: never.
    pub dropped: Nanos,
}

impl HealthInputs {
    /// Returns the health. Calls `now` at most once, and only if the other inputs do not decide.
    pub fn judge(&self, now: impl FnOnce() -> Nanos) -> Health {
        if !self.subscription.subscribed {
            return if self.subscription.delisted { Health::NotListed } else { Health::NotSubscribed };
        }
        if !self.connection.up {
            return Health::Disconnected { since: self.connection.disconnected_at };
        }
        let Some((epoch, received)) = self.value else { return Health::NoData };
        // Checked before the epochs: a stream may have moved to another connection, which counts its own epochs.
        if received < self.subscription.renewed {
            return Health::Stale { since: self.subscription.dropped };
        }
        if epoch < self.connection.epoch {
            return Health::Stale { since: self.connection.disconnected_at };
        }
        // A new value may be visible before the connection has recorded that data arrived.
        let heard = self.connection.heard.max(received);
        if now().since(heard) > self.stale_after {
            return Health::Stale { since: heard };
        }
        Health::Live
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const STALE_AFTER: Duration = Duration::from_nanos(10);

    fn connection(up: bool, epoch: u32, disconnected_at: u64, heard: u64) -> ConnectionSnapshot {
        ConnectionSnapshot { up, epoch: Epoch(epoch), disconnected_at: Nanos(disconnected_at), heard: Nanos(heard) }
    }

    fn subscription(subscribed: bool, dropped: u64, renewed: u64) -> SubscriptionState {
        SubscriptionState { subscribed, delisted: false, dropped: Nanos(dropped), renewed: Nanos(renewed) }
    }

    #[test]
    fn the_first_row_that_applies_decides() {
        let (on, off, again) = (subscription(true, 0, 0), subscription(false, 95, 0), subscription(true, 70, 80));
        let gone = SubscriptionState { delisted: true, ..off };
        let on = SubscriptionState { delisted: true, ..on };
        let stale = |since| Health::Stale { since: Nanos(since) };
        let down = |since| Health::Disconnected { since: Nanos(since) };
        // subscription, connection (up, epoch, disconnected_at, heard), value (epoch, received), now, expected
        let table = [
            // `NotSubscribed` comes first.
            (off, connection(true, 1, 0, 99), Some((1, 99)), 100, Health::NotSubscribed),
            (off, connection(false, 1, 50, 40), Some((1, 40)), 100, Health::NotSubscribed),
            (off, connection(false, 0, 5, 0), None, 100, Health::NotSubscribed),
            (gone, connection(true, 1, 0, 99), Some((1, 99)), 100, Health::NotListed),
            // Then the state of the connection, with or without a value.
            (on, connection(false, 0, 5, 0), None, 100, down(5)),
            (on, connection(false, 1, 50, 49), Some((1, 49)), 51, down(50)),
            (again, connection(false, 1, 90, 60), Some((1, 60)), 100, down(90)),
            // Then whether there is a value.
            (on, connection(true, 1, 5, 0), None, 100, Health::NoData),
            (on, connection(true, 1, 5, 99), None, 100, Health::NoData),
            // A value from before the stream was subscribed again, in any epoch.
            (again, connection(true, 1, 5, 99), Some((1, 79)), 100, stale(70)),
            (again, connection(true, 2, 5, 99), Some((7, 60)), 100, stale(70)),
            (again, connection(true, 1, 5, 99), Some((1, 80)), 100, Health::Live),
            // A value from an older socket, however fresh the connection.
            (on, connection(true, 2, 60, 99), Some((1, 59)), 100, stale(60)),
            (on, connection(true, 2, 60, 99), Some((2, 99)), 100, Health::Live),
            (on, connection(true, 1, 60, 99), Some((2, 99)), 100, Health::Live),
            // Silence: live up to the limit, stale 1 ns later.
            (on, connection(true, 1, 5, 90), Some((1, 20)), 100, Health::Live),
            (on, connection(true, 1, 5, 89), Some((1, 20)), 100, stale(89)),
            // The value counts as data of the connection, even if the connection recorded none since.
            (on, connection(true, 1, 5, 80), Some((1, 95)), 100, Health::Live),
            (on, connection(true, 1, 5, 0), Some((1, 89)), 100, stale(89)),
            // A reader's clock slightly behind the receive stamp does not make the value stale.
            (on, connection(true, 1, 5, 101), Some((1, 101)), 100, Health::Live),
        ];
        for (row, (subscription, connection, value, now, expected)) in table.into_iter().enumerate() {
            let value = value.map(|(epoch, received)| (Epoch(epoch), Nanos(received)));
            let inputs = HealthInputs { subscription, connection, value, stale_after: STALE_AFTER };
            assert_eq!(inputs.judge(|| Nanos(now)), expected, "row {row}: {inputs:?}");
        }
    }

    #[test]
    fn only_live_is_live() {
        let since = Nanos(1);
        assert!(Health::Live.is_live());
        let off = [Health::NotSubscribed, Health::NotListed];
        for health in off.into_iter().chain([Health::NoData, Health::Stale { since }, Health::Disconnected { since }]) {
            assert!(!health.is_live(), "{health}");
        }
    }
}
