//! What a decoder learns about messages of one type and key style that differ from the documented form: which fields are
//! displaced, and which keys are new. Bounded, and filled only from delivered messages.

use super::drift::DriftKind;
use super::schema::CODE;

/// Maximum number of unknown keys to remember. Any other unknown key is looked up in the table each time.
const KEYS_MAX: usize = 8;

/// Maximum length of an unknown key to remember, in bytes.
const KEY_MAX: usize = 40;

/// After a message that is not in the documented form, the number of messages before the strict scanner is tried again.
const TOLERANT_MESSAGES: u8 = 64;

/// After the order of the fields was learned, the number of messages before it is learned again.
const LEARN_AGAIN: u8 = 16;

/// If more fields than this are displaced, what was learned earlier is dropped.
const DISPLACED_MAX: u32 = 8;

/// What was learned about one type of message.
pub(super) struct Layout {
    /// Fields that are missing, or that are not where the table has them. One bit for each.
    displaced: u64,
    /// Fields whose drift has been reported, for each kind of drift.
    reported: [u64; DriftKind::OF_FIELDS],
    keys: [Key; KEYS_MAX],
    key_count: u8,
    /// The number of messages before the strict scanner is tried again.
    tolerant_left: u8,
    /// The number of messages before the order of the fields may be learned again.
    learn_after: u8,
}

/// A key with its quotes and its colon.
#[derive(Clone, Copy)]
struct Key {
    bytes: [u8; KEY_MAX + 3],
    len: u8,
}

impl Layout {
    /// The documented form.
    pub(super) const DOCUMENTED: Self = Self {
        displaced: 0,
        reported: [0; DriftKind::OF_FIELDS],
        keys: [Key { bytes: [0; KEY_MAX + 3], len: 0 }; KEYS_MAX],
        key_count: 0,
        tolerant_left: 0,
        learn_after: 0,
    };

    /// Returns whether the strict scanner may try the next message.
    #[inline(always)]
    pub(super) fn is_strict(&self) -> bool {
        self.tolerant_left == 0
    }

    /// Returns the fields that are missing, or that are not where the table has them.
    pub(super) fn displaced(&self) -> u64 {
        self.displaced
    }

    /// Counts a message that the tolerant scanner has read.
    pub(super) fn count_tolerated(&mut self) {
        self.tolerant_left = self.tolerant_left.checked_sub(1).unwrap_or(TOLERANT_MESSAGES);
        self.learn_after = self.learn_after.saturating_sub(1);
    }

    /// Returns whether [`learn`](Self::learn) is due.
    pub(super) fn wants_to_learn(&self) -> bool {
        self.learn_after == 0
    }

    /// Learns from a message which of the `count` fields of the table are displaced. `order` has the indexes of its
    /// fields.
    pub(super) fn learn(&mut self, order: &[u8], count: usize) {
        let all = u64::MAX >> (u64::BITS as usize - count);
        let displaced = all & !in_order(order);
        let both = self.displaced | displaced;
        self.displaced = if both.count_ones() > DISPLACED_MAX { displaced } else { both };
        self.learn_after = LEARN_AGAIN;
    }

    /// Returns the length of the remembered key at the start of `bytes`, including its quotes and its colon.
    pub(super) fn known_key(&self, bytes: &[u8]) -> Option<usize> {
        self.keys[..usize::from(self.key_count)]
            .iter()
            .map(Key::as_bytes)
            .find(|key| bytes.starts_with(key))
            .map(<[u8]>::len)
    }

    /// Returns whether [`remember`](Self::remember) would store this unknown key: there is room, it is not stored yet,
    /// it is short, and it needs no escapes. `code` in an object with short keys is never stored, because it decides
    /// whether the object has short or long keys (`tape::type_of`).
    pub(super) fn wants_key(&self, key: &[u8]) -> bool {
        let is_plain = |byte: &u8| !matches!(byte, 0..0x20 | b'"' | b'\\');
        let is_known =
            |known: &Key| known.as_bytes().get(1..=key.len()) == Some(key) && usize::from(known.len) == key.len() + 3;
        let keys = &self.keys[..usize::from(self.key_count)];
        keys.len() < KEYS_MAX
            && key.len() <= KEY_MAX
            && key.iter().all(is_plain)
            && key != CODE.long.as_bytes()
            && !keys.iter().any(is_known)
    }

