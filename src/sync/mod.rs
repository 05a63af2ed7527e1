//! Lock-free parts, none of which needs unsafe code. One end of one of them has a lock: readers of `lossy` take turns.

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
