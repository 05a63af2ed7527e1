//! The delays between attempts to connect.

use std::time::Duration;

use super::problems::Problems;

/// The delays between attempts after a socket ended or could not be opened. Each delay is uniformly random, from zero
/// to a bound that doubles with each failure, up to a cap that depends on the cause (`status::FailureCause`). If the
/// exchange asks for a wait, the delay is added to it. The engine never gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Bound of the first delay. Default 250 ms. After a socket that carried data for at least 2 s, the first attempt
    /// has no delay. The same holds for a single socket that carried data for a shorter time.
    pub base: Duration,
    /// The bound doubles up to this while an attempt reaches nobody: no address, no TCP connection, or a step that takes
    /// too long. Default 2 s. Such attempts cost the exchange nothing, and shorter reconnects sooner when the network
    /// returns.
    pub network_cap: Duration,
    /// The bound doubles up to this while the exchange refuses or ends the sockets. Default 30 s. Longer puts less load
    /// on an exchange that is in trouble; shorter reconnects sooner when it returns.
    pub cap: Duration,
    /// The bound doubles up to this while only a person can remove the cause, such as a bad certificate. Default 2
    /// min.
    pub slow_cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(250),
            network_cap: Duration::from_secs(2),
            cap: Duration::from_secs(30),
            slow_cap: Duration::from_secs(120),
        }
    }
}

impl Backoff {
    /// The maximum of each cap: one day. A longer one could keep the engine disconnected for good.
    pub const CAP_MAX: Duration = Duration::from_secs(24 * 3600);

    /// Returns a backoff whose bound does not grow: each delay is from zero to `bound`.
    pub const fn constant(bound: Duration) -> Self {
        Self { base: bound, network_cap: bound, cap: bound, slow_cap: bound }
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        let Self { base, network_cap, cap, slow_cap } = self;
        problems.require(!base.is_zero(), "backoff.base", base, "to more than zero");
        let caps = [("backoff.network_cap", network_cap), ("backoff.cap", cap), ("backoff.slow_cap", slow_cap)];
        for (name, cap) in caps {
            problems.require(cap >= base, name, cap, format_args!("to backoff.base ({base:?}) or more"));
            problems.require(*cap <= Self::CAP_MAX, name, cap, format_args!("to {:?} at most", Self::CAP_MAX));
        }
    }
}
