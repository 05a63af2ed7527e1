//! What one connection was told, what it sent, and what has proved to run.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::{Depth, Mode, Running, StreamSet, Want, Wish};
use crate::model::{Epoch, Format, Nanos, StreamKey};

/// Unsent wishes that are remembered one by one. There are more only while nothing can be sent and demand goes on
/// changing: for as long as the exchange cannot be reached, that is without end.
const UNSENT_MAX: usize = 8;

/// What is known about a stream on the current socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proof {
    /// Asked for, and nothing has come yet.
    Pending,
    /// Its data has come.
    Data,
    /// The exchange says that it carries it. All there can be for changes of a market that does not change.
    Listed,
    /// Asked for twice, and nothing came: an unknown or suspended market.
    Unconfirmed,
}

/// A stream on the current socket.
#[derive(Debug, Clone, Copy)]
struct Carried {
    want: Want,
    /// The wish that first asked for it without a break.
    revision: u64,
    /// When that was sent: data from here on proves that it runs.
    since: Nanos,
    /// When it was last asked for, or looked after.
    asked_at: Nanos,
    proof: Proof,
    tries: Tries,
    /// The first wish that must ask for it from the start; 0 for none.
    renew_by: u64,
}

/// How often was looked after a stream that stays silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tries {
    Asked,
    /// The exchange was asked what it carries.
    Listed,
    /// The request was sent again for its sake.
    AskedAgain,
}

/// The planner's view of one connection.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// How the exchange shall write from the next wish on.
    pub format: Format,
    /// The newest wish.
    wish: Wish,
    /// Wishes that may be sent next, oldest first; the last is `wish`.
    unsent: VecDeque<Wish>,
    /// What older ones have in common: the streams that each of them carries, and the most levels that one of them asks for.
    forgotten: Option<BTreeMap<StreamKey, Depth>>,
    /// The socket, while it is open.
    socket: Option<Epoch>,
    /// The wish that the socket carries.
    sent: Option<u64>,
    /// Some stream is to be asked for from the start.
    renews: bool,
    carried: BTreeMap<StreamKey, Carried>,
}

/// What a check of silent streams calls for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Checked {
    /// Ask the exchange what it carries.
    pub list: bool,
    /// Send the request again.
    pub ask_again: bool,
    /// These stay unconfirmed.
    pub unconfirmed: Vec<StreamKey>,
}

impl Line {
    /// Nothing is carried yet.
    pub fn new(format: Format) -> Self {
        Self { format, wish: Wish { format, ..Wish::default() }, ..Self::default() }
    }

    /// The streams of the newest wish.
    pub fn streams(&self) -> &StreamSet {
        &self.wish.streams
    }

    /// A request is on the current socket.
    pub fn has_sent(&self) -> bool {
        self.sent.is_some()
    }

    /// Nothing newer than what the socket carries.
    pub fn is_settled(&self) -> bool {
        self.wish.streams.is_empty() || self.sent == Some(self.wish.revision)
    }

    /// The wish that the socket carries; 0 for none.
    pub fn sent(&self) -> u64 {
        self.sent.unwrap_or(0)
    }

    /// The first wish some stream of which is not confirmed yet.
    pub fn first_pending(&self) -> Option<u64> {
        self.carried.values().filter(|c| c.proof == Proof::Pending).map(|c| c.revision).min()
    }

    /// Nobody wanted the stream for a while. What it brought meanwhile does not count; if it still runs, the next request
    /// asks for it from the start.
    pub fn renew(&mut self, key: StreamKey) {
        if let Some(carried) = self.carried.get_mut(&key) {
            carried.renew_by = self.wish.revision + 1;
            self.renews = true;
        }
    }

    /// The stream is carried as snapshots alone, and a newcomer wants another one.
    pub fn ask_again(&mut self, key: StreamKey) {
        self.renew(key);
        // Even if no request for the stream was reported yet: its snapshot may have come before the newcomer.
        self.renews = true;
    }

    /// Only another request brings what is wanted, even if the streams stay the same.
    pub fn renews(&self) -> bool {
        self.renews || self.format != self.wish.format
    }

    /// From now on this is wanted.
    pub fn wish(&mut self, revision: u64, streams: StreamSet) -> Wish {
        let running = Running { epoch: self.socket.unwrap_or_default(), keys: Arc::new(self.running(&streams)) };
        self.wish = Wish { revision, streams, format: self.format, running };
        self.renews = false;
        if self.unsent.len() == UNSENT_MAX {
            self.forget_oldest();
        }
        self.unsent.push_back(self.wish.clone());
        self.wish.clone()
    }

