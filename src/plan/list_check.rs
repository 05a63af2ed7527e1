//! Compares what the exchange lists as subscribed with what was requested, from time to time.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::{DataType, Nanos, StreamKey};

/// The list is requested this long after the last request, when the exchange has answered that.
const AFTER_REQUEST: Duration = Duration::from_secs(10);
/// The first and the longest pause between two requests for the list while the streams do not change. It doubles.
const PAUSE_MIN: Duration = Duration::from_secs(60);
const PAUSE_MAX: Duration = Duration::from_secs(600);
/// The number of lists in a row with streams that are not wanted after which such streams are ignored: requesting the
/// others again does not end them.
const UNWANTED_MAX: u32 = 2;

/// The difference between a list of the exchange and the request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListDifference {
    /// Streams that were requested and are not listed.
    pub missing: Vec<StreamKey>,
    /// Streams that are listed and were not requested.
    pub unwanted: Vec<StreamKey>,
}

impl ListDifference {
    /// Returns true if there is no difference.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unwanted.is_empty()
    }
}

/// When the list of one connection is requested, and what its answers have taught.
#[derive(Debug)]
pub(super) struct ListCheck {
    /// When the list is requested next.
    next: Nanos,
    pause: Duration,
    /// When the list was requested that was not answered yet.
    asked: Option<Nanos>,
    /// Types that the exchange sends without listing them.
    unlisted: BTreeSet<DataType>,
    /// The number of lists in a row with unwanted streams.
    unwanted: u32,
}

impl Default for ListCheck {
    fn default() -> Self {
        Self { next: Nanos::NEVER, pause: PAUSE_MIN, asked: None, unlisted: BTreeSet::new(), unwanted: 0 }
    }
}

impl ListCheck {
    /// Records that a request was sent, which replaced the streams of the socket.
    pub fn requested(&mut self, at: Nanos) {
        (self.next, self.pause, self.asked) = (at + AFTER_REQUEST, PAUSE_MIN, None);
    }

    /// Records that the socket has ended.
    pub fn disconnected(&mut self) {
        (self.next, self.asked) = (Nanos::NEVER, None);
    }

    /// Returns when the list is requested next.
    pub fn next(&self) -> Nanos {
        self.next
    }

    /// Returns true if the list must be requested now.
    pub fn is_due(&mut self, now: Nanos) -> bool {
        let is_due = now >= self.next;
        if is_due {
            self.asked = Some(now);
            self.next = now + self.pause;
            self.pause = (self.pause * 2).min(PAUSE_MAX);
        }
        is_due
    }

    /// Compares an answer with the streams that were requested. `heard` returns when data of a stream last arrived. A
    /// stream that has sent data since the list was requested is not missing, and neither is one that never sent any.
    pub fn compare(
        &mut self,
        requested: impl Iterator<Item = StreamKey> + Clone,
        listed: &BTreeSet<StreamKey>,
        heard: impl Fn(StreamKey) -> Option<Nanos>,
    ) -> ListDifference {
        let Some(asked) = self.asked.take() else { return ListDifference::default() };
        let is_listed_type = |data_type| listed.iter().any(|key| key.data_type == data_type);
        let mut missing = Vec::new();
        for key in requested.clone().filter(|key| !listed.contains(key)) {
            match heard(key) {
                // The exchange sends it, so a list without any stream of this type says nothing about the type.
                Some(heard) if heard > asked && !is_listed_type(key.data_type) => {
                    self.unlisted.insert(key.data_type);
                }
                Some(heard) if heard > asked => {}
                Some(_) => missing.push(key),
                // Its market does not exist.
                None => {}
            }
        }
        missing.retain(|key| !self.unlisted.contains(&key.data_type));
        let requested: BTreeSet<_> = requested.collect();
        let mut unwanted: Vec<_> = listed.iter().filter(|key| !requested.contains(key)).copied().collect();
        self.unwanted = if unwanted.is_empty() { 0 } else { self.unwanted + 1 };
        if self.unwanted > UNWANTED_MAX {
            unwanted.clear();
        }
        ListDifference { missing, unwanted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Nanos {
        Nanos::from_millis(1_000_000 + s * 1000)
    }

    fn key(data_type: DataType, code: &str) -> StreamKey {
        StreamKey::of(data_type, code.parse().unwrap())
    }

    /// Returns the seconds in a range at which the list is requested.
    fn asked(check: &mut ListCheck, seconds: std::ops::Range<u64>) -> Vec<u64> {
        seconds.filter(|second| check.is_due(at(*second))).collect()
    }

    const NEVER: [u64; 0] = [];

    #[test]
    fn the_list_is_requested_after_each_request_and_then_with_growing_pauses() {
        let mut check = ListCheck::default();
        assert_eq!(asked(&mut check, 0..100), NEVER, "nothing was requested yet");
        check.requested(at(100));
        assert_eq!(asked(&mut check, 100..3000), [110, 170, 290, 530, 1010, 1610, 2210, 2810]);
        check.requested(at(3000));
        check.requested(at(3005));
        assert_eq!(asked(&mut check, 3005..3100), [3015, 3075]);
        check.disconnected();
        assert_eq!(asked(&mut check, 3100..9999), NEVER);
    }

    /// Returns a check that has just requested the list.
    fn asking() -> ListCheck {
        let mut check = ListCheck::default();
        check.requested(at(0));
        assert!(check.is_due(at(10)));
        check
    }

    #[test]
    fn streams_that_are_not_listed_and_silent_are_missing_and_others_unwanted() {
        let (btc, eth, xrp) =
            (key(DataType::Ticker, "KRW-BTC"), key(DataType::Ticker, "KRW-ETH"), key(DataType::Ticker, "KRW-XRP"));
        let mut check = asking();
        let listed = BTreeSet::from([btc, xrp]);
        let difference = check.compare([btc, eth].into_iter(), &listed, |_| Some(at(9)));
        assert_eq!(difference, ListDifference { missing: vec![eth], unwanted: vec![xrp] });
        // An answer to an earlier question, or to none.
        assert!(check.compare([btc, eth].into_iter(), &BTreeSet::new(), |_| None).is_empty());
    }

    #[test]
    fn a_stream_that_sends_data_is_not_missing() {
        let (btc, trades) = (key(DataType::Ticker, "KRW-BTC"), key(DataType::Trade, "KRW-BTC"));
        let mut check = asking();
        let listed = BTreeSet::from([btc]);
        let heard = |key| if key == trades { Some(at(11)) } else { Some(at(5)) };
        assert!(check.compare([btc, trades].into_iter(), &listed, heard).is_empty());
        // No trades are listed although they arrive: this exchange does not list trades.
        assert!(check.is_due(at(70)));
        assert!(check.compare([btc, trades].into_iter(), &listed, |_| Some(at(5))).is_empty());
        // Tickers are listed, so a missing one is missing.
        assert!(check.is_due(at(190)));
        let difference = check.compare([btc, trades].into_iter(), &BTreeSet::new(), |_| Some(at(5)));
        assert_eq!(difference.missing, [btc]);
    }

    #[test]
    fn unwanted_streams_that_do_not_end_are_ignored() {
        let (btc, eth) = (key(DataType::Ticker, "KRW-BTC"), key(DataType::Ticker, "KRW-ETH"));
        let mut check = asking();
        let mut found = Vec::new();
        for second in [70, 190, 430, 910] {
            let listed = BTreeSet::from([btc, eth]);
            found.push(check.compare([btc].into_iter(), &listed, |_| Some(at(second))).unwanted.len());
            check.is_due(at(second));
        }
        assert_eq!(found, [1, 1, 0, 0]);
    }
}
