//! The result of one load: the value, its stamps and origin and, on request, its health.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use super::Health;
use super::slot::Slot;
use crate::model::{ConnectionId, Epoch, Nanos, Noun, Stamps, StreamKey};
use crate::sync::latest::{Loaded, Reader, Version};

/// The result of one load, all of one version. Dereferences to the value.
///
/// Version, stamps and epoch are fixed at the load. [`health`](Self::health) and [`age`](Self::age) are computed on
/// each call, from the clock and the connection at that time: a reading that is kept grows old.
///
/// Drop readings soon. While a reading lives, its memory is not reused; the stream allocates other memory for its next
/// value and keeps it. A few readings cost nothing else. Thousands of one stream at once slow its publishing by some
/// tens of ns until they are dropped. 2^28 of them, which need more than 48 GiB, end the connection's thread with a
/// panic. A reading stays on the thread that loaded it. Copy the value (`*reading`) to keep it or to send it elsewhere.
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

    /// Returns the value, if one has arrived.
    #[inline]
    pub fn value(&self) -> Option<&T> {
        self.held().map(|v| &v.value)
    }

    /// Returns how far the value can be trusted now. Costs a few loads and at most one clock read, which only a value
    /// that is `Live` or stale from silence needs.
    #[inline]
    pub fn health(&self) -> Health {
        self.slot.health(self.held())
    }

    /// Returns the time since the value was received, or last confirmed by the exchange. Costs one clock read.
    #[inline]
    pub fn age(&self) -> Option<Duration> {
        self.held().map(|v| self.slot.clock.now().since(v.stamps.received))
    }

    /// Returns the time since the value was published, just before readers could see it, or since the exchange last
    /// confirmed it. Costs one clock read. Record it in a [`Latency`](crate::feed::Latency) once for each new version,
    /// as returned by [`load_if_newer`](super::Handle::load_if_newer) or [`wait_newer`](super::Handle::wait_newer), to
    /// measure the time from publish to read.
    #[inline]
    pub fn published_age(&self) -> Option<Duration> {
        self.held().map(|v| self.slot.clock.now().since(v.stamps.published))
    }

    /// Returns the time since the exchange's stamp, as far as the two clocks agree; zero if the exchange's clock is
    /// ahead. Costs one clock read.
    #[inline]
    pub fn exchange_age(&self) -> Option<Duration> {
        self.held().map(|v| self.slot.clock.now().since(Nanos::from_millis(v.stamps.exchange_ms)))
    }

    /// Returns the exchange, receive and publish stamps.
    #[inline]
    pub fn stamps(&self) -> Option<Stamps> {
        self.held().map(|v| v.stamps)
    }

    /// Returns the epoch of the socket that brought the value, or last confirmed it.
    #[inline]
    pub fn epoch(&self) -> Option<Epoch> {
        self.held().map(|v| v.epoch)
    }

    /// Returns the connection that brought the value, or last confirmed it.
    #[inline]
    pub fn connection(&self) -> Option<ConnectionId> {
        self.held().map(|v| v.connection)
    }

    /// Returns the version, which counts the values of this stream from 1; 0 before the first.
    #[inline]
    pub fn version(&self) -> u64 {
        self.held().map_or(0, |v| v.version)
    }

    /// Returns the key of the stream.
    #[inline]
    pub fn key(&self) -> StreamKey {
        self.slot.key
    }

    /// Returns true if this is still the newest version of its stream, which `latest` reads. Always false for a reading
    /// of a cached handle, which has only a copy.
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

/// Returns the value.
///
/// # Panics
///
/// If nothing has arrived yet. A reading that is live, or has a version above 0, has a value. [`value`](Reading::value)
/// never panics.
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
