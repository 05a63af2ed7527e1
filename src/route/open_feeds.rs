//! The feeds that read from one connection: their writing ends, on its thread.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::feed::{Broadcaster, FeedWriter, Filter, Mark, Overflow, Payload, Update, broadcast};
use crate::model::{Candle, DataType, Event, Orderbook, StreamKey, Ticker, Trade, Words};
use crate::plan::{DemandId, Want};
use crate::pool::Value;
use crate::sync::sleepers::Sleepers;

use super::route::{Route, Routes};

/// A writing end of a feed of any type.
pub(crate) enum AnyFeed {
    Ticker(FeedWriter<Ticker>),
    Trade(FeedWriter<Trade>),
    Orderbook(FeedWriter<Orderbook>),
    Candle(FeedWriter<Candle>),
    Event(FeedWriter<Event>),
}

/// What is the same for all types.
macro_rules! for_any {
    ($feed:expr, $writer:ident => $do:expr) => {
        match $feed {
            AnyFeed::Ticker($writer) => $do,
            AnyFeed::Trade($writer) => $do,
            AnyFeed::Orderbook($writer) => $do,
            AnyFeed::Candle($writer) => $do,
            AnyFeed::Event($writer) => $do,
        }
    };
}

impl AnyFeed {
    pub fn overflow(&self) -> Overflow {
        for_any!(self, writer => writer.overflow())
    }

    /// The reader has left many changes of what it reads unread.
    pub fn is_neglected(&self) -> bool {
        for_any!(self, writer => writer.is_neglected())
    }

    fn mark(&mut self, mark: Mark) -> bool {
        for_any!(self, writer => writer.mark(mark))
    }

    fn filter(&mut self) {
        for_any!(self, writer => writer.filter());
    }

    fn flush(&mut self) {
        for_any!(self, writer => writer.flush());
    }

    fn wake(&self) {
        for_any!(self, writer => writer.wake());
    }
}

/// A payload that some feeds carry as it is.
pub(crate) trait Feedable: Payload {
    /// The writing end, if the feed is of this type.
    fn typed(feed: &mut AnyFeed) -> Option<&mut FeedWriter<Self>>;

    /// A writing end of this type.
    fn any(writer: FeedWriter<Self>) -> AnyFeed;
}

/// A value that comes over the wire, and where the engine keeps what belongs to its type.
pub(crate) trait Routed: Feedable + Value + Words + PartialEq + Into<Event> {
    /// The shared ring of this type.
    fn ring(rings: &mut Rings) -> &mut Option<Broadcaster<Self>>;

    /// The route of a stream of this type.
    fn route(routes: &mut Routes, data_type: DataType) -> Option<&mut Route<Self>>;
}

macro_rules! feedable {
    ($($noun:ident),*) => {$(
        impl Feedable for $noun {
            #[inline]
            fn typed(feed: &mut AnyFeed) -> Option<&mut FeedWriter<Self>> {
                if let AnyFeed::$noun(writer) = feed { Some(writer) } else { None }
            }

            fn any(writer: FeedWriter<Self>) -> AnyFeed {
                AnyFeed::$noun(writer)
            }
        }
    )*};
}

feedable!(Ticker, Trade, Orderbook, Candle, Event);

macro_rules! routed {
    ($($noun:ident: $ring:ident, $routes:ident, $data_type:ident => $route:expr;)*) => {$(
        impl Routed for $noun {
            #[inline]
            fn ring(rings: &mut Rings) -> &mut Option<Broadcaster<Self>> {
                &mut rings.$ring
            }

            #[inline]
            fn route($routes: &mut Routes, $data_type: DataType) -> Option<&mut Route<Self>> {
                $route
            }
        }
    )*};
}

routed! {
    Ticker: ticker, routes, _data_type => routes.ticker.as_deref_mut();
    Trade: trade, routes, _data_type => routes.trade.as_deref_mut();
    Orderbook: orderbook, routes, data_type => routes.book(data_type);
    Candle: candle, routes, data_type => routes.candle(data_type);
}

/// The rings that all readers of a connection share, one for each type that somebody reads that way.
#[derive(Default)]
pub(crate) struct Rings {
    pub ticker: Option<Broadcaster<Ticker>>,
    pub trade: Option<Broadcaster<Trade>>,
    pub orderbook: Option<Broadcaster<Orderbook>>,
    pub candle: Option<Broadcaster<Candle>>,
}

/// Which of them carries a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RingKind {
    Ticker,
    Trade,
    Orderbook,
    Candle,
}

impl RingKind {
    pub fn of(data_type: DataType) -> Self {
        match data_type {
            DataType::Ticker => Self::Ticker,
            DataType::Trade => Self::Trade,
            DataType::Orderbook | DataType::GroupedOrderbook(_) => Self::Orderbook,
            DataType::Candle(_) => Self::Candle,
        }
    }
}

/// A ring of any type, on its way to the thread that writes it.
pub(crate) enum AnyRing {
    Ticker(Broadcaster<Ticker>),
    Trade(Broadcaster<Trade>),
    Orderbook(Broadcaster<Orderbook>),
    Candle(Broadcaster<Candle>),
}

impl AnyRing {
    pub fn new(kind: RingKind, capacity: usize) -> Self {
        match kind {
            RingKind::Ticker => Self::Ticker(broadcast(capacity)),
            RingKind::Trade => Self::Trade(broadcast(capacity)),
            RingKind::Orderbook => Self::Orderbook(broadcast(capacity)),
            RingKind::Candle => Self::Candle(broadcast(capacity)),
        }
    }
}

