//! The table of the demo, with one row per market: the values that a strategy would read from the pool, and how often
//! they change.

use std::collections::HashMap;
use std::time::Duration;

use hoga::model::{Market, Nanos, Orderbook, Ticker};
use hoga::pool::{DataPool, Handle, Health, PoolError};

use crate::human::{grouped, percent};
use crate::latency::short;

/// The time over which updates are counted for a rate.
const RATE_WINDOW: Duration = Duration::from_secs(1);

/// A table with one row per market, in the order in which they were passed.
pub struct Table {
    rows: Vec<Row>,
    index: HashMap<Market, usize>,
    window_start: Nanos,
}

struct Row {
    market: Market,
    ticker: Handle<Ticker>,
    orderbook: Handle<Orderbook>,
    /// The number of updates in the current window.
    updates: u32,
    /// The rate in the last complete window.
    per_second: Option<f64>,
}

impl Table {
    /// Creates a table.
    ///
    /// # Errors
    /// If the ticker or the order book of a market is not subscribed.
    pub fn new(pool: &DataPool, markets: &[Market], now: Nanos) -> Result<Self, PoolError> {
        let row = |&market: &Market| {
            let (ticker, orderbook) = (pool.ticker(market)?, pool.orderbook(market)?);
            Ok(Row { market, ticker, orderbook, updates: 0, per_second: None })
        };
        let rows = markets.iter().map(row).collect::<Result<_, PoolError>>()?;
        let index = markets.iter().enumerate().map(|(index, &market)| (market, index)).collect();
        Ok(Self { rows, index, window_start: now })
    }

    /// Counts an update of a market.
    pub fn count(&mut self, market: Market) {
        if let Some(&index) = self.index.get(&market) {
            self.rows[index].updates += 1;
        }
    }

    /// Returns the heading and at most `rows` rows.
    pub fn lines(&mut self, now: Nanos, rows: usize) -> Vec<String> {
        self.roll(now);
        let heading = format!(
            "{:<11} {:>15} {:>8} {:>13} {:>8} {:>9}  {}",
            "MARKET", "LAST PRICE", "CHANGE", "SPREAD", "AGE", "UPDATES/S", "HEALTH"
        );
        std::iter::once(heading).chain(self.rows.iter().take(rows).map(Row::line)).collect()
    }

    fn roll(&mut self, now: Nanos) {
        let time = now.since(self.window_start);
        if time < RATE_WINDOW {
            return;
        }
        self.window_start = now;
        for row in &mut self.rows {
            row.per_second = Some(f64::from(std::mem::take(&mut row.updates)) / time.as_secs_f64());
        }
    }
}

impl Row {
    fn line(&self) -> String {
        let (ticker, orderbook) = (self.ticker.load(), self.orderbook.load());
        let price = ticker.value().map(|t| grouped(t.trade_price));
        let change = ticker.value().and_then(|t| t.signed_change_rate.get()).map(percent);
        // Rounded to 8 decimals, because the difference of two f64 prices may have many more digits than the prices.
        let spread = orderbook.value().and_then(Orderbook::spread).map(|spread| grouped((spread * 1e8).round() / 1e8));
        let age = ticker.age().into_iter().chain(orderbook.age()).min().map(short);
        let per_second = self.per_second.map(|rate| format!("{rate:.1}"));
        let [price, change, spread, age, per_second] =
            [price, change, spread, age, per_second].map(|cell| cell.unwrap_or_else(|| "-".to_owned()));
        let health = worse(ticker.health(), orderbook.health());
        format!("{:<11} {price:>15} {change:>8} {spread:>13} {age:>8} {per_second:>9}  {health}", self.market)
    }
}

fn worse(one: Health, other: Health) -> Health {
    if one.is_live() { other } else { one }
}
