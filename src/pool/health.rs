//! Health: how far a reading can be trusted, as a pure function of its inputs. No clock, no atomics.

use std::fmt;

use crate::model::{Epoch, Nanos};
use crate::sync::connection::ConnectionSnapshot;

/// How far a reading can be trusted at the time of the call. The first row that applies:
///
/// | health | when |
/// | --- | --- |
/// | `Gone` | the same as `NotSubscribed`, because the market has left the list of markets |
/// | `NotSubscribed` | the stream is not subscribed any more; a remaining value is history |
/// | `Disconnected` | its connection has no socket |
/// | `Suspect` | there is evidence, newer than the value, that a newer value exists; see [`HealthReason`] |
/// | `NoData` | connected and subscribed, and nothing has arrived yet |
/// | `Resyncing` | the value is from an older socket, or from before the stream was last subscribed, and the state that the exchange was asked for has not arrived yet |
/// | `Stale` | the connection has brought no data for longer than the pool's `stale_after`, or the value is an older snapshot of a stream of which only snapshots are requested |
/// | `Quiet` | the stream, or the whole connection, has been silent for longer than is usual for it |
/// | `Live` | none of these |
///
/// Only `Live` and `Quiet` say that nothing speaks against the value. A quiet stream is checked: the engine asks for its
/// state again, which makes it `Live`, or `Suspect` if the exchange does not answer. A stream that is usually silent for
/// minutes is not judged by its silence; it is `Live` while its connection brings data of other markets. So `Live` does
/// not say that this market has traded lately: [`Reading::age`](super::Reading::age) does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// Connected and subscribed, and nothing has arrived yet.
    NoData {
        /// When the stream was subscribed.
        since: Nanos,
    },
    /// The newest value of a stream that is subscribed, on a connection that brings data.
    Live,
    /// Nothing speaks against the value, but an update is overdue.
    Quiet {
        /// When the stream, or its connection, was last heard.
        since: Nanos,
        /// Whether the stream or its connection is silent.
        reason: HealthReason,
    },
    /// There is evidence that the exchange has a newer value, which has not arrived or could not be read.
    Suspect {
        /// When the evidence was found.
        since: Nanos,
        /// The evidence.
        reason: HealthReason,
    },
    /// The value is outdated, and the exchange has been asked for the current one.
    Resyncing {
        /// When the value was last known to be current: the end of its socket, or the end of its subscription.
        since: Nanos,
        /// What ended.
        reason: HealthReason,
    },
    /// There is a value and a connection, but the value may be outdated.
    Stale {
        /// When the value was last known to be current: the connection's last data, or the snapshot.
        since: Nanos,
        /// Why the value may be outdated.
        reason: HealthReason,
    },
    /// The connection is down.
    Disconnected {
        /// When the connection went down; if it was never up, when it was created.
        since: Nanos,
    },
    /// The stream is not subscribed any more.
    NotSubscribed {
        /// When the stream left the wire.
        since: Nanos,
    },
    /// The stream is not subscribed any more, because its market has left the list of markets. It is subscribed again
    /// if the market returns and a pattern matches it.
    Gone {
        /// When the stream left the wire.
        since: Nanos,
    },
}

/// Why a value is not `Live`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HealthReason {
    /// Quiet: nothing of the stream has arrived for longer than is usual for it.
    StreamSilent,
    /// Quiet: nothing has arrived on the connection for longer than is usual for it. Stale: nothing has arrived for
    /// longer than `stale_after`.
    ConnectionSilent,
    /// Suspect: a newer message of the stream was refused, because it could not be read.
    Refused,
    /// Suspect: a newer message on the connection was refused, and its stream could not be read. It may have been this
    /// one.
    RefusedUnnamed,
    /// Suspect: a trade of the market has arrived, and the ticker that the exchange sends with each trade has not.
    BehindTrades,
    /// Suspect: a ticker shows a trade of the market that has not arrived.
    MissingTrade,
    /// Suspect: the exchange does not list the stream among the connection's subscriptions.
    NotCarried,
    /// Suspect: the exchange was asked for the state of the stream, repeatedly, and has not sent it.
    Unanswered,
    /// Resyncing: the socket that brought the value has ended.
    NewSocket,
    /// Resyncing: the stream was not subscribed for some time.
    SubscribedAgain,
    /// Stale: only snapshots of the stream are requested, and the newest is older than `stale_after`.
    SnapshotAged,
}

