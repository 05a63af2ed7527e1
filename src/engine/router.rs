//! From decoded message to readers: finds the stream's publisher and its feeds. Runs on the connection's thread.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::connection::NewFeed;
use crate::feed::{Event, FeedWriter, Update};
use crate::model::{
    Candle, Clock, DataType, Epoch, Grouping, Market, Nanos, Orderbook, Receipt, Sink, Stamps, StreamKey, StreamType,
    Ticker, Trade,
};
use crate::net::SystemClock;
use crate::plan::{DemandId, Dialect, Mode, StreamSet, Want};
use crate::pool::{Publisher, Value, Verdict};
use crate::sync::latest::Version;

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
    readers: Vec<Reader>,
}

/// A feed's interest in one stream.
struct Reader {
    /// Index into [`Router::feeds`].
    feed: usize,
    mode: Mode,
    /// The socket whose snapshot it has had.
    snapshot_of: Epoch,
}

impl Reader {
    /// The feed asked for this. A snapshot that was sent for somebody else's sake is none of its business.
    fn wants(&mut self, stream_type: StreamType, epoch: Epoch) -> bool {
        match (stream_type, self.mode) {
            (StreamType::Snapshot, Mode::RealtimeOnly) | (StreamType::Realtime, Mode::SnapshotOnly) => false,
            (StreamType::Snapshot, _) => std::mem::replace(&mut self.snapshot_of, epoch) != epoch,
            (StreamType::Realtime, _) => true,
        }
    }

    /// It waits for a snapshot, and this is one. That of a running trade stream is a trade long known: no news for the
    /// others, but all that this one will get.
    fn awaits(&self, stream_type: StreamType, epoch: Epoch) -> bool {
        self.mode == Mode::SnapshotOnly && stream_type == StreamType::Snapshot && self.snapshot_of != epoch
    }
}

/// The streams of one market.
#[derive(Default)]
struct Routes {
    ticker: Option<Route<Ticker>>,
    trade: Option<Route<Trade>>,
    orderbook: Option<Route<Orderbook>>,
    grouped: Vec<(Grouping, Route<Orderbook>)>,
    candles: [Option<Route<Candle>>; DataType::CANDLES],
}

/// A feed that somebody reads.
struct OpenFeed {
    id: DemandId,
    writer: FeedWriter,
}

/// Publishes decoded messages: newest values to the pool, every event to the feeds that asked for it.
pub(super) struct Router {
    clock: SystemClock,
    markets: HashMap<Market, Routes, FixedState>,
    /// A feed keeps its place; an empty one is taken by the next.
    feeds: Vec<Option<OpenFeed>>,
    unrouted: u64,
    /// How the exchange writes that a book is not grouped, if not by 0 or by nothing.
    plain_level: Option<f64>,
}

impl Router {
    pub fn new(clock: SystemClock, dialect: &Dialect) -> Self {
        let plain_level = (dialect.level_default != 0).then(|| f64::from(dialect.level_default));
        Self { plain_level, clock, markets: HashMap::default(), feeds: Vec::new(), unrouted: 0 }
    }

    /// Adds a stream that this connection may carry from now on.
    pub fn add_stream(&mut self, publisher: AnyPublisher) {
        let key = publisher.key();
        let routes = self.markets.entry(key.market).or_default();
        match (publisher, key.data_type) {
            (AnyPublisher::Ticker(p), _) => routes.ticker = Some(Route::new(p)),
            (AnyPublisher::Trade(p), _) => routes.trade = Some(Route::new(p)),
            (AnyPublisher::Orderbook(p), DataType::GroupedOrderbook(step)) => {
                routes.grouped.push((step, Route::new(p)))
            }
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
            for route in routes.all() {
                route.set_wanted(wanted.get(route.key()).is_some());
            }
        }
    }

    /// Adds a feed of some streams.
    pub fn add_feed(&mut self, NewFeed { id, wants, writer }: NewFeed) {
        let free = self.feeds.iter().position(Option::is_none);
        let place = free.unwrap_or_else(|| {
            self.feeds.push(None);
            self.feeds.len() - 1
        });
        self.feeds[place] = Some(OpenFeed { id, writer });
        self.add_readers(place, &wants);
    }

    /// A feed, if there is one of that name, reads more streams.
    pub fn extend_feed(&mut self, id: DemandId, wants: &[Want]) {
        if let Some(place) = self.feeds.iter().position(|feed| feed.as_ref().is_some_and(|feed| feed.id == id)) {
            self.add_readers(place, wants);
        }
    }

    fn add_readers(&mut self, feed: usize, wants: &[Want]) {
        for want in wants {
            let Some(route) = self.markets.get_mut(&want.key.market).and_then(|routes| routes.find(want.key)) else {
                continue;
            };
            // A market may be listed again, or be wanted in another way: it starts anew, with a snapshot.
            route.readers().retain(|reader| reader.feed != feed);
            let mut reader = Reader { feed, mode: want.mode, snapshot_of: Epoch::default() };
            // The exchange is not asked again for the state of a stream that runs: this is it.
            if want.mode != Mode::RealtimeOnly
                && let Some(state) = route.state()
                && let Some(OpenFeed { writer, .. }) = &mut self.feeds[feed]
            {
                reader.snapshot_of = state.epoch;
                writer.push(state);
            }
            route.readers().push(reader);
        }
    }

