//! One client, saturated: for profilers, and to compare two builds by turns.
//!
//! `cargo run --release -p hoga-lab --example saturate -- ticker plain 3000000`

use std::error::Error;

use hoga_lab::feeder::Feeder;
use hoga_lab::load::{Saturated, Session};
use hoga_lab::pin_here;
use hoga_lab::stack::Wait;
use hoga_lab::stacks::Hoga;
use hoga_lab::traffic::Recording;

const USAGE: &str = "usage: saturate ticker|trade|orderbook plain|tls FRAMES";
const FEEDER_CORE: usize = 0;
const CLIENT_CORE: usize = 1;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [data_type, transport, frames] = args.as_slice() else { return Err(USAGE.into()) };
    let data_type = ["ticker", "trade", "orderbook"].into_iter().find(|one| one == data_type).ok_or(USAGE)?;
    let is_secure = ["plain", "tls"].iter().position(|one| one == transport).ok_or(USAGE)? == 1;
    let frames: u64 = frames.parse().map_err(|_| USAGE)?;

    pin_here(FEEDER_CORE);
    let recording = Recording { markets: 256, data_types: vec![data_type], depth: None, frames: 4096 };
    let (feeder, mut traffic) = (Feeder::bind(is_secure)?, recording.run()?);
    let mut session = Session::start(&Hoga::new(Wait::Park), &feeder, &mut traffic, CLIENT_CORE)?;
    session.saturate(frames / 10)?;
    let Saturated { cpu_ns, frames_per_second, missed } = session.saturate(frames)?;
    println!("{cpu_ns:.0} ns of CPU per frame, {frames_per_second:.0} frames/s, {missed} missed");
    Ok(())
}