impl HealthReason {
    /// Returns a short, stable word for logs and scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StreamSilent => "stream_silent",
            Self::ConnectionSilent => "connection_silent",
            Self::Refused => "refused",
            Self::RefusedUnnamed => "refused_unnamed",
            Self::BehindTrades => "behind_trades",
            Self::MissingTrade => "missing_trade",
            Self::NotCarried => "not_carried",
            Self::Unanswered => "unanswered",
            Self::NewSocket => "new_socket",
            Self::SubscribedAgain => "subscribed_again",
            Self::SnapshotAged => "snapshot_aged",
        }
    }
}

impl fmt::Display for HealthReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::StreamSilent => "nothing has arrived for longer than usual",
            Self::ConnectionSilent => "nothing has arrived on the connection",
            Self::Refused => "a newer message could not be read",
            Self::RefusedUnnamed => "a newer message of an unknown stream could not be read",
            Self::BehindTrades => "a newer trade has arrived",
            Self::MissingTrade => "the ticker shows a trade that has not arrived",
            Self::NotCarried => "the exchange does not list the stream",
            Self::Unanswered => "the exchange was asked for the stream and has not answered",
            Self::NewSocket => "the state on the new socket has not arrived yet",
            Self::SubscribedAgain => "the state since the new subscription has not arrived yet",
            Self::SnapshotAged => "the snapshot is old",
        })
    }
}

impl Health {
    /// Returns true for `Live`.
    #[inline]
    pub fn is_live(self) -> bool {
        self == Self::Live
    }

    /// Returns true for `Live` and `Quiet`: nothing speaks against the value.
    #[inline]
    pub fn is_undisputed(self) -> bool {
        matches!(self, Self::Live | Self::Quiet { .. })
    }

    /// Returns since when the value has this health. `None` for `Live`.
    pub const fn since(self) -> Option<Nanos> {
        match self {
            Self::Live => None,
            Self::NoData { since }
            | Self::Quiet { since, .. }
            | Self::Suspect { since, .. }
            | Self::Resyncing { since, .. }
            | Self::Stale { since, .. }
            | Self::Disconnected { since }
            | Self::NotSubscribed { since }
            | Self::Gone { since } => Some(since),
        }
    }

    /// Returns the reason, for those healths that have several.
    pub const fn reason(self) -> Option<HealthReason> {
        match self {
            Self::Quiet { reason, .. }
            | Self::Suspect { reason, .. }
            | Self::Resyncing { reason, .. }
            | Self::Stale { reason, .. } => Some(reason),
            _ => None,
        }
    }

    /// Returns a short, stable word for logs and scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoData { .. } => "no_data",
            Self::Live => "live",
            Self::Quiet { .. } => "quiet",
            Self::Suspect { .. } => "suspect",
            Self::Resyncing { .. } => "resyncing",
            Self::Stale { .. } => "stale",
            Self::Disconnected { .. } => "disconnected",
            Self::NotSubscribed { .. } => "not_subscribed",
            Self::Gone { .. } => "gone",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NoData { .. } => "no data",
            Self::NotSubscribed { .. } => "not subscribed",
            other => other.as_str(),
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
    /// The newest evidence against the stream's values.
    pub doubt: Option<(Nanos, HealthReason)>,
    /// The longest time without a message that is usual for the stream, in ns.
    pub usual_silence: u64,
    /// In ns.
    pub stale_after: u64,
}

