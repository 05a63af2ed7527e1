//! The parts that several measuring programs share: counting instructions under callgrind, and the channels that feeds
//! are compared with. `hoga-instructions` needs nothing else and builds quickly. The program `hoga-bench` is in
//! main.rs.

#![forbid(unsafe_code)]

#[cfg(feature = "channels")]
pub mod channels;
pub mod counting;
