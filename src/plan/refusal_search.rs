//! Finds the streams for which the exchange refuses a request.
//!
//! The exchange answers a bad request with an error that names no stream, and ends the socket with all streams on it. So
//! the suspects, which are the streams that no accepted request contained, are requested in parts: a refused part is
//! halved until single streams are left. Those are left out, and all others flow. They are tried again after a pause,
//! because the exchange may accept them by then, but seldom, because each trial may cost a socket.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::StreamSet;
use crate::model::{DataType, Nanos, StreamKey};

/// The first pause before streams that were left out are tried again. It doubles.
const RETRY_AFTER: Duration = Duration::from_secs(600);
/// The pause if no request was accepted during the search. It does not grow.
const UNPROVEN_RETRY_AFTER: Duration = Duration::from_secs(30);
/// The longest such pause.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);
/// If this many single streams of a type were refused and none was accepted, the other suspects of the type are refused
/// without a trial.
const SAMPLE: usize = 2;

/// The search on one connection. At most times it only remembers which streams were accepted.
#[derive(Debug, Default)]
pub(super) struct RefusalSearch {
    /// The streams of the newest request that the exchange has accepted, and those found innocent since.
    accepted: BTreeSet<StreamKey>,
    /// The suspects, in the groups in which they are requested. The first is being tried.
    groups: VecDeque<Group>,
    /// Streams that are left out.
    refused: BTreeMap<StreamKey, RefusedStream>,
    /// True if the exchange has accepted a request since the search began. Otherwise it may refuse everything, for a reason
    /// that has nothing to do with the streams.
    has_accepted: bool,
    /// Streams that were left out, and that the exchange has accepted since.
    restored: Vec<StreamKey>,
    /// The number of refusals in a row of requests in which all streams had been accepted before.
    surprises: u32,
}

/// Suspects that are requested together.
#[derive(Debug)]
struct Group {
    streams: Vec<StreamKey>,
    /// True if the exchange has refused this group before. A single stream is refused only after two trials, because
    /// the error may have had another cause.
    is_repeated: bool,
}

/// A stream that is left out.
#[derive(Debug)]
struct RefusedStream {
    /// The exchange's answer.
    reason: Arc<str>,
    retry_at: Nanos,
    pause: Duration,
    /// It was requested alone, and not left out with others of its type.
    is_tried: bool,
}

impl RefusalSearch {
    /// Returns true if a request may contain the stream now. While suspects are tried, further new streams wait.
    pub fn allows(&self, key: StreamKey) -> bool {
        match self.groups.front() {
            Some(group) => self.accepted.contains(&key) || group.streams.contains(&key),
            None => !self.refused.contains_key(&key),
        }
    }

    /// Returns why the exchange refuses a stream; `None` if it does not.
    pub fn reason(&self, key: StreamKey) -> Option<&Arc<str>> {
        self.refused.get(&key).map(|refused| &refused.reason)
    }

    /// Returns true if the acceptance of a request with these streams would change anything.
    pub fn awaits(&self, mut streams: impl Iterator<Item = StreamKey>) -> bool {
        !self.groups.is_empty() || self.surprises > 0 || streams.any(|key| !self.accepted.contains(&key))
    }

    /// Records that the exchange has accepted a request for these streams. Returns true if other streams must be
    /// requested now.
    pub fn accept(&mut self, streams: impl Iterator<Item = StreamKey>) -> bool {
        self.surprises = 0;
        self.has_accepted = true;
        let streams: BTreeSet<_> = streams.collect();
        let Some(tried) = self.groups.front() else {
            self.accepted = streams;
            return false;
        };
        // The request may be older than the search.
        if !tried.streams.iter().all(|key| streams.contains(key)) {
            return false;
        }
        for key in self.groups.pop_front().into_iter().flat_map(|group| group.streams) {
            if self.refused.remove(&key).is_some() {
                self.restored.push(key);
            }
        }
        self.accepted.extend(streams);
        true
    }

    /// Takes the streams that were left out and are accepted now.
    pub fn take_restored(&mut self) -> Vec<StreamKey> {
        std::mem::take(&mut self.restored)
    }

