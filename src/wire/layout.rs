//! What a decoder learns about objects of one type and key style that differ from the documented form: which fields are
//! displaced, and which keys are met in other places. Bounded, and filled only from delivered messages.

use super::drift::DriftKind;
use super::key::{Key, SPAN};
use super::progress::Progress;
use super::schema::CODE;

/// Maximum number of unknown keys that are reported.
const REPORTED_MAX: usize = 8;

/// Maximum length of an unknown key that is reported, in bytes.
const REPORTED_LEN_MAX: usize = 40;

/// Maximum number of odd keys to remember. Any other one is looked up in the table each time.
const ODD_MAX: usize = 16;

/// After the order of the fields was learned, the number of drifted messages before it is learned again.
const LEARN_AGAIN: u8 = 16;

/// After an object that is not in the documented form, the number of objects that are not read strictly.
const TOLERANT_OBJECTS: u8 = 64;

/// If more fields than this are displaced, what was learned earlier is dropped.
const DISPLACED_MAX: u32 = 8;

/// What was learned about one type of object, and the progress through the object that is being read.
pub(super) struct Layout {
    pub(super) progress: Progress,
    /// Fields that are missing, or that are not where the table has them. One bit for each.
    displaced: u64,
    /// Keys that are not those of the fields at their places, in the order in which they were met.
    odd_keys: [OddKey; ODD_MAX],
    odd_count: usize,
    /// The number of objects before one is read strictly again.
    tolerant_left: u8,
    /// The number of drifted messages before the order of the fields may be learned again.
    learn_after: u8,
    /// Fields whose drift has been reported, for each kind of drift.
    reported: [u64; DriftKind::OF_FIELDS],
    /// Unknown keys that have been reported.
    reported_keys: [ReportedKey; REPORTED_MAX],
    reported_count: usize,
}

/// A key that is met where the table has another one.
#[derive(Clone, Copy)]
struct OddKey {
    key: Key,
    meaning: Meaning,
}

/// What an odd key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The key of the field with this index in the table.
    Field(u8),
    /// The key of the type.
    Type,
    /// No key of the table. `is_settled` means that it does not have to be reported any more.
    Unknown { is_settled: bool },
}

/// The text of a key, without quotes.
#[derive(Clone, Copy)]
struct ReportedKey {
    bytes: [u8; REPORTED_LEN_MAX],
    len: u8,
}

impl Layout {
    /// The documented form.
    pub(super) const DOCUMENTED: Self = Self {
        progress: Progress::START,
        displaced: 0,
        odd_keys: [OddKey { key: Key::NONE, meaning: Meaning::Type }; ODD_MAX],
        odd_count: 0,
        tolerant_left: 0,
        learn_after: 0,
        reported: [0; DriftKind::OF_FIELDS],
        reported_keys: [ReportedKey { bytes: [0; REPORTED_LEN_MAX], len: 0 }; REPORTED_MAX],
        reported_count: 0,
    };

    /// Returns the fields that are missing, or that are not where the table has them.
    #[inline(always)]
    pub(super) fn displaced(&self) -> u64 {
        self.displaced
    }

    /// Prepares for the next object.
    pub(super) fn reset_progress(&mut self) {
        self.progress = Progress::START;
    }

    /// Returns the length and the meaning of the odd key at the start of `text`, and expects the next one after it. The
    /// search begins with the expected one.
    #[inline(always)]
    pub(super) fn next_odd_key(&mut self, text: &[u8; SPAN]) -> Option<(usize, Meaning)> {
        let expected = self.progress.expected;
        let known = self.odd_keys.get(..self.odd_count)?;
        let is_expected = known.get(expected).is_some_and(|odd| odd.key.starts(text));
        let index = if is_expected { expected } else { self.find_odd_key(text)? };
        self.progress.expected = index + 1;
        let OddKey { key, meaning } = self.odd_keys.get(index)?;
        Some((key.len(), *meaning))
    }

    #[inline(never)]
    fn find_odd_key(&self, text: &[u8; SPAN]) -> Option<usize> {
        self.odd_keys[..self.odd_count].iter().position(|odd| odd.key.starts(text))
    }

    /// Notes whether the unknown key that was found last has to be reported.
    pub(super) fn settle_odd_key(&mut self, name: &str) {
        let is_settled = !self.wants_key(name.as_bytes());
        let last = self.progress.expected.checked_sub(1).and_then(|index| self.odd_keys.get_mut(index));
        if let Some(odd) = last {
            odd.meaning = Meaning::Unknown { is_settled };
        }
    }

    /// Returns whether learning is due. If so, it is not due again for a number of messages.
    pub(super) fn begin_to_learn(&mut self) -> bool {
        let is_due = self.learn_after == 0;
        if is_due {
            self.learn_after = LEARN_AGAIN;
        }
        is_due
    }

    /// Returns whether the next object is probably in the documented form.
    #[inline(always)]
    pub(super) fn is_strict(&self) -> bool {
        self.tolerant_left == 0
    }

    /// Notes that an object is not in the documented form.
    pub(super) fn set_tolerant(&mut self) {
        self.tolerant_left = TOLERANT_OBJECTS;
    }

    /// Counts an object that was not read strictly.
    pub(super) fn count_tolerant(&mut self) {
        self.tolerant_left = self.tolerant_left.saturating_sub(1);
        self.learn_after = self.learn_after.saturating_sub(1);
    }

