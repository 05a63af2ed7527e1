//! The random numbers of a scenario, from its seed.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hoga_testing::Rng;

use crate::session::Entropy;

/// A seeded random number generator. Clones share its state.
#[derive(Clone)]
pub(super) struct Random(Arc<Mutex<Rng>>);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Rng::new(seed))))
    }

    fn rng(&self) -> MutexGuard<'_, Rng> {
        self.0.lock().unwrap()
    }

    pub fn below(&self, bound: usize) -> usize {
        self.rng().below(bound)
    }

    pub fn chance(&self, one_in: usize) -> bool {
        self.rng().chance(one_in)
    }

    pub fn pick<T: Clone>(&self, of: &[T]) -> T {
        self.rng().pick(of).clone()
    }

    pub fn up_to(&self, longest: Duration) -> Duration {
        self.rng().up_to(longest)
    }
}

impl Entropy for Random {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.rng().fill(bytes);
    }
}
