//! Orderbook: the whole visible book of a market. Each message replaces the previous one; there are no deltas.

use std::fmt;
use std::ops::Deref;

use super::{Access, Nature, Noun};
use crate::model::words::words;
use crate::model::{DataType, Fingerprint, FromWords, Grouping, Market, Maybe, StreamType, Words};

/// Maximum number of levels on a side, which is also the maximum that the exchange documents.
pub const MAX_LEVELS: usize = 30;

/// The visible book of a market. Prices are in the quote currency, sizes in the base currency.
///
/// A message always has its market, its units, a time and a stream type. The exchange may drop any other field. If it sends
/// more than [`MAX_LEVELS`] levels of a side, the best ones are kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Orderbook {
    /// The market; `code` of the exchange, without a `.n` suffix.
    pub market: Market,
    /// Time of the last change of the book, Unix ms: the ordering key. It may be old in the snapshot of a quiet book.
    pub timestamp: u64,
    /// Sum of the ask sizes over the whole visible book, even if fewer levels are sent.
    pub total_ask_size: Maybe<f64>,
    /// Sum of the bid sizes over the whole visible book.
    pub total_bid_size: Maybe<f64>,
    /// Offers to sell, best (lowest) first.
    pub asks: Levels,
    /// Offers to buy, best (highest) first.
    pub bids: Levels,
    /// Snapshot or realtime; the shape is the same.
    pub stream_type: StreamType,
    /// Price grouping in the quote currency, 0 for none. Absent outside Korea and before 2024.
    pub level: Maybe<f64>,
}

/// One price level of one side.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Level {
    /// Price, in the quote currency.
    pub price: f64,
    /// Size, in the base currency.
    pub size: f64,
}

/// The n-th best ask and the n-th best bid, as the exchange sends them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unit {
    /// The ask, if that side is deep enough.
    pub ask: Option<Level>,
    /// The bid, if that side is deep enough.
    pub bid: Option<Level>,
}

/// The best ask and the best bid of a book, read without the rest of it: see
/// [`Handle::best_levels`](crate::Handle::best_levels).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BestLevels {
    /// Time of the last change of the book, Unix ms.
    pub timestamp: u64,
    /// The lowest ask, if there is one.
    pub ask: Option<Level>,
    /// The highest bid, if there is one.
    pub bid: Option<Level>,
}

impl BestLevels {
    /// Best ask minus best bid, in the quote currency. `None` if a side is empty.
    pub fn spread(&self) -> Option<f64> {
        Some(self.ask?.price - self.bid?.price)
    }
}

/// One side of a book, best level first, stored inline. Dereferences to a slice.
#[derive(Clone, Copy)]
pub struct Levels {
    levels: [Level; MAX_LEVELS],
    len: u8,
}

impl Levels {
    /// A side without offers.
    pub const EMPTY: Self = Self { levels: [Level { price: 0.0, size: 0.0 }; MAX_LEVELS], len: 0 };

    /// Appends a level. Returns false if the side is full. Never allocates.
    #[inline]
    pub fn push(&mut self, level: Level) -> bool {
        let Some(slot) = self.levels.get_mut(usize::from(self.len)) else { return false };
        *slot = level;
        self.len += 1;
        true
    }

    /// Drops all levels.
    #[inline]
    pub fn clear(&mut self) {
        self.len = 0;
    }
}

impl Orderbook {
    /// The lowest ask, if there is one.
    pub fn best_ask(&self) -> Option<Level> {
        self.asks.first().copied()
    }

    /// The highest bid, if there is one.
    pub fn best_bid(&self) -> Option<Level> {
        self.bids.first().copied()
    }

    /// Best ask minus best bid, in the quote currency. `None` if a side is empty.
    pub fn spread(&self) -> Option<f64> {
        Some(self.best_ask()?.price - self.best_bid()?.price)
    }

    /// Iterates over both sides together, best first.
    pub fn units(&self) -> impl Iterator<Item = Unit> + '_ {
        let depth = self.asks.len().max(self.bids.len());
        (0..depth).map(|i| Unit { ask: self.asks.get(i).copied(), bid: self.bids.get(i).copied() })
    }
}

impl Noun for Orderbook {
    const DATA_TYPES: &'static [DataType] = &[DataType::Orderbook];
    const NATURE: Nature = Nature::State;
    const ACCESS: Access = Access::Public;
    const BYTES_PER_SECOND: f64 = 2736.0 * 1.8;
    const DECODE_NS: [f64; 4] = [48.0, 46.0, 52.0, 50.0];

    type Order = u64;

    common_answers!();

    #[inline]
    fn data_type(&self) -> DataType {
        self.level.get().and_then(Grouping::krw).map_or(DataType::Orderbook, DataType::GroupedOrderbook)
    }

    #[inline]
    fn order(&self) -> u64 {
        self.timestamp
    }

    #[inline]
    fn latest_ms(order: u64) -> u64 {
        order
    }

    #[inline]
    fn id(&self) -> Option<u64> {
        None
    }

    #[inline]
    fn contents(&self) -> Fingerprint {
        Fingerprint::default()
    }

    #[inline]
    fn unit_count(&self) -> usize {
        self.asks.len().max(self.bids.len())
    }