    /// Learns from a message which of the `count` fields of the table are displaced. `order` has the indexes of those
    /// fields that could be where the table has them.
    pub(super) fn learn_order(&mut self, order: &[u8], count: usize) {
        let all = u64::MAX >> (u64::BITS as usize - count);
        let displaced = all & !in_order(order);
        let both = self.displaced | displaced;
        self.displaced = if both.count_ones() > DISPLACED_MAX { displaced } else { both };
    }

    /// Remembers an odd key that is met after the first `after` known ones, and returns the number of known ones up to
    /// it. If there is no room, all known ones are dropped.
    pub(super) fn learn_odd_key(&mut self, after: usize, name: &str, meaning: Meaning) -> usize {
        let Some(key) = Key::new(name) else { return after };
        let known = self.odd_keys[..self.odd_count].iter().position(|odd| odd.key == key);
        if let Some(index) = known {
            return index + 1;
        }
        if self.odd_count == ODD_MAX {
            self.odd_count = 0;
        }
        let at = after.min(self.odd_count);
        self.odd_keys[at..=self.odd_count].rotate_right(1);
        self.odd_keys[at] = OddKey { key, meaning };
        self.odd_count += 1;
        at + 1
    }

    /// Returns whether [`remember`](Self::remember) would store this unknown key: there is room, it is not stored yet,
    /// it is short, and it needs no escapes. `code` in an object with short keys is never stored, because it decides
    /// whether the object has short or long keys (`tape::type_of`).
    pub(super) fn wants_key(&self, key: &[u8]) -> bool {
        let is_plain = |byte: &u8| !matches!(byte, 0..0x20 | b'"' | b'\\');
        let keys = &self.reported_keys[..self.reported_count];
        keys.len() < REPORTED_MAX
            && key.len() <= REPORTED_LEN_MAX
            && key.iter().all(is_plain)
            && key != CODE.long.as_bytes()
            && !keys.iter().any(|known| known.as_bytes() == key)
    }

    /// Stores an unknown key that is reported. Returns false if [`wants_key`](Self::wants_key) does.
    pub(super) fn remember(&mut self, key: &[u8]) -> bool {
        if !self.wants_key(key) {
            return false;
        }
        let slot = &mut self.reported_keys[self.reported_count];
        slot.bytes[..key.len()].copy_from_slice(key);
        slot.len = key.len() as u8;
        self.reported_count += 1;
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

impl ReportedKey {
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
        layout.learn_order(&[0, 1, 3], 4);
        assert_eq!(layout.displaced(), 0b100);
        layout.learn_order(&[1, 2, 3, 0], 4);
        assert_eq!(layout.displaced(), 0b101);
        layout.learn_order(&[0], 64);
        assert_eq!(layout.displaced(), !1);
        layout.learn_order(&(0..63).collect::<Vec<_>>(), 64);
        assert_eq!(layout.displaced(), 1 << 63);
    }

    #[test]
    fn reported_keys_are_bounded_in_length_and_number() {
        let mut layout = Layout::DOCUMENTED;
        assert!(!layout.remember(&[b'k'; REPORTED_LEN_MAX + 1]));
        // Keys that need escapes, and the key of the market code.
        for odd in [&b"a\"b"[..], b"a\\", b"a\n", b"code"] {
            assert!(!layout.remember(odd));
        }
        for key in 0..REPORTED_MAX {
            assert!(layout.remember(format!("key{key}").as_bytes()));
            assert!(!layout.remember(format!("key{key}").as_bytes()), "a key is stored once");
        }
        assert!(!layout.remember(b"one more"));
    }

    #[test]
    fn odd_keys_are_found_in_their_order_and_out_of_it() {
        const UNKNOWN: Meaning = Meaning::Unknown { is_settled: false };
        let mut layout = Layout::DOCUMENTED;
        let mut after = 0;
        for (name, meaning) in [("a", UNKNOWN), ("c", Meaning::Field(7)), ("a", UNKNOWN), ("b", UNKNOWN)] {
            after = layout.learn_odd_key(after, name, meaning);
        }
        // `b` is met after `a`, so it stands between the two others.
        let mut find = |name: &str| {
            let mut text = [b' '; SPAN];
            text[..name.len() + 3].copy_from_slice(format!("\"{name}\":").as_bytes());
            let (len, meaning) = layout.next_odd_key(&text)?;
            assert_eq!(len, name.len() + 3);
            Some((meaning, layout.progress.expected))
        };
        assert_eq!(find("a"), Some((UNKNOWN, 1)));
        assert_eq!(find("c"), Some((Meaning::Field(7), 3)));
        assert_eq!((find("d"), find("b")), (None, Some((UNKNOWN, 2))));
    }

    #[test]
    fn odd_keys_are_bounded_and_the_newest_are_kept() {
        let mut layout = Layout::DOCUMENTED;
        let mut after = 0;
        for number in 0..=ODD_MAX {
            after = layout.learn_odd_key(after, &format!("key{number}"), Meaning::Unknown { is_settled: true });
        }
        assert_eq!((layout.odd_count, after), (1, 1));
        assert_eq!(layout.learn_odd_key(after, &"k".repeat(SPAN), Meaning::Type), after, "too long");
    }

    #[test]
    fn learning_is_due_again_after_some_messages() {
        let mut layout = Layout::DOCUMENTED;
        assert!(layout.begin_to_learn());
        for _ in 0..LEARN_AGAIN {
            assert!(!layout.begin_to_learn());
            layout.count_tolerant();
        }
        assert!(layout.begin_to_learn());
    }
}
