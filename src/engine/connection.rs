//! What a connection's thread does besides the session: applies commands, keeps the status true, feeds the readers.

use std::sync::{Arc, Mutex, PoisonError};

use super::lifecycle::{LifecycleEvent, Watchers};
use super::router::{AnyPublisher, Router};
use super::status::ConnectionStatus;
use crate::feed::FeedWriter;
use crate::model::{Candle, ConnectionId, Epoch, Nanos, Orderbook, Receipt, Sink, StreamKey, Ticker, Trade};
use crate::net::Handler;
use crate::plan::StreamSet;
use crate::pool::Link;
use crate::session::{Counters, Event, Session, State};

/// What the connection's thread shall do next. The newest wish replaces older ones, so it never grows with waiting.
#[derive(Default)]
pub(super) struct Mailbox(Mutex<Letters>);

#[derive(Default)]
pub(super) struct Letters {
    pub wanted: Option<StreamSet>,
    /// A stream was dropped and is wanted again. Its value counts as stale until a new one comes.
    pub renewed: bool,
    pub streams: Vec<AnyPublisher>,
    pub feeds: Vec<(Vec<StreamKey>, FeedWriter)>,
    pub stop: bool,
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

/// The status of a connection as other threads see it.
pub(super) struct SharedStatus(Mutex<ConnectionStatus>);

impl SharedStatus {
    pub fn new(id: ConnectionId, now: Nanos) -> Self {
        Self(Mutex::new(ConnectionStatus {
            id,
            state: State::Disconnected,
            since: now,
            epoch: Epoch::default(),
            last_loss: None,
            blocked_until: None,
            counters: Counters::default(),
            unrouted: 0,
        }))
    }

    pub fn read(&self) -> ConnectionStatus {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// For changes that must not be lost and are rare.
    fn change(&self, write: impl FnOnce(&mut ConnectionStatus)) {
        write(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// For the frequent counters: never waits. If somebody reads just now, the next batch brings them.
    fn offer(&self, write: impl FnOnce(&mut ConnectionStatus)) {
        if let Ok(mut status) = self.0.try_lock() {
            write(&mut status);
        }
    }
}

/// The owner of a connection's session, on its thread.
pub(super) struct Connection {
    pub id: ConnectionId,
    pub router: Router,
    pub link: Arc<Link>,
    pub mailbox: Arc<Mailbox>,
    pub status: Arc<SharedStatus>,
    pub watchers: Arc<Watchers>,
    /// Data messages that the link was told of.
    pub data_seen: u64,
}

impl Handler for Connection {
    fn commands(&mut self, now: Nanos, session: &mut Session) {
        let letters = self.mailbox.take();
        for publisher in letters.streams {
            self.router.add_stream(publisher);
        }
        for (keys, writer) in letters.feeds {
            self.router.add_feed(keys, writer);
        }
        if let Some(wanted) = letters.wanted {
            self.router.set_wanted(&wanted);
            session.set_streams(now, wanted);
        }
        if letters.renewed {
            session.renew(now);
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
                } else if from.is_open() && !to.is_open() {
                    self.link.down(*at);
                }
                self.status.change(|s| (s.state, s.since, s.epoch) = (*to, *at, *epoch));
                tracing::debug!(connection = %self.id, %epoch, "{from} -> {to}");
            }
            Event::Lost { loss, epoch, .. } => {
                self.status.change(|s| s.last_loss = Some(loss.clone()));
                tracing::info!(connection = %self.id, %epoch, reason = loss.code(), "{loss}");
            }
            Event::ServerError(error) => tracing::warn!(connection = %self.id, "the exchange answered {error}"),
            Event::Malformed(error) => tracing::debug!(connection = %self.id, "a message was refused: {error}"),
            _ => {}
        }
        self.watchers.report(&LifecycleEvent { connection: self.id, event });
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
