//! A strategy and its unit test, without an exchange: see `hoga::testing`. `cargo run --example strategy_test` runs the
//! test as a program; in your own crate it would be a `#[test]`.

use std::time::Duration;

use hoga::prelude::*;
use hoga::testing::{self, Source};

/// Follows a price: buys after two rises in a row, if no trade is missing in between.
#[derive(Default)]
pub struct Momentum {
    last: Option<f64>,
    rises: u32,
}

impl Momentum {
    /// Reads all waiting trades. Returns whether to buy now.
    pub fn read(&mut self, trades: &mut Feed<Trade>) -> bool {
        for item in trades {
            match item {
                Item::Data(update) => {
                    let price = update.value.trade_price;
                    self.rises = if self.last.is_some_and(|last| price > last) { self.rises + 1 } else { 0 };
                    self.last = Some(price);
                }
                Item::Gap { .. } | Item::Epoch { .. } => *self = Self::default(),
            }
        }
        self.rises >= 2
    }
}

fn main() -> hoga::Result<()> {
    run()
}

/// Tests the strategy.
pub fn run() -> hoga::Result<()> {
    let mut source = Source::new();
    let mut trades = source.feed(trade("KRW-BTC"), Overflow::default())?;
    let mut strategy = Momentum::default();
    let push = |source: &mut Source, price| source.push(testing::trade(source, "KRW-BTC", price, 0.1));
    [100.0, 101.0].into_iter().for_each(|price| push(&mut source, price));
    assert!(!strategy.read(&mut trades), "one rise is not enough");
    source.advance(Duration::from_secs(60)); // silence is no reason to sell
    push(&mut source, 102.0);
    assert!(strategy.read(&mut trades), "two rises");
    source.lose(1);
    push(&mut source, 103.0);
    assert!(!strategy.read(&mut trades), "a trade is missing, so nothing is known of the rises");
    source.disconnect();
    source.connect();
    [104.0, 105.0].into_iter().for_each(|price| push(&mut source, price));
    assert!(!strategy.read(&mut trades), "only one rise on the new socket");
    println!("the strategy works");
    Ok(())
}