    #[inline]
    fn without_level(&self, plain_level: f64) -> Option<Self> {
        (self.level.get() == Some(plain_level)).then_some(Self { level: Maybe::ABSENT, ..*self })
    }
}

words! { Level { price size } }

/// The first words of a book: what they say about the words that follow, and the time of the book.
struct Head {
    stream_type: StreamType,
    asks: u8,
    bids: u8,
    timestamp: u64,
}

words! { Head { timestamp [stream_type asks bids] } }

/// Stored as the head, then the best ask, the best bid, the next ask and so on, then the other fields. So the best levels
/// are found in the first words, and a book with fewer levels takes fewer words. If one side has more levels than the
/// other, the other side's places hold meaningless levels.
impl Words for Orderbook {
    const MAX: usize = Head::MAX + 2 * Level::MAX * MAX_LEVELS + 3 * <Maybe<f64> as Words>::MAX + Market::MAX;

    #[inline]
    fn put(&self, word: &mut impl FnMut(u64)) {
        let Self { market, timestamp, total_ask_size, total_bid_size, asks, bids, stream_type, level } = self;
        Head { stream_type: *stream_type, asks: asks.len, bids: bids.len, timestamp: *timestamp }.put(word);
        for (ask, bid) in asks.levels.iter().zip(&bids.levels).take(self.unit_count()) {
            ask.put(word);
            bid.put(word);
        }
        [total_ask_size, total_bid_size, level].into_iter().for_each(|it| it.put(word));
        market.put(word);
    }

    #[inline]
    fn take(word: &mut impl FnMut() -> u64) -> Self {
        let Head { stream_type, asks, bids, timestamp } = Head::take(word);
        let mut asks = Levels { len: asks.min(MAX_LEVELS as u8), ..Levels::EMPTY };
        let mut bids = Levels { len: bids.min(MAX_LEVELS as u8), ..Levels::EMPTY };
        let units = asks.len().max(bids.len());
        for (ask, bid) in asks.levels.iter_mut().zip(&mut bids.levels).take(units) {
            (*ask, *bid) = (Level::take(word), Level::take(word));
        }
        let [total_ask_size, total_bid_size, level] = std::array::from_fn(|_| Maybe::take(word));
        let market = Market::take(word);
        Self { market, timestamp, total_ask_size, total_bid_size, asks, bids, stream_type, level }
    }
}

impl FromWords for BestLevels {
    const WORDS: usize = Head::MAX + 2 * Level::MAX;

    #[inline]
    fn from_words(word: &mut impl FnMut() -> u64) -> Self {
        let Head { asks, bids, timestamp, .. } = Head::take(word);
        let (ask, bid) = (Level::take(word), Level::take(word));
        Self { timestamp, ask: (asks > 0).then_some(ask), bid: (bids > 0).then_some(bid) }
    }
}

impl Deref for Levels {
    type Target = [Level];
    #[inline]
    fn deref(&self) -> &[Level] {
        &self.levels[..usize::from(self.len)]
    }
}

/// Compares only the current levels, not levels of an earlier book that are still stored after them.
impl PartialEq for Levels {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_holds_thirty_levels_and_refuses_more() {
        let mut side = Levels::EMPTY;
        for i in 0..MAX_LEVELS {
            assert!(side.push(Level { price: i as f64, size: 1.0 }));
        }
        assert!(!side.push(Level::default()));
        assert_eq!(side.len(), MAX_LEVELS);
    }

    #[test]
    fn the_best_levels_are_read_from_the_first_words_of_books_of_all_depths() {
        for (asks, bids) in [(0, 0), (1, 0), (0, 2), (1, 1), (3, 1), (MAX_LEVELS, MAX_LEVELS)] {
            let side = |levels: usize, sign: f64| {
                let mut side = Levels::EMPTY;
                (0..levels).for_each(|i| _ = side.push(Level { price: 100.0 + sign * (i + 1) as f64, size: 1.5 }));
                side
            };
            let book = Orderbook {
                market: "KRW-BTC".parse().unwrap(),
                timestamp: 7,
                total_ask_size: Maybe::ABSENT,
                total_bid_size: 2.0.into(),
                asks: side(asks, 1.0),
                bids: side(bids, -1.0),
                stream_type: StreamType::Realtime,
                level: 0.0.into(),
            };
            let mut words = Vec::new();
            book.put(&mut |word| words.push(word));
            let mut left = words.iter().copied();
            let best = BestLevels::from_words(&mut || left.next().unwrap());
            assert!(words.len() - left.len() <= BestLevels::WORDS);
            assert_eq!((best.timestamp, best.ask, best.bid), (7, book.best_ask(), book.best_bid()));
            assert_eq!(best.spread(), book.spread());
        }
    }

    #[test]
    fn equality_ignores_leftover_levels() {
        let (mut a, mut b) = (Levels::EMPTY, Levels::EMPTY);
        a.push(Level { price: 1.0, size: 1.0 });
        a.push(Level { price: 2.0, size: 2.0 });
        a.clear();
        assert_eq!(a, b);
        b.push(Level { price: 3.0, size: 3.0 });
        assert_ne!(a, b);
    }
}
