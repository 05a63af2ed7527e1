//! What a connection's thread does besides the session: applies commands, keeps the status true, feeds the readers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use super::lifecycle::{LifecycleEvent, NewWatchers, Watchers};
use super::log::{Flood, Note};
use super::open_feeds::{AnyFeed, AnyRing};
use super::reports::{Report, Reports};
use super::router::{AnyPublisher, Router};
use super::status::SharedStatus;
use crate::feed::Sockets;
use crate::model::{
    Candle, ConnectionId, DataType, Grouping, LossKind, Market, Nanos, Orderbook, Receipt, Sink, StreamKey, Ticker,
    Trade,
};
use crate::net::Handler;
use crate::plan::{DemandId, Want, Wish};
use crate::pool::Link;
use crate::session::{Event, Session};
use crate::sync::lossy::Writer;
use crate::wire::{DecodeError, ServerError, SubscriptionList};

/// What the connection's thread shall do next. Locked for a moment by either side: nothing is called under the lock that
/// waits for anybody.
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
    /// What holders want besides, because markets were listed: of each stream the newest.
    more: Vec<(DemandId, Vec<Want>)>,
    /// Feeds that the thread has and nobody reads any more.
    left: Vec<DemandId>,
    pub stop: bool,
}

/// A feed's writing end for one connection, and what of its streams that connection carries.
pub(super) struct NewFeed {
    pub id: DemandId,
    pub wants: Vec<Want>,
    pub writer: AnyFeed,
}

impl Letters {
    /// Somebody reads a feed.
    pub fn open(&mut self, feed: NewFeed) {
        self.feeds.push(feed);
    }

    /// A holder, which may read a feed, wants these streams besides: sorted, each once.
    pub fn extend(&mut self, id: DemandId, wants: Vec<Want>) {
        match self.more.iter_mut().find(|(holder, _)| *holder == id) {
            None => self.more.push((id, wants)),
            Some((_, waiting)) => {
                waiting.retain(|old| wants.binary_search_by_key(&old.key, |want| want.key).is_err());
                waiting.extend(wants);
            }
        }
    }

    /// Nobody reads a feed any more. Gives it back if the thread has not seen it yet.
    pub fn end(&mut self, id: DemandId) -> Option<NewFeed> {
        let Some(unseen) = self.feeds.iter().position(|feed| feed.id == id) else {
            self.left.push(id);
            return None;
        };
        self.more.retain(|(holder, _)| *holder != id);
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
        keys.extend(markets.map(|market| StreamKey { data_type, market }));
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
        for (id, wants) in letters.more {
            self.router.extend_feed(id, &wants);
        }
        for id in letters.left {
            if let Some(feed) = self.router.remove_feed(id) {
                self.reports.add_left(feed);
                self.control.unpark();
            }
        }
        if let Some(wish) = letters.wish {
            self.router.set_wanted(&wish.streams);
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
            // Asked again for a sign of life, nothing new is on the wire.
            Event::Requested { again: true, .. } => {}
            Event::Requested { at, revision, format, .. } => {
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
    fn ticker(&mut self, receipt: Receipt, ticker: &Ticker) {
        self.router.ticker(receipt, ticker);
    }

    #[inline]
    fn trade(&mut self, receipt: Receipt, trade: &Trade) {
        self.router.trade(receipt, trade);
    }

    #[inline]
    fn orderbook(&mut self, receipt: Receipt, orderbook: &Orderbook) {
        self.router.orderbook(receipt, orderbook);
    }

    #[inline]
    fn candle(&mut self, receipt: Receipt, candle: &Candle) {
        self.router.candle(receipt, candle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Builder;
    use crate::feed::{Opening, Overflow, open};
    use crate::net::SystemClock;
    use crate::plan::{Planner, UPBIT, ticker};

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
        NewFeed { id, wants: Vec::new(), writer: AnyFeed::Ticker(writers.remove(0)) }
    }

    /// Whoever opened and dropped feeds while the thread was busy made two lists grow, and the memory of the feeds with them.
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
            mailbox.leave(|letters| letters.extend(id, Vec::new()));
            assert!(mailbox.leave(|letters| letters.end(id)).is_some(), "given back");
        }
        assert!(mailbox.leave(|letters| letters.end(seen)).is_none());
        let letters = mailbox.take();
        assert_eq!((letters.feeds.len(), letters.more.len(), letters.left), (0, 0, vec![seen]));
    }

    /// Each list of markets left another copy of what it changed.
    #[test]
    fn of_streams_that_are_listed_again_and_again_the_newest_wants_wait() {
        let mut planner = Planner::new(Builder::default().settings.plan(false));
        let id = new_feed(&mut planner, &Arc::new(Sockets::new(ConnectionId(0)))).id;
        let wants = |codes: &[&str]| ticker(codes).check(&UPBIT).unwrap().wants;
        let mut letters = Letters::default();
        for _ in 0..100 {
            letters.extend(id, wants(&["KRW-BTC", "KRW-ETH"]));
            letters.extend(id, wants(&["KRW-ETH", "KRW-XRP"]));
        }
        let changes = ticker(["KRW-ETH"]).only_realtime().check(&UPBIT).unwrap().wants;
        letters.extend(id, changes.clone());
        let [(_, waiting)] = &letters.more[..] else { panic!("{} entries", letters.more.len()) };
        assert_eq!(waiting[..], [wants(&["KRW-BTC", "KRW-XRP"]), changes].concat());
    }
}
