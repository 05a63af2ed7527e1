//! The parts that several measuring programs share: counting instructions under callgrind, and the channels that feeds
//! are compared with, the resources of the process. `hoga-instructions` needs nothing else and builds quickly. The
//! program `hoga-bench` is in main.rs, and `hoga-soak` in the folder soak.

#![forbid(unsafe_code)]

#[cfg(feature = "channels")]
pub mod channels;
pub mod counting;
pub mod process;
