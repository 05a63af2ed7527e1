//! How a connection's thread waits for its socket.

use std::time::Duration;

/// How a connection's thread waits for the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Wait {
    /// Sleeps in the kernel until something happens. Costs tens of microseconds of wake-up, uses no CPU when idle.
    #[default]
    Park,
    /// Never sleeps. The lowest latency, and one whole core: use it with a pinned core that nobody else needs.
    Spin,
    /// Spins this long after the last traffic, then sleeps.
    SpinThenPark(Duration),
}
