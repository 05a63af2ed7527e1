//! Reference-counted demand for streams.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Depth, Mode, StreamSpec};
use crate::model::{Nanos, StreamKey};

/// Identifies a holder of demand, such as a subscription, as long as it exists. No other holder of the same engine ever
/// has the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DemandId(pub(crate) u64);

/// Reference-counted demand. A stream is carried as long as a holder wants it, and for a grace period after that.
#[derive(Debug, Default)]
pub(super) struct Demand {
    holders: HashMap<DemandId, Vec<StreamSpec>>,
    streams: BTreeMap<StreamKey, StreamDemand>,
    /// Streams in their grace period, sorted by its end.
    leaving: BTreeSet<(Nanos, StreamKey)>,
    last_id: u64,
}

/// The demand for one stream.
#[derive(Debug)]
struct StreamDemand {
    /// The ways in which the stream is wanted, with the number of holders of each.
    variants: BTreeMap<(Mode, Depth), u32>,
    /// How the stream is carried, so that it serves all variants.
    spec: StreamSpec,
    /// When the stream leaves the wire. `None` while a holder wants it.
    leaves_at: Option<Nanos>,
}

/// The changes caused by new demand.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Added {
    /// Streams that were not carried before.
    pub new: Vec<StreamKey>,
    /// Streams that were carried, but in a way that does not serve the new demand.
    pub widened: Vec<StreamKey>,
    /// Streams that are carried as snapshots only, so that the new holder needs another snapshot.
    pub need_snapshot: Vec<StreamKey>,
}

impl Added {
    /// Returns true if the connections need new desired sets.
    pub fn changes_wire(&self) -> bool {
        *self != Self::default()
    }
}

/// The changes caused by a replacement of demand.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Replaced {
    pub added: Added,
    /// True if a stream that stays is now carried in a narrower way.
    pub narrowed: bool,
    /// Streams that the holder did not want before, or not in this way.
    pub more: Vec<StreamSpec>,
    /// Streams that the holder no longer wants in any way.
    pub less: Vec<StreamKey>,
}

impl Demand {
    /// Adds a holder of these streams, which must be distinct.
    pub fn add(&mut self, specs: Vec<StreamSpec>) -> (DemandId, Added) {
        self.last_id += 1;
        let id = DemandId(self.last_id);
        let mut added = Added::default();
        for &spec in &specs {
            self.add_one(spec, &mut added);
        }
        self.holders.insert(id, specs);
        (id, added)
    }

    fn add_one(&mut self, spec: StreamSpec, added: &mut Added) {
        let Some(stream) = self.streams.get_mut(&spec.key) else {
            let variants = BTreeMap::from([((spec.mode, spec.depth), 1)]);
            self.streams.insert(spec.key, StreamDemand { variants, spec, leaves_at: None });
            added.new.push(spec.key);
            return;
        };
        if let Some(leaves_at) = stream.leaves_at.take() {
            self.leaving.remove(&(leaves_at, spec.key));
        }
        *stream.variants.entry((spec.mode, spec.depth)).or_insert(0) += 1;
        if stream.update_spec() {
            added.widened.push(spec.key);
        } else if stream.spec.mode == Mode::SnapshotOnly {
            added.need_snapshot.push(spec.key);
        }
    }

    /// Removes a holder. Streams that no other holder wants are removed at the time that `leaves_at` returns. Returns
    /// true if a stream that stays is now carried in a narrower way. Has no effect if the holder does not exist.
    pub fn remove(&mut self, id: DemandId, leaves_at: impl Fn(StreamKey) -> Nanos) -> bool {
        let specs = self.holders.remove(&id).unwrap_or_default();
        self.release(&specs, leaves_at)
    }

