//! A key of a JSON object as it is written, stored so that a few words are compared and not single bytes.

/// The number of bytes that are compared at most.
pub(super) const SPAN: usize = 48;

/// A key with its quotes and its colon.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    /// Eight bytes in each, the first in the lowest byte. Zeros follow the key.
    words: [u64; SPAN / 8],
    len: u8,
}

impl Key {
    /// The value of an unused slot.
    pub(super) const NONE: Self = Self { words: [0; SPAN / 8], len: 1 };

    /// Stores a key that needs no escapes. Returns `None` if it is too long.
    pub(super) const fn new(name: &str) -> Option<Self> {
        let (name, mut words, mut at) = (name.as_bytes(), [0; SPAN / 8], 0);
        let len = name.len() + 3;
        if len > SPAN {
            return None;
        }
        while at < len {
            let byte = match at {
                0 => b'"',
                _ if at <= name.len() => name[at - 1],
                _ if at == len - 2 => b'"',
                _ => b':',
            };
            words[at / 8] |= (byte as u64) << (at % 8 * 8);
            at += 1;
        }
        Some(Self { words, len: len as u8 })
    }

    /// Returns the length, with the quotes and the colon.
    pub(super) fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Returns whether `text` starts with this key.
    #[inline(always)]
    pub(super) fn starts(&self, text: &[u8; SPAN]) -> bool {
        let (full, rest) = (self.len() / 8, self.len() % 8);
        self.words.iter().take(full).enumerate().all(|(at, expected)| word(text, at * 8) == *expected)
            && (rest == 0 || (word(text, full * 8) ^ self.words[full]) << (64 - rest * 8) == 0)
    }
}

#[inline(always)]
fn word(text: &[u8; SPAN], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&text[at..at + 8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Maximum length of a key in bytes, without its quotes and its colon.
    const KEY_MAX: usize = SPAN - 3;

    fn span(text: &str) -> [u8; SPAN] {
        let mut bytes = [b'7'; SPAN];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        bytes
    }

    #[test]
    fn a_key_is_found_at_the_start_of_a_text_and_no_other_is() {
        for len in 0..=KEY_MAX {
            let name = "abcdefgh".repeat(6)[..len].to_owned();
            let key = Key::new(&name).unwrap();
            assert_eq!(key.len(), len + 3);
            let text = span(&format!("\"{name}\":"));
            assert!(key.starts(&text));
            for at in 0..len + 3 {
                let mut other = text;
                other[at] ^= 1;
                assert!(!key.starts(&other), "{name} {at}");
            }
        }
        assert!(Key::new(&"a".repeat(KEY_MAX + 1)).is_none());
    }
}