    /// Stores an unknown key. Returns false if [`wants_key`](Self::wants_key) does.
    pub(super) fn remember(&mut self, key: &[u8]) -> bool {
        if !self.wants_key(key) {
            return false;
        }
        let slot = &mut self.keys[usize::from(self.key_count)];
        slot.bytes[0] = b'"';
        slot.bytes[1..=key.len()].copy_from_slice(key);
        slot.bytes[1 + key.len()..3 + key.len()].copy_from_slice(b"\":");
        slot.len = key.len() as u8 + 3;
        self.key_count += 1;
        true
    }

    /// Returns whether this kind of drift of a field has been reported.
    pub(super) fn is_reported(&self, kind: usize, field: usize) -> bool {
        self.reported[kind] & 1 << field != 0
    }

    /// Marks a kind of drift of a field as reported.
    pub(super) fn set_reported(&mut self, kind: usize, field: usize) {
        self.reported[kind] |= 1 << field;
    }
}

impl Key {
    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Returns the fields of a longest increasing subsequence of `order`, one bit for each. A reader that goes through the
/// table once finds exactly these.
fn in_order(order: &[u8]) -> u64 {
    // For each field, the bits of the longest increasing subsequence that ends with it.
    let mut parts = [0u64; 64];
    let mut longest = 0u64;
    for (at, &field) in order.iter().enumerate().take(64) {
        let before = (0..at).filter(|&i| order[i] < field).map(|i| parts[i]).max_by_key(|part| part.count_ones());
        parts[at] = before.unwrap_or(0) | 1 << field;
        if parts[at].count_ones() > longest.count_ones() {
            longest = parts[at];
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_order_keeps_as_many_fields_as_possible() {
        for (order, expected) in [
            (&[0, 1, 2, 3][..], 0b1111),
            (&[1, 2, 3, 0], 0b1110),
            (&[3, 0, 1, 2], 0b0111),
            (&[0, 2, 1, 3], 0b1101),
            (&[], 0),
            (&[63], 1 << 63),
        ] {
            assert_eq!(in_order(order).count_ones(), u64::count_ones(expected), "{order:?}");
        }
        assert_eq!((in_order(&[1, 2, 3, 0]), in_order(&[3, 0, 1, 2])), (0b1110, 0b0111));
    }

    #[test]
    fn displaced_fields_add_up_until_there_are_too_many() {
        let mut layout = Layout::DOCUMENTED;
        layout.learn(&[0, 1, 3], 4);
        assert_eq!(layout.displaced(), 0b100);
        layout.learn(&[1, 2, 3, 0], 4);
        assert_eq!(layout.displaced(), 0b101);
        layout.learn(&[0], 64);
        assert_eq!(layout.displaced(), !1);
        layout.learn(&(0..63).collect::<Vec<_>>(), 64);
        assert_eq!(layout.displaced(), 1 << 63);
    }

    #[test]
    fn keys_are_bounded_in_length_and_number() {
        let mut layout = Layout::DOCUMENTED;
        assert!(!layout.remember(&[b'k'; KEY_MAX + 1]));
        // Keys that need escapes, and the key of the market code.
        for odd in [&b"a\"b"[..], b"a\\", b"a\n", b"code"] {
            assert!(!layout.remember(odd));
        }
        for key in 0..KEYS_MAX {
            assert!(layout.remember(format!("key{key}").as_bytes()));
            assert!(!layout.remember(format!("key{key}").as_bytes()), "a key is stored once");
        }
        assert!(!layout.remember(b"one more"));
        assert_eq!((layout.known_key(b"\"key7\":1"), layout.known_key(b"\"key\":1")), (Some(7), None));
    }

    #[test]
    fn the_strict_scanner_is_tried_again_after_some_messages() {
        let mut layout = Layout::DOCUMENTED;
        for _ in 0..3 {
            assert!(layout.is_strict());
            for _ in 0..=TOLERANT_MESSAGES {
                layout.count_tolerated();
                assert_eq!(layout.is_strict(), layout.tolerant_left == 0);
            }
        }
    }
}