    /// Releases the streams of a holder. Returns true if a stream that stays is now carried in a narrower way.
    fn release(&mut self, specs: &[StreamSpec], leaves_at: impl Fn(StreamKey) -> Nanos) -> bool {
        let mut narrowed = false;
        for spec in specs {
            let Some(stream) = self.streams.get_mut(&spec.key) else { continue };
            stream.remove_one((spec.mode, spec.depth));
            if stream.variants.is_empty() {
                let at = leaves_at(spec.key);
                stream.leaves_at = Some(at);
                self.leaving.insert((at, spec.key));
            } else {
                narrowed |= stream.update_spec();
            }
        }
        narrowed
    }

    /// Replaces the demand of a holder. Streams that it wants in the same way before and after are not touched.
    pub fn replace(
        &mut self,
        id: DemandId,
        specs: Vec<StreamSpec>,
        leaves_at: impl Fn(StreamKey) -> Nanos,
    ) -> Replaced {
        let before = self.holders.remove(&id).unwrap_or_default();
        let (more, less) = differences(&before, &specs);
        let mut added = Added::default();
        for &spec in &more {
            self.add_one(spec, &mut added);
        }
        let narrowed = self.release(&less, leaves_at);
        self.holders.insert(id, specs);
        let is_gone = |key: &StreamKey| more.binary_search_by_key(key, |spec| spec.key).is_err();
        let less = less.iter().map(|spec| spec.key).filter(is_gone).collect();
        Replaced { added, narrowed, more, less }
    }

    /// Removes the streams whose grace period has ended, and returns them.
    pub fn expire(&mut self, now: Nanos) -> Vec<StreamKey> {
        let mut expired = Vec::new();
        while let Some(&(leaves_at, key)) = self.leaving.first() {
            if leaves_at > now {
                break;
            }
            self.leaving.pop_first();
            self.streams.remove(&key);
            expired.push(key);
        }
        expired
    }

    /// Derives the streams from the holders again. Streams in their grace period leave at once.
    pub fn rebuild(&mut self) {
        self.streams.clear();
        self.leaving.clear();
        let mut added = Added::default();
        let specs: Vec<_> = self.holders.values().flatten().copied().collect();
        specs.into_iter().for_each(|spec| self.add_one(spec, &mut added));
    }

    /// Returns when [`expire`](Self::expire) is due.
    pub fn next_expiry(&self) -> Nanos {
        self.leaving.first().map_or(Nanos::NEVER, |(at, _)| *at)
    }

    /// Returns the streams to carry: those that a holder wants, and those in their grace period.
    pub fn carried(&self) -> impl Iterator<Item = StreamSpec> + '_ {
        self.streams.values().map(|stream| stream.spec)
    }

    /// Returns how a stream is carried; `None` if it is not.
    pub fn get(&self, key: StreamKey) -> Option<StreamSpec> {
        self.streams.get(&key).map(|stream| stream.spec)
    }

    /// Returns how a stream is carried if a holder wants it now.
    pub fn demanded_as(&self, key: StreamKey) -> Option<StreamSpec> {
        self.streams.get(&key).filter(|stream| stream.leaves_at.is_none()).map(|stream| stream.spec)
    }

    /// Returns the streams that at least one holder wants.
    pub fn demanded(&self) -> impl Iterator<Item = StreamKey> + '_ {
        self.streams.iter().filter(|(_, stream)| stream.leaves_at.is_none()).map(|(key, _)| *key)
    }

    /// Returns the streams that a holder wants.
    pub fn held(&self, id: DemandId) -> &[StreamSpec] {
        self.holders.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Returns true if the holder exists.
    pub fn is_held(&self, id: DemandId) -> bool {
        self.holders.contains_key(&id)
    }

    /// Returns the number of holders.
    pub fn holders(&self) -> usize {
        self.holders.len()
    }

    /// Returns the number of streams of all holders; a stream counts once for each of its holders.
    pub fn stream_demands(&self) -> usize {
        self.holders.values().map(Vec::len).sum()
    }
}

