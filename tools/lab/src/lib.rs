//! Measures market-data clients end to end: traffic prepared from the simulated exchange, a feeder that sends it over
//! loopback, loads that say when, and reports that say what came out. Any client that implements [`Stack`] can be
//! measured; [`stacks`] has hoga itself and the floor, a bare socket.
//!
//! The thread that feeds is also the strategy that waits for the data: one clock, one core, and the other core is left
//! to what is measured.

#![forbid(unsafe_code)]

mod certificate;
mod cpu;
mod door;
mod error;
pub mod feeder;
pub mod fleet;
pub mod load;
pub mod machine;
pub mod memory;
mod neighbours;
pub mod origin;
pub mod report;
pub mod rounds;
pub mod stack;
pub mod stacks;
pub mod traffic;
pub mod turn;

pub use cpu::{pin_here, process_cpu, thread_cpu};
pub use error::Error;
pub use stack::{Stack, Strategy, Venue};
