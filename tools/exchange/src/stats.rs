//! What the exchange counted. Plain numbers; nothing here decides anything.

/// Counters since the exchange started. The violations are what a polite client keeps at zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// TCP connections accepted.
    pub connections: u64,
    /// Upgrades answered with 101.
    pub upgrades: u64,
    /// Plain HTTP requests, whatever the answer.
    pub rest_requests: u64,
    /// Requests understood and served, LIST_SUBSCRIPTIONS included.
    pub requests: u64,
    /// Text `PING` messages.
    pub text_pings: u64,
    /// Ping frames.
    pub ping_frames: u64,
    /// Data frames handed out: market data and replayed lines, nothing else.
    pub data_frames: u64,
    /// Payload bytes of those.
    pub data_bytes: u64,
    /// `{"status":"UP"}` messages handed out.
    pub status_frames: u64,
    /// Error messages sent in band, of any name.
    pub errors: u64,
    /// Connections closed because neither side sent anything for the idle timeout.
    pub idle_closes: u64,
    /// Connections cut off because their reader fell behind by [`Config::output_limit`](crate::Config::output_limit).
    pub slow_readers: u64,
    /// Upgrades refused by [`Fault::RejectUpgrades`](crate::Fault::RejectUpgrades).
    pub faulted_upgrades: u64,

    /// Violation: upgrades answered with 429 because an address connected too often.
    pub connects_over_limit: u64,
    /// Violation: upgrades answered with 418 because the address went on after 429.
    pub connects_while_blocked: u64,
    /// Violation: upgrades with an `Origin` header over their limit.
    pub origins_over_limit: u64,
    /// Violation: requests answered with TOO_MANY_REQUEST.
    pub requests_over_limit: u64,
    /// Violation: requests refused for their content (WRONG_FORMAT, NO_TICKET, NO_TYPE, NO_CODES, ...).
    pub malformed_requests: u64,
    /// Violation: upgrade requests that are not a valid opening handshake for a known path, and any HTTP request that
    /// cannot be read or has a header twice.
    pub malformed_upgrades: u64,
    /// Violation: client frames without a mask.
    pub unmasked_frames: u64,
    /// Violation: frames that break RFC 6455 in another way.
    pub malformed_frames: u64,
}

impl Stats {
    /// Sum of all violations.
    pub fn violations(&self) -> u64 {
        self.connects_over_limit
            + self.connects_while_blocked
            + self.origins_over_limit
            + self.requests_over_limit
            + self.malformed_requests
            + self.malformed_upgrades
            + self.unmasked_frames
            + self.malformed_frames
    }
}