    /// Records that the exchange has refused a request for these streams, with this answer. Returns the streams that are
    /// left out from now on.
    pub fn refuse(&mut self, now: Nanos, streams: &StreamSet, reason: &str) -> Vec<StreamKey> {
        let Some(group) = self.tried(streams) else { return Vec::new() };
        let is_tried = group.streams.len() == 1;
        let culprits = match group.streams[..] {
            [_] if group.is_repeated => group.streams,
            _ if self.is_hopeless(&group.streams) => group.streams,
            _ => {
                self.split(group);
                return Vec::new();
            }
        };
        let reason: Arc<str> = reason.into();
        for key in &culprits {
            let pause = match self.refused.get(key) {
                _ if !self.has_accepted => UNPROVEN_RETRY_AFTER,
                Some(refused) => (refused.pause * 2).clamp(RETRY_AFTER, RETRY_AFTER_MAX),
                None => RETRY_AFTER,
            };
            let refused = RefusedStream { reason: Arc::clone(&reason), retry_at: now + pause, pause, is_tried };
            self.refused.insert(*key, refused);
        }
        culprits
    }

    /// Returns the suspects in a refused request; `None` if there are none yet.
    fn tried(&mut self, streams: &StreamSet) -> Option<Group> {
        if let Some(group) = self.groups.pop_front() {
            let is_tried = group.streams.iter().any(|key| streams.get(*key).is_some());
            if is_tried {
                return Some(group);
            }
            // An older request was refused.
            self.groups.push_front(group);
            return None;
        }
        let mut suspects: Vec<_> = streams.keys().filter(|key| !self.accepted.contains(key)).collect();
        if suspects.is_empty() {
            self.surprises += 1;
            // The error may have had another cause, so the same request is sent once more.
            if self.surprises == 1 {
                return None;
            }
            self.accepted.clear();
            suspects = streams.keys().collect();
        }
        self.has_accepted = false;
        (!suspects.is_empty()).then_some(Group { streams: suspects, is_repeated: false })
    }

    /// Returns true if all these streams have the same type, of which none was accepted and several were refused.
    fn is_hopeless(&self, streams: &[StreamKey]) -> bool {
        let data_type = streams[0].data_type;
        let is_sample = |(key, refused): &(&StreamKey, &RefusedStream)| key.data_type == data_type && refused.is_tried;
        // Streams that are tried again are divided down to single ones.
        streams.iter().all(|key| key.data_type == data_type && !self.refused.contains_key(key))
            && !self.accepted.iter().any(|key| key.data_type == data_type)
            && self.refused.iter().filter(is_sample).count() >= SAMPLE
    }

    /// Divides a refused group, by type if it has several. The parts are tried before all other groups.
    fn split(&mut self, Group { streams, .. }: Group) {
        let mut types: BTreeMap<DataType, Vec<StreamKey>> = BTreeMap::new();
        for key in &streams {
            types.entry(key.data_type).or_default().push(*key);
        }
        let parts: Vec<Vec<StreamKey>> = if types.len() > 1 {
            types.into_values().collect()
        } else {
            streams.chunks(streams.len().div_ceil(2)).map(<[_]>::to_vec).collect()
        };
        let is_repeated = parts.len() == 1;
        for streams in parts.into_iter().rev() {
            self.groups.push_front(Group { streams, is_repeated });
        }
    }

    /// Begins another trial of the streams that were left out, if it is time. Returns true if there are any.
    pub fn retry(&mut self, now: Nanos) -> bool {
        if !self.groups.is_empty() {
            return false;
        }
        let is_due = |(_, refused): &(&StreamKey, &RefusedStream)| refused.retry_at <= now;
        let streams: Vec<_> = self.refused.iter().filter(is_due).map(|(key, _)| *key).collect();
        if streams.is_empty() {
            return false;
        }
        self.groups.push_back(Group { streams, is_repeated: true });
        true
    }

