//! What the exchange rations.

/// What the exchange rations, as exact sliding windows. Configuration, because exchanges change it. [`Pacing`](super::Pacing) says how
/// much of it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connects per second and address. Default 5, the exchange's documented limit. [`ConnectLedger`](super::ConnectLedger) says who shares it.
    pub connects_per_second: u32,
    /// Requests per second and connection. Default 5.
    pub requests_per_second: u32,
    /// Requests per minute and connection. Default 100.
    pub requests_per_minute: u32,
    /// Streams that one connection may carry. Default 20,000. The exchange names no limit and serves all its markets on
    /// one connection; more than this is refused.
    pub streams_per_connection: usize,
    /// The largest message accepted, in bytes. Default 1 MiB. A longer one ends the connection with close code 1009.
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
    /// Everything that is wrong with these limits.
    pub(crate) fn problems(&self) -> impl Iterator<Item = String> {
        let zero = [
            ("connects_per_second", self.connects_per_second),
            ("requests_per_second", self.requests_per_second),
            ("requests_per_minute", self.requests_per_minute),
        ]
        .into_iter()
        .filter(|&(_, n)| n == 0)
        .map(|(name, _)| format!("limits.{name} must be at least 1"));
        // Each is a log of that many times; nobody rations by the ten thousand.
        let large = [
            ("connects_per_second", self.connects_per_second),
            ("requests_per_second", self.requests_per_second),
            ("requests_per_minute", self.requests_per_minute),
        ]
        .into_iter()
        .filter(|&(_, n)| n > 10_000)
        .map(|(name, _)| format!("limits.{name} must be at most 10000"));
        let bytes = (!(4096..=1 << 26).contains(&self.message_bytes))
            .then(|| "limits.message_bytes must be from 4096 (a 30-level book has about 2700) to 64 MiB".to_owned());
        let streams =
            (self.streams_per_connection == 0).then(|| "limits.streams_per_connection must be at least 1".to_owned());
        zero.chain(large).chain(bytes).chain(streams)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_cannot_work_are_all_named() {
        assert_eq!(Limits { requests_per_second: 0, message_bytes: 1, ..Limits::default() }.problems().count(), 2);
        let endless = Limits { requests_per_minute: u32::MAX, message_bytes: usize::MAX, ..Limits::default() };
        assert_eq!(endless.problems().count(), 2);
    }
}
