//! The strategies by which a connection's thread waits for its socket.

use std::time::Duration;

/// How a connection's thread waits for the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Wait {
    /// Sleeps in the kernel until something happens. Waking up costs tens of microseconds; an idle thread uses no CPU.
    #[default]
    Park,
    /// Never sleeps. The lowest latency, but uses a whole core: pin the thread to a core that nothing else needs.
    Spin,
    /// Spins for this time after the last traffic, then sleeps.
    SpinThenPark(Duration),
}
