//! Candles of the nine widths. Each candle records whether it has changed since it was last sent.

use super::Trade;

/// The type name and the width, in ms, of each kind of candle.
pub(crate) const UNITS: [(&str, u64); 9] = [
    ("candle.1s", 1_000),
    ("candle.1m", 60_000),
    ("candle.3m", 180_000),
    ("candle.5m", 300_000),
    ("candle.10m", 600_000),
    ("candle.15m", 900_000),
    ("candle.30m", 1_800_000),
    ("candle.60m", 3_600_000),
    ("candle.240m", 14_400_000),
];

#[derive(Debug, Clone, Copy)]
pub(crate) struct Candle {
    pub start_ms: u64,
    pub open: i64,
    pub high: i64,
    pub low: i64,
    pub close: i64,
    pub volume: i128,
    pub turnover: i128,
    /// The time of its last trade.
    pub timestamp_ms: u64,
    /// The ids of the first and the last trade. Within a market, later trades have larger ids.
    opened_by: u64,
    closed_by: u64,
    /// Set if it has changed since it was last sent.
    dirty: bool,
}

impl Candle {
    fn new(start_ms: u64, trade: &Trade) -> Self {
        Self {
            start_ms,
            open: trade.price,
            high: trade.price,
            low: trade.price,
            close: trade.price,
            volume: 0,
            turnover: 0,
            timestamp_ms: trade.trade_ms,
            opened_by: trade.sequential_id,
            closed_by: trade.sequential_id,
            dirty: true,
        }
    }

    fn add(&mut self, trade: &Trade) {
        self.high = self.high.max(trade.price);
        self.low = self.low.min(trade.price);
        if trade.sequential_id < self.opened_by {
            (self.open, self.opened_by) = (trade.price, trade.sequential_id);
        }
        if trade.sequential_id > self.closed_by {
            (self.close, self.closed_by, self.timestamp_ms) = (trade.price, trade.sequential_id, trade.trade_ms);
        }
        self.volume += i128::from(trade.volume);
        self.turnover += trade.turnover();
        self.dirty = true;
    }
}

/// The candles of one width, oldest first: the newest two, because a late trade is never older than the window before
/// the newest, and older ones that have changed and were not sent yet.
#[derive(Debug, Default)]
struct Windows(Vec<Candle>);

impl Windows {
    fn add(&mut self, start_ms: u64, trade: &Trade) {
        let place = self.0.partition_point(|candle| candle.start_ms < start_ms);
        if self.0.get(place).is_none_or(|candle| candle.start_ms != start_ms) {
            self.0.insert(place, Candle::new(start_ms, trade));
        }
        self.0[place].add(trade);
        self.forget_old();
    }

    fn take_changed(&mut self) -> Vec<Candle> {
        let changed: Vec<Candle> = self.0.iter().filter(|candle| candle.dirty).copied().collect();
        self.0.iter_mut().for_each(|candle| candle.dirty = false);
        self.forget_old();
        changed
    }

    fn forget_old(&mut self) {
        while self.0.len() > 2 && !self.0[0].dirty {
            self.0.remove(0);
        }
    }
}

/// The candles of one market, by width.
#[derive(Debug, Default)]
pub(crate) struct Candles([Windows; UNITS.len()]);

impl Candles {
    pub fn add(&mut self, trade: &Trade) {
        for (windows, (_, width_ms)) in self.0.iter_mut().zip(UNITS) {
            windows.add(trade.trade_ms - trade.trade_ms % width_ms, trade);
        }
    }

    /// Returns the newest candle of a width, which may have ended already.
    pub fn newest(&self, unit: usize) -> Option<&Candle> {
        self.0[unit].0.last()
    }

    /// Returns the candles that changed since the last call, older windows first, as (unit, candle).
    pub fn take_changed(&mut self) -> Vec<(usize, Candle)> {
        let of_unit =
            |(unit, windows): (usize, &mut Windows)| windows.take_changed().into_iter().map(move |c| (unit, c));
        self.0.iter_mut().enumerate().flat_map(of_unit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::Side;
    use crate::market::book::Level;

    fn trade(trade_ms: u64, price: i64) -> Trade {
        let (best_ask, best_bid) = (Level::default(), Level::default());
        let (timestamp_ms, sequential_id) = (trade_ms + 42, trade_ms * 10_000);
        Trade { timestamp_ms, trade_ms, price, volume: 1, taker: Side::Bid, sequential_id, best_ask, best_bid }
    }

    /// Returns start, opening and closing price, and volume of the changed one-second candles.
    fn seconds(candles: &mut Candles) -> Vec<(u64, i64, i64, i128)> {
        let changed = candles.take_changed().into_iter().filter(|(unit, _)| *unit == 0);
        changed.map(|(_, candle)| (candle.start_ms, candle.open, candle.close, candle.volume)).collect()
    }

    #[test]
    fn a_late_trade_opens_a_window_between_two_existing_ones() {
        let mut candles = Candles::default();
        candles.add(&trade(5_000, 10));
        candles.add(&trade(9_020, 12));
        candles.add(&trade(8_990, 11));
        assert_eq!(seconds(&mut candles), [(5_000, 10, 10, 1), (8_000, 11, 11, 1), (9_000, 12, 12, 1)]);
        assert_eq!(candles.newest(0).unwrap().start_ms, 9_000);
    }

    #[test]
    fn a_changed_window_is_kept_until_it_is_sent() {
        let mut candles = Candles::default();
        for ms in [5_900, 6_100] {
            candles.add(&trade(ms, 10));
        }
        seconds(&mut candles);
        // A late trade, and a new window before the next full second.
        for ms in [5_950, 7_001] {
            candles.add(&trade(ms, 11));
        }
        assert_eq!(seconds(&mut candles), [(5_000, 10, 11, 2), (7_000, 11, 11, 1)]);
        assert_eq!(seconds(&mut candles), []);
    }

    #[test]
    fn opening_and_closing_prices_follow_the_time_of_the_trades() {
        let mut candles = Candles::default();
        for (ms, price) in [(5_300, 12), (5_800, 15), (5_100, 13), (5_700, 11)] {
            candles.add(&trade(ms, price));
        }
        assert_eq!(seconds(&mut candles), [(5_000, 13, 15, 4)]);
    }
}
