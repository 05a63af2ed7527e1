//! Many streams of one type, found once and read in one call.

use std::fmt;
use std::sync::Arc;

use super::{Handle, Reading};
use crate::model::{Clock, Market, Nanos, Noun};

/// How often [`Batch::load_at_once`] reads the whole batch before it gives up.
const TRIES: usize = 16;

/// Handles of many markets, in the order they were asked for. Each reading says for itself whether there is data, so a
/// batch with gaps is a batch and not an error.
#[derive(Clone)]
pub struct Batch<T: Noun> {
    /// Of each handle.
    markets: Vec<Market>,
    handles: Vec<Handle<T>>,
    clock: Arc<dyn Clock>,
}

impl<T: Noun> Batch<T> {
    pub(super) fn new(markets: Vec<Market>, handles: Vec<Handle<T>>, clock: Arc<dyn Clock>) -> Self {
        Self { markets, handles, clock }
    }

    /// The newest reading of each market, loaded one by one as the iterator moves: each is consistent in itself, and
    /// the markets are not of one instant, which the exchange does not offer either. Allocates nothing.
    pub fn load(&self) -> impl ExactSizeIterator<Item = (Market, Reading<'_, T>)> {
        self.markets.iter().zip(&self.handles).map(|(market, handle)| (*market, handle.load()))
    }

    /// The newest readings of all markets at one moment, in the order of the handles, and the time of that moment: whoever
    /// had loaded any of the markets then would have found just this reading. `into` is cleared first; if it is used again,
    /// it need not grow.
    ///
    /// An update of any of these markets during the read restarts it. Returns `None`, with `into` empty, if sixteen tries
    /// were disturbed; the next call may succeed. A try takes some 15 ns for each market: with a thousand markets and a
    /// thousand messages a second, one in a hundred is disturbed. An empty batch is never disturbed.
    ///
    /// What counts is what readers could see, not the publish stamps. A stamp is taken just before its value becomes
    /// visible, so an update that was on its way at that moment is not among the readings, although its stamp may be
    /// earlier. To go on from here without a gap, ask each handle for what is newer than the
    /// [version](Reading::version) of its reading, and do not compare times.
    ///
    /// The moment is one of this engine: the exchange sends the markets one by one.
    pub fn load_at_once<'a>(&'a self, into: &mut Vec<Reading<'a, T>>) -> Option<Nanos> {
        for _ in 0..TRIES {
            into.clear();
            into.extend(self.handles.iter().map(Handle::load));
            let moment = self.clock.now();
            // Between the two looks at it each reading was the newest of its market, and this moment is between all of
            // them. A clock that is behind another core's must not make a reading look newer than the moment.
            let was_newest = |(handle, reading): (&Handle<T>, &Reading<'a, T>)| {
                reading.is_newest(&handle.latest) && reading.stamps().is_none_or(|stamps| stamps.published <= moment)
            };
            if self.handles.iter().zip(&*into).all(was_newest) {
                return Some(moment);
            }
        }
        into.clear();
        None
    }

    /// What changed since the cursor was here last: each market at most once, with its newest reading. One atomic load
    /// for each market that did not change. Take the iterator to its end: what it did not come to is told next time.
    pub fn changed_since<'a>(
        &'a self,
        cursor: &'a mut BatchCursor,
    ) -> impl Iterator<Item = (Market, Reading<'a, T>)> + use<'a, T> {
        cursor.versions.resize(self.handles.len(), 0);
        let all = self.markets.iter().zip(&self.handles).zip(&mut cursor.versions);
        all.filter_map(|((market, handle), seen)| {
            let reading = handle.load_if_newer(*seen)?;
            *seen = reading.version();
            Some((*market, reading))
        })
    }

    /// The handles.
    pub fn handles(&self) -> &[Handle<T>] {
        &self.handles
    }

    /// How many markets.
    pub fn len(&self) -> usize {
        self.handles.len()
    }

    /// No market was asked for.
    pub fn is_empty(&self) -> bool {
        self.handles.is_empty()
    }
}

impl<T: Noun> fmt::Debug for Batch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("handles", &self.handles).finish_non_exhaustive()
    }
}

/// How far a reader of one [`Batch`] has come. A new one has seen nothing.
#[derive(Debug, Clone, Default)]
pub struct BatchCursor {
    /// Of each handle, the version seen last.
    versions: Vec<u64>,
}
