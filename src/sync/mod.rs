//! Lock-free parts, none of which needs unsafe code.

pub mod broadcast;
pub mod dirty;
pub mod histogram;
pub mod latest;
pub mod lossy;
mod prim;
pub mod signal;
pub mod sleepers;
mod slots;
