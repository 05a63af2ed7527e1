//! Reads the tickers of many markets from the pool, once a second, and says what is missing and why. A market that does
//! not exist does not affect the others. `cargo run --example many_markets [kr|URL]`.

mod common;

use std::time::Duration;

use hoga::prelude::*;

const MARKETS: [&str; 5] = ["KRW-BTC", "KRW-ETH", "KRW-XRP", "KRW-SOL", "KRW-NOPE"];

fn main() -> hoga::Result<()> {
    let (builder, _simulated) = common::builder()?;
    run(&builder.start()?, Duration::from_secs(1), &mut std::io::stdout())
}

/// Prints until the engine stops.
pub fn run(engine: &Engine, every: Duration, out: &mut impl std::io::Write) -> hoga::Result<()> {
    let _held = engine.subscribe(ticker(MARKETS))?;
    let mut prices = engine.pool().tickers(MARKETS);
    while engine.is_running() {
        for (market, quote) in prices.load() {
            let line = match &quote {
                Quote::Value(reading) => format!("{market}: {:?}", reading.value().map(|ticker| ticker.trade_price)),
                Quote::Stale { reading, .. } => format!("{market}: do not use, {}", reading.health()),
                Quote::NotYet { .. } => format!("{market}: nothing yet"),
                other => format!("{market}: {other:?}"),
            };
            // If the output is closed, the prices have no reader.
            if writeln!(out, "{line}").is_err() {
                return Ok(());
            }
        }
        std::thread::sleep(every);
    }
    Ok(())
}