    /// Of an unsent wish only matters in the end what goes on if it is sent.
    fn forget_oldest(&mut self) {
        let Some(oldest) = self.unsent.pop_front() else { return };
        let depths = oldest.streams.wants().iter().map(|want| (want.key, want.depth));
        self.forgotten = Some(match &self.forgotten {
            None => depths.collect(),
            Some(common) => {
                depths.filter_map(|(key, depth)| common.get(&key).map(|other| (key, depth.max(*other)))).collect()
            }
        });
    }

    /// Streams that go on as they are. Their data has come since they were asked for, and each message carries the whole
    /// state; and every request that may still be sent before this one carries them.
    fn running(&self, streams: &StreamSet) -> BTreeSet<StreamKey> {
        let runs = |want: &&Want| {
            let carried = self.carried.get(&want.key).filter(|c| c.proof == Proof::Data && c.renew_by == 0);
            want.mode == Mode::All
                && carried.is_some_and(|c| continues(&c.want, want))
                && self.forgotten.as_ref().is_none_or(|common| common.get(&want.key).is_some_and(|d| *d <= want.depth))
                && self.unsent.iter().all(|wish| wish.streams.get(want.key).is_some_and(|other| continues(want, other)))
        };
        streams.wants().iter().filter(runs).map(|want| want.key).collect()
    }

    /// A socket was opened.
    pub fn opened(&mut self, epoch: Epoch) {
        self.lost();
        self.socket = Some(epoch);
    }

    /// The socket is gone, and all that ran on it.
    pub fn lost(&mut self) {
        self.socket = None;
        self.sent = None;
        self.renews = false;
        self.carried.clear();
    }

    /// The request of a wish went out.
    pub fn requested(&mut self, at: Nanos, revision: u64) {
        let Some(wish) = self.unsent.iter().find(|w| w.revision == revision).cloned() else {
            // A forgotten one: which streams it dropped is not known any more, so none is known to run.
            self.carried.clear();
            return;
        };
        // Only ever the newest is sent.
        self.forgotten = None;
        // Sent again after a reconnect, so the newest one stays.
        self.unsent.retain(|w| w.revision > revision || w.revision == self.wish.revision);
        self.sent = Some(revision);
        self.carried.retain(|key, _| wish.streams.get(*key).is_some());
        for &want in wish.streams.wants() {
            let new = Carried {
                want,
                revision,
                since: at,
                asked_at: at,
                proof: Proof::Pending,
                tries: Tries::Asked,
                renew_by: 0,
            };
            let carried = self.carried.entry(want.key).or_insert(new);
            carried.ask(new);
        }
    }

    /// The exchange lists these streams.
    pub fn listed(&mut self, listed: &BTreeSet<StreamKey>) {
        for (key, carried) in &mut self.carried {
            if carried.proof == Proof::Pending && carried.want.mode == Mode::RealtimeOnly && listed.contains(key) {
                carried.proof = Proof::Listed;
            }
        }
    }

    /// Looks after streams that are not confirmed. `heard` says when a stream's data last came on a socket.
    pub fn check(
        &mut self,
        now: Nanos,
        patience: Duration,
        mut heard: impl FnMut(StreamKey) -> Option<(Epoch, Nanos)>,
    ) -> Checked {
        let mut checked = Checked::default();
        let Some(epoch) = self.socket else { return checked };
        for (key, carried) in &mut self.carried {
            if carried.proof == Proof::Data {
                continue;
            }
            if heard(*key).is_some_and(|(e, received)| e == epoch && received > carried.since) {
                carried.proof = Proof::Data;
            } else if carried.proof == Proof::Pending && now.since(carried.asked_at) >= patience {
                carried.lose_patience(now, &mut checked);
            }
        }
        checked
    }

    /// Streams of the current socket and what is known about them.
    pub fn proofs(&self) -> impl Iterator<Item = (StreamKey, Proof)> + '_ {
        self.carried.iter().map(|(key, carried)| (*key, carried.proof))
    }

    /// What is known about a stream of the current socket.
    pub fn proof(&self, key: StreamKey) -> Option<Proof> {
        self.carried.get(&key).map(|carried| carried.proof)
    }

    /// The least that is known about a stream, if data or time will change it.
    pub fn restless(&self) -> Option<Proof> {
        self.carried.values().map(|c| c.proof).filter(|proof| *proof != Proof::Data).min()
    }
}

