//! The exchange's limits.

use super::problems::Problems;

/// The exchange's limits. The engine applies those with a rate as exact sliding windows. They are configurable because
/// exchanges change them. [`Pacing`](super::Pacing) sets how much of them is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connects per second and IP address. Default 5, the exchange's documented limit. A connect may try several
    /// addresses of the exchange, but sends a request to only one.
    /// [`ConnectLedger`](super::ConnectLedger) sets which processes share it.
    pub connects_per_second: u32,
    /// Requests per second and connection. Default 5.
    pub requests_per_second: u32,
    /// Requests per minute and connection. Default 100.
    pub requests_per_minute: u32,
    /// Maximum number of streams on one connection. Default 20,000; more are refused. The exchange documents no limit
    /// and serves all its markets on one connection.
    pub streams_per_connection: usize,
    /// Maximum size of a message, in bytes. Default 1 MiB. At a longer message the engine closes the socket with close
    /// code 1009, and reconnects.
    pub message_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connects_per_second: 5,
            requests_per_second: 5,
            requests_per_minute: 100,
            streams_per_connection: 20_000,
            message_bytes: 1 << 20,
        }
    }
}

impl Limits {
    pub(super) fn check(&self, problems: &mut Problems) {
        for (name, count) in [
            ("limits.connects_per_second", self.connects_per_second),
            ("limits.requests_per_second", self.requests_per_second),
            ("limits.requests_per_minute", self.requests_per_minute),
        ] {
            // A budget stores this number of times, and no exchange allows more than a few thousand.
            problems.require((1..=10_000).contains(&count), name, count, "to a number from 1 to 10000");
        }
        let streams = self.streams_per_connection;
        problems.require(streams > 0, "limits.streams_per_connection", streams, "to at least 1");
        let bytes = self.message_bytes;
        let remedy = "to a number from 4096 (a 30-level book has about 2700) to 67108864";
        problems.require((4096..=1 << 26).contains(&bytes), "limits.message_bytes", bytes, remedy);
    }
}
