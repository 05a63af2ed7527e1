//! An order book: two sides of price levels, which trades consume and other orders change. KRW books also have orders
//! far from the price, which only grouped books show.
//!
//! Invariants: bids are strictly descending, asks strictly ascending, the best bid is below the best ask, no size is
//! zero, and each side has at least one level.

use super::tick::Quote;
use crate::number::ONE;
use crate::rng::Rng;
use std::iter;
use std::sync::Arc;

/// Levels per side in a frame. Shorter sides are padded with zeros in the frame, never here.
pub(crate) const WINDOW: usize = 30;

/// The orders at one price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Level {
    pub price: i64,
    pub size: i64,
    /// Whether the JVM prints this size without trailing zeros, because of the scale of the order that made it.
    pub stripped: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Ask,
    Bid,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Book {
    quote: Quote,
    depth: usize,
    /// The typical size of an order, in the base asset.
    unit: i64,
    /// Best first.
    asks: Vec<Level>,
    bids: Vec<Level>,
    /// Levels far from the price, lowest price first. Those above `asks` are asks, those below `bids` are bids, and the
    /// others do not count.
    far: Arc<[Level]>,
}

impl Book {
    pub fn new(quote: Quote, price: i64, depth: usize, unit: i64, rng: &mut Rng) -> Self {
        let (unit, far) = (unit.max(10), Arc::default());
        let mut book = Self { quote, depth, unit, asks: Vec::new(), bids: Vec::new(), far };
        let ask = quote.above(price);
        book.asks.push(book.level(ask, rng));
        book.bids.push(book.level(price, rng));
        for side in [Side::Ask, Side::Bid] {
            while book.extend(side, rng) {}
        }
        // Only grouped books show levels that far away.
        if quote.has_levels() {
            // Uses a copy of the random numbers, so that the market behaves the same as without these levels.
            book.far = book.far_levels(price, rng.clone());
        }
        book
    }

    /// Creates orders from a tenth of `price` to twice `price`: at every tick close to it, and fewer at greater
    /// distances.
    fn far_levels(&self, price: i64, mut rng: Rng) -> Arc<[Level]> {
        let step = |from: i64| (from - price).abs() / 10;
        let above = iter::successors(Some(price), |&from| {
            let next = self.quote.snap((from + step(from)).max(self.quote.above(from)));
            (next <= 2 * price).then_some(next)
        });
        let below = iter::successors(Some(price), |&from| {
            let next = self.quote.snap((from - step(from)).min(self.quote.below(from)));
            (next < from && next >= price / 10).then_some(next)
        });
        let mut prices: Vec<i64> = above.chain(below.skip(1)).collect();
        prices.sort_unstable();
        // Small sizes, because a group with a wide step is the sum of most of them.
        prices.into_iter().map(|price| level(price, self.unit / 10, &mut rng)).collect()
    }

    /// Returns all asks, best first: more than the window shows.
    fn all_asks(&self) -> impl Iterator<Item = &Level> {
        let highest = self.asks.last().map_or(0, |level| level.price);
        let beyond = self.far.partition_point(|level| level.price <= highest);
        self.asks.iter().chain(&self.far[beyond..])
    }

    /// Returns all bids, best first.
    fn all_bids(&self) -> impl Iterator<Item = &Level> {
        let lowest = self.bids.last().map_or(0, |level| level.price);
        let beyond = self.far.partition_point(|level| level.price < lowest);
        self.bids.iter().chain(self.far[..beyond].iter().rev())
    }

    pub fn best(&self, side: Side) -> Level {
        match side {
            Side::Ask => self.asks[0],
            Side::Bid => self.bids[0],
        }
    }

    /// Takes up to `size` from the best level of `side`. Returns the price and the size traded.
    pub fn take(&mut self, side: Side, size: i64, rng: &mut Rng) -> (i64, i64) {
        let best = &mut self.side(side)[0];
        let (price, traded) = (best.price, best.size.min(size));
        best.size -= traded;
        best.stripped = false;
        if best.size == 0 {
            self.remove(side, 0, rng);
        }
        (price, traded)
    }

    /// Makes a change other than a trade. `pull`, in `-1.0..=1.0`, is the direction in which the price should drift.
    pub fn change(&mut self, pull: f64, rng: &mut Rng) {
        match rng.below(10) {
            0 => self.quote_inside(pull, rng),
            1 => {
                let side = if rng.chance(0.5 + pull / 2.0) { Side::Ask } else { Side::Bid };
                self.remove(side, 0, rng);
            }
            _ => self.resize(rng),
        }
    }

