//! Lock-free parts, none of which needs unsafe code.

pub mod latest;
mod prim;
pub mod signal;
