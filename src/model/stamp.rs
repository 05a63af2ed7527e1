//! Timestamps, connection ids and epochs: they show how fresh a value is and which socket it came from.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::Arc;
use std::time::Duration;

/// A point in time, in nanoseconds since the Unix epoch, on a clock that never steps: the wall-clock time at start plus
/// the monotonic time since. Comparable with exchange timestamps, and not affected by changes of the wall clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Nanos(pub u64);

impl Nanos {
    /// The far future: a deadline that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// Converts from milliseconds since the Unix epoch, the exchange's unit.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms.saturating_mul(1_000_000))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Time since `earlier`; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Time since `earlier`; `None` if `earlier` is later.
    pub fn checked_since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_nanos)
    }
}

/// Returns a duration in ns; the maximum if it is longer than 584 years.
pub(crate) fn saturating_ns(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

impl Add<Duration> for Nanos {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(saturating_ns(d)))
    }
}

impl Sub<Duration> for Nanos {
    type Output = Self;
    fn sub(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(saturating_ns(d)))
    }
}

impl fmt::Debug for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// A clock. The library takes every time that it reports or compares from this trait, so that tests can control it.
pub trait Clock: Send + Sync {
    /// Returns the current time. Never goes backwards.
    fn now(&self) -> Nanos;

    /// Returns a recent time of the same clock, which may be up to 10 ms old, at a lower cost where the system offers
    /// that. For comparisons with limits of seconds.
    fn coarse(&self) -> Nanos {
        self.now()
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    #[inline]
    fn now(&self) -> Nanos {
        (**self).now()
    }

    #[inline]
    fn coarse(&self) -> Nanos {
        (**self).coarse()
    }
}

/// The index of a connection of the engine, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u16);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a socket in the life of its connection. The first socket is 1, each later one is one higher, and 0
/// means that no socket was opened yet.
///
/// Everything that arrives carries the epoch of its socket, so nothing from an old socket can pass for new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Epoch(pub u32);

impl Epoch {
    /// The epoch of the next socket.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The three timestamps of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamps {
    /// The exchange's timestamp of the event, in ms since the Unix epoch, on the exchange's clock.
    pub exchange_ms: u64,
    /// When the bytes were read from the socket.
    pub received: Nanos,
    /// When the value was published: just before readers could first see it.
    pub published: Nanos,
}
