//! The deadlines of a connection.

use std::time::Duration;

use super::problems::Problems;

/// Every deadline of a connection. All are measured on a monotonic clock.
///
/// While the network is slow, `resolve`, `connect`, `tls` and `upgrade` are extended up to four times: a step that took
/// too long gets twice the time in the next attempt, until it is fast again. The time to answer a ping, `silent_after`
/// less `ping_after`, is extended up to four times while round trips are longer than a quarter of it.
///
/// # Relations between deadlines
///
/// These must hold, or the engine refuses to start:
///
/// * Every deadline is longer than zero. So are [`stale_after`](super::Config::stale_after),
///   [`confirm_within`](super::Config::confirm_within), [`clean_up_every`](super::Config::clean_up_every) and
///   [`Backoff::base`](super::Backoff::base).
/// * `ping_after` is at most [`PING_AFTER_MAX`](Self::PING_AFTER_MAX). Otherwise the exchange closes idle sockets, and
///   each has to be replaced.
/// * `silent_after` is longer than `ping_after`. The difference is the time to answer a ping; without it, every quiet
///   socket would count as dead.
/// * Each cap of [`Backoff`](super::Backoff) is at least its `base` and at most
///   [`CAP_MAX`](super::Backoff::CAP_MAX). A longer delay could keep the engine disconnected for good.
/// * [`grace`](super::Config::grace) is at most [`GRACE_MAX`](super::Config::GRACE_MAX). Zero is allowed.
///
/// These are recommended, but not required:
///
/// * `stale_after` is longer than `quiet_after` by the time that the exchange takes to answer. Otherwise the values of
///   a connection without trades are stale from time to time, until the exchange has answered.
/// * A mute socket is replaced after `quiet_after` plus `probe`. `quiet_after` has no maximum: pings keep the socket
///   open.
/// * An attempt to open a socket takes at most `resolve`, plus `connect`, plus 250 ms for each address after the first,
///   plus `tls`, plus `upgrade`.
/// * A stream counts as unconfirmed after twice `confirm_within`, or three times if only its changes are subscribed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// Maximum time of a DNS lookup. Default 5 s. A resolver that hangs delays only the attempts to connect. A late
    /// answer is used by the next attempt.
    pub resolve: Duration,
    /// Maximum time of a TCP connect to one address. Default 3 s. The next address is tried after 250 ms, at the same
    /// time, and the first that opens is used.
    pub connect: Duration,
    /// Maximum time of the TLS handshake. Default 5 s.
    pub tls: Duration,
    /// Maximum time of the WebSocket handshake, from the request to the response 101. Default 5 s.
    pub upgrade: Duration,
    /// Silence from the server after which the engine sends a ping. Default 2 s, at most 20 s, because the server
    /// closes after 60 s without traffic. Shorter finds a dead peer sooner at the cost of a few bytes.
    pub ping_after: Duration,
    /// Silence from the server after which the socket counts as dead and is replaced. Default 4.5 s. Must leave time to
    /// answer a ping. Shorter finds half-open sockets sooner; too short reconnects needlessly on a lossy network path.
    pub silent_after: Duration,
    /// Time without a data message, while pings are answered, after which the subscription is sent again. A live
    /// exchange answers with snapshots even if there are no trades. Default 10 s. Costs one request of the budget each
    /// time.
    pub quiet_after: Duration,
    /// Time to wait for data after the subscription was sent again, before the socket is replaced. Default 5 s. If the
    /// next sockets bring no data either, or the streams never had any, the subscription is sent several times before a
    /// socket is replaced.
    pub probe: Duration,
    /// Maximum time of the closing handshake, after which the socket is closed without it. Default 1 s.
    pub close: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            resolve: Duration::from_secs(5),
            connect: Duration::from_secs(3),
            tls: Duration::from_secs(5),
            upgrade: Duration::from_secs(5),
            ping_after: Duration::from_secs(2),
            silent_after: Duration::from_millis(4500),
            quiet_after: Duration::from_secs(10),
            probe: Duration::from_secs(5),
            close: Duration::from_secs(1),
        }
    }
}

impl Timeouts {
    /// The maximum of [`ping_after`](Self::ping_after), so that the server does not close an idle socket.
    pub const PING_AFTER_MAX: Duration = Duration::from_secs(20);

    pub(super) fn check(&self, problems: &mut Problems) {
        for (name, time) in [
            ("timeouts.resolve", self.resolve),
            ("timeouts.connect", self.connect),
            ("timeouts.tls", self.tls),
            ("timeouts.upgrade", self.upgrade),
            ("timeouts.ping_after", self.ping_after),
            ("timeouts.quiet_after", self.quiet_after),
            ("timeouts.probe", self.probe),
            ("timeouts.close", self.close),
        ] {
            problems.require(!time.is_zero(), name, time, "to more than zero");
        }
        let (ping, silent) = (self.ping_after, self.silent_after);
        let remedy = format_args!("to {:?} at most, because the exchange closes idle sockets", Self::PING_AFTER_MAX);
        problems.require(ping <= Self::PING_AFTER_MAX, "timeouts.ping_after", ping, remedy);
        // This also implies that it is more than zero.
        let remedy = format_args!("to more than timeouts.ping_after ({ping:?})");
        problems.require(silent > ping, "timeouts.silent_after", silent, remedy);
    }
}
