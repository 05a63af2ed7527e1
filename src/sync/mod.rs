//! Lock-free parts, none of which needs unsafe code. One end of one of them has a lock: readers of `lossy` take turns.

pub mod broadcast;
pub mod dirty;
pub mod histogram;
pub mod latest;
pub mod lossy;
mod prim;
pub mod signal;
pub mod sleepers;
mod slots;