    /// Returns when to call [`retry`](Self::retry).
    pub fn next_retry(&self) -> Nanos {
        if !self.groups.is_empty() {
            return Nanos::NEVER;
        }
        self.refused.values().map(|refused| refused.retry_at).min().unwrap_or(Nanos::NEVER)
    }

    /// Returns true if any stream is left out or suspected.
    pub fn is_active(&self) -> bool {
        !self.groups.is_empty() || !self.refused.is_empty()
    }

    /// Forgets streams that are no longer wanted. Returns true if another group must be tried now.
    pub fn retain(&mut self, is_wanted: impl Fn(StreamKey) -> bool) -> bool {
        self.refused.retain(|key, _| is_wanted(*key));
        let before = self.groups.front().map(|group| group.streams[0]);
        self.groups.iter_mut().for_each(|group| group.streams.retain(|key| is_wanted(*key)));
        self.groups.retain(|group| !group.streams.is_empty());
        before != self.groups.front().map(|group| group.streams[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(s: u64) -> Nanos {
        Nanos::from_millis(1_000_000 + s * 1000)
    }

    fn ticker(n: usize) -> StreamKey {
        StreamKey::of(DataType::Ticker, format!("KRW-C{n}").parse().unwrap())
    }

    fn trade(n: usize) -> StreamKey {
        StreamKey { data_type: DataType::Trade, ..ticker(n) }
    }

    /// Requests what the search allows until it is over. Returns the streams left out and the number of refused
    /// requests.
    fn converge(
        search: &mut RefusalSearch,
        wanted: &BTreeSet<StreamKey>,
        is_bad: impl Fn(&StreamKey) -> bool,
    ) -> (BTreeSet<StreamKey>, usize) {
        let mut refusals = 0;
        loop {
            let request: StreamSet = wanted.iter().copied().filter(|key| search.allows(*key)).collect();
            if request.keys().any(|key| is_bad(&key)) {
                search.refuse(at(0), &request, "INVALID_PARAM: why");
                refusals += 1;
            } else if !search.accept(request.keys()) && search.groups.is_empty() {
                let left_out = wanted.iter().copied().filter(|key| search.reason(*key).is_some()).collect();
                return (left_out, refusals);
            }
            assert!(refusals < 10_000);
        }
    }

    #[test]
    fn one_bad_stream_among_many_is_found_with_few_refusals() {
        let wanted: BTreeSet<_> = (0..1000).map(ticker).collect();
        let mut search = RefusalSearch::default();
        let (left_out, refusals) = converge(&mut search, &wanted, |key| *key == ticker(777));
        assert_eq!(left_out, [ticker(777)].into());
        assert!(refusals <= 12, "{refusals}");
        assert_eq!(&**search.reason(ticker(777)).unwrap(), "INVALID_PARAM: why");
    }

    #[test]
    fn streams_that_were_accepted_before_are_not_suspected() {
        let mut search = RefusalSearch::default();
        let mut wanted: BTreeSet<_> = (0..1000).map(ticker).collect();
        converge(&mut search, &wanted, |_| false);
        wanted.insert(trade(0));
        let (left_out, refusals) = converge(&mut search, &wanted, |key| *key == trade(0));
        assert_eq!((left_out, refusals), ([trade(0)].into(), 2));
    }

    /// A type that the exchange does not know: one stream of it would have to be found for each market.
    #[test]
    fn a_type_of_which_every_stream_is_refused_is_left_out_after_two() {
        let wanted: BTreeSet<_> = (0..300).flat_map(|n| [ticker(n), trade(n)]).collect();
        let mut search = RefusalSearch::default();
        let (left_out, refusals) = converge(&mut search, &wanted, |key| key.data_type == DataType::Trade);
        assert_eq!(left_out, (0..300).map(trade).collect());
        assert!(refusals <= 22, "{refusals}");
    }

    /// An error out of the blue must cost no stream.
    #[test]
    fn a_request_that_was_accepted_before_is_sent_once_more() {
        let wanted: BTreeSet<_> = (0..10).map(ticker).collect();
        let mut search = RefusalSearch::default();
        converge(&mut search, &wanted, |_| false);
        let request: StreamSet = wanted.iter().copied().collect();
        assert_eq!(search.refuse(at(0), &request, "WRONG_FORMAT"), []);
        assert!(wanted.iter().all(|key| search.allows(*key)));
        assert_eq!(converge(&mut search, &wanted, |_| false), (BTreeSet::new(), 0));
        search.refuse(at(1), &request, "WRONG_FORMAT");
        assert!(wanted.iter().all(|key| search.allows(*key)), "the first in a row again");
        search.refuse(at(2), &request, "WRONG_FORMAT");
        assert_eq!(wanted.iter().filter(|key| search.allows(**key)).count(), 5, "the second");
    }

    #[test]
    fn streams_left_out_are_tried_again_with_growing_pauses() {
        let wanted: BTreeSet<_> = (0..10).map(ticker).collect();
        let is_bad = |key: &StreamKey| *key == ticker(3);
        let mut search = RefusalSearch::default();
        converge(&mut search, &wanted, is_bad);
        assert_eq!(search.next_retry(), at(0) + RETRY_AFTER);
        assert!(!search.retry(at(599)) && search.retry(at(600)));
        let request: StreamSet = wanted.iter().copied().filter(|key| search.allows(*key)).collect();
        assert_eq!(request.specs().len(), 10);
        assert_eq!(search.refuse(at(600), &request, "INVALID_PARAM"), [ticker(3)], "one refusal is enough this time");
        assert_eq!(search.next_retry(), at(600) + 2 * RETRY_AFTER);
        assert!(search.retry(at(1800)));
        assert_eq!(converge(&mut search, &wanted, |_| false), (BTreeSet::new(), 0));
        assert_eq!((search.is_active(), search.take_restored()), (false, vec![ticker(3)]));
    }

    #[test]
    fn streams_that_are_no_longer_wanted_are_forgotten() {
        let mut wanted: BTreeSet<_> = (0..10).map(ticker).collect();
        let is_bad = |key: &StreamKey| *key == ticker(3);
        let mut search = RefusalSearch::default();
        let request: StreamSet = wanted.iter().copied().collect();
        search.refuse(at(0), &request, "INVALID_PARAM");
        assert!(search.allows(ticker(3)) && !search.allows(ticker(9)));
        wanted.retain(|key| ticker(5) <= *key);
        assert!(search.retain(|key| wanted.contains(&key)), "the first group is gone");
        assert!(search.allows(ticker(9)));
        assert_eq!(converge(&mut search, &wanted, is_bad), (BTreeSet::new(), 0));
    }

    /// An exchange in trouble may answer everything with errors. That says nothing about the streams.
    #[test]
    fn streams_are_soon_tried_again_if_the_exchange_refuses_everything() {
        let wanted: BTreeSet<_> = (0..3).map(ticker).collect();
        let mut search = RefusalSearch::default();
        converge(&mut search, &wanted, |_| false);
        converge(&mut search, &wanted, |_| true);
        assert!(wanted.iter().all(|key| search.reason(*key).is_some()));
        assert_eq!(search.next_retry(), at(0) + UNPROVEN_RETRY_AFTER);
    }

    proptest! {
        #[test]
        fn exactly_the_bad_streams_are_left_out(
            bad in prop::collection::btree_set(0..64usize, 0..6),
            before in prop::collection::btree_set(0..64usize, 0..64),
        ) {
            let is_bad = |key: &StreamKey| bad.iter().any(|n| *key == ticker(*n));
            let mut search = RefusalSearch::default();
            let first: BTreeSet<_> = before.iter().map(|n| ticker(*n)).collect();
            converge(&mut search, &first, is_bad);
            let wanted: BTreeSet<_> = (0..64).map(ticker).collect();
            converge(&mut search, &wanted, is_bad);
            // Some may have been left out with others of their type. The next trial finds them.
            search.retry(at(1_000_000));
            let (left_out, _) = converge(&mut search, &wanted, is_bad);
            prop_assert_eq!(left_out, wanted.iter().copied().filter(|key| is_bad(key)).collect());
        }
    }
}
