//! The shortest program: prints each new price, for one market or for a hundred, until the engine stops. It survives
//! silence and lost connections. `cargo run --example first_price` uses a simulated exchange inside the program;
//! `cargo run --example first_price kr`, or a URL, uses that exchange.

mod common;

use hoga::prelude::*;

fn main() -> hoga::Result<()> {
    let (builder, _simulated) = common::builder()?;
    run(&builder.start()?).map(drop)
}

/// Returns the number of prices printed.
pub fn run(engine: &Engine) -> hoga::Result<u64> {
    let mut printed = 0;
    for item in engine.feed(ticker(["KRW-BTC", "KRW-ETH"]), Overflow::default())?.blocking() {
        let Item::Data(update) = item else { continue };
        println!("{} {}", update.value.market, update.value.trade_price);
        printed += 1;
    }
    Ok(printed)
}
