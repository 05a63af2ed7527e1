//! Code shared by the tests and benchmarks of this repository. It does not depend on hoga, so hoga's unit tests can use
//! it, too; helpers that need hoga's types are in `tests/common`. The simulated exchange uses it only in its tests.

pub mod allocations;
pub mod fixtures;
pub mod frames;
pub mod messages;
pub mod proxy;
mod rng;

pub use rng::Rng;
