//! What one load found: value, proof and, when asked, health.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use super::Health;
use super::slot::Slot;
use crate::model::{ConnectionId, Epoch, Nanos, Noun, Stamps, StreamKey};
use crate::sync::latest::{Loaded, Reader, Version};

/// What one load found, all of one version. Dereferences to the value.
///
/// Version, stamps and epoch are fixed at the load. [`health`](Self::health) and [`age`](Self::age) are judged each time
/// they are asked for, by the clock and the connection as they are then: a reading that is kept grows old.
///
/// Drop readings soon. While one lives its memory is not used again, and the stream takes other memory for its next value
/// and keeps it. A few cost nothing else. Thousands of one stream at once make publishing it slower until they are dropped,
/// by some tens of nanoseconds. 2^28 of them, for which 48 GiB would not be enough, end the connection's thread with a
/// panic. A reading stays on the thread that loaded it. Copy the value (`*reading`) to keep it or to hand it on.
pub struct Reading<'a, T: Noun> {
    version: Held<'a, T>,
    slot: &'a Slot<T>,
}

enum Held<'a, T> {
    Loaded(Loaded<'a, T>),
    Cached(Option<&'a Version<T>>),
}

impl<'a, T: Noun> Reading<'a, T> {
    #[inline]
    pub(super) fn loaded(version: Loaded<'a, T>, slot: &'a Slot<T>) -> Self {
        Self { version: Held::Loaded(version), slot }
    }

    #[inline]
    pub(super) fn cached(version: Option<&'a Version<T>>, slot: &'a Slot<T>) -> Self {
        Self { version: Held::Cached(version), slot }
    }

    /// The value, if any has arrived yet.
    #[inline]
    pub fn value(&self) -> Option<&T> {
        self.held().map(|v| &v.value)
    }

    /// How far it may be trusted, as of this call. Costs one clock read and a few loads; answers other than `Live` and
    /// silence need no clock.
    #[inline]
    pub fn health(&self) -> Health {
        self.slot.health(self.held())
    }

    /// Time since the value was received, or last confirmed by the exchange. Costs one clock read.
    #[inline]
    pub fn age(&self) -> Option<Duration> {
        self.held().map(|v| self.slot.clock.now().since(v.stamps.received))
    }

    /// Time since it was published, just before readers could see it, or since the exchange last confirmed it. Costs one
    /// clock read. A [`Latency`](crate::feed::Latency) that is given this once for each new version, as
    /// [`load_if_newer`](super::Handle::load_if_newer) and [`wait_newer`](super::Handle::wait_newer) find them, shows how
    /// long values take from being published until they are read.
    #[inline]
    pub fn published_age(&self) -> Option<Duration> {
        self.held().map(|v| self.slot.clock.now().since(v.stamps.published))
    }

    /// Time since the exchange says it happened, as far as the two clocks agree; zero if its clock is ahead. Costs one
    /// clock read.
    #[inline]
    pub fn exchange_age(&self) -> Option<Duration> {
        self.held().map(|v| self.slot.clock.now().since(Nanos::from_millis(v.stamps.exchange_ms)))
    }

    /// When it happened, was received and was published.
    #[inline]
    pub fn stamps(&self) -> Option<Stamps> {
        self.held().map(|v| v.stamps)
    }

    /// The socket that brought it, or last confirmed it.
    #[inline]
    pub fn epoch(&self) -> Option<Epoch> {
        self.held().map(|v| v.epoch)
    }

    /// The connection that brought it.
    #[inline]
    pub fn connection(&self) -> Option<ConnectionId> {
        self.held().map(|v| v.connection)
    }

    /// Counts the values of this stream from 1; 0 if none has arrived yet.
    #[inline]
    pub fn version(&self) -> u64 {
        self.held().map_or(0, |v| v.version)
    }

    /// The stream.
    #[inline]
    pub fn key(&self) -> StreamKey {
        self.slot.key
    }

    /// Whether its stream, which `latest` reads, has brought nothing since. A reading through a cached handle, which is a
    /// copy, does not know.
    #[inline]
    pub(super) fn is_newest(&self, latest: &Reader<T>) -> bool {
        matches!(&self.version, Held::Loaded(loaded) if latest.is_newest(loaded))
    }

    #[inline]
    fn held(&self) -> Option<&Version<T>> {
        match &self.version {
            Held::Loaded(loaded) => loaded.get(),
            Held::Cached(version) => *version,
        }
    }
}

/// The value.
///
/// # Panics
///
/// If nothing has arrived yet. A reading that is live, or has a version above 0, has a value;
/// [`value`](Reading::value) never panics.
impl<T: Noun> Deref for Reading<'_, T> {
    type Target = T;

    #[inline]
    #[track_caller]
    fn deref(&self) -> &T {
        match self.value() {
            Some(value) => value,
            None => no_data(self.slot.key),
        }
    }
}

#[cold]
#[track_caller]
fn no_data(key: StreamKey) -> ! {
    panic!("no data yet for {key}: ask health() or value() first")
}

impl<T: Noun> fmt::Debug for Reading<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading")
            .field("health", &self.health())
            .field("version", &self.version())
            .field("epoch", &self.epoch())
            .field("stamps", &self.stamps())
            .field("value", &self.value())
            .finish()
    }
}
