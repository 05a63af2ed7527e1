//! Watches all tickers, and subscribes to the order book of only the market that has moved the most: one subscription
//! that is widened and narrowed. `cargo run --example adaptive_subscriber [kr|URL]`.

mod common;

use std::time::Duration;

use hoga::Market;
use hoga::prelude::*;

const MARKETS: [&str; 4] = ["KRW-BTC", "KRW-ETH", "KRW-XRP", "KRW-SOL"];

fn main() -> hoga::Result<()> {
    let (builder, _simulated) = common::builder()?;
    run(&builder.start()?, Duration::from_secs(2)).map(drop)
}

/// Chooses again after each interval, until the engine stops. Returns the number of choices.
pub fn run(engine: &Engine, every: Duration) -> hoga::Result<u64> {
    let client = engine.client("adaptive")?;
    let _tickers = client.subscribe(ticker(MARKETS))?;
    let books = client.subscribe(orderbook(MARKETS[0]))?;
    let (mut tickers, mut chosen, mut choices) = (engine.pool().tickers(MARKETS), None, 0);
    while engine.is_running() {
        std::thread::sleep(every);
        let moved = |quote: &Quote<'_, Ticker>| {
            quote.value().and_then(|ticker| Some((ticker.change_rate.get()?, ticker.market)))
        };
        let most = tickers.load().filter_map(|(_, quote)| moved(&quote)).max_by(|a, b| a.0.total_cmp(&b.0));
        let Some((_, market)) = most else { continue };
        if chosen != Some(market) {
            match choose(&books, market) {
                Err(hoga::Error::Stopped) => break,
                result => result?,
            }
            chosen = Some(market);
            choices += 1;
            println!("watching {market}");
        }
    }
    Ok(choices)
}

/// Subscribes to the book of `market` and of no other. First the new one, so that a book that stays is not touched.
fn choose(books: &Subscribed, market: Market) -> hoga::Result<()> {
    books.widen(orderbook(market))?;
    let others: Vec<_> =
        books.keys().into_iter().filter_map(|key| key.market()).filter(|other| *other != market).collect();
    books.narrow(others)
}
