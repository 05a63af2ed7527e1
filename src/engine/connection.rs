//! What a connection's thread does besides the session: applies commands, keeps the status true, feeds the readers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use super::lifecycle::{LifecycleEvent, NewWatchers, Watchers};
use super::log::{Flood, Note};
use super::open_feeds::AnyRing;
use super::reports::{Report, Reports};
use super::route::Request;
use super::router::{AnyPublisher, Router};
use super::status::SharedStatus;
use crate::feed::{AnyWriter, Sockets};
use crate::model::{ConnectionId, DataType, Grouping, LossKind, Market, Nanos, Noun, Receipt, Sink, StreamKey};
use crate::net::Handler;
use crate::plan::{Change, DemandId, StreamSet, Want, Wish};
use crate::pool::Link;
use crate::session::{Event, Session};
use crate::sync::lossy::Writer;
use crate::wire::{DecodeError, ServerError, SubscriptionList};

/// Commands for the connection's thread. Either side holds the lock for a moment only: nothing that can block is called
/// under it.
#[derive(Default)]
pub(super) struct Mailbox(Mutex<Letters>);

/// What waits until the thread's next turn, which takes all of it. Each part is bounded, should the turn not come for long.
#[derive(Default)]
pub(super) struct Letters {
    /// The newest wish replaces older ones.
    pub wish: Option<Wish>,
    pub list: bool,
    /// Each stream comes once in the life of the engine.
    pub streams: Vec<AnyPublisher>,
    /// At most one of each kind.
    pub rings: Vec<AnyRing>,
    /// Feeds that somebody reads: one that ends before the thread has seen it is taken out again.
    feeds: Vec<NewFeed>,
    /// What holders want differently, because markets were listed or delisted: one entry per holder.
    changes: Vec<Change>,
    /// Feeds that the thread has and nobody reads any more.
    left: Vec<DemandId>,
    pub stop: bool,
}

/// A feed's writing end for one connection, and what of its streams that connection carries.
pub(super) struct NewFeed {
    pub id: DemandId,
    pub wants: Vec<Want>,
    pub writer: AnyWriter,
}

impl Letters {
    /// Somebody reads a feed.
    pub fn open(&mut self, feed: NewFeed) {
        self.feeds.push(feed);
    }

    /// A holder, which may read a feed, wants other streams. Both lists are sorted and hold each stream once. Of what
    /// waits already, the newest change of each stream is kept.
    pub fn change(&mut self, change: Change) {
        let Some(waiting) = self.changes.iter_mut().find(|waiting| waiting.id == change.id) else {
            return self.changes.push(change);
        };
        let is_listed = |key: &StreamKey| change.more.binary_search_by_key(key, |want| want.key).is_ok();
        let is_gone = |key: &StreamKey| change.less.binary_search(key).is_ok();
        waiting.more.retain(|want| !is_listed(&want.key) && !is_gone(&want.key));
        waiting.less.retain(|key| !is_gone(key));
        waiting.more.extend(change.more);
        waiting.less.extend(change.less);
    }

    /// Nobody reads a feed any more. Gives it back if the thread has not seen it yet.
    pub fn end(&mut self, id: DemandId) -> Option<NewFeed> {
        let Some(unseen) = self.feeds.iter().position(|feed| feed.id == id) else {
            self.left.push(id);
            return None;
        };
        self.changes.retain(|change| change.id != id);
        Some(self.feeds.remove(unseen))
    }
}

