//! Batches: many streams of one type, looked up once and read in one call.

use std::fmt;
use std::sync::Arc;

use super::{Handle, Reading};
use crate::model::{Clock, Market, Nanos, Noun};

/// The number of times [`Batch::load_at_once`] reads the whole batch before it gives up.
const TRIES: usize = 16;

/// The handles of many markets, in the order in which they were requested. A market without data yet is not an error:
/// its reading has no value.
#[derive(Clone)]
pub struct Batch<T: Noun> {
    /// The market of each handle.
    markets: Vec<Market>,
    handles: Vec<Handle<T>>,
    clock: Arc<dyn Clock>,
}

impl<T: Noun> Batch<T> {
    pub(super) fn new(markets: Vec<Market>, handles: Vec<Handle<T>>, clock: Arc<dyn Clock>) -> Self {
        Self { markets, handles, clock }
    }

    /// Returns the newest reading of each market, loaded one at a time as the iterator advances. Each reading is a
    /// consistent copy, but different readings are from different instants. Allocates nothing.
    pub fn load(&self) -> impl ExactSizeIterator<Item = (Market, Reading<'_, T>)> {
        self.markets.iter().zip(&self.handles).map(|(market, handle)| (*market, handle.load()))
    }

    /// Reads all markets as of one instant: a load of any of them at that instant would have returned the same reading.
    /// Clears `into`, fills it with the readings in the order of the handles, and returns the time of the instant. A
    /// reused `into` does not grow.
    ///
    /// An update of any of these markets during the read restarts it. Returns `None`, with `into` empty, if sixteen
    /// attempts in a row are interrupted; the next call may succeed. One attempt copies all values, which takes 40
    /// to 55 ns per ticker and 100 ns per order book: with a thousand tickers and a thousand messages a second, one
    /// attempt in twenty is interrupted. An empty batch always succeeds.
    ///
    /// The readings are the values that were visible at the instant, which the publish stamps do not show exactly. A
    /// stamp is taken just before its value becomes visible, so an update that was being published at that instant is
    /// missing although its stamp may be earlier. To continue without a gap, ask each handle for values newer than the
    /// [version](Reading::version) of its reading, and do not compare times.
    ///
    /// The instant is one in this engine, not at the exchange, which sends the markets one by one.
    pub fn load_at_once<'a>(&'a self, into: &mut Vec<Reading<'a, T>>) -> Option<Nanos> {
        for _ in 0..TRIES {
            into.clear();
            into.extend(self.handles.iter().map(Handle::load));
            let moment = self.clock.now();
            // Each reading was the newest of its market both before and after `moment`, so all of them were at
            // `moment`. The stamps are checked because this core's clock may lag behind another's: no reading may have
            // a publish stamp after `moment`.
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

    /// Returns the markets that changed since the last call with this cursor, each once with its newest reading. Costs
    /// one atomic load for each unchanged market. Changes that the iterator has not reached when it is dropped are
    /// returned by the next call.
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

    /// Returns the handles.
    pub fn handles(&self) -> &[Handle<T>] {
        &self.handles
    }

    /// Returns the number of markets.
    pub fn len(&self) -> usize {
        self.handles.len()
    }

    /// Returns true if the batch has no markets.
    pub fn is_empty(&self) -> bool {
        self.handles.is_empty()
    }
}

impl<T: Noun> fmt::Debug for Batch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("handles", &self.handles).finish_non_exhaustive()
    }
}

/// The position of a reader in one [`Batch`]. A new cursor has seen nothing. Use a cursor with one batch only: it knows
/// the markets by their place in the batch.
#[derive(Debug, Clone, Default)]
pub struct BatchCursor {
    /// The last seen version of each handle.
    versions: Vec<u64>,
}
