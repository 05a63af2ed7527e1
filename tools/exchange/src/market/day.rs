//! The statistics of a ticker: the UTC day, the last 24 hours, the last 52 weeks.

use super::{Side, Trade};
use crate::calendar::{DAY_MS, Moment};
use crate::rng::Rng;

#[derive(Debug, Clone)]
pub(crate) struct Day {
    number: u64,
    pub open: i64,
    pub high: i64,
    pub low: i64,
    pub previous_close: i64,
    pub turnover: i128,
    pub ask_volume: i128,
    pub bid_volume: i128,
    pub turnover_24h: i128,
    pub volume_24h: i128,
    pub high_52w: (i64, String),
    pub low_52w: (i64, String),
}

impl Day {
    /// Creates the statistics of a day in progress, with trades around `price` at a rate of `daily_volume` in 24 hours.
    pub fn in_progress(now_ms: u64, price: i64, daily_volume: i128, snap: impl Fn(i64) -> i64, rng: &mut Rng) -> Self {
        let near = |percent: u64, rng: &mut Rng| {
            let shift = i128::from(price) * i128::from(rng.below(percent * 100)) / 10_000;
            shift as i64
        };
        let passed = daily_volume * i128::from(now_ms % DAY_MS) / i128::from(DAY_MS);
        let ask_volume = passed * i128::from(rng.between(400, 600)) / 1_000;
        // A fifth of all days start at the current price, so that their first tickers print EVEN.
        let previous_close = if rng.chance(0.2) { price } else { snap(price + near(3, rng) - near(3, rng)) };
        let (open, high, low) = (previous_close, price + near(2, rng), price - near(2, rng));
        let date = |days: u64| Moment::utc(now_ms.saturating_sub(days * DAY_MS)).date();
        Self {
            number: now_ms / DAY_MS,
            open,
            high: snap(high.max(open)).max(price),
            low: snap(low.min(open)).min(price),
            previous_close,
            turnover: passed * i128::from(price),
            ask_volume,
            bid_volume: passed - ask_volume,
            turnover_24h: daily_volume * i128::from(price),
            volume_24h: daily_volume,
            high_52w: (snap(price + price / 2).max(price), date(rng.between(20, 340))),
            low_52w: (snap(price - price / 3), date(rng.between(20, 340))),
        }
    }

    pub fn volume(&self) -> i128 {
        self.ask_volume + self.bid_volume
    }

    /// Adds a trade. `last_price` is the price before it, which closes the day if this trade is the first of the next
    /// day.
    pub fn add(&mut self, trade: &Trade, last_price: i64) {
        let number = trade.trade_ms / DAY_MS;
        if number > self.number {
            self.roll(number, trade.price, last_price);
        }
        self.high = self.high.max(trade.price);
        self.low = self.low.min(trade.price);
        if trade.price > self.high_52w.0 {
            self.high_52w = (trade.price, Moment::utc(trade.trade_ms).date());
        }
        if trade.price < self.low_52w.0 {
            self.low_52w = (trade.price, Moment::utc(trade.trade_ms).date());
        }
        let volume = i128::from(trade.volume);
        match trade.taker {
            Side::Ask => self.ask_volume += volume,
            Side::Bid => self.bid_volume += volume,
        }
        self.turnover += trade.turnover();
        self.turnover_24h += trade.turnover();
        self.volume_24h += volume;
    }

    fn roll(&mut self, number: u64, open: i64, close: i64) {
        // The 24-hour sums restart with each day: a sliding window would keep every trade of a day in memory.
        self.turnover_24h = self.turnover;
        self.volume_24h = self.volume();
        (self.turnover, self.ask_volume, self.bid_volume) = (0, 0, 0);
        (self.number, self.previous_close) = (number, close);
        (self.open, self.high, self.low) = (open, open, open);
    }
}
