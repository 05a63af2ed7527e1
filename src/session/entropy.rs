//! Randomness is passed in, like time. Masks, keys, tickets and jitter come from here.

/// A source of random bytes. The engine passes the operating system's; tests pass a seeded one.
pub trait Entropy: Send {
    /// Fills `bytes` with random bytes.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// Random values made from random bytes.
pub(crate) trait EntropyExt: Entropy {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// Returns a uniformly distributed value in `0..=max`.
    fn up_to(&mut self, max: u64) -> u64 {
        // The 128-bit product keeps the bias below 2^-64 per value.
        let random = u64::from_le_bytes(self.bytes());
        ((u128::from(random) * (u128::from(max) + 1)) >> 64) as u64
    }

    /// Returns 128 random bits in hexadecimal, grouped like a UUID.
    fn ticket(&mut self) -> String {
        let bits = u128::from_le_bytes(self.bytes());
        let hex = format!("{bits:032x}");
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

impl<E: Entropy + ?Sized> EntropyExt for E {}
