//! What one connection shall carry.

use std::sync::Arc;

use super::Want;
use crate::model::StreamKey;

/// What one connection shall carry: sorted, each stream once. Cheap to clone and to hand between threads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamSet(Arc<[Want]>);

impl StreamSet {
    /// The streams, sorted by type, then market.
    pub fn wants(&self) -> &[Want] {
        &self.0
    }

    /// Their names, in the same order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = StreamKey> + '_ {
        self.0.iter().map(|want| want.key)
    }

    /// How it is wanted, if it is.
    pub fn get(&self, key: StreamKey) -> Option<&Want> {
        self.0.binary_search_by_key(&key, |want| want.key).ok().map(|at| &self.0[at])
    }

    /// Nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Of a stream that is named twice, the first is taken.
impl FromIterator<Want> for StreamSet {
    fn from_iter<I: IntoIterator<Item = Want>>(wants: I) -> Self {
        let mut wants: Vec<_> = wants.into_iter().collect();
        wants.sort_by_key(|want| want.key);
        wants.dedup_by_key(|want| want.key);
        Self(wants.into())
    }
}

/// Everything of each stream.
impl FromIterator<StreamKey> for StreamSet {
    fn from_iter<I: IntoIterator<Item = StreamKey>>(keys: I) -> Self {
        keys.into_iter().map(Want::all).collect()
    }
}
