//! What the tests and benchmarks of this repository share. It does not depend on hoga, so that the unit tests of hoga can
//! use it too; helpers that need hoga's types are in `tests/common`. The simulated exchange does not use it, only its tests do.

pub mod allocations;
pub mod fixtures;
pub mod frames;
pub mod messages;
mod rng;

pub use rng::Rng;