impl Mailbox {
    /// Leaves something for the thread. Wake it afterwards.
    pub fn leave<R>(&self, write: impl FnOnce(&mut Letters) -> R) -> R {
        write(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn take(&self) -> Letters {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The owner of a connection's session, on its thread.
pub(super) struct Connection {
    pub id: ConnectionId,
    pub router: Router,
    pub link: Arc<Link>,
    pub sockets: Arc<Sockets>,
    pub mailbox: Arc<Mailbox>,
    pub status: Arc<SharedStatus>,
    /// The streams of the newest wish. The session sends no other.
    pub wish: StreamSet,
    pub new_watchers: Arc<NewWatchers>,
    pub watchers: Watchers,
    /// To the control thread.
    pub reports: Arc<Reports>,
    pub control: Thread,
    /// To the thread that writes the log.
    pub log: Writer<Note>,
    pub server_errors: Flood<ServerError>,
    pub malformed: Flood<DecodeError>,
    /// Data messages that the link was told of.
    pub data_seen: u64,
    /// Why the last socket, or the last try to get one, ended.
    pub lost: Option<LossKind>,
}

impl Connection {
    /// The session has sent the wish. It asked for the `running` streams without a snapshot.
    fn requested(&mut self, at: Nanos, running: &BTreeSet<StreamKey>) {
        self.router.requested(&Request { at, epoch: self.link.epoch(), streams: &self.wish, running });
    }

    /// The control thread wakes on its own now and then; this makes it now.
    fn tell(&self, report: Report) {
        self.reports.add(report);
        self.control.unpark();
    }

    #[cold]
    fn note_floods(&mut self, now: Nanos) {
        if let Some(errors) = self.server_errors.take_due(now) {
            self.log.push(Note::ServerErrors(self.id, errors));
        }
        if let Some(errors) = self.malformed.take_due(now) {
            self.log.push(Note::Malformed(self.id, errors));
        }
    }

    /// The last things to be said of this connection.
    fn note_rest(&mut self) {
        let errors = self.server_errors.take().map(|errors| Note::ServerErrors(self.id, errors));
        let malformed = self.malformed.take().map(|errors| Note::Malformed(self.id, errors));
        errors.into_iter().chain(malformed).for_each(|note| self.log.push(note));
    }
}

/// The streams of a list as far as they can be told. Codes may carry a depth.
fn keys_of(list: &SubscriptionList, plain_level: Option<f64>) -> BTreeSet<StreamKey> {
    let mut keys = BTreeSet::new();
    for entry in &list.entries {
        let Some(data_type) = DataType::from_name(&entry.type_name) else { continue };
        let data_type = match entry.level.filter(|level| Some(*level) != plain_level).and_then(Grouping::krw) {
            Some(step) if data_type == DataType::Orderbook => DataType::GroupedOrderbook(step),
            _ => data_type,
        };
        let market = |code: &str| code.split('.').next().unwrap_or_default().parse::<Market>().ok();
        let markets = entry.codes.iter().filter_map(|code| market(code));
        keys.extend(markets.map(|market| StreamKey::of(data_type, market)));
    }
    keys
}

impl Handler for Connection {
    fn commands(&mut self, now: Nanos, session: &mut Session) {
        let letters = self.mailbox.take();
        for publisher in letters.streams {
            self.router.add_stream(publisher);
        }
        for ring in letters.rings {
            self.router.add_ring(ring);
        }
        for feed in letters.feeds {
            self.router.add_feed(feed);
        }
        for change in letters.changes {
            self.router.change_feed(&change);
        }
        for id in letters.left {
            if let Some(feed) = self.router.remove_feed(id) {
                self.reports.add_left(feed);
                self.control.unpark();
            }
        }
        if let Some(wish) = letters.wish {
            self.wish = wish.streams.clone();
            session.set_wish(now, wish);
        }
        if letters.list {
            session.list(now);
        }
        if letters.stop {
            session.stop(now);
            self.note_rest();
        }
    }

    fn event(&mut self, event: Event) {
        match &event {
            Event::State { at, from, to, epoch } => {
                if to.is_open() && !from.is_open() {
                    self.link.up(*epoch, *at);
                    self.sockets.opened(*epoch, self.lost);
                    self.tell(Report::Opened(*epoch));
                } else if from.is_open() && !to.is_open() {
                    self.link.down(*at);
                    self.sockets.lost();
                    self.tell(Report::Lost);
                }
                self.status.change(|s| (s.state, s.since, s.epoch) = (*to, *at, *epoch));
            }
            Event::Lost { loss, .. } => {
                self.lost = Some(loss.kind());
                self.status.change(|s| s.last_loss = Some(loss.clone()));
            }
            // Sent again to provoke an answer: the socket carries the same streams as before.
            Event::Requested { at, again: true, running, .. } => self.requested(*at, running),
            Event::Requested { at, revision, format, running, .. } => {
                // Only ever the newest wish is sent.
                self.requested(*at, running);
                self.status.change(|s| s.format = Some(*format));
                self.tell(Report::Requested { at: *at, revision: *revision });
            }
            Event::Subscriptions(list) => self.tell(Report::Listed(keys_of(list, self.router.plain_level()))),
            Event::Dated { asked, answered, date } => {
                if let Some(attribution) = self.router.attribution() {
                    attribution.dated(*asked, *answered, *date);
                }
            }
            Event::ServerError(error) => self.server_errors.add(error.clone()),
            Event::Malformed(error) => self.malformed.add(*error),
        }
        let report = LifecycleEvent { connection: self.id, event };
        self.watchers.report(&self.new_watchers, &report);
        if matches!(report.event, Event::State { .. } | Event::Lost { .. }) {
            self.log.push(Note::Life(report));
        }
    }

    fn read_after(&mut self, wait: Duration) {
        if let Some(attribution) = self.router.attribution() {
            attribution.read_after(wait);
        }
    }

    fn batch_done(&mut self, now: Nanos, session: &Session) {
        let data = session.data_received();
        if data != self.data_seen {
            self.data_seen = data;
            self.link.heard_data(now);
        }
        self.router.flush_feeds();
        if self.server_errors.is_waiting() || self.malformed.is_waiting() {
            self.note_floods(now);
        }
        let unrouted = self.router.unrouted();
        self.status.offer(|status| {
            status.blocked_until = session.blocked_until(now);
            status.counters = session.counters();
            status.unrouted = unrouted;
        });
    }
}

impl Sink for Connection {
    #[inline]
    fn deliver<T: Noun>(&mut self, receipt: Receipt, message: &T) {
        self.router.deliver(receipt, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::UPBIT;
    use crate::engine::Builder;
    use crate::feed::{Opening, Overflow, open};
    use crate::model::Ticker;
    use crate::net::SystemClock;
    use crate::plan::{Planner, ticker};

    fn new_feed(planner: &mut Planner, sockets: &Arc<Sockets>) -> NewFeed {
        let checked = ticker("KRW-BTC").check(&UPBIT).unwrap();
        let id = planner.add(Nanos(0), None, checked).unwrap().id;
        let (mut writers, _) = open::<Ticker>(Opening {
            overflow: Overflow::Conflate,
            data_types: &[DataType::Ticker],
            sockets: std::slice::from_ref(sockets),
            clock: Arc::new(SystemClock::new()),
            signal: Arc::default(),
        });
        NewFeed { id, wants: Vec::new(), writer: AnyWriter::new(writers.remove(0)) }
    }

    /// Feeds that were opened and dropped while the thread was busy made two lists grow, and kept their memory.
    #[test]
    fn feeds_that_end_before_the_thread_has_seen_them_leave_nothing_behind() {
        let mut planner = Planner::new(Builder::default().settings.plan(false));
        let sockets = Arc::new(Sockets::new(ConnectionId(0)));
        let mailbox = Mailbox::default();
        let seen = new_feed(&mut planner, &sockets).id;
        for _ in 0..1000 {
            let feed = new_feed(&mut planner, &sockets);
            let id = feed.id;
            mailbox.leave(|letters| letters.open(feed));
            mailbox.leave(|letters| letters.change(Change { id, more: Vec::new(), less: Vec::new() }));
            assert!(mailbox.leave(|letters| letters.end(id)).is_some(), "given back");
        }
        assert!(mailbox.leave(|letters| letters.end(seen)).is_none());
        let letters = mailbox.take();
        assert_eq!((letters.feeds.len(), letters.changes.len(), letters.left), (0, 0, vec![seen]));
    }

    /// Each list of markets left another copy of what it changed.
    #[test]
    fn of_streams_that_are_listed_again_and_again_the_newest_wants_wait() {
        let mut planner = Planner::new(Builder::default().settings.plan(false));
        let id = new_feed(&mut planner, &Arc::new(Sockets::new(ConnectionId(0)))).id;
        let wants = |codes: &[&str]| ticker(codes).check(&UPBIT).unwrap().wants;
        let keys = |codes: &[&str]| wants(codes).iter().map(|want| want.key).collect::<Vec<_>>();
        let mut letters = Letters::default();
        for _ in 0..100 {
            letters.change(Change { id, more: wants(&["KRW-BTC", "KRW-ETH"]), less: keys(&["KRW-XRP"]) });
            letters.change(Change { id, more: wants(&["KRW-ETH", "KRW-XRP"]), less: keys(&["KRW-ADA"]) });
        }
        let more = ticker(["KRW-ETH"]).only_realtime().check(&UPBIT).unwrap().wants;
        letters.change(Change { id, more: more.clone(), less: keys(&["KRW-BTC"]) });
        let [waiting] = &letters.changes[..] else { panic!("{} entries", letters.changes.len()) };
        assert_eq!(waiting.more, [wants(&["KRW-XRP"]), more].concat());
        assert_eq!(waiting.less, [keys(&["KRW-XRP"]), keys(&["KRW-ADA"]), keys(&["KRW-BTC"])].concat());
    }
}
