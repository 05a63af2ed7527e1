//! Who wants what, counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::StreamKey;

/// Reference-counted demand: a stream is on the wire as long as anybody wants it.
#[derive(Debug, Default)]
pub struct Demand {
    wanted: BTreeMap<StreamKey, u32>,
}

/// What one connection shall carry: sorted, each stream once. Cheap to clone and to hand between threads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamSet(Arc<[StreamKey]>);

impl Demand {
    /// Somebody wants these streams. Returns those that nobody wanted before.
    pub fn add(&mut self, keys: &[StreamKey]) -> Vec<StreamKey> {
        let mut first = Vec::new();
        for &key in keys {
            let count = self.wanted.entry(key).or_insert(0);
            if *count == 0 {
                first.push(key);
            }
            *count += 1;
        }
        first
    }

    /// The same somebody no longer wants them. Returns those that nobody wants any more.
    pub fn remove(&mut self, keys: &[StreamKey]) -> Vec<StreamKey> {
        let mut last = Vec::new();
        for key in keys {
            let Some(count) = self.wanted.get_mut(key) else { continue };
            *count -= 1;
            if *count == 0 {
                self.wanted.remove(key);
                last.push(*key);
            }
        }
        last
    }

    /// The union: what the wire shall carry.
    pub fn streams(&self) -> StreamSet {
        StreamSet(self.wanted.keys().copied().collect())
    }
}

impl StreamSet {
    /// The streams, sorted by type, then market.
    pub fn keys(&self) -> &[StreamKey] {
        &self.0
    }

    /// Nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<StreamKey> for StreamSet {
    fn from_iter<I: IntoIterator<Item = StreamKey>>(keys: I) -> Self {
        let mut keys: Vec<_> = keys.into_iter().collect();
        keys.sort_unstable();
        keys.dedup();
        Self(keys.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DataType;
    use proptest::prelude::*;

    fn key(n: u8) -> StreamKey {
        let market = format!("KRW-C{}", n / 2).parse().unwrap();
        StreamKey { data_type: if n.is_multiple_of(2) { DataType::Ticker } else { DataType::Trade }, market }
    }

    #[test]
    fn a_stream_stays_until_the_last_who_wants_it_leaves() {
        let mut demand = Demand::default();
        assert_eq!(demand.add(&[key(0), key(1)]), [key(0), key(1)]);
        assert_eq!(demand.add(&[key(1)]), []);
        assert_eq!(demand.remove(&[key(1), key(0)]), [key(0)]);
        assert_eq!(demand.streams().keys(), [key(1)]);
        assert_eq!(demand.remove(&[key(1)]), [key(1)]);
        assert!(demand.streams().is_empty());
    }

    proptest! {
        #[test]
        fn the_wire_is_the_union_whatever_the_order(subs in prop::collection::vec(
            prop::collection::vec(0u8..12, 0..6), 0..10), kept in prop::collection::vec(any::<bool>(), 10))
        {
            let mut demand = Demand::default();
            let subs: Vec<Vec<_>> = subs.iter().map(|s| s.iter().map(|&n| key(n)).collect()).collect();
            for sub in &subs { demand.add(sub); }
            for (sub, keep) in subs.iter().zip(&kept) { if !keep { demand.remove(sub); } }
            let left = subs.iter().zip(&kept).filter(|(_, keep)| **keep).flat_map(|(s, _)| s.iter().copied());
            prop_assert_eq!(demand.streams(), left.collect::<StreamSet>());
        }
    }
}
