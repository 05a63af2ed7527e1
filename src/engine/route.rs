//! Who reads one stream, and how it gets there.

use super::open_feeds::{OpenFeeds, Routed};
use crate::feed::{Broadcaster, Filter, Followable, Followed, Mark, Update};
use crate::model::{Candle, DataType, Grouping, Interval, Nanos, Orderbook, Receipt, Stamps, Ticker, Trade, Words};
use crate::pool::{Publisher, Value, Verdict};
use crate::sync::latest::{Version, Writer};

/// Who reads one stream.
pub(super) struct Route<T: Value> {
    publisher: Publisher<T>,
    /// Somebody wants it. What comes in spite of that was under way, and is counted.
    wanted: bool,
    readers: Vec<Reader<T>>,
    /// The feeds that read it from the shared ring, and what the ring knows of it.
    followers: Vec<usize>,
    followable: Option<Followable>,
    /// The batch in which it last brought something.
    touched_in: u64,
}

/// A feed's interest in one stream.
pub(super) struct Reader<T> {
    /// Its place among the [`OpenFeeds`].
    pub feed: usize,
    pub filter: Filter,
    pub keep: Keep<T>,
}

/// How the feed keeps it.
pub(super) enum Keep<T> {
    /// In a ring of the feed's own.
    Queue,
    /// As the newest value, which the pool has.
    Newest(Mark),
    /// As the newest of those that the feed asked for, which the pool need not have.
    NewestOwn(Mark, Writer<T>),
}

impl<T: Value> Route<T> {
    pub fn new(publisher: Publisher<T>) -> Self {
        Self { publisher, wanted: false, readers: Vec::new(), followers: Vec::new(), followable: None, touched_in: 0 }
    }

    pub fn publisher(&self) -> &Publisher<T> {
        &self.publisher
    }

    /// Gives what a feed had of it.
    pub fn take_reader(&mut self, feed: usize) -> Option<Reader<T>> {
        let place = self.readers.iter().position(|reader| reader.feed == feed)?;
        Some(self.readers.swap_remove(place))
    }

    /// A feed keeps its place and is given nothing.
    pub fn pause_reader(&mut self, feed: usize) {
        for reader in self.readers.iter_mut().filter(|reader| reader.feed == feed) {
            reader.filter = Filter::nothing();
        }
    }

    pub fn add_reader(&mut self, reader: Reader<T>) {
        self.readers.push(reader);
    }

    /// A feed follows it in the shared ring; `again` if it did before.
    pub fn add_follower(&mut self, feed: usize, filter: Filter, ring: &mut Broadcaster<T>, again: bool) -> Followed
    where
        T: Words,
    {
        self.followers.push(feed);
        self.followable.get_or_insert_with(|| ring.followable()).followed(filter, again)
    }
}

impl<T: Routed> Route<T> {
    /// The newest value as a snapshot, if it came on the current socket.
    pub fn state(&self) -> Option<Update<T>> {
        let Version { value, stamps, epoch, connection, version } = self.publisher.current()?;
        Some(Update { value: value.into_snapshot(), stamps, connection, epoch, version })
    }

    /// Publishes to the pool, then to the feeds. Both carry the same stamps. False if nobody wants the stream.
    #[inline]
    pub fn publish(
        &mut self,
        feeds: &mut OpenFeeds,
        ring: &mut Option<Broadcaster<T>>,
        published: Nanos,
        receipt: Receipt,
        value: &T,
    ) -> bool {
        if !self.wanted {
            return false;
        }
        let verdict = self.publisher.publish(&receipt, value, || published);
        if verdict == Verdict::Published {
            feeds.touch(self.publisher.key(), &mut self.touched_in);
        }
        if !self.readers.is_empty() || !self.followers.is_empty() {
            self.deliver(feeds, ring, verdict, published, receipt, value);
        }
        true
    }

    #[inline]
    fn deliver(
        &mut self,
        feeds: &mut OpenFeeds,
        ring: &mut Option<Broadcaster<T>>,
        verdict: Verdict,
        published: Nanos,
        receipt: Receipt,
        value: &T,
    ) {
        let is_news = self.publisher.is_news(verdict, value);
        if !is_news && !self.may_be_awaited(verdict) {
            return;
        }
        let update = Update {
            value: *value,
            stamps: Stamps { exchange_ms: value.exchange_ms(), received: receipt.received, published },
            connection: receipt.connection,
            epoch: receipt.epoch,
            version: self.publisher.version(),
        };
        for reader in &mut self.readers {
            reader.deliver(feeds, is_news, verdict, &update, &receipt);
        }
        if is_news
            && !self.followers.is_empty()
            && let (Some(ring), Some(followable)) = (ring, &mut self.followable)
        {
            ring.publish(followable, &update);
            feeds.touch(self.publisher.key(), &mut self.touched_in);
        }
    }

