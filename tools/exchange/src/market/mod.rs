//! A market as a sequence of events: trades, book changes on a 100 ms grid, candles every second.
//!
//! Sans-IO: [`Market::next`] returns the time of the next event, [`Market::step`] makes it happen. A market without
//! subscribers is never stepped and costs nothing; [`Market::wake`] resumes it.

pub(crate) mod book;
pub(crate) mod candle;
mod day;
pub(crate) mod floor;
pub(crate) mod listing;
pub(crate) mod tick;

pub(crate) use book::{Book, Side};
pub(crate) use day::Day;

use crate::calendar::{DAY_MS, MS, SECOND};
use crate::number::ONE;
use crate::rng::Rng;
use candle::{Candle, Candles};
use listing::Listing;
use tick::Quote;

/// The time between book frames of one market, in ns.
const GRID: u64 = 100 * MS;
/// The minimum time from the publication of the newest trade to that of a late one, in ms, as measured in a recording.
const LATE_AFTER_MS: u64 = 13;
/// The maximum time from a trade to its publication, in ms. The latest trade in the recording was this far behind a
/// newer one.
const LATE_MS_MAX: u64 = 258;
/// The share of late trades among those that can be late. With ten trades per second, as in the recording, 2 % of all
/// trades are late.
const LATE: f64 = 0.026;

/// One trade. `taker` is the side that crossed the spread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trade {
    pub timestamp_ms: u64,
    pub trade_ms: u64,
    pub price: i64,
    pub volume: i64,
    pub taker: Side,
    pub sequential_id: u64,
    pub best_ask: book::Level,
    pub best_bid: book::Level,
}

impl Trade {
    /// Returns price times volume, with twice as many decimals.
    pub fn turnover(&self) -> i128 {
        i128::from(self.price) * i128::from(self.volume)
    }
}

/// An event that subscribers receive.
#[derive(Debug)]
pub(crate) enum Event {
    Trade(Trade),
    Book,
    Candles(Vec<(usize, Candle)>),
}

#[derive(Debug)]
pub(crate) struct Market {
    pub code: String,
    reference_price: i64,
    trades_per_second: f64,
    changes_per_second: f64,
    usual_size: i64,
    /// The offset of this market's book frames on the grid, in ns.
    phase: u64,
    book: Book,
    /// The book that subscribers know, and the time of its last change. `book` may be newer, by less than a grid step.
    pub shown: Book,
    pub shown_ms: u64,
    pub day: Day,
    pub candles: Candles,
    /// The last published trade, which a trade snapshot shows.
    pub last_trade: Trade,
    /// The newest trade by its own time, which a ticker shows.
    pub newest_trade: Trade,
    late_trades: u64,
    next_trade: u64,
    next_change: u64,
    book_due: Option<u64>,
    candles_due: Option<u64>,
    rng: Rng,
}

impl Market {
    /// Creates the market with a history before `now`. `speed` multiplies the rates of its events.
    pub fn new(listing: &Listing, speed: f64, now: u64) -> Self {
        let mut rng = Rng::new(listing.seed);
        let quote = listing.quote;
        let price = quote.snap(listing.reference_price);
        let usual_size = book::usual_size(usual_notional(quote), price);
        let book = Book::new(quote, price, listing.depth, usual_size, &mut rng);
        // The more active the market is, the more recent is its last trade, which is two hours old at most.
        let now_ms = now / MS;
        let quiet_ms = rng.wait_ns(listing.trades_per_second).min(7_200 * SECOND) / MS + 60;
        let last_ms = now_ms.saturating_sub(quiet_ms);
        let daily_volume = i128::from(usual_size) * (listing.trades_per_second * 20_000.0 + 10.0) as i128;
        let day = Day::in_progress(now_ms, price, daily_volume, |price| quote.snap(price), &mut rng);
        let trade = Trade {
            timestamp_ms: last_ms + 42,
            trade_ms: last_ms,
            price,
            volume: usual_size,
            taker: if rng.chance(0.5) { Side::Ask } else { Side::Bid },
            sequential_id: last_ms * 10_000,
            best_ask: book.best(Side::Ask),
            best_bid: book.best(Side::Bid),
        };
        let mut candles = Candles::default();
        candles.add(&trade);
        candles.take_changed();
        let mut market = Self {
            code: listing.code.clone(),
            reference_price: price,
            trades_per_second: listing.trades_per_second * speed,
            changes_per_second: listing.changes_per_second * speed,
            usual_size,
            phase: rng.below(GRID / MS) * MS,
            shown: book.clone(),
            shown_ms: last_ms + rng.below(60),
            book,
            day,
            candles,
            last_trade: trade,
            newest_trade: trade,
            late_trades: 0,
            next_trade: 0,
            next_change: 0,
            book_due: None,
            candles_due: None,
            rng,
        };
        market.resume(now);
        market
    }

    /// Resumes the market after a time without subscribers. Discards the frames that were due meanwhile.
    pub fn wake(&mut self, now: u64) {
        if self.candles_due.take_if(|due| *due <= now).is_some() {
            self.candles.take_changed();
        }
        if let Some(due) = self.book_due.take_if(|due| *due <= now) {
            self.show_book(due);
        }
        self.resume(now);
    }

