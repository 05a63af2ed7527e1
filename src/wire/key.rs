//! A key of a JSON object as it is written, stored so that a few words are compared and not single bytes.

/// The number of bytes that are compared at most.
pub(super) const SPAN: usize = 48;

/// A key with its quotes and its colon.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    blocks: [Block; SPAN / 16],
    len: u8,
}

/// Sixteen bytes of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Block {
    /// The first byte is the lowest. Zeros follow the key.
    bytes: u128,
    /// All bits of the bytes that belong to the key.
    mask: u128,
}

impl Key {
    /// The value of an unused slot.
    pub(super) const NONE: Self = Self { blocks: [Block { bytes: 0, mask: 0 }; SPAN / 16], len: 0 };

    /// Stores a key that needs no escapes. Returns `None` if it is too long.
    pub(super) const fn new(name: &str) -> Option<Self> {
        let (name, mut key, mut at) = (name.as_bytes(), Self::NONE, 0);
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
            let (block, shift) = (&mut key.blocks[at / 16], at % 16 * 8);
            block.bytes |= (byte as u128) << shift;
            block.mask |= 0xFF << shift;
            at += 1;
        }
        key.len = len as u8;
        Some(key)
    }

    /// Returns the length, with the quotes and the colon.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Returns whether `text` starts with this key.
    #[inline(always)]
    pub(super) fn starts(&self, text: &[u8; SPAN]) -> bool {
        self.is_at(text, 0) && (self.len <= 16 || self.is_at(text, 1) && self.is_at(text, 2))
    }

    #[inline(always)]
    fn is_at(&self, text: &[u8; SPAN], index: usize) -> bool {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&text[index * 16..index * 16 + 16]);
        let block = &self.blocks[index];
        (u128::from_le_bytes(bytes) ^ block.bytes) & block.mask == 0
    }
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
