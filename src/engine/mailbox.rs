//! Commands from the control plane to a connection's thread.

use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Config;
use crate::model::StreamKey;
use crate::plan::{DemandChange, DemandId, DesiredSet};
use crate::route::{AnyPublisher, AnyRing, NewFeed};

/// Commands for the connection's thread. Both sides hold the lock only briefly: nothing that can block is called under
/// it.
#[derive(Default)]
pub(super) struct Mailbox(Mutex<Commands>);

/// The commands that wait until the connection's thread takes them, all at once. Each part is bounded even if the
/// thread does not take them for a long time.
#[derive(Default)]
pub(super) struct Commands {
    /// The newest desired set; it replaces older ones.
    pub desired: Option<DesiredSet>,
    /// Ask the exchange which streams the socket carries.
    pub list: bool,
    /// Find out whether the exchange still sends data on the socket.
    pub probe: bool,
    /// New streams. Each stream appears once in the life of the engine.
    pub streams: Vec<AnyPublisher>,
    /// New rings, at most one per type.
    pub rings: Vec<AnyRing>,
    /// New feeds. A feed that ends before the thread has seen it is removed again.
    pub feeds: Vec<NewFeed>,
    /// Changes of the streams of subscriptions, because markets were listed or delisted. One entry per subscription.
    pub changes: Vec<DemandChange>,
    /// Feeds that the thread must remove, because they have ended.
    pub ended: Vec<DemandId>,
    /// The newest configuration, if it has changed.
    pub config: Option<Arc<Config>>,
    pub stop: bool,
}

impl Commands {
    /// Adds a new feed.
    pub fn open(&mut self, feed: NewFeed) {
        self.feeds.push(feed);
    }

    /// Changes the streams of a subscription, which may have a feed. Both lists are sorted and contain each stream
    /// once. If a change already waits, the newest one of each stream is kept.
    pub fn change(&mut self, change: DemandChange) {
        let Some(waiting) = self.changes.iter_mut().find(|waiting| waiting.id == change.id) else {
            return self.changes.push(change);
        };
        let is_listed = |key: &StreamKey| change.more.binary_search_by_key(key, |spec| spec.key).is_ok();
        let is_gone = |key: &StreamKey| change.less.binary_search(key).is_ok();
        waiting.more.retain(|spec| !is_listed(&spec.key) && !is_gone(&spec.key));
        waiting.less.retain(|key| !is_gone(key));
        waiting.more.extend(change.more);
        waiting.less.extend(change.less);
    }

    /// Ends a feed. Returns it if the thread has not seen it yet.
    pub fn end(&mut self, id: DemandId) -> Option<NewFeed> {
        let Some(unseen) = self.feeds.iter().position(|feed| feed.id == id) else {
            self.ended.push(id);
            return None;
        };
        self.changes.retain(|change| change.id != id);
        Some(self.feeds.remove(unseen))
    }
}

impl Mailbox {
    /// Changes the waiting commands. The caller must wake the thread afterwards.
    pub fn update<R>(&self, write: impl FnOnce(&mut Commands) -> R) -> R {
        write(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes all commands.
    pub fn take(&self) -> Commands {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::UPBIT;

    use crate::feed::{AnyWriter, Opening, Overflow, open};
    use crate::model::{ConnectionId, DataType, Nanos, Ticker};
    use crate::net::SystemClock;
    use crate::plan::{CheckedSubscription, Planner, ticker};
    use crate::sync::connection::ConnectionState;

    fn new_feed(planner: &mut Planner, state: &Arc<ConnectionState>) -> NewFeed {
        let checked = CheckedSubscription::of(ticker("KRW-BTC"), &UPBIT).unwrap();
        let id = planner.add(Nanos(0), None, checked).unwrap().id;
        let (mut writers, _) = open::<Ticker>(Opening {
            overflow: Overflow::Conflate,
            data_types: &[DataType::Ticker],
            connections: std::slice::from_ref(state),
            clock: Arc::new(SystemClock::new()),
            signal: Arc::default(),
        });
        NewFeed { id, specs: Vec::new(), writer: AnyWriter::new(writers.remove(0)) }
    }

    /// Regression test: feeds that were opened and dropped while the thread was busy made two lists grow, and kept
    /// their memory.
    #[test]
    fn feeds_that_end_before_the_thread_has_seen_them_leave_nothing_behind() {
        let mut planner = Planner::new(Arc::default(), false);
        let state = Arc::new(ConnectionState::new(ConnectionId(0), Nanos(0)));
        let mailbox = Mailbox::default();
        let seen = new_feed(&mut planner, &state).id;
        for _ in 0..1000 {
            let feed = new_feed(&mut planner, &state);
            let id = feed.id;
            mailbox.update(|commands| commands.open(feed));
            mailbox.update(|commands| commands.change(DemandChange { id, more: Vec::new(), less: Vec::new() }));
            assert!(mailbox.update(|commands| commands.end(id)).is_some(), "returned to the caller");
        }
        assert!(mailbox.update(|commands| commands.end(seen)).is_none());
        let commands = mailbox.take();
        assert_eq!((commands.feeds.len(), commands.changes.len(), commands.ended), (0, 0, vec![seen]));
    }

    /// Regression test: each list of markets left another copy of its changes.
    #[test]
    fn waiting_changes_of_a_subscription_are_merged_per_stream() {
        let mut planner = Planner::new(Arc::default(), false);
        let id = new_feed(&mut planner, &Arc::new(ConnectionState::new(ConnectionId(0), Nanos(0)))).id;
        let specs = |codes: &[&str]| CheckedSubscription::of(ticker(codes), &UPBIT).unwrap().specs;
        let keys = |codes: &[&str]| specs(codes).iter().map(|spec| spec.key).collect::<Vec<_>>();
        let mut commands = Commands::default();
        for _ in 0..100 {
            commands.change(DemandChange { id, more: specs(&["KRW-BTC", "KRW-ETH"]), less: keys(&["KRW-XRP"]) });
            commands.change(DemandChange { id, more: specs(&["KRW-ETH", "KRW-XRP"]), less: keys(&["KRW-ADA"]) });
        }
        let more = CheckedSubscription::of(ticker(["KRW-ETH"]).only_realtime(), &UPBIT).unwrap().specs;
        commands.change(DemandChange { id, more: more.clone(), less: keys(&["KRW-BTC"]) });
        let [waiting] = &commands.changes[..] else { panic!("{} entries", commands.changes.len()) };
        assert_eq!(waiting.more, [specs(&["KRW-XRP"]), more].concat());
        assert_eq!(waiting.less, [keys(&["KRW-XRP"]), keys(&["KRW-ADA"]), keys(&["KRW-BTC"])].concat());
    }
}
