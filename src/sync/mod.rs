//! Lock-free parts, and all unsafe code of the library: so far none is needed.

pub mod latest;
mod prim;
pub mod signal;
