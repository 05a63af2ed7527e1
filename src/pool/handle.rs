//! A stream that has been found once and is read from then on without looking anything up.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::slot::Slot;
use super::{Health, Reading, StreamStatus};
use crate::model::{Noun, StreamKey};
use crate::sync::latest::{CachedReader, Reader};

/// Reads one stream, from any thread, and waits for nobody: the lock of a value is only tried, and [`load`](Self::load)
/// starts over only if a newer value was published in between. Clone it for each thread. Stays valid for the pool's life:
/// a stream that is dropped and subscribed again answers through the same handle.
pub struct Handle<T: Noun> {
    pub(super) latest: Reader<T>,
    pub(super) slot: Arc<Slot<T>>,
}

impl<T: Noun> Handle<T> {
    /// The newest reading. Some ten ns; waits for nobody, and reads no clock: see [`Reading::health`]. Threads that load
    /// one stream over and over at the same time cost each other some ten ns more; those that ask for something newer
    /// first, or have a [`cached`](Self::cached) handle, do not.
    #[inline]
    pub fn load(&self) -> Reading<'_, T> {
        Reading::loaded(self.latest.load(), &self.slot)
    }

    /// The newest reading if it is newer than `version`, otherwise nothing for the price of one atomic load. Version 0
    /// is older than any.
    #[inline]
    pub fn load_if_newer(&self, version: u64) -> Option<Reading<'_, T>> {
        self.latest.load_if_newer(version).map(|loaded| Reading::loaded(loaded, &self.slot))
    }

    /// Sleeps until there is a reading newer than `version`, at most `timeout`. Never spins. The writer pays for waking
    /// a sleeper with a system call; readers in a hurry poll [`load_if_newer`](Self::load_if_newer) instead.
    pub fn wait_newer(&self, version: u64, timeout: Duration) -> Option<Reading<'_, T>> {
        let is_newer = || self.version() > version;
        if is_newer() {
            return Some(self.load());
        }
        let _guard = self.slot.waiters.guard();
        self.slot.signal.wait_until(timeout, is_newer).then(|| self.load())
    }

    /// The version of the newest value; 0 for none yet. One atomic load.
    #[inline]
    pub fn version(&self) -> u64 {
        self.latest.version()
    }

    /// The stream.
    pub fn key(&self) -> StreamKey {
        self.slot.key
    }

    /// A handle for one thread that polls: about a ns while nothing changed.
    pub fn cached(&self) -> CachedHandle<T> {
        CachedHandle { latest: self.latest.cached(), slot: self.slot.clone() }
    }

    pub(super) fn status(&self) -> StreamStatus {
        let reading = self.load();
        StreamStatus {
            key: self.key(),
            health: reading.health(),
            version: reading.version(),
            epoch: reading.epoch(),
            connection: reading.connection(),
            stamps: reading.stamps(),
            verdicts: self.slot.counts.read(),
        }
    }
}

impl<T: Noun> Clone for Handle<T> {
    fn clone(&self) -> Self {
        Self { latest: self.latest.clone(), slot: self.slot.clone() }
    }
}

impl<T: Noun> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let health: Health = self.load().health();
        write!(f, "Handle({}, {health}, version {})", self.key(), self.version())
    }
}

/// A [`Handle`] that remembers the value it read last. Not shared: each thread that polls makes its own.
pub struct CachedHandle<T: Noun> {
    latest: CachedReader<T>,
    slot: Arc<Slot<T>>,
}

impl<T: Noun> CachedHandle<T> {
    /// The newest reading. About a ns while nothing changed, a load and a copy when something did. What is remembered is
    /// the value alone; its health is judged anew each time.
    #[inline]
    pub fn load(&mut self) -> Reading<'_, T> {
        Reading::cached(self.latest.load(), &self.slot)
    }

    /// The stream.
    pub fn key(&self) -> StreamKey {
        self.slot.key
    }
}

impl<T: Noun> fmt::Debug for CachedHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CachedHandle({})", self.key())
    }
}
