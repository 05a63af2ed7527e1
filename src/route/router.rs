//! Routes each decoded message to the pool and to its readers, and maintains the routes as feeds come and go. Runs on
//! the connection's thread, which alone owns the routing table. Changes arrive as commands between two batches of
//! frames.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::attribution::AttributionWriter;
use super::join::{join, pause};
use super::open_feeds::{AnyRing, NewFeed, OpenFeed, OpenFeeds, Rings, add};
use super::route::{AnyRoute, Request, Route, Routed, Routes, any_route, route};
use crate::config::Dialect;
use crate::model::planted::{Place, reach};
use crate::model::{
    AnyNoun, Clock, DataType, Family, Nanos, Noun, Placed, Receipt, Scope, Sink, StreamKey, StreamType,
};
use crate::plan::{DemandChange, DemandId, StreamSpec};
use crate::pool::{Publisher, Timeline};
use crate::sync::waiters::Waiters;

/// The publisher of a stream of any type.
pub(crate) type AnyPublisher = AnyNoun<Publishers>;

/// Maps each type to a publisher.
pub(crate) struct Publishers;

impl Family for Publishers {
    type Of<T: Noun> = Publisher<T>;
}

/// The routes of a connection, by scope.
pub(crate) type Table = HashMap<Scope, Routes, FixedState>;

/// Publishes decoded messages: the newest values to the pool, each message to the feeds that asked for its stream.
pub(crate) struct Router<C> {
    clock: C,
    table: Table,
    /// The number of streams in the table.
    streams: usize,
    feeds: OpenFeeds,
    rings: Rings,
    timeline: Timeline,
    unrouted: u64,
    attribution: Option<AttributionWriter>,
    /// The level that the exchange sends in ungrouped books, unless it sends 0 or none.
    plain_level: Option<f64>,
}

impl<C: Clock> Router<C> {
    /// Creates a router without streams. `waiters` belongs to the pool of the publishers. `attribution` records where
    /// the time of messages goes.
    pub fn new(clock: C, waiters: Arc<Waiters>, dialect: &Dialect, attribution: Option<AttributionWriter>) -> Self {
        let plain_level = (dialect.level_default != 0).then(|| f64::from(dialect.level_default));
        let (table, feeds, rings) = (Table::default(), OpenFeeds::new(waiters), Rings::default());
        let timeline = Timeline::new();
        Self { clock, table, streams: 0, feeds, rings, timeline, unrouted: 0, attribution, plain_level }
    }

    /// Adds a stream that this connection may carry from now on.
    pub fn add_stream(&mut self, publisher: AnyPublisher) {
        match_any!(publisher, publisher => self.add_route(Route::new(publisher)));
    }

    fn add_route<T: Noun>(&mut self, route: Route<T>) {
        let StreamKey { data_type, scope } = route.publisher().key();
        self.streams += 1;
        self.feeds.reserve_touched(self.streams);
        let routes = T::place(self.table.entry(scope).or_default());
        // Most markets have one stream of a type.
        routes.reserve_exact(1);
        routes.push((data_type, route));
    }

    /// Adds a ring for feeds to share.
    pub fn add_ring(&mut self, ring: AnyRing) {
        match_any!(ring, ring => add(&mut self.rings, ring));
    }

    /// Applies a request that was sent. Until a request is sent, the socket carries what it carried before, even if the
    /// demand has changed.
    pub fn requested(&mut self, request: &Request<'_>) {
        let Self { table, feeds, rings, .. } = self;
        for routes in table.values_mut() {
            each_noun!(T => for (_, route) in T::place(routes) {
                route.requested(request, feeds, rings);
            });
        }
    }

    /// Adds a feed of some streams.
    pub fn add_feed(&mut self, NewFeed { id, specs, writer }: NewFeed) {
        let place = self.feeds.add(id, writer);
        self.join(place, &specs);
    }

