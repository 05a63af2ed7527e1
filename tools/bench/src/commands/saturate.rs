//! `hoga bench saturate`: saturates one client, for profilers and to compare two builds.

use hoga_cli::exit::Failure;
use hoga_cli::output;

use crate::args::{SaturateArgs, SaturatedType, Transport};
use crate::cpu::pin_here;
use crate::serving::feeder::Feeder;
use crate::serving::traffic::Recording;
use crate::session::{Saturated, Session};
use crate::stack::Wait;
use crate::stacks::Hoga;
use crate::turn::{CLIENT_CORE, FEEDER_CORE};

/// Runs the benchmark and prints the result.
pub fn run(args: &SaturateArgs) -> Result<(), Failure> {
    hoga_cli::signals::end_at_once()?;
    pin_here(FEEDER_CORE);
    let data_type = match args.data_type {
        SaturatedType::Ticker => "ticker",
        SaturatedType::Trade => "trade",
        SaturatedType::Orderbook => "orderbook",
    };
    let recording = Recording { markets: 256, data_types: vec![data_type], depth: None, frames: 4096 };
    let (feeder, mut traffic) = (Feeder::bind(args.transport == Transport::Tls)?, recording.run()?);
    let mut session = Session::start(&Hoga::new(Wait::Park), &feeder, &mut traffic, CLIENT_CORE)?;
    session.saturate(args.frames / 10)?;
    let Saturated { cpu_ns, frames_per_second, missed } = session.saturate(args.frames)?;
    let missed = 100.0 * missed;
    let line =
        format!("{cpu_ns:.0} ns of CPU per frame, {frames_per_second:.0} frames/s, {missed:.3} % of frames missed\n");
    Ok(output::print(&line)?)
}
