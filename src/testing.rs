//! Unit tests of strategies, without an exchange: a [`Source`] feeds the pool handles and feeds that the strategy uses
//! live. Behind the feature `testing`, which belongs into the `dev-dependencies` of a strategy.
//!
//! A strategy that takes handles and feeds as arguments can be tested as it is. The clock of a source stands still until
//! the test moves it, so a test neither sleeps nor depends on the machine.
//!
//! ```
//! use hoga::prelude::*;
//! use hoga::testing::{self, Source};
//! use std::time::Duration;
//!
//! /// Buys below 100, and only on a price that can be trusted.
//! fn wants_to_buy(btc: &Handle<Ticker>) -> bool {
//!     btc.load().live().is_some_and(|ticker| ticker.trade_price < 100.0)
//! }
//!
//! /// Adds up the volume that was traded, and the number of trades that are missing.
//! fn volume(trades: &mut Feed<Trade>) -> (f64, u64) {
//!     trades.fold((0.0, 0), |(volume, missing), item| match item {
//!         Item::Data(update) => (volume + update.value.trade_volume.get().unwrap_or(0.0), missing),
//!         Item::Gap { missed } => (volume, missing + missed),
//!         Item::Epoch { .. } => (volume, missing),
//!     })
//! }
//!
//! let mut source = Source::new();
//! source.subscribe(ticker("KRW-BTC"))?;
//! let btc = source.pool().ticker("KRW-BTC")?;
//! assert!(!wants_to_buy(&btc), "no price yet");
//!
//! source.push(testing::ticker(&source, "KRW-BTC", 90.0));
//! assert!(wants_to_buy(&btc));
//! source.advance(Duration::from_secs(13)); // without data
//! assert!(!wants_to_buy(&btc), "the price is stale");
//! source.push(testing::ticker(&source, "KRW-BTC", 91.0));
//! assert!(wants_to_buy(&btc));
//! source.disconnect();
//! assert!(!wants_to_buy(&btc), "the connection is lost");
//!
//! source.connect();
//! let mut trades = source.feed(trade("KRW-BTC"), Overflow::default())?;
//! source.push(testing::trade(&source, "KRW-BTC", 90.0, 0.5));
//! source.lose(3);
//! source.push(testing::trade(&source, "KRW-BTC", 90.0, 0.25));
//! assert_eq!(volume(&mut trades), (0.75, 3));
//!
//! drop(source); // ends every wait and every feed, as a shutdown does
//! assert!(matches!(btc.wait_newer(btc.version(), Duration::MAX).map_err(hoga::Error::from), Err(hoga::Error::Stopped)));
//! assert_eq!(trades.blocking().count(), 0);
//! # Ok::<(), hoga::Error>(())
//! ```
//!
//! The functions below make messages to start from. To set other fields:
//! `Ticker { acc_trade_price: 5.0.into(), ..testing::ticker(&source, "KRW-BTC", 90.0) }`.

pub use crate::engine::testing::Source;
pub use crate::engine::testing_messages::{candle, orderbook, ticker, trade};
