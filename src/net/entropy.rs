//! The system's randomness.

use ring::rand::{SecureRandom, SystemRandom};

use crate::session::Entropy;

/// Randomness from the operating system: masks, keys and tickets nobody can guess.
pub struct SystemEntropy(SystemRandom);

impl SystemEntropy {
    /// The system's source.
    pub fn new() -> Self {
        Self(SystemRandom::new())
    }
}

impl Default for SystemEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Entropy for SystemEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        // A system without randomness cannot mask frames or agree TLS keys: nothing sensible can go on.
        self.0.fill(bytes).expect("the operating system has no randomness to give");
    }
}