impl Carried {
    /// It was asked for again with others.
    fn ask(&mut self, new: Self) {
        let is_new = !continues(&self.want, &new.want) || (1..=new.revision).contains(&self.renew_by);
        *self = match self.proof {
            // It has brought its state and goes on; or it needs none.
            Proof::Data if !is_new => Self { want: new.want, ..*self },
            Proof::Listed if !is_new && new.want.mode == Mode::RealtimeOnly => Self { want: new.want, ..*self },
            Proof::Data | Proof::Listed => new,
            // Who stayed silent is not looked after from the start.
            silent if !is_new => Self { proof: silent, tries: self.tries, since: self.since, ..new },
            silent => Self { proof: silent, tries: self.tries, ..new },
        };
    }

    fn lose_patience(&mut self, now: Nanos, checked: &mut Checked) {
        let realtime_only = self.want.mode == Mode::RealtimeOnly;
        self.tries = match self.tries {
            Tries::Asked if realtime_only => {
                checked.list = true;
                Tries::Listed
            }
            Tries::Asked | Tries::Listed => {
                checked.ask_again = true;
                Tries::AskedAgain
            }
            Tries::AskedAgain => {
                self.proof = Proof::Unconfirmed;
                checked.unconfirmed.push(self.want.key);
                return;
            }
        };
        // Until it was sent, which says so itself, or answered.
        self.asked_at = now;
    }
}

/// A stream carried for `old` serves `new` without being asked for from the start.
fn continues(old: &Want, new: &Want) -> bool {
    old == new || old.serves(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DataType;

    fn streams(codes: &[&str]) -> StreamSet {
        codes.iter().map(|code| StreamKey { data_type: DataType::Ticker, market: code.parse().unwrap() }).collect()
    }

    fn at(s: u64) -> Nanos {
        Nanos::from_millis(1_000_000 + s * 1000)
    }

    /// A line whose socket carries `codes`, and all of them run.
    fn running(codes: &[&str]) -> Line {
        let mut line = Line::default();
        line.opened(Epoch(1));
        line.wish(1, streams(codes));
        line.requested(at(0), 1);
        line.check(at(1), Duration::from_secs(3), |_| Some((Epoch(1), at(1))));
        line
    }

    /// Demand that changes while nothing can be sent left a copy of everything wanted behind for each change.
    #[test]
    fn wishes_that_nobody_sends_do_not_pile_up() {
        let mut lost = Line::default();
        let mut held_back = running(&["KRW-BTC"]);
        for revision in 2..10_000 {
            lost.wish(revision, streams(&["KRW-BTC"]));
            held_back.wish(revision, streams(&["KRW-BTC"]));
        }
        assert!(lost.unsent.len() <= UNSENT_MAX && held_back.unsent.len() <= UNSENT_MAX);
        let btc = streams(&["KRW-BTC"]);
        assert_eq!(held_back.wish(10_000, btc).running.keys.len(), 1, "what every one of them carries still runs");
    }

    #[test]
    fn a_stream_that_some_forgotten_wish_leaves_out_does_not_run() {
        let mut line = running(&["KRW-BTC", "KRW-ETH"]);
        line.wish(2, streams(&["KRW-BTC"]));
        let both = || streams(&["KRW-BTC", "KRW-ETH"]);
        for revision in 3..100 {
            let told = line.wish(revision, both());
            assert_eq!(told.running.keys.len(), 1, "the exchange may have dropped one of them by wish {revision}");
        }
        // None of them was sent but the newest, and time has shown that all runs again.
        line.requested(at(3), 99);
        line.check(at(4), Duration::from_secs(3), |_| Some((Epoch(1), at(4))));
        assert_eq!(line.wish(100, both()).running.keys.len(), 2);
    }

    #[test]
    fn the_request_of_a_forgotten_wish_leaves_nothing_running() {
        let mut line = running(&["KRW-BTC"]);
        for revision in 2..100 {
            line.wish(revision, streams(&["KRW-BTC"]));
        }
        line.requested(at(3), 2);
        assert_eq!(line.wish(100, streams(&["KRW-BTC"])).running.keys.len(), 0);
    }
}