    /// Adds a new best order between bid and ask, if a price is free there.
    fn quote_inside(&mut self, pull: f64, rng: &mut Rng) {
        let (bid, ask) = (self.bids[0].price, self.asks[0].price);
        let (higher, lower) = (self.quote.above(bid), self.quote.below(ask));
        if rng.chance(0.5 + pull / 2.0) && higher < ask {
            let level = self.level(higher, rng);
            self.bids.insert(0, level);
        } else if lower > bid {
            let level = self.level(lower, rng);
            self.asks.insert(0, level);
        } else {
            self.resize(rng);
        }
        self.asks.truncate(self.depth);
        self.bids.truncate(self.depth);
    }

    fn resize(&mut self, rng: &mut Rng) {
        let side = if rng.chance(0.5) { Side::Ask } else { Side::Bid };
        for _ in 0..rng.between(1, 3) {
            // Most orders change near the top.
            let index = (rng.unit().powi(2) * self.side(side).len() as f64) as usize;
            let price = self.side(side)[index].price;
            let level = self.level(price, rng);
            self.side(side)[index] = level;
        }
    }

    fn remove(&mut self, side: Side, index: usize, rng: &mut Rng) {
        self.extend(side, rng);
        if self.side(side).len() > 1 {
            self.side(side).remove(index);
        } else {
            // No lower bid is possible: a new order replaces it at the same price.
            let price = self.side(side)[0].price;
            let level = self.level(price, rng);
            self.side(side)[0] = level;
        }
    }

    /// Adds a level after the last one. Returns false if the side is full or no price is left.
    fn extend(&mut self, side: Side, rng: &mut Rng) -> bool {
        let quote = self.quote;
        let levels = self.side(side);
        let Some(last) = levels.last().copied() else { return false };
        let mut price = last.price;
        for _ in 0..rng.between(1, 3) {
            price = match side {
                Side::Ask => quote.above(price),
                Side::Bid => quote.below(price),
            };
        }
        if levels.len() > self.depth || price <= 0 {
            return false;
        }
        let level = self.level(price, rng);
        self.side(side).push(level);
        self.side(side).len() < self.depth
    }

    fn side(&mut self, side: Side) -> &mut Vec<Level> {
        match side {
            Side::Ask => &mut self.asks,
            Side::Bid => &mut self.bids,
        }
    }

    fn level(&self, price: i64, rng: &mut Rng) -> Level {
        level(price, self.unit, rng)
    }
}

fn level(price: i64, unit: i64, rng: &mut Rng) -> Level {
    // From a hundredth of the typical size to a few times that size.
    let size = (unit as f64 * 10f64.powf(rng.unit() * 2.5 - 2.0)) as i64 + rng.below(10_000) as i64 + 1;
    if rng.chance(0.2) && size > 20_000 {
        return Level { price, size: size - size % 10_000, stripped: rng.chance(0.5) };
    }
    Level { price, size, stripped: false }
}

/// The printed window of a book: 30 units of (ask, bid), and the sums over them.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    pub asks: Vec<Level>,
    pub bids: Vec<Level>,
    pub total_ask_size: i128,
    pub total_bid_size: i128,
}

impl Window {
    /// Returns the best levels of the book. If `level` is not zero, returns the best groups of the whole book: asks are
    /// rounded up to `level`, bids down.
    pub fn of(book: &Book, level: i64) -> Self {
        let (asks, bids) = match level {
            0 => (book.asks.iter().take(WINDOW).copied().collect(), book.bids.iter().take(WINDOW).copied().collect()),
            _ => (
                group(book.all_asks(), |price| (price + level - 1) / level * level),
                group(book.all_bids(), |price| price / level * level),
            ),
        };
        let total = |levels: &[Level]| levels.iter().map(|level| i128::from(level.size)).sum();
        Self { total_ask_size: total(&asks), total_bid_size: total(&bids), asks, bids }
    }
}

fn group<'a>(levels: impl Iterator<Item = &'a Level>, to: impl Fn(i64) -> i64) -> Vec<Level> {
    let mut grouped: Vec<Level> = Vec::with_capacity(WINDOW);
    // A bid below the first level belongs to no group.
    for (price, level) in levels.map(|level| (to(level.price), level)).filter(|(price, _)| *price > 0) {
        let is_full = grouped.len() == WINDOW;
        match grouped.last_mut().filter(|last| last.price == price) {
            Some(last) => *last = Level { price, size: last.size + level.size, stripped: false },
            None if is_full => break,
            None => grouped.push(Level { price, ..*level }),
        }
    }
    grouped
}

/// Returns the typical order size of a market, from its typical value in the quote currency.
pub(crate) fn usual_size(notional: i64, price: i64) -> i64 {
    let size = i128::from(notional) * i128::from(ONE) / i128::from(price.max(1));
    // All levels of a book, each up to a few times this size, must still fit in an i64 when they are grouped into one.
    size.clamp(10, 400_000_000 * i128::from(ONE)) as i64
}