/// Whether a stream is subscribed, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SubscriptionState {
    pub subscribed: bool,
    /// Whether the subscription ended because the market left the list of markets. Has no meaning while subscribed.
    pub delisted: bool,
    /// Whether only snapshots are requested.
    pub only_snapshots: bool,
    /// When the stream was last subscribed again or moved to another connection; at first, when it was opened.
    pub renewed: Nanos,
    /// When the stream was last dropped, or lost its connection before it moved to another. Zero: never.
    pub dropped: Nanos,
}

impl HealthInputs {
    /// Returns the health. Calls `now` at most once, and only if the other inputs do not decide.
    #[inline]
    pub fn judge(&self, now: impl FnOnce() -> Nanos) -> Health {
        let Self { subscription, connection, .. } = self;
        if !subscription.subscribed {
            let since = subscription.dropped;
            return if subscription.delisted { Health::Gone { since } } else { Health::NotSubscribed { since } };
        }
        if !connection.up {
            return Health::Disconnected { since: connection.disconnected_at };
        }
        let Some((epoch, received)) = self.value else {
            let since = subscription.renewed;
            return self.suspect(since).unwrap_or(Health::NoData { since });
        };
        // Checked before the epochs: a stream may have moved to another connection, which counts its own epochs.
        if received < subscription.renewed {
            let (since, reason) = (subscription.dropped, HealthReason::SubscribedAgain);
            return self.suspect(subscription.renewed).unwrap_or(Health::Resyncing { since, reason });
        }
        if epoch < connection.epoch {
            let (since, reason) = (connection.disconnected_at, HealthReason::NewSocket);
            return self.suspect(since).unwrap_or(Health::Resyncing { since, reason });
        }
        self.suspect(received).unwrap_or_else(|| self.judge_silence(received, now()))
    }

    /// Returns the evidence that was found at this time or later.
    #[inline]
    fn suspect(&self, from: Nanos) -> Option<Health> {
        let refused = (self.connection.refused_at, HealthReason::RefusedUnnamed);
        let (since, reason) = match self.doubt {
            Some(doubt) if doubt.0 >= from => doubt,
            // Zero: never.
            _ if refused.0 >= from && refused.0 > Nanos(0) => refused,
            _ => return None,
        };
        Some(Health::Suspect { since, reason })
    }