    /// Hands over what was pushed since the last call, and forgets feeds that nobody reads any more.
    pub fn flush_feeds(&mut self) {
        let mut gone = false;
        for feed in &mut self.feeds {
            if let Some(OpenFeed { writer, .. }) = feed {
                writer.flush();
                if writer.is_abandoned() {
                    (*feed, gone) = (None, true);
                }
            }
        }
        if gone {
            self.forget_readers();
        }
    }

    /// How the exchange writes that a book is not grouped, if not by 0 or by nothing.
    pub fn plain_level(&self) -> Option<f64> {
        self.plain_level
    }

    /// Messages of streams that nobody wants.
    pub fn unrouted(&self) -> u64 {
        self.unrouted
    }

    #[cold]
    fn forget_readers(&mut self) {
        for route in self.markets.values_mut().flat_map(Routes::all) {
            route.readers().retain(|reader| self.feeds[reader.feed].is_some());
        }
    }
}

impl<T: Value> Route<T> {
    fn new(publisher: Publisher<T>) -> Self {
        Self { publisher, wanted: false, readers: Vec::new() }
    }

    /// Publishes to the pool, then to the feeds. Both carry the same stamps. False if nobody wants the stream.
    #[inline]
    fn publish(
        route: Option<&mut Self>,
        feeds: &mut [Option<OpenFeed>],
        published: Nanos,
        receipt: Receipt,
        value: &T,
        event: impl Fn() -> Event,
    ) -> bool {
        let Some(route) = route.filter(|route| route.wanted) else { return false };
        let verdict = route.publisher.publish(&receipt, value, || published);
        let is_news = !route.readers.is_empty() && route.publisher.is_news(verdict, value);
        if is_news || route.may_be_awaited(verdict) {
            let update = Update {
                event: event(),
                stamps: Stamps { exchange_ms: value.exchange_ms(), received: receipt.received, published },
                connection: receipt.connection,
                epoch: receipt.epoch,
                version: route.publisher.version(),
            };
            let stream_type = update.event.stream_type();
            for reader in &mut route.readers {
                let Some(OpenFeed { writer, .. }) = &mut feeds[reader.feed] else { continue };
                if !is_news && !reader.awaits(stream_type, receipt.epoch) {
                    continue;
                }
                if reader.wants(stream_type, receipt.epoch) {
                    writer.push(update);
                } else {
                    writer.filter();
                }
            }
        }
        true
    }

    /// Somebody wants snapshots whatever they bring, and this may be one.
    fn may_be_awaited(&self, verdict: Verdict) -> bool {
        verdict != Verdict::OldEpoch && self.readers.iter().any(|reader| reader.mode == Mode::SnapshotOnly)
    }
}

/// A route whose type of value does not matter.
trait AnyRoute {
    fn key(&self) -> StreamKey;
    fn set_wanted(&mut self, wanted: bool);
    fn readers(&mut self) -> &mut Vec<Reader>;
    /// The newest value as a snapshot, if it came on the current socket.
    fn state(&self) -> Option<Update>;
}

impl<T: Value + Into<Event>> AnyRoute for Route<T> {
    fn key(&self) -> StreamKey {
        self.publisher.key()
    }

    fn set_wanted(&mut self, wanted: bool) {
        self.wanted = wanted;
    }

    fn readers(&mut self) -> &mut Vec<Reader> {
        &mut self.readers
    }

    fn state(&self) -> Option<Update> {
        let Version { value, stamps, epoch, connection, version } = self.publisher.current()?;
        let event: Event = value.into();
        Some(Update { event: event.as_snapshot(), stamps, connection, epoch, version })
    }
}

impl Routes {
    /// The route of one stream.
    fn find(&mut self, key: StreamKey) -> Option<&mut dyn AnyRoute> {
        self.all().into_iter().find(|route| route.key() == key)
    }

    /// Every route of the market.
    fn all(&mut self) -> Vec<&mut dyn AnyRoute> {
        fn any<T: Value + Into<Event>>(route: &mut Route<T>) -> &mut dyn AnyRoute {
            route
        }
        let mut all: Vec<&mut dyn AnyRoute> = Vec::new();
        all.extend(self.ticker.as_mut().map(any));
        all.extend(self.trade.as_mut().map(any));
        all.extend(self.orderbook.as_mut().map(any));
        all.extend(self.grouped.iter_mut().map(|(_, route)| any(route)));
        all.extend(self.candles.iter_mut().flatten().map(any));
        all
    }

    /// The book as it is, or grouped.
    #[inline]
    fn book(&mut self, data_type: DataType) -> Option<&mut Route<Orderbook>> {
        match data_type {
            DataType::GroupedOrderbook(step) => {
                self.grouped.iter_mut().find(|(s, _)| *s == step).map(|(_, route)| route)
            }
            _ => self.orderbook.as_mut(),
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
        let plain;
        let value = if self.plain_level.is_some() && value.level == self.plain_level {
            plain = Orderbook { level: None, ..*value };
            &plain
        } else {
            value
        };
        let route = self.markets.get_mut(&value.market).and_then(|routes| routes.book(value.data_type()));
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
