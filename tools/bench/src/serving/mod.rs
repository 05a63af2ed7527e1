//! The exchange's side of a measurement: traffic prepared from the simulated exchange, and servers that send it over
//! loopback.

mod certificate;
pub mod feeder;
mod listener;
pub mod multi_server;
pub mod traffic;
