//! From decoded message to readers: finds the stream's route, and keeps the routes as feeds come and go. Runs on the
//! connection's thread, which alone owns the table: what changes it comes as commands, between two batches of frames.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::attribution::AttributionWriter;
use super::join::{join, pause};
use super::open_feeds::{AnyRing, NewFeed, OpenFeed, OpenFeeds, Rings, Routed};
use super::route::{Request, Route, Routes};
use crate::config::Dialect;
use crate::model::{Candle, Clock, DataType, Market, Orderbook, Receipt, Sink, StreamKey, StreamType, Ticker, Trade};
use crate::plan::{Change, DemandId, Want};
use crate::pool::Publisher;
use crate::sync::sleepers::Sleepers;

/// The publisher of a stream of any type.
pub(crate) enum AnyPublisher {
    Ticker(Publisher<Ticker>),
    Trade(Publisher<Trade>),
    Orderbook(Publisher<Orderbook>),
    Candle(Publisher<Candle>),
}

impl AnyPublisher {
    fn key(&self) -> StreamKey {
        match self {
            Self::Ticker(publisher) => publisher.key(),
            Self::Trade(publisher) => publisher.key(),
            Self::Orderbook(publisher) => publisher.key(),
            Self::Candle(publisher) => publisher.key(),
        }
    }
}

/// The routes of a connection, by market.
pub(crate) type Table = HashMap<Market, Routes, FixedState>;

/// Publishes decoded messages: newest values to the pool, every event to the feeds that asked for it.
pub(crate) struct Router<C> {
    clock: C,
    table: Table,
    /// How many streams the table has.
    streams: usize,
    feeds: OpenFeeds,
    rings: Rings,
    unrouted: u64,
    attribution: Option<AttributionWriter>,
    /// How the exchange writes that a book is not grouped, if not by 0 or by nothing.
    plain_level: Option<f64>,
}

impl<C: Clock> Router<C> {
    /// `sleepers`: of the pool that the publishers belong to. `attribution`: records where the time of messages goes.
    pub fn new(clock: C, sleepers: Arc<Sleepers>, dialect: &Dialect, attribution: Option<AttributionWriter>) -> Self {
        let plain_level = (dialect.level_default != 0).then(|| f64::from(dialect.level_default));
        let (table, feeds, rings) = (Table::default(), OpenFeeds::new(sleepers), Rings::default());
        Self { clock, table, streams: 0, feeds, rings, unrouted: 0, attribution, plain_level }
    }

    /// Adds a stream that this connection may carry from now on.
    pub fn add_stream(&mut self, publisher: AnyPublisher) {
        let key = publisher.key();
        self.streams += 1;
        self.feeds.reserve_touched(self.streams);
        let routes = self.table.entry(key.market).or_default();
        match (publisher, key.data_type) {
            (AnyPublisher::Ticker(p), _) => routes.ticker = Some(Box::new(Route::new(p))),
            (AnyPublisher::Trade(p), _) => routes.trade = Some(Box::new(Route::new(p))),
            (AnyPublisher::Orderbook(p), DataType::GroupedOrderbook(step)) => {
                routes.grouped.push((step, Route::new(p)))
            }
            (AnyPublisher::Orderbook(p), _) => routes.orderbook = Some(Box::new(Route::new(p))),
            (AnyPublisher::Candle(p), DataType::Candle(interval)) => {
                routes.candles.push((interval, Route::new(p)));
            }
            (AnyPublisher::Candle(_), _) => unreachable!("the pool opens candles for candle streams only"),
        }
    }

    /// Adds a ring for feeds that share one.
    pub fn add_ring(&mut self, ring: AnyRing) {
        self.rings.add(ring);
    }

    /// A request was sent. Until then the socket carries what it carried before, whatever is wanted.
    pub fn requested(&mut self, request: &Request<'_>) {
        let Self { table, feeds, rings, .. } = self;
        for routes in table.values_mut() {
            routes.each(|route| route.requested(request, feeds, rings));
        }
    }

    /// Adds a feed of some streams.
    pub fn add_feed(&mut self, NewFeed { id, wants, writer }: NewFeed) {
        let place = self.feeds.add(id, writer);
        self.join(place, &wants);
    }

