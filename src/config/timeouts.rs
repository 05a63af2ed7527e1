//! The deadlines of a connection.

use std::time::Duration;

use super::problems::Problems;

/// Every deadline of a connection. All are measured on a clock that never steps.
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
/// * `silent_after` is longer than `ping_after`. The difference is the time that a ping has to be answered; without it
///   every quiet socket counts as dead.
/// * [`Backoff::cap`](super::Backoff::cap) is not less than its `base` and at most
///   [`CAP_MAX`](super::Backoff::CAP_MAX). Otherwise the engine could stay away for good.
/// * [`grace`](super::Config::grace) is at most [`GRACE_MAX`](super::Config::GRACE_MAX). Zero is allowed.
///
/// These are worth keeping, but nothing breaks without them:
///
/// * `stale_after` is longer than `quiet_after` by the time that the exchange takes to answer. Otherwise values of a
///   connection where nobody trades are called stale for a moment now and then.
/// * `quiet_after` and `probe` together are the time after which a mute socket is replaced. `quiet_after` may be as long
///   as you like: pings keep the socket open.
/// * An attempt to open a socket takes at most `resolve`, `connect` for each address, `tls` and `upgrade` together.
/// * A stream counts as unconfirmed after two `confirm_within`, or three if only its changes are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// Longest name look-up. Default 5 s. A hanging resolver blocks nothing but the next dial, and an answer that comes
    /// late is used by the dial after it.
    pub resolve: Duration,
    /// Longest TCP connect to one address; the next address follows. Default 3 s.
    pub connect: Duration,
    /// Longest TLS handshake. Default 5 s.
    pub tls: Duration,
    /// Longest opening handshake, request to 101. Default 5 s.
    pub upgrade: Duration,
    /// Silence from the server after which we ping. Default 2 s. The server closes after 60 s without traffic, so more
    /// than 20 s is refused. Shorter finds a dead peer sooner at the price of a few bytes.
    pub ping_after: Duration,
    /// Silence after which the connection counts as dead. Default 4.5 s. Must leave a ping time to be answered:
    /// shorter finds half-open sockets sooner, too short reconnects on a lossy path for nothing.
    pub silent_after: Duration,
    /// Time without a data message (pings answered) after which the subscription is sent again: a live exchange answers
    /// with snapshots even where nobody trades. Default 10 s. Costs one request of the budget each time.
    pub quiet_after: Duration,
    /// How long the answer to that may take before the connection is replaced. Default 5 s. If the next connections stay
    /// without data too, or the streams never brought any, the subscription is sent again several times before that.
    pub probe: Duration,
    /// How long a closing handshake may take. Default 1 s.
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
    /// The longest silence between our pings that keeps the server from closing an idle socket.
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
        // So it is more than zero too.
        let remedy = format_args!("to more than timeouts.ping_after ({ping:?})");
        problems.require(silent > ping, "timeouts.silent_after", silent, remedy);
    }
}