    /// Continues from `now` after a pause in which nothing happened.
    pub fn resume(&mut self, now: u64) {
        self.next_trade = now + self.rng.wait_ns(self.trades_per_second);
        self.next_change = now + self.rng.wait_ns(self.changes_per_second);
        self.book_due = self.book_due.map(|_| on_grid_after(now, GRID, self.phase));
        self.candles_due = self.candles_due.map(|_| on_grid_after(now, SECOND, 0));
    }

    /// Returns the time at which the next [`step`](Self::step) is due.
    pub fn next(&self) -> u64 {
        let sent = self.book_due.unwrap_or(u64::MAX).min(self.candles_due.unwrap_or(u64::MAX));
        self.next_trade.min(self.next_change).min(sent)
    }

    /// Runs the event that is due first. `None` if subscribers do not see it yet.
    pub fn step(&mut self) -> Option<Event> {
        let due = self.next();
        // Candles first: a trade in the same nanosecond already belongs to the next window.
        if self.candles_due == Some(due) {
            self.candles_due = None;
            return Some(Event::Candles(self.candles.take_changed()));
        }
        if self.book_due == Some(due) {
            self.book_due = None;
            return self.show_book(due);
        }
        if self.next_change == due {
            let pull = self.pull();
            self.book.change(pull, &mut self.rng);
            self.book_changed(due);
            self.next_change = due + self.rng.wait_ns(self.changes_per_second);
            return None;
        }
        let trade = self.trade(due);
        self.next_trade = due + self.rng.wait_ns(self.trades_per_second);
        Some(Event::Trade(trade))
    }

    /// Publishes the book unless it is equal to the one shown.
    fn show_book(&mut self, now: u64) -> Option<Event> {
        if self.shown == self.book {
            return None;
        }
        self.shown.clone_from(&self.book);
        self.shown_ms = now / MS;
        Some(Event::Book)
    }

    fn trade(&mut self, now: u64) -> Trade {
        let buy = self.rng.chance(0.5 + self.pull() / 2.0);
        let (taker, maker) = if buy { (Side::Bid, Side::Ask) } else { (Side::Ask, Side::Bid) };
        let size = (self.usual_size as f64 * 10f64.powf(self.rng.unit() * 3.0 - 2.5)) as i64 + 1;
        let (price, volume) = self.book.take(maker, size, &mut self.rng);
        let (trade_ms, sequential_id) = self.trade_time(now);
        let trade = Trade {
            timestamp_ms: now / MS,
            trade_ms,
            price,
            volume,
            taker,
            sequential_id,
            best_ask: self.book.best(Side::Ask),
            best_bid: self.book.best(Side::Bid),
        };
        self.book_changed(now);
        self.day.add(&trade, self.newest_trade.price);
        self.candles.add(&trade);
        self.candles_due.get_or_insert(on_grid_after(now, SECOND, 0));
        self.last_trade = trade;
        if sequential_id > self.newest_trade.sequential_id {
            self.newest_trade = trade;
        }
        trade
    }

    /// Returns the time of a trade, some tens of ms before its publication, and its id: ms x 10000 + n.
    fn trade_time(&mut self, now: u64) -> (u64, u64) {
        let now_ms = now / MS;
        if let Some(trade_ms) = self.late_trade_time(now_ms) {
            // The upper half of the counter is for late trades, so that no id occurs twice in a market.
            self.late_trades += 1;
            return (trade_ms, trade_ms * 10_000 + 5_000 + self.late_trades % 5_000);
        }
        let trade_ms = now_ms.saturating_sub(self.rng.between(24, 60)).max(self.newest_trade.trade_ms);
        let first = trade_ms * 10_000;
        (trade_ms, first.max(self.newest_trade.sequential_id + 1))
    }

    /// Returns the time of a trade that is published now, if it is a late one: before the newest trade, which must be
    /// recent.
    fn late_trade_time(&mut self, now_ms: u64) -> Option<u64> {
        let newest = &self.newest_trade;
        // Upbit's handling of trades from the previous day is not known. Here a day is complete once the next one has a
        // trade.
        let day_ms = newest.trade_ms - newest.trade_ms % DAY_MS;
        let earliest_ms = now_ms.saturating_sub(LATE_MS_MAX).max(day_ms);
        let can_be_late = now_ms >= newest.timestamp_ms + LATE_AFTER_MS && earliest_ms < newest.trade_ms;
        if !self.rng.chance(LATE) || !can_be_late {
            return None;
        }
        Some(self.rng.between(earliest_ms, self.newest_trade.trade_ms - 1))
    }

    fn book_changed(&mut self, now: u64) {
        self.book_due.get_or_insert(on_grid_after(now, GRID, self.phase));
    }

    /// Returns the pull on the price: back to the reference price, so that long runs stay realistic.
    fn pull(&self) -> f64 {
        let price = self.book.best(Side::Bid).price;
        let away = (self.reference_price - price) as f64 / self.reference_price as f64;
        (away * 20.0).clamp(-0.8, 0.8)
    }
}

/// Returns the first time after `now` that is `phase` past a multiple of `grid`.
fn on_grid_after(now: u64, grid: u64, phase: u64) -> u64 {
    let base = now - now % grid + phase;
    if base > now { base } else { base + grid }
}

/// Returns the value of a typical order in the quote currency.
fn usual_notional(quote: Quote) -> i64 {
    match quote {
        Quote::Krw | Quote::KrwStable => 10_000_000 * ONE,
        Quote::Btc => ONE / 12,
        Quote::Usdt => 7_000 * ONE,
    }
}
