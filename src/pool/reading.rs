//! The result of one load: the value, its stamps and origin and, on request, its health.

use std::fmt;
use std::time::Duration;

use super::Health;
use super::stream_state::StreamState;
use crate::model::{ConnectionId, Epoch, FromWords, Nanos, Stamps, StreamKey};
use crate::sync::latest::{Loaded, Reader, Version};

/// The result of one load, all of one version.
///
/// Nothing may have arrived yet, so [`value`](Self::value) returns an `Option`. A strategy that must not act on an
/// outdated value asks for the [`live`](Self::live) one. This compiles:
///
/// ```
/// fn price(ticker: &hoga::Handle<hoga::Ticker>) -> Option<f64> {
///     ticker.load().live().map(|ticker| ticker.trade_price)
/// }
/// ```
///
/// Reading a field without asking whether there is a value does not compile:
///
/// ```compile_fail
/// fn price(ticker: &hoga::Handle<hoga::Ticker>) -> f64 {
///     ticker.load().trade_price
/// }
/// ```
///
/// Version, stamps and epoch are fixed at the load. [`health`](Self::health) and [`age`](Self::age) are computed on
/// each call, from the clock and the connection at that time: a reading that is kept grows old.
///
/// A reading is a copy: it does not change, holds no memory of the stream, may be kept for any time and sent to another
/// thread. A reading of a [`CachedHandle`](super::CachedHandle) refers to the copy in the handle.
pub struct Reading<'a, T> {
    copy: Copied<'a, T>,
    state: &'a StreamState,
}

#[allow(clippy::large_enum_variant, reason = "a reading is not kept in bulk, and a box would allocate")]
enum Copied<'a, T> {
    Own(Loaded<T>),
    Cached(&'a Loaded<T>),
}

impl<'a, T> Reading<'a, T> {
    #[inline]
    pub(super) fn loaded(loaded: Loaded<T>, state: &'a StreamState) -> Self {
        Self { copy: Copied::Own(loaded), state }
    }

    #[inline]
    pub(super) fn cached(loaded: &'a Loaded<T>, state: &'a StreamState) -> Self {
        Self { copy: Copied::Cached(loaded), state }
    }

    /// Returns the value, however old it is; `None` if none has arrived yet.
    #[inline]
    pub fn value(&self) -> Option<&T> {
        self.newest().map(|v| &v.value)
    }

    /// Returns the value if its [`health`](Self::health) is [`Live`](Health::Live) now. A strategy that trades only on
    /// what this returns never trades on a missing, outdated or doubtful value.
    #[inline]
    pub fn live(&self) -> Option<&T> {
        self.value().filter(|_| self.health().is_live())
    }

    /// Returns how far the value can be trusted now. Costs a few loads and at most one clock read, which only a value
    /// that is `Live` or stale from silence needs.
    #[inline]
    pub fn health(&self) -> Health {
        self.state.health(self.newest())
    }

    /// Returns the time since the value was received, or last confirmed by the exchange. Costs one clock read.
    #[inline]
    pub fn age(&self) -> Option<Duration> {
        self.newest().map(|v| self.state.clock.now().since(v.stamps.received))
    }

    /// Returns the time since the value was published, just before readers could see it, or since the exchange last
    /// confirmed it. Costs one clock read. Record it in a [`Latency`](crate::feed::Latency) once for each new version,
    /// as returned by [`load_if_newer`](super::Handle::load_if_newer) or [`wait_newer`](super::Handle::wait_newer), to
    /// measure the time from publish to read.
    #[inline]
    pub fn published_age(&self) -> Option<Duration> {
        self.newest().map(|v| self.state.clock.now().since(v.stamps.published))
    }

    /// Returns the time since the exchange's stamp, as far as the two clocks agree; zero if the exchange's clock is
    /// ahead. Costs one clock read.
    #[inline]
    pub fn exchange_age(&self) -> Option<Duration> {
        self.newest().map(|v| self.state.clock.now().since(Nanos::from_millis(v.stamps.exchange_ms)))
    }

    /// Returns the exchange, receive and publish stamps.
    #[inline]
    pub fn stamps(&self) -> Option<Stamps> {
        self.newest().map(|v| v.stamps)
    }

    /// Returns the epoch of the socket that brought the value, or last confirmed it.
    #[inline]
    pub fn epoch(&self) -> Option<Epoch> {
        self.newest().map(|v| v.epoch)
    }

    /// Returns the connection that brought the value, or last confirmed it.
    #[inline]
    pub fn connection(&self) -> Option<ConnectionId> {
        self.newest().map(|v| v.connection)
    }

    /// Returns the version, which counts the values of this stream from 1; 0 before the first.
    #[inline]
    pub fn version(&self) -> u64 {
        self.newest().map_or(0, |v| v.version)
    }

    /// Returns the key of the stream.
    #[inline]
    pub fn key(&self) -> StreamKey {
        self.state.key
    }

    /// Returns true if there is no value, although the exchange was asked for the stream repeatedly.
    pub(super) fn is_unanswered(&self) -> bool {
        self.value().is_none() && self.state.is_unanswered()
    }

    /// Returns true if this is still the newest version of its stream, whose values `latest` reads.
    #[inline]
    pub(super) fn is_newest(&self, latest: &Reader<T>) -> bool
    where
        T: FromWords,
    {
        latest.is_newest(self.copy())
    }

    #[inline]
    fn copy(&self) -> &Loaded<T> {
        match &self.copy {
            Copied::Own(loaded) => loaded,
            Copied::Cached(loaded) => loaded,
        }
    }

    #[inline]
    fn newest(&self) -> Option<&Version<T>> {
        self.copy().version.as_ref()
    }
}

impl<T: fmt::Debug> fmt::Debug for Reading<'_, T> {
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