    /// Changes the streams of a feed. Does nothing if the demand has no feed.
    pub fn change_feed(&mut self, DemandChange { id, more, less }: &DemandChange) {
        let Some(place) = self.feeds.place(*id) else { return };
        each_noun!(T => pause::<T>(&mut self.table, &mut self.feeds, &mut self.rings, place, less));
        self.join(place, more);
    }

    /// Removes a feed whose reader is gone. Returns the rest of it for the caller to drop, because freeing its memory
    /// may take a while.
    pub fn remove_feed(&mut self, id: DemandId) -> Option<OpenFeed> {
        let place = self.feeds.place(id)?;
        let feed = self.feeds.remove(place)?;
        for key in &feed.keys {
            if let Some(route) = any_route(&mut self.table, *key) {
                route.leave(place);
            }
        }
        Some(feed)
    }

    fn join(&mut self, place: usize, specs: &[StreamSpec]) {
        each_noun!(T => join::<T>(&mut self.table, &mut self.feeds, &mut self.rings, place, specs));
    }

    /// Makes each feed with its own ring lose updates, for tests of strategies.
    #[cfg(feature = "testing")]
    pub fn lose(&mut self, updates: u64) {
        self.feeds.lose(updates);
    }

    /// Hands over everything that was pushed since the last call.
    #[inline]
    pub fn flush_feeds(&mut self) {
        if let Some(touched) = self.feeds.flush() {
            self.wake_readers(touched);
        }
    }

    #[cold]
    fn wake_readers(&mut self, touched: Vec<StreamKey>) {
        for key in &touched {
            let Some(route) = any_route(&mut self.table, *key) else {
                continue;
            };
            route.wake();
            route.broadcast_readers().iter().for_each(|reader| self.feeds.wake(*reader));
        }
        self.feeds.reuse_touched(touched);
    }

    /// Marks the value of a stream as suspect, because a message of it was refused. Ignores streams that the connection
    /// never carried.
    #[cold]
    pub fn refused(&mut self, received: Nanos, mut stream: StreamKey) {
        if matches!(stream.data_type, DataType::GroupedOrderbook(step) if Some(step.to_krw()) == self.plain_level) {
            stream.data_type = DataType::Orderbook;
        }
        if let Some(route) = any_route(&mut self.table, stream) {
            route.refused(received);
        }
    }

    /// Returns the level that the exchange sends in ungrouped books, unless it sends 0 or none.
    pub fn plain_level(&self) -> Option<f64> {
        self.plain_level
    }

    /// Returns the number of messages of streams that the socket was not asked for, or is no longer asked for.
    pub fn unrouted(&self) -> u64 {
        self.unrouted
    }

    /// Returns the recorder of where time goes, if latencies are measured.
    pub fn attribution(&mut self) -> Option<&mut AttributionWriter> {
        self.attribution.as_mut()
    }

    /// Reads the clock once per message: the publish stamp is taken before readers can see the message. If latencies
    /// are measured, one message in eight needs a second read after all readers were served.
    #[inline]
    fn route<T: Noun>(&mut self, receipt: Receipt, message: &T) {
        reach(Place::Route, |code| message.key().scope.to_string() == code);
        let route = route(&mut self.table, message.key());
        let now = self.clock.now();
        let ring = T::place(&mut self.rings);
        let routed = route.map_or(Routed::Discarded, |route| {
            route.publish(&mut self.feeds, ring, &mut self.timeline, now, receipt, message)
        });
        self.unrouted += u64::from(routed == Routed::Discarded);
        if let Some(attribution) = &mut self.attribution
            && routed != Routed::Discarded
        {
            attribution.message(receipt.received, now, || self.clock.now());
            if message.stream_type() == StreamType::Realtime && routed != Routed::Doubted {
                attribution.change(message.exchange_ms(), receipt.received);
            }
        }
    }
}

impl<C: Clock> Sink for Router<C> {
    #[inline]
    fn deliver<T: Noun>(&mut self, receipt: Receipt, message: &T) {
        match self.plain_level.and_then(|level| message.without_level(level)) {
            Some(plain) => self.route(receipt, &plain),
            None => self.route(receipt, message),
        }
    }
}