impl Rings {
    pub fn add(&mut self, ring: AnyRing) {
        match ring {
            AnyRing::Ticker(ring) => self.ticker = Some(ring),
            AnyRing::Trade(ring) => self.trade = Some(ring),
            AnyRing::Orderbook(ring) => self.orderbook = Some(ring),
            AnyRing::Candle(ring) => self.candle = Some(ring),
        }
    }
}

/// A feed's writing end for one connection, and the streams of it that the connection carries.
pub(crate) struct NewFeed {
    pub id: DemandId,
    pub wants: Vec<Want>,
    pub writer: AnyFeed,
}

/// A feed that somebody reads.
pub(crate) struct OpenFeed {
    pub id: DemandId,
    pub writer: AnyFeed,
    /// The streams that know of it.
    pub keys: BTreeSet<StreamKey>,
    /// The streams that it follows in a shared ring, each with its filter.
    pub follows: BTreeMap<StreamKey, Filter>,
    /// The batch in which it was last woken from a shared ring.
    woken_in: u64,
}

/// All of them.
pub(crate) struct OpenFeeds {
    /// A feed keeps its place; an empty one is taken by another.
    places: Vec<Option<OpenFeed>>,
    empty: Vec<usize>,
    by_id: HashMap<DemandId, usize>,
    /// Those with something to flush.
    unflushed: Vec<usize>,
    /// Streams that brought something since the last flush.
    touched: Vec<StreamKey>,
    /// Counts flushes.
    batch: u64,
    /// Readers of the pool and of shared rings that sleep.
    pub sleepers: Arc<Sleepers>,
}

impl OpenFeeds {
    pub fn new(sleepers: Arc<Sleepers>) -> Self {
        Self {
            places: Vec::new(),
            empty: Vec::new(),
            by_id: HashMap::new(),
            unflushed: Vec::new(),
            touched: Vec::new(),
            batch: 1,
            sleepers,
        }
    }

    /// Gives a feed a place. What it needs while frames come is allocated here.
    pub fn add(&mut self, id: DemandId, writer: AnyFeed) -> usize {
        let place = self.empty.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.places[place] =
            Some(OpenFeed { id, writer, keys: BTreeSet::new(), follows: BTreeMap::new(), woken_in: 0 });
        self.by_id.insert(id, place);
        self.unflushed.reserve(self.places.len().saturating_sub(self.unflushed.len()));
        place
    }

    pub fn place(&self, id: DemandId) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    pub fn get(&mut self, place: usize) -> Option<&mut OpenFeed> {
        self.places.get_mut(place)?.as_mut()
    }

    pub fn remove(&mut self, place: usize) -> Option<OpenFeed> {
        let feed = self.places.get_mut(place)?.take()?;
        self.by_id.remove(&feed.id);
        self.empty.push(place);
        Some(feed)
    }

    /// There may be as many streams to flush as this.
    pub fn reserve_touched(&mut self, streams: usize) {
        self.touched.reserve(streams.saturating_sub(self.touched.len()));
    }

    #[inline]
    pub fn push<T: Routed>(&mut self, place: usize, update: &Update<T>) {
        let Some(open) = self.places[place].as_mut() else { return };
        let is_first = match &mut open.writer {
            AnyFeed::Event(writer) => writer.push(update.map(Into::into)),
            typed => T::typed(typed).is_some_and(|writer| writer.push(update)),
        };
        if is_first {
            self.unflushed.push(place);
        }
    }

    #[inline]
    pub fn mark(&mut self, place: usize, mark: Mark) {
        let Some(open) = self.places[place].as_mut() else { return };
        if open.writer.mark(mark) {
            self.unflushed.push(place);
        }
    }

    #[inline]
    pub fn filter(&mut self, place: usize) {
        if let Some(open) = self.places[place].as_mut() {
            open.writer.filter();
        }
    }

    /// A stream brought something; `touched_in` is its own note of when it last did.
    #[inline]
    pub fn touch(&mut self, key: StreamKey, touched_in: &mut u64) {
        if std::mem::replace(touched_in, self.batch) != self.batch {
            self.touched.push(key);
        }
    }

    /// Hands over what was pushed and marked since the last call. Gives the streams whose readers
    /// have to be woken: one fence for the whole batch settles whether any of them sleeps.
    #[inline]
    pub fn flush(&mut self) -> Option<Vec<StreamKey>> {
        for place in self.unflushed.drain(..) {
            if let Some(open) = self.places[place].as_mut() {
                open.writer.flush();
            }
        }
        if self.touched.is_empty() {
            return None;
        }
        self.batch += 1;
        if self.sleepers.any() {
            return Some(std::mem::take(&mut self.touched));
        }
        self.touched.clear();
        None
    }

    /// Wakes a follower, once for each batch.
    pub fn wake(&mut self, place: usize) {
        let batch = self.batch;
        if let Some(open) = self.places[place].as_mut()
            && std::mem::replace(&mut open.woken_in, batch) != batch
        {
            open.writer.wake();
        }
    }

    /// The streams were dealt with; their memory is used again.
    pub fn give_back(&mut self, mut touched: Vec<StreamKey>) {
        touched.clear();
        self.touched = touched;
    }
}
