//! Watches the spread of three markets on three threads, each with a handle of its own. A thread sleeps until its book
//! changes. `cargo run --example spread_watcher [kr|URL]`.

mod common;

use std::time::Duration;

use hoga::prelude::*;

const MARKETS: [&str; 3] = ["KRW-BTC", "KRW-ETH", "KRW-XRP"];

fn main() -> hoga::Result<()> {
    let (builder, _simulated) = common::builder()?;
    run(&builder.start()?, |market, spread| println!("{market}: {spread:.6} %"))
}

/// Calls `show` with each spread, in percent, until the engine stops.
pub fn run(engine: &Engine, show: impl Fn(&str, f64) + Sync) -> hoga::Result<()> {
    // One level is enough, so the exchange need not send thirty.
    let _held = engine.subscribe(orderbook(MARKETS).levels(1))?;
    let show = &show;
    std::thread::scope(|scope| {
        for market in MARKETS {
            let best = engine.pool().orderbook(market)?.best_levels();
            scope.spawn(move || {
                let mut seen = 0;
                // An error means that the engine has stopped.
                while let Ok(newer) = best.wait_newer(seen, Duration::from_secs(1)) {
                    let Some(reading) = newer else { continue };
                    seen = reading.version();
                    if let Some((ask, bid)) = reading.live().and_then(|levels| levels.ask.zip(levels.bid)) {
                        show(market, (ask.price / bid.price - 1.0) * 100.0);
                    }
                }
            });
        }
        Ok(())
    })
}