    #[inline]
    fn judge_silence(&self, received: Nanos, now: Nanos) -> Health {
        // A new value may be visible before the connection has recorded that data arrived.
        let heard = self.connection.heard.max(received);
        let since = |earlier: Nanos| now.0.saturating_sub(earlier.0);
        let (silence, age) = (since(heard), since(received));
        if silence > self.stale_after {
            return Health::Stale { since: heard, reason: HealthReason::ConnectionSilent };
        }
        if self.subscription.only_snapshots && age > self.stale_after {
            return Health::Stale { since: received, reason: HealthReason::SnapshotAged };
        }
        if age > self.usual_silence {
            return Health::Quiet { since: received, reason: HealthReason::StreamSilent };
        }
        if silence > self.connection.usual_silence {
            return Health::Quiet { since: heard, reason: HealthReason::ConnectionSilent };
        }
        Health::Live
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const STALE_AFTER: u64 = 10;
    const USUAL: u64 = 4;

    fn connection(up: bool, epoch: u32, disconnected_at: u64, heard: u64) -> ConnectionSnapshot {
        ConnectionSnapshot {
            up,
            epoch: Epoch(epoch),
            disconnected_at: Nanos(disconnected_at),
            heard: Nanos(heard),
            refused_at: Nanos(0),
            usual_silence: u64::MAX,
        }
    }

    fn subscription(subscribed: bool, dropped: u64, renewed: u64) -> SubscriptionState {
        SubscriptionState {
            subscribed,
            delisted: false,
            only_snapshots: false,
            dropped: Nanos(dropped),
            renewed: Nanos(renewed),
        }
    }

    #[test]
    fn the_first_row_that_applies_decides() {
        let (on, off, again) = (subscription(true, 0, 0), subscription(false, 95, 0), subscription(true, 70, 80));
        let gone = SubscriptionState { delisted: true, ..off };
        let on = SubscriptionState { delisted: true, ..on };
        let stale = |since| Health::Stale { since: Nanos(since), reason: HealthReason::ConnectionSilent };
        let again_at = |since| Health::Resyncing { since: Nanos(since), reason: HealthReason::SubscribedAgain };
        let moved = |since| Health::Resyncing { since: Nanos(since), reason: HealthReason::NewSocket };
        let no_data = Health::NoData { since: Nanos(0) };
        let off_at = |since| Health::NotSubscribed { since: Nanos(since) };
        let down = |since| Health::Disconnected { since: Nanos(since) };
        // subscription, connection (up, epoch, disconnected_at, heard), value (epoch, received), now, expected
        let table = [
            // `NotSubscribed` comes first.
            (off, connection(true, 1, 0, 99), Some((1, 99)), 100, off_at(95)),
            (off, connection(false, 1, 50, 40), Some((1, 40)), 100, off_at(95)),
            (off, connection(false, 0, 5, 0), None, 100, off_at(95)),
            (gone, connection(true, 1, 0, 99), Some((1, 99)), 100, Health::Gone { since: Nanos(95) }),
            // Then the state of the connection, with or without a value.
            (on, connection(false, 0, 5, 0), None, 100, down(5)),
            (on, connection(false, 1, 50, 49), Some((1, 49)), 51, down(50)),
            (again, connection(false, 1, 90, 60), Some((1, 60)), 100, down(90)),
            // Then whether there is a value.
            (on, connection(true, 1, 5, 0), None, 100, no_data),
            (on, connection(true, 1, 5, 99), None, 100, no_data),
            // A value from before the stream was subscribed again, in any epoch.
            (again, connection(true, 1, 5, 99), Some((1, 79)), 100, again_at(70)),
            (again, connection(true, 2, 5, 99), Some((7, 60)), 100, again_at(70)),
            (again, connection(true, 1, 5, 99), Some((1, 80)), 100, Health::Live),
            // A value from an older socket, however fresh the connection.
            (on, connection(true, 2, 60, 99), Some((1, 59)), 100, moved(60)),
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
            let (doubt, usual_silence, stale_after) = (None, u64::MAX, STALE_AFTER);
            let inputs = HealthInputs { subscription, connection, value, doubt, usual_silence, stale_after };
            assert_eq!(inputs.judge(|| Nanos(now)), expected, "row {row}: {inputs:?}");
        }
    }

    /// Returns the inputs of a stream whose value was received at 50, judged at 50.
    fn inputs() -> HealthInputs {
        HealthInputs {
            subscription: subscription(true, 10, 20),
            connection: connection(true, 2, 30, 50),
            value: Some((Epoch(2), Nanos(50))),
            doubt: None,
            usual_silence: u64::MAX,
            stale_after: STALE_AFTER,
        }
    }

    #[test]
    fn evidence_counts_against_the_values_before_it_only() {
        let at = |inputs: HealthInputs, since| {
            let connection = ConnectionSnapshot { refused_at: Nanos(since), ..inputs.connection };
            let doubted = HealthInputs { doubt: Some((Nanos(since), HealthReason::Refused)), ..inputs };
            let unnamed = HealthInputs { connection, ..inputs };
            [doubted, unnamed].map(|inputs| inputs.judge(|| Nanos(55)))
        };
        let suspect = |since| {
            let since = Nanos(since);
            [HealthReason::Refused, HealthReason::RefusedUnnamed].map(|reason| Health::Suspect { since, reason })
        };
        assert_eq!(at(inputs(), 49), [Health::Live; 2], "a newer value has arrived");
        assert_eq!(at(inputs(), 50), suspect(50), "at the same moment, the refused message may be the newer one");
        assert_eq!(at(inputs(), 60), suspect(60));
        // Without a value, evidence since the subscription counts.
        let empty = HealthInputs { value: None, ..inputs() };
        assert_eq!(at(empty, 19), [Health::NoData { since: Nanos(20) }; 2]);
        assert_eq!(at(empty, 20), suspect(20));
        // With a value of an older socket, evidence since its end counts.
        let old = HealthInputs { value: Some((Epoch(1), Nanos(25))), ..inputs() };
        let resyncing = Health::Resyncing { since: Nanos(30), reason: HealthReason::NewSocket };
        assert_eq!(at(old, 29), [resyncing; 2]);
        assert_eq!(at(old, 30), suspect(30));
        // With a value of an earlier subscription, evidence since the new one counts.
        let old = HealthInputs { value: Some((Epoch(2), Nanos(9))), ..inputs() };
        let resyncing = Health::Resyncing { since: Nanos(10), reason: HealthReason::SubscribedAgain };
        assert_eq!(at(old, 19), [resyncing; 2]);
        assert_eq!(at(old, 20), suspect(20));
    }

    #[test]
    fn silence_is_compared_with_what_is_usual() {
        let judge = |inputs: HealthInputs, now| inputs.judge(|| Nanos(now));
        let quiet = |since, reason| Health::Quiet { since: Nanos(since), reason };
        let connection = connection(true, 2, 30, 58);
        let busy = HealthInputs { usual_silence: USUAL, connection, ..inputs() };
        assert_eq!(judge(busy, 50 + USUAL), Health::Live);
        assert_eq!(judge(busy, 51 + USUAL), quiet(50, HealthReason::StreamSilent));
        let connection = ConnectionSnapshot { usual_silence: USUAL, ..connection };
        let slow = HealthInputs { connection, ..inputs() };
        assert_eq!(judge(slow, 58 + USUAL), Health::Live);
        assert_eq!(judge(slow, 59 + USUAL), quiet(58, HealthReason::ConnectionSilent));
        let stale = Health::Stale { since: Nanos(58), reason: HealthReason::ConnectionSilent };
        assert_eq!(judge(slow, 59 + STALE_AFTER), stale, "a long silence of the connection is not just unusual");
    }

    #[test]
    fn a_snapshot_ages_while_its_connection_is_heard() {
        let only_snapshots = SubscriptionState { only_snapshots: true, ..subscription(true, 10, 20) };
        let inputs = HealthInputs { subscription: only_snapshots, connection: connection(true, 2, 30, 61), ..inputs() };
        assert_eq!(inputs.judge(|| Nanos(50 + STALE_AFTER)), Health::Live);
        let stale = Health::Stale { since: Nanos(50), reason: HealthReason::SnapshotAged };
        assert_eq!(inputs.judge(|| Nanos(51 + STALE_AFTER)), stale);
    }

    #[test]
    fn each_health_has_its_words_and_only_two_are_undisputed() {
        let (since, reason) = (Nanos(1), HealthReason::Refused);
        let all = [
            (Health::Live, "live", true),
            (Health::Quiet { since, reason }, "quiet", true),
            (Health::NoData { since }, "no_data", false),
            (Health::Suspect { since, reason }, "suspect", false),
            (Health::Resyncing { since, reason }, "resyncing", false),
            (Health::Stale { since, reason }, "stale", false),
            (Health::Disconnected { since }, "disconnected", false),
            (Health::NotSubscribed { since }, "not_subscribed", false),
            (Health::Gone { since }, "gone", false),
        ];
        for (health, word, is_undisputed) in all {
            assert_eq!((health.as_str(), health.is_undisputed()), (word, is_undisputed));
            assert_eq!(health.is_live(), word == "live");
            assert_eq!(health.since().is_none(), word == "live");
        }
    }
}
