//! Lock-free building blocks without unsafe code. The one lock is on the reading end of `lossy`, where readers take
//! turns.

pub mod broadcast;
pub mod connection;
pub mod count;
pub mod dirty;
pub mod flag;
pub mod histogram;
pub mod latest;
pub mod lossy;
mod prim;
pub mod signal;
mod slots;
pub mod timed_flag;
pub mod waiters;