/// Returns the elements that only `later` has, and those that only `earlier` has. Both lists are sorted, and each is
/// read only once, because the planner is locked during this, and the list of a pattern may be long.
fn differences(earlier: &[StreamSpec], later: &[StreamSpec]) -> (Vec<StreamSpec>, Vec<StreamSpec>) {
    let (mut more, mut less) = (Vec::new(), Vec::new());
    let (mut earlier, mut later) = (earlier.iter().copied().peekable(), later.iter().copied().peekable());
    loop {
        match (earlier.peek(), later.peek()) {
            (Some(old), Some(new)) if old == new => {
                earlier.next();
                later.next();
            }
            (Some(old), new) if new.is_none_or(|new| old < new) => less.extend(earlier.next()),
            (_, Some(_)) => more.extend(later.next()),
            (_, None) => return (more, less),
        }
    }
}

impl StreamDemand {
    fn remove_one(&mut self, variant: (Mode, Depth)) {
        if let Some(count) = self.variants.get_mut(&variant) {
            *count -= 1;
            if *count == 0 {
                self.variants.remove(&variant);
            }
        }
    }

    /// Updates `spec` so that it serves all variants. Returns true if it changed.
    fn update_spec(&mut self) -> bool {
        let merge = |(mode, depth): (Mode, Depth), other: &(Mode, Depth)| (mode.and(other.0), depth.max(other.1));
        let mut variants = self.variants.keys();
        let Some(&first) = variants.next() else { return false };
        let (mode, depth) = variants.fold(first, merge);
        let spec = StreamSpec { mode, depth, ..self.spec };
        std::mem::replace(&mut self.spec, spec) != spec
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DataType;
    use proptest::prelude::*;

    fn key(n: u8) -> StreamKey {
        let market = format!("KRW-C{}", n / 2).parse().unwrap();
        StreamKey::of(if n.is_multiple_of(2) { DataType::Orderbook } else { DataType::Trade }, market)
    }

    fn spec(n: u8) -> StreamSpec {
        StreamSpec::all(key(n))
    }

    fn carried(demand: &Demand) -> Vec<StreamSpec> {
        demand.carried().collect()
    }

    #[test]
    fn a_stream_stays_until_its_last_holder_is_removed_and_its_grace_ends() {
        let mut demand = Demand::default();
        let (both, added) = demand.add(vec![spec(0), spec(1)]);
        assert_eq!(added.new.len(), 2);
        let (one, added) = demand.add(vec![spec(1)]);
        assert_eq!(added, Added::default());

        assert!(!demand.remove(both, |_| Nanos(50)));
        assert!(!demand.remove(both, |_| Nanos(60)), "the holder is gone already");
        assert_eq!(demand.demanded().collect::<Vec<_>>(), [key(1)]);
        assert_eq!(carried(&demand).len(), 2);
        assert_eq!((demand.next_expiry(), demand.expire(Nanos(49))), (Nanos(50), vec![]));

        // The stream is wanted again in time, so it never left.
        let (again, added) = demand.add(vec![spec(0)]);
        assert!(!added.changes_wire());
        assert_eq!((demand.next_expiry(), demand.expire(Nanos(99))), (Nanos::NEVER, vec![]));

        demand.remove(again, |_| Nanos(100));
        demand.remove(one, |_| Nanos(200));
        assert_eq!(demand.expire(Nanos(100)), [key(0)]);
        assert_eq!(demand.expire(Nanos(200)), [key(1)]);
        assert!(carried(&demand).is_empty() && demand.holders() == 0);
    }

    #[test]
    fn a_stream_is_carried_so_that_it_serves_all_holders() {
        let mut demand = Demand::default();
        let variant = |mode, depth| vec![StreamSpec { mode, depth, ..spec(0) }];
        let (_, added) = demand.add(variant(Mode::RealtimeOnly, Depth::levels(5)));
        assert!(added.changes_wire());
        let (once, added) = demand.add(variant(Mode::SnapshotOnly, Depth::levels(1)));
        assert_eq!(added.widened, [key(0)]);
        assert_eq!(carried(&demand), variant(Mode::All, Depth::levels(5)));
        let (deep, _) = demand.add(variant(Mode::RealtimeOnly, Depth::ALL));
        assert_eq!(carried(&demand), variant(Mode::All, Depth::ALL));
        assert!(demand.remove(deep, |_| Nanos(0)));
        let (_, added) = demand.add(variant(Mode::SnapshotOnly, Depth::levels(1)));
        assert_eq!(added, Added::default());
        assert!(!demand.remove(once, |_| Nanos(0)));
        assert_eq!(carried(&demand), variant(Mode::All, Depth::levels(5)));
    }

    fn mode() -> impl Strategy<Value = Mode> {
        prop_oneof![Just(Mode::All), Just(Mode::SnapshotOnly), Just(Mode::RealtimeOnly)]
    }

    fn depth() -> impl Strategy<Value = Depth> {
        prop_oneof![Just(Depth::levels(1)), Just(Depth::levels(5)), Just(Depth::ALL)]
    }

    fn specs_of(sub: &BTreeMap<u8, (Mode, Depth)>) -> Vec<StreamSpec> {
        let mut specs: Vec<_> =
            sub.iter().map(|(n, (mode, depth))| StreamSpec { mode: *mode, depth: *depth, ..spec(*n) }).collect();
        specs.sort_unstable();
        specs
    }

    proptest! {
        /// Replacing demand has the same result as adding the new and removing the old, and reports the differences.
        #[test]
        fn replacing_is_adding_the_new_and_releasing_the_old(
            before in prop::collection::btree_map(0u8..12, (mode(), depth()), 0..10),
            after in prop::collection::btree_map(0u8..12, (mode(), depth()), 0..10),
            others in prop::collection::btree_map(0u8..12, (mode(), depth()), 0..6),
        ) {
            let (before, after, others) = (specs_of(&before), specs_of(&after), specs_of(&others));
            let mut demand = Demand::default();
            demand.add(others.clone());
            let (id, _) = demand.add(before.clone());
            let carried_before = carried(&demand);
            let replaced = demand.replace(id, after.clone(), |_| Nanos(0));
            demand.expire(Nanos(0));

            let more: Vec<_> = after.iter().filter(|spec| !before.contains(spec)).copied().collect();
            prop_assert_eq!(&replaced.more, &more);
            let is_wanted = |spec: &&StreamSpec| after.iter().any(|other| other.key == spec.key);
            let less: Vec<_> = before.iter().filter(|spec| !is_wanted(spec)).map(|spec| spec.key).collect();
            prop_assert_eq!(&replaced.less, &less);
            prop_assert_eq!(demand.held(id), &after[..]);
            let mut expected = Demand::default();
            expected.add(others);
            expected.add(after);
            prop_assert_eq!(carried(&demand), carried(&expected));
            let is_carried = |key| carried_before.iter().any(|spec| spec.key == key);
            prop_assert!(replaced.added.new.iter().all(|key| !is_carried(*key)));
            prop_assert_eq!(demand.holders(), 2);
        }

        /// The carried streams are the union of demand in any order of changes, and nothing remains after removals.
        #[test]
        fn the_wire_is_the_union_of_demand(
            subs in prop::collection::vec(prop::collection::btree_map(0u8..12, (mode(), depth()), 0..6), 0..10),
            kept in prop::collection::vec(any::<bool>(), 10),
        ) {
            let mut demand = Demand::default();
            let ids: Vec<_> = subs.iter().map(|sub| demand.add(specs_of(sub)).0).collect();
            let mut union: BTreeMap<StreamKey, StreamSpec> = BTreeMap::new();
            for ((sub, id), keep) in subs.iter().zip(ids).zip(&kept) {
                if !keep {
                    demand.remove(id, |_| Nanos(0));
                    continue;
                }
                for spec in specs_of(sub) {
                    let merged = union.entry(spec.key).or_insert(spec);
                    (merged.mode, merged.depth) = (merged.mode.and(spec.mode), merged.depth.max(spec.depth));
                }
            }
            demand.expire(Nanos(0));
            prop_assert_eq!(carried(&demand), union.into_values().collect::<Vec<_>>());
        }
    }
}