    /// Somebody wants snapshots whatever they bring, and this may be one.
    fn may_be_awaited(&self, verdict: Verdict) -> bool {
        verdict != Verdict::OldEpoch && self.readers.iter().any(|reader| reader.filter.is_of_snapshots())
    }
}

impl<T: Routed> Reader<T> {
    #[inline]
    fn deliver(
        &mut self,
        feeds: &mut OpenFeeds,
        is_news: bool,
        verdict: Verdict,
        update: &Update<T>,
        receipt: &Receipt,
    ) {
        let stream_type = update.value.stream_type();
        let is_awaited = self.filter.awaits(stream_type, update.epoch);
        if !is_news && !is_awaited {
            return;
        }
        if !self.filter.wants(stream_type, update.epoch) {
            return feeds.filter(self.feed);
        }
        match &mut self.keep {
            Keep::Queue => feeds.push(self.feed, update),
            Keep::Newest(mark) => feeds.mark(self.feed, *mark),
            Keep::NewestOwn(mark, newest) => {
                // What came late has been replaced already.
                if verdict == Verdict::Published || is_awaited {
                    newest.publish(&update.value, update.stamps.exchange_ms, receipt, update.stamps.published);
                }
                feeds.mark(self.feed, *mark);
            }
        }
    }
}

/// A route whose type of value does not matter.
pub(super) trait AnyRoute {
    fn set_wanted(&mut self, wanted: bool);
    /// A feed does not read it any more.
    fn leave(&mut self, feed: usize);
    /// Wakes who sleeps until the pool has something newer.
    fn wake(&self);
    /// The feeds that read it from the shared ring.
    fn followers(&self) -> &[usize];
}

impl<T: Value> AnyRoute for Route<T> {
    fn set_wanted(&mut self, wanted: bool) {
        self.wanted = wanted;
    }

    fn leave(&mut self, feed: usize) {
        self.readers.retain(|reader| reader.feed != feed);
        self.followers.retain(|follower| *follower != feed);
    }

    fn wake(&self) {
        self.publisher.wake();
    }

    fn followers(&self) -> &[usize] {
        &self.followers
    }
}

/// The streams of one market. Each is apart from the others: most markets have few of them, and the table that is
/// searched for every message stays small.
#[derive(Default)]
pub(super) struct Routes {
    pub ticker: Option<Box<Route<Ticker>>>,
    pub trade: Option<Box<Route<Trade>>>,
    pub orderbook: Option<Box<Route<Orderbook>>>,
    pub grouped: Vec<(Grouping, Route<Orderbook>)>,
    pub candles: Vec<(Interval, Route<Candle>)>,
}

impl Routes {
    /// The route of one stream.
    pub fn find(&mut self, data_type: DataType) -> Option<&mut dyn AnyRoute> {
        fn any<T: Value>(route: &mut Route<T>) -> &mut dyn AnyRoute {
            route
        }
        match data_type {
            DataType::Ticker => self.ticker.as_deref_mut().map(any),
            DataType::Trade => self.trade.as_deref_mut().map(any),
            DataType::Orderbook | DataType::GroupedOrderbook(_) => self.book(data_type).map(any),
            DataType::Candle(_) => self.candle(data_type).map(any),
        }
    }

    /// The book as it is, or grouped.
    #[inline]
    pub fn book(&mut self, data_type: DataType) -> Option<&mut Route<Orderbook>> {
        match data_type {
            DataType::GroupedOrderbook(step) => {
                self.grouped.iter_mut().find(|(s, _)| *s == step).map(|(_, route)| route)
            }
            _ => self.orderbook.as_deref_mut(),
        }
    }

    /// The candles of one interval.
    #[inline]
    pub fn candle(&mut self, data_type: DataType) -> Option<&mut Route<Candle>> {
        let DataType::Candle(interval) = data_type else { return None };
        self.candles.iter_mut().find(|(i, _)| *i == interval).map(|(_, route)| route)
    }
}
