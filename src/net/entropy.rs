//! Randomness from the operating system.

use ring::rand::{SecureRandom, SystemRandom};

use crate::session::Entropy;

/// Randomness from the operating system, for unpredictable masks, keys and tickets.
pub struct SystemEntropy(SystemRandom);

impl SystemEntropy {
    /// Returns the system's source.
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
        // Without randomness, frames cannot be masked and TLS keys cannot be agreed, so panicking is the only option.
        self.0.fill(bytes).expect("the operating system provides no randomness");
    }
}
