//! Appends all trades of some markets to a file, one line each, and marks what is missing. The last line is written
//! before the program ends. `cargo run --example trades_to_file [kr|URL]` writes `trades.csv`.

mod common;

use std::io::{self, BufWriter, Write};

use hoga::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (builder, _simulated) = common::builder()?;
    let file = std::fs::File::options().create(true).append(true).open("trades.csv")?;
    Ok(run(&builder.start()?, file)?)
}

/// Writes until the engine stops.
pub fn run(engine: &Engine, file: impl Write) -> io::Result<()> {
    // Room for the longest pause of the disk. What does not fit is reported as a gap.
    let policy = Overflow::DropNewest { capacity: 1 << 16 };
    let mut trades = engine.feed(trade(["KRW-BTC", "KRW-ETH"]).only_realtime(), policy).map_err(io::Error::other)?;
    let mut file = BufWriter::new(file);
    for item in trades.blocking() {
        match item {
            Item::Data(update) => {
                let Trade { market, timestamp, trade_price, trade_volume, .. } = update.value;
                writeln!(file, "{market},{timestamp},{trade_price},{}", trade_volume.get().unwrap_or(f64::NAN))?;
            }
            Item::Gap { missed } => writeln!(file, "# {missed} trades are missing here")?,
            Item::Epoch { .. } => writeln!(file, "# the connection was lost here; trades may be missing")?,
        }
    }
    file.flush()
}
