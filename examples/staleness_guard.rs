//! "Do not trade on this": acts only on prices that are live, and says why it does not act.
//! `cargo run --example staleness_guard [kr|URL]`.

mod common;

use std::time::Duration;

use hoga::prelude::*;

/// The longest age of a price to act on. `Live` alone does not say that the market has traded lately.
const AGE_MAX: Duration = Duration::from_secs(30);

/// What a strategy may do now.
#[derive(Debug, PartialEq)]
pub enum Decision {
    /// Act on this price.
    Trade(f64),
    /// Do nothing, for this reason.
    Wait(&'static str),
}

fn main() -> hoga::Result<()> {
    let (builder, _simulated) = common::builder()?;
    run(&builder.ticker("KRW-BTC").start()?, |decision| println!("{decision:?}"))
}

/// Decides on each price, and at least once a second, until the engine stops.
pub fn run(engine: &Engine, mut act: impl FnMut(Decision)) -> hoga::Result<()> {
    let btc = engine.pool().ticker("KRW-BTC")?;
    let mut seen = 0;
    loop {
        match btc.wait_newer(seen, Duration::from_secs(1)).map_err(hoga::Error::from) {
            Ok(newer) => seen = newer.map_or(seen, |reading| reading.version()),
            Err(hoga::Error::Stopped) => return Ok(()),
            Err(error) => return Err(error),
        }
        act(decide(&btc));
    }
}

/// Decides on the newest price.
pub fn decide(btc: &Handle<Ticker>) -> Decision {
    let reading = btc.load();
    match reading.live() {
        Some(_) if reading.age().is_none_or(|age| age > AGE_MAX) => Decision::Wait("the price is old"),
        Some(ticker) => Decision::Trade(ticker.trade_price),
        None => Decision::Wait(reading.health().as_str()),
    }
}
