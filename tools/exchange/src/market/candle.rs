//! Candles of the nine widths. Each remembers which of its windows changed since it was last sent.

use super::Trade;

/// Width of a candle and the type name it is subscribed by.
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
    pub timestamp_ms: u64,
    dirty: bool,
}

impl Candle {
    fn open(start_ms: u64, trade: &Trade) -> Self {
        let (price, zero) = (trade.price, 0);
        Self {
            start_ms,
            open: price,
            high: price,
            low: price,
            close: price,
            volume: zero,
            turnover: zero,
            timestamp_ms: trade.trade_ms,
            dirty: true,
        }
    }

    fn add(&mut self, trade: &Trade) {
        self.high = self.high.max(trade.price);
        self.low = self.low.min(trade.price);
        if trade.trade_ms >= self.timestamp_ms {
            self.close = trade.price;
            self.timestamp_ms = trade.trade_ms;
        }
        self.volume += i128::from(trade.volume);
        self.turnover += trade.turnover();
        self.dirty = true;
    }
}

/// The newest two windows of each width; the older one can still change by a late trade.
#[derive(Debug, Default)]
pub(crate) struct Candles([[Option<Candle>; 2]; UNITS.len()]);

impl Candles {
    pub fn add(&mut self, trade: &Trade) {
        for ([old, new], (_, width_ms)) in self.0.iter_mut().zip(UNITS) {
            let start_ms = trade.trade_ms - trade.trade_ms % width_ms;
            match (old, new) {
                (_, Some(new)) if new.start_ms == start_ms => new.add(trade),
                (Some(old), _) if old.start_ms == start_ms => old.add(trade),
                // Later than both: too old to matter to anyone.
                (_, Some(new)) if new.start_ms > start_ms => {}
                (old, new) => {
                    *old = new.take();
                    new.insert(Candle::open(start_ms, trade)).add(trade);
                }
            }
        }
    }

    /// The newest candle of a width, which may have ended already.
    pub fn newest(&self, unit: usize) -> Option<&Candle> {
        self.0[unit][1].as_ref()
    }

    /// Candles changed since the last call, older window first, as (unit, candle).
    pub fn take_changed(&mut self) -> Vec<(usize, Candle)> {
        let mut changed = Vec::new();
        for (unit, windows) in self.0.iter_mut().enumerate() {
            for candle in windows.iter_mut().flatten().filter(|candle| candle.dirty) {
                candle.dirty = false;
                changed.push((unit, *candle));
            }
        }
        changed
    }
}
