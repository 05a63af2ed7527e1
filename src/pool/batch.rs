//! Many streams of one type, found once and read in one call.

use super::{Handle, Reading, Value};
use crate::model::{Market, Nanos};

/// How often [`Batch::load_at_once`] begins anew.
const TRIES: usize = 16;

/// Handles of many markets, in the order they were asked for. Each reading says for itself whether there is data, so a
/// batch with gaps is a batch and not an error.
#[derive(Debug, Clone)]
pub struct Batch<T: Value> {
    handles: Vec<Handle<T>>,
}

impl<T: Value> Batch<T> {
    pub(super) fn new(handles: Vec<Handle<T>>) -> Self {
        Self { handles }
    }

    /// The newest reading of each market, loaded one by one as the iterator moves: each is consistent in itself, and
    /// the markets are not of one instant, which the exchange does not offer either. Allocates nothing.
    pub fn load(&self) -> impl ExactSizeIterator<Item = (Market, Reading<'_, T>)> {
        self.handles.iter().map(|handle| (handle.key().market, handle.load()))
    }

    /// The newest readings of all markets as of one instant, which it gives: each was the newest then, and none is newer.
    /// In the order of the handles; `into` is cleared first, and used again it need not grow.
    ///
    /// Whatever is published while it reads makes it begin anew; `None` if that was so sixteen times. Some 10 ns for each
    /// market and try, so that of a thousand markets one try in a hundred fails at a thousand messages a second.
    ///
    /// The instant is one of this engine: the exchange sends the markets one by one.
    pub fn load_at_once<'a>(&'a self, into: &mut Vec<Reading<'a, T>>) -> Option<Nanos> {
        let clock = &self.handles.first()?.slot.clock;
        for _ in 0..TRIES {
            into.clear();
            let cut = clock.now();
            // What is the newest after the cut, and was published before it, was the newest at the cut.
            let is_older = |reading: &Reading<'a, T>| reading.stamps().is_none_or(|stamps| stamps.published <= cut);
            for handle in &self.handles {
                let reading = handle.load();
                if !is_older(&reading) {
                    break;
                }
                into.push(reading);
            }
            if into.len() == self.handles.len() {
                return Some(cut);
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
        self.handles.iter().zip(&mut cursor.versions).filter_map(|(handle, seen)| {
            let reading = handle.load_if_newer(*seen)?;
            *seen = reading.version();
            Some((handle.key().market, reading))
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

/// How far a reader of one [`Batch`] has come. A new one has seen nothing.
#[derive(Debug, Clone, Default)]
pub struct BatchCursor {
    /// Of each handle, the version seen last.
    versions: Vec<u64>,
}
