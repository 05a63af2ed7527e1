//! Lock-free building blocks without unsafe code. A thread waits for a lock in one place, the reading end of `lossy`,
//! where readers take turns. (The futex of systems that have none has a lock, too.)
//!
//! Loom models named `planted_…` contain a deliberate mistake and pass only if the model checker finds it.

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
pub mod timed_flag;
pub mod waiters;