    /// A feed, if the holder has one, reads other streams.
    pub fn change_feed(&mut self, Change { id, more, less }: &Change) {
        let Some(place) = self.feeds.place(*id) else { return };
        pause::<Ticker>(&mut self.table, &mut self.feeds, &mut self.rings, place, less);
        pause::<Trade>(&mut self.table, &mut self.feeds, &mut self.rings, place, less);
        pause::<Orderbook>(&mut self.table, &mut self.feeds, &mut self.rings, place, less);
        pause::<Candle>(&mut self.table, &mut self.feeds, &mut self.rings, place, less);
        self.join(place, more);
    }

    /// Nobody reads a feed any more. Gives what is left of it: freeing its memory may take a while.
    pub fn remove_feed(&mut self, id: DemandId) -> Option<OpenFeed> {
        let place = self.feeds.place(id)?;
        let feed = self.feeds.remove(place)?;
        for key in &feed.keys {
            if let Some(route) = self.table.get_mut(&key.market).and_then(|routes| routes.find(key.data_type)) {
                route.leave(place);
            }
        }
        Some(feed)
    }

    fn join(&mut self, place: usize, wants: &[Want]) {
        join::<Ticker>(&mut self.table, &mut self.feeds, &mut self.rings, place, wants);
        join::<Trade>(&mut self.table, &mut self.feeds, &mut self.rings, place, wants);
        join::<Orderbook>(&mut self.table, &mut self.feeds, &mut self.rings, place, wants);
        join::<Candle>(&mut self.table, &mut self.feeds, &mut self.rings, place, wants);
    }

    /// Hands over what was pushed since the last call.
    #[inline]
    pub fn flush_feeds(&mut self) {
        if let Some(touched) = self.feeds.flush() {
            self.wake_readers(touched);
        }
    }

    #[cold]
    fn wake_readers(&mut self, touched: Vec<StreamKey>) {
        for key in &touched {
            let Some(route) = self.table.get_mut(&key.market).and_then(|routes| routes.find(key.data_type)) else {
                continue;
            };
            route.wake();
            route.followers().iter().for_each(|follower| self.feeds.wake(*follower));
        }
        self.feeds.give_back(touched);
    }

    /// How the exchange writes that a book is not grouped, if not by 0 or by nothing.
    pub fn plain_level(&self) -> Option<f64> {
        self.plain_level
    }

    /// Messages of streams that the socket was not asked for, or no longer.
    pub fn unrouted(&self) -> u64 {
        self.unrouted
    }

    /// Records where time goes besides, if anybody wants to know.
    pub fn attribution(&mut self) -> Option<&mut AttributionWriter> {
        self.attribution.as_mut()
    }

    /// One clock read per message: the publish stamp is the moment before readers can see it. Where time is attributed, a
    /// second one after everybody was given it.
    #[inline]
    fn route<T: Routed>(&mut self, receipt: Receipt, data_type: DataType, market: Market, value: &T) {
        let route = self.table.get_mut(&market).and_then(|routes| T::route(routes, data_type));
        let now = self.clock.now();
        let ring = T::ring(&mut self.rings);
        let routed = route.is_some_and(|route| route.publish(&mut self.feeds, ring, now, receipt, value));
        self.unrouted += u64::from(!routed);
        if let Some(attribution) = &mut self.attribution
            && routed
        {
            attribution.message(receipt.received, now, || self.clock.now());
            if value.stream_type() == StreamType::Realtime {
                attribution.change(value.exchange_ms(), receipt.received);
            }
        }
    }
}

impl<C: Clock> Sink for Router<C> {
    #[inline]
    fn ticker(&mut self, receipt: Receipt, value: &Ticker) {
        self.route(receipt, DataType::Ticker, value.market, value);
    }

    #[inline]
    fn trade(&mut self, receipt: Receipt, value: &Trade) {
        self.route(receipt, DataType::Trade, value.market, value);
    }

    #[inline]
    fn orderbook(&mut self, receipt: Receipt, value: &Orderbook) {
        let plain;
        let value = if self.plain_level.is_some() && value.level == self.plain_level {
            plain = Orderbook { level: None, ..*value };
            &plain
        } else {
            value
        };
        self.route(receipt, value.data_type(), value.market, value);
    }

    #[inline]
    fn candle(&mut self, receipt: Receipt, value: &Candle) {
        self.route(receipt, DataType::Candle(value.interval), value.market, value);
    }
}
