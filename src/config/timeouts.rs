//! The deadlines of a connection.

use std::time::Duration;

/// Every deadline of a connection. All are measured on a clock that never steps.
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

    /// Everything that is wrong with these deadlines.
    pub(crate) fn problems(&self) -> impl Iterator<Item = String> + '_ {
        let zero = [
            ("resolve", self.resolve),
            ("connect", self.connect),
            ("tls", self.tls),
            ("upgrade", self.upgrade),
            ("ping_after", self.ping_after),
            ("silent_after", self.silent_after),
            ("quiet_after", self.quiet_after),
            ("probe", self.probe),
            ("close", self.close),
        ]
        .into_iter()
        .filter(|(_, d)| d.is_zero())
        .map(|(name, _)| format!("timeouts.{name} must be longer than zero"));
        let ping = (self.ping_after > Self::PING_AFTER_MAX)
            .then(|| "timeouts.ping_after must be at most 20 s: the exchange closes idle sockets".to_owned());
        let silent = (self.silent_after <= self.ping_after)
            .then(|| "timeouts.silent_after must be longer than timeouts.ping_after".to_owned());
        zero.chain(ping).chain(silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_that_contradict_each_other_are_all_named() {
        assert_eq!(Timeouts::default().problems().count(), 0);
        let bad = Timeouts {
            ping_after: Duration::from_secs(21),
            silent_after: Duration::from_secs(3),
            close: Duration::ZERO,
            ..Timeouts::default()
        };
        assert_eq!(bad.problems().count(), 3);
    }
}
