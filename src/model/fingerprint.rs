//! A short summary of the contents of an event, to find out whether two messages report the same event.

/// The contents of an event, each value shortened to 16 bits; 0 if the message does not have it.
#[derive(Debug, Clone, Copy, Default)]
#[allow(unnameable_types, reason = "a private part of `Noun`")]
pub struct Fingerprint([u16; 4]);

impl Fingerprint {
    /// Shortens values. Values of more than 16 bits that differ look equal once in 65,000 times.
    #[inline]
    pub(crate) fn of(values: [Option<u64>; 4]) -> Self {
        // An odd factor carries every bit into the upper bits, which are kept.
        let shorten = |value: u64| ((value.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48) as u16).max(1);
        Self(values.map(|value| value.map_or(0, shorten)))
    }

    /// Returns true if no value differs. A value that one of the messages does not have differs from nothing.
    pub fn agrees_with(self, other: Self) -> bool {
        self.0.into_iter().zip(other.0).all(|(a, b)| a == b || a == 0 || b == 0)
    }
}
