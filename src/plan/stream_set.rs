//! The set of streams of a connection.

use std::sync::Arc;

use super::StreamSpec;
use crate::model::StreamKey;

/// A sorted set of streams without duplicates. Cheap to clone and to send to another thread.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamSet(Arc<[StreamSpec]>);

impl StreamSet {
    /// Returns the streams, sorted by type, then by market.
    pub fn specs(&self) -> &[StreamSpec] {
        &self.0
    }

    /// Returns the keys of the streams, in the same order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = StreamKey> + '_ {
        self.0.iter().map(|spec| spec.key)
    }

    /// Returns how a stream is wanted; `None` if it is not in the set.
    pub fn get(&self, key: StreamKey) -> Option<&StreamSpec> {
        self.0.binary_search_by_key(&key, |spec| spec.key).ok().map(|at| &self.0[at])
    }

    /// Returns true if the set has no streams.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// If a stream occurs twice, the first is kept.
impl FromIterator<StreamSpec> for StreamSet {
    fn from_iter<I: IntoIterator<Item = StreamSpec>>(specs: I) -> Self {
        let mut specs: Vec<_> = specs.into_iter().collect();
        specs.sort_by_key(|spec| spec.key);
        specs.dedup_by_key(|spec| spec.key);
        Self(specs.into())
    }
}

/// Collects the keys with [`StreamSpec::all`].
impl FromIterator<StreamKey> for StreamSet {
    fn from_iter<I: IntoIterator<Item = StreamKey>>(keys: I) -> Self {
        keys.into_iter().map(StreamSpec::all).collect()
    }
}
