//! Many streams of one type, found once and read in one call.

use super::{Handle, Reading, Value};
use crate::model::Market;

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
