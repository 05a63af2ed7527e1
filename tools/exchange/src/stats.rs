//! The counters of the exchange.

/// Counters since the exchange started. A well-behaved client keeps the violations at zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// TCP connections accepted.
    pub connections: u64,
    /// Upgrades answered with 101.
    pub upgrades: u64,
    /// Plain HTTP requests, with any answer.
    pub rest_requests: u64,
    /// Valid requests that were served, including LIST_SUBSCRIPTIONS.
    pub requests: u64,
    /// Text `PING` messages.
    pub text_pings: u64,
    /// Ping frames.
    pub ping_frames: u64,
    /// Data frames sent: market data and replayed lines only.
    pub data_frames: u64,
    /// Payload bytes of the data frames.
    pub data_bytes: u64,
    /// `{"status":"UP"}` messages sent.
    pub status_frames: u64,
    /// Error messages sent in band, with any name.
    pub errors: u64,
    /// Connections closed because neither side sent anything within the idle timeout.
    pub idle_closes: u64,
    /// Connections dropped because the client fell behind by more than
    /// [`Config::output_limit`](crate::Config::output_limit).
    pub slow_readers: u64,
    /// Upgrades refused by [`Fault::RejectUpgrades`](crate::Fault::RejectUpgrades).
    pub faulted_upgrades: u64,

    /// Violation: upgrades answered with 429 because an address connected too often.
    pub connects_over_limit: u64,
    /// Violation: upgrades answered with 418 because the address kept connecting after 429.
    pub connects_while_blocked: u64,
    /// Violation: upgrades with an `Origin` header over the limit for such upgrades.
    pub origins_over_limit: u64,
    /// Violation: requests answered with TOO_MANY_REQUEST.
    pub requests_over_limit: u64,
    /// Violation: requests refused for their content (WRONG_FORMAT, NO_TICKET, NO_TYPE, NO_CODES, ...).
    pub malformed_requests: u64,
    /// Violation: upgrade requests that are not a valid handshake for a known path, and HTTP requests that cannot be
    /// parsed or repeat a header.
    pub malformed_upgrades: u64,
    /// Violation: client frames without a mask.
    pub unmasked_frames: u64,
    /// Violation: frames that violate RFC 6455 in another way.
    pub malformed_frames: u64,
}

impl Stats {
    /// The sum of all violations.
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
