//! What measuring programs share: counting instructions under callgrind, and the channels that feeds are compared with.
//! `hoga-instructions` needs nothing more and is quick to build. The program `hoga-bench` is in main.rs.

#![forbid(unsafe_code)]

#[cfg(feature = "channels")]
pub mod channels;
pub mod counting;
