//! What a connection's thread does besides the session: applies commands, keeps the status true, feeds the readers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use crossbeam_channel::Sender;

use super::control::Report;
use super::lifecycle::{LifecycleEvent, Watchers};
use super::open_feeds::{AnyFeed, AnyRing};
use super::route::Request;
use super::router::{AnyPublisher, Router};
use super::status::SharedStatus;
use crate::feed::Sockets;
use crate::model::{
    Candle, ConnectionId, DataType, Grouping, LossKind, Market, Nanos, Orderbook, Receipt, Sink, StreamKey, Ticker,
    Trade,
};
use crate::net::Handler;
use crate::plan::{DemandId, Running, Want, Wish};
use crate::pool::Link;
use crate::session::{Event, Session};
use crate::wire::SubscriptionList;

/// What the connection's thread shall do next. The newest wish replaces older ones, so it never grows with waiting.
#[derive(Default)]
pub(super) struct Mailbox(Mutex<Letters>);

#[derive(Default)]
pub(super) struct Letters {
    pub wish: Option<Wish>,
    pub list: bool,
    pub streams: Vec<AnyPublisher>,
    pub rings: Vec<AnyRing>,
    pub feeds: Vec<NewFeed>,
    /// What holders want besides, because markets were listed.
    pub more: Vec<(DemandId, Vec<Want>)>,
    /// Feeds that nobody reads any more.
    pub left: Vec<DemandId>,
    pub stop: bool,
}

/// A feed's writing end for one connection, and what of its streams that connection carries.
pub(super) struct NewFeed {
    pub id: DemandId,
    pub wants: Vec<Want>,
    pub writer: AnyFeed,
}

impl Mailbox {
    /// Leaves something for the thread. Wake it afterwards.
    pub fn leave(&self, write: impl FnOnce(&mut Letters)) {
        write(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn take(&self) -> Letters {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The owner of a connection's session, on its thread.
pub(super) struct Connection {
    pub id: ConnectionId,
    pub router: Router,
    /// The newest wish. The session sends no other.
    pub wish: Wish,
    pub link: Arc<Link>,
    pub sockets: Arc<Sockets>,
    pub mailbox: Arc<Mailbox>,
    pub status: Arc<SharedStatus>,
    pub watchers: Arc<Watchers>,
    /// To the control thread.
    pub reports: Sender<(usize, Report)>,
    pub control: Thread,
    /// Data messages that the link was told of.
    pub data_seen: u64,
    /// Why the last socket, or the last try to get one, ended.
    pub lost: Option<LossKind>,
}

impl Connection {
    /// The session has sent the wish. It asked for the `running` streams without a snapshot.
    fn requested(&mut self, at: Nanos, running: &Running) {
        let (epoch, streams) = (self.link.epoch(), &self.wish.streams);
        self.router.requested(&Request { at, epoch, streams, running });
    }

    /// The control thread wakes on its own now and then; this makes it now.
    fn tell(&self, report: Report) {
        // Nobody listens any more when the engine has stopped.
        let _ = self.reports.send((self.id.0 as usize, report));
        self.control.unpark();
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
                self.tell(Report::Left(Box::new(feed)));
            }
        }
        if let Some(wish) = letters.wish {
            self.wish = wish.clone();
            session.set_wish(now, wish);
        }
        if letters.list {
            session.list(now);
        }
        if letters.stop {
            session.stop(now);
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
                tracing::debug!(connection = %self.id, %epoch, "{from} -> {to}");
            }
            Event::Lost { loss, epoch, .. } => {
                self.lost = Some(loss.kind());
                self.status.change(|s| s.last_loss = Some(loss.clone()));
                tracing::info!(connection = %self.id, %epoch, reason = loss.code(), "{loss}");
            }
            // Sent again to provoke an answer: the socket carries the same streams as before.
            Event::Requested { at, again: true, .. } => self.requested(*at, &Running::default()),
            Event::Requested { at, revision, format, .. } => {
                self.requested(*at, &self.wish.running.clone());
                self.status.change(|s| s.format = Some(*format));
                self.tell(Report::Requested { at: *at, revision: *revision });
            }
            Event::Subscriptions(list) => self.tell(Report::Listed(keys_of(list, self.router.plain_level()))),
            Event::Dated { asked, answered, date } => {
                if let Some(attribution) = self.router.attribution() {
                    attribution.dated(*asked, *answered, *date);
                }
            }
            Event::ServerError(error) => tracing::warn!(connection = %self.id, "the exchange answered {error}"),
            Event::Malformed(error) => tracing::debug!(connection = %self.id, "a message was refused: {error}"),
        }
        self.watchers.report(&LifecycleEvent { connection: self.id, event });
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
