//! From decoded message to readers: finds the stream's publisher and its feeds. Runs on the connection's thread.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::feed::{Event, FeedWriter, Update};
use crate::model::{
    Candle, Clock, DataType, Market, Nanos, Orderbook, Receipt, Sink, Stamps, StreamKey, Ticker, Trade,
};
use crate::net::SystemClock;
use crate::plan::StreamSet;
use crate::pool::{Publisher, Value};

/// The publisher of a stream of any type.
pub(super) enum AnyPublisher {
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

/// Who reads one stream.
struct Route<T: Value> {
    publisher: Publisher<T>,
    /// Somebody wants it. What comes in spite of that was under way, and is counted.
    wanted: bool,
    /// Indices into [`Router::feeds`].
    feeds: Vec<usize>,
}

/// The streams of one market.
#[derive(Default)]
struct Routes {
    ticker: Option<Route<Ticker>>,
    trade: Option<Route<Trade>>,
    orderbook: Option<Route<Orderbook>>,
    candles: [Option<Route<Candle>>; DataType::CANDLES],
}

/// A feed and what it asked for.
struct FeedRoute {
    keys: Vec<StreamKey>,
    writer: FeedWriter,
}

/// Publishes decoded messages: newest values to the pool, every event to the feeds that asked for it.
pub(super) struct Router {
    clock: SystemClock,
    markets: HashMap<Market, Routes, FixedState>,
    feeds: Vec<FeedRoute>,
    unrouted: u64,
}

impl Router {
    pub fn new(clock: SystemClock) -> Self {
        Self { clock, markets: HashMap::default(), feeds: Vec::new(), unrouted: 0 }
    }

    /// Adds a stream that this connection may carry from now on.
    pub fn add_stream(&mut self, publisher: AnyPublisher) {
        let key = publisher.key();
        let routes = self.markets.entry(key.market).or_default();
        match (publisher, key.data_type) {
            (AnyPublisher::Ticker(p), _) => routes.ticker = Some(Route::new(p)),
            (AnyPublisher::Trade(p), _) => routes.trade = Some(Route::new(p)),
            (AnyPublisher::Orderbook(p), _) => routes.orderbook = Some(Route::new(p)),
            (AnyPublisher::Candle(p), DataType::Candle(interval)) => {
                routes.candles[interval as usize] = Some(Route::new(p));
            }
            (AnyPublisher::Candle(_), _) => unreachable!("the pool opens candles for candle streams only"),
        }
    }

    /// Says which streams are wanted.
    pub fn set_wanted(&mut self, wanted: &StreamSet) {
        for routes in self.markets.values_mut() {
            routes.each(|_, want, _| *want = false);
        }
        for key in wanted.keys() {
            if let Some(routes) = self.markets.get_mut(&key.market) {
                routes.each(|data_type, want, _| *want |= data_type == key.data_type);
            }
        }
    }

    /// Adds a feed of some streams.
    pub fn add_feed(&mut self, keys: Vec<StreamKey>, writer: FeedWriter) {
        self.feeds.push(FeedRoute { keys, writer });
        self.index_feeds();
    }

    /// Hands over what was pushed since the last call, and forgets feeds that nobody reads any more.
    pub fn flush_feeds(&mut self) {
        let mut gone = false;
        for feed in &mut self.feeds {
            feed.writer.flush();
            gone |= feed.writer.is_abandoned();
        }
        if gone {
            self.feeds.retain(|feed| !feed.writer.is_abandoned());
            self.index_feeds();
        }
    }

    /// Messages of streams that nobody wants.
    pub fn unrouted(&self) -> u64 {
        self.unrouted
    }

    #[cold]
    fn index_feeds(&mut self) {
        for routes in self.markets.values_mut() {
            routes.each(|_, _, feeds| feeds.clear());
        }
        for (index, feed) in self.feeds.iter().enumerate() {
            for key in &feed.keys {
                if let Some(routes) = self.markets.get_mut(&key.market) {
                    routes.each(|data_type, _, feeds| {
                        if data_type == key.data_type {
                            feeds.push(index);
                        }
                    });
                }
            }
        }
    }
}

impl<T: Value> Route<T> {
    fn new(publisher: Publisher<T>) -> Self {
        Self { publisher, wanted: false, feeds: Vec::new() }
    }

    /// Publishes to the pool, then to the feeds. Both carry the same stamps. False if nobody wants the stream.
    #[inline]
    fn publish(
        route: Option<&mut Self>,
        feeds: &mut [FeedRoute],
        published: Nanos,
        receipt: Receipt,
        value: &T,
        event: impl Fn() -> Event,
    ) -> bool {
        let Some(route) = route.filter(|route| route.wanted) else { return false };
        let verdict = route.publisher.publish(&receipt, value, || published);
        if !route.feeds.is_empty() && route.publisher.is_news(verdict, value) {
            let update = Update {
                event: event(),
                stamps: Stamps { exchange_ms: value.exchange_ms(), received: receipt.received, published },
                connection: receipt.connection,
                epoch: receipt.epoch,
                version: route.publisher.version(),
            };
            for &feed in &route.feeds {
                feeds[feed].writer.push(update);
            }
        }
        true
    }
}

impl Routes {
    /// Visits every stream of the market: its type, whether it is wanted, its feeds.
    fn each(&mut self, mut visit: impl FnMut(DataType, &mut bool, &mut Vec<usize>)) {
        fn one<T: Value>(route: &mut Option<Route<T>>, visit: &mut impl FnMut(DataType, &mut bool, &mut Vec<usize>)) {
            if let Some(route) = route {
                visit(route.publisher.key().data_type, &mut route.wanted, &mut route.feeds);
            }
        }
        one(&mut self.ticker, &mut visit);
        one(&mut self.trade, &mut visit);
        one(&mut self.orderbook, &mut visit);
        for candle in &mut self.candles {
            one(candle, &mut visit);
        }
    }
}

/// One clock read per message: the publish stamp is the moment before readers can see it.
impl Sink for Router {
    fn ticker(&mut self, receipt: Receipt, value: &Ticker) {
        let route = self.markets.get_mut(&value.market).and_then(|routes| routes.ticker.as_mut());
        let now = self.clock.now();
        let routed = Route::publish(route, &mut self.feeds, now, receipt, value, || Event::Ticker(*value));
        self.unrouted += u64::from(!routed);
    }

    fn trade(&mut self, receipt: Receipt, value: &Trade) {
        let route = self.markets.get_mut(&value.market).and_then(|routes| routes.trade.as_mut());
        let now = self.clock.now();
        let routed = Route::publish(route, &mut self.feeds, now, receipt, value, || Event::Trade(*value));
        self.unrouted += u64::from(!routed);
    }

    fn orderbook(&mut self, receipt: Receipt, value: &Orderbook) {
        let route = self.markets.get_mut(&value.market).and_then(|routes| routes.orderbook.as_mut());
        let now = self.clock.now();
        let routed = Route::publish(route, &mut self.feeds, now, receipt, value, || Event::Orderbook(*value));
        self.unrouted += u64::from(!routed);
    }

    fn candle(&mut self, receipt: Receipt, value: &Candle) {
        let route = self.markets.get_mut(&value.market);
        let route = route.and_then(|routes| routes.candles[value.interval as usize].as_mut());
        let now = self.clock.now();
        let routed = Route::publish(route, &mut self.feeds, now, receipt, value, || Event::Candle(*value));
        self.unrouted += u64::from(!routed);
    }
}
