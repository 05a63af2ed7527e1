//! What one connection shall carry.

use std::sync::Arc;

use super::StreamSpec;
use crate::model::StreamKey;

/// What one connection shall carry: sorted, each stream once. Cheap to clone and to hand between threads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamSet(Arc<[StreamSpec]>);

impl StreamSet {
    /// The streams, sorted by type, then market.
    pub fn specs(&self) -> &[StreamSpec] {
        &self.0
    }

    /// Their names, in the same order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = StreamKey> + '_ {
        self.0.iter().map(|spec| spec.key)
    }

    /// How it is wanted, if it is.
    pub fn get(&self, key: StreamKey) -> Option<&StreamSpec> {
        self.0.binary_search_by_key(&key, |spec| spec.key).ok().map(|at| &self.0[at])
    }

    /// Nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Of a stream that is named twice, the first is taken.
impl FromIterator<StreamSpec> for StreamSet {
    fn from_iter<I: IntoIterator<Item = StreamSpec>>(specs: I) -> Self {
        let mut specs: Vec<_> = specs.into_iter().collect();
        specs.sort_by_key(|spec| spec.key);
        specs.dedup_by_key(|spec| spec.key);
        Self(specs.into())
    }
}

/// Everything of each stream.
impl FromIterator<StreamKey> for StreamSet {
    fn from_iter<I: IntoIterator<Item = StreamKey>>(keys: I) -> Self {
        keys.into_iter().map(StreamSpec::all).collect()
    }
}
