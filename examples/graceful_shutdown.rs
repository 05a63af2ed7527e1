//! Ends on SIGTERM or SIGINT: the engine closes its connections, the reader's loop ends by itself, and the program exits
//! with 0, or with the reason if a thread did not end. `cargo run --example graceful_shutdown [kr|URL]`.

mod common;

use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use hoga::prelude::*;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (builder, _simulated) = common::builder()?;
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let (asked, end) = sync_channel(1);
    std::thread::spawn(move || signals.forever().next().map(|_| asked.send(())));
    let read = run(&builder.start()?, &end)?;
    println!("{read} updates");
    Ok(())
}

/// Reads until `end` says so, or its sender is gone. Returns the number of updates.
pub fn run(engine: &Engine, end: &Receiver<()>) -> hoga::Result<usize> {
    let mut feed = engine.feed(ticker("KRW-BTC").and(trade("KRW-BTC")), Overflow::default())?;
    std::thread::scope(|scope| {
        // Ends when the engine stops, after it has read what had arrived.
        let reader = scope.spawn(move || feed.blocking().filter(|item| item.data().is_some()).count());
        let _ = end.recv();
        engine.shutdown(Duration::from_secs(5)).into_result()?;
        Ok(reader.join().unwrap_or_default())
    })
}
