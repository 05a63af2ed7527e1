//! Differences between the exchange's messages and the documented ones: counts, and a first sample of each difference.

use std::fmt;
use std::io::Write;

use crate::model::{DataType, Format};

/// One difference between messages of one type and the documented ones, with a sample.
///
/// Each connection reports it once for each type (the candles of all intervals are one type), key style (long or short
/// keys), kind and field. Of each type and key style, at most eight unknown keys are reported, of at most 40 bytes and
/// without escapes; [`DriftCounts`] counts all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drift {
    /// The type of the message.
    pub data_type: DataType,
    /// The format of the message.
    pub format: Format,
    /// What is different.
    pub kind: DriftKind,
    /// The field: its name in format `DEFAULT`, or an unknown key as the exchange writes it.
    pub field: Excerpt,
    /// The first value that was seen. Empty if the field was missing; the number of units for [`DriftKind::LevelsCut`].
    pub sample: Excerpt,
}

/// What is different from the documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DriftKind {
    /// A key that this version does not know. Its value is ignored.
    UnknownKey,
    /// A field that is missing, `null` or an empty string, although it is documented for every message. It reads as
    /// absent.
    MissingField,
    /// A field whose value cannot be read. It reads as absent.
    UnreadableField,
    /// A field with a word that this version does not know. It reads as `Unknown`, and a `stream_type` as realtime.
    UnknownWord,
    /// An order book with more levels than it can hold. The best ones are kept.
    LevelsCut,
}

/// Counts of the differences from the documented messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DriftCounts {
    /// Keys that this version does not know, ignored.
    pub unknown_keys: u64,
    /// Fields that were missing, `null` or an empty string, and read as absent.
    pub missing_fields: u64,
    /// Fields whose value could not be read, and read as absent.
    pub unreadable_fields: u64,
    /// Words that this version does not know, read as unknown.
    pub unknown_words: u64,
    /// Levels of order books that were cut off, on both sides together.
    pub levels_cut: u64,
}

/// The beginning of a text from the exchange, at most [`Excerpt::MAX`] bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Excerpt {
    bytes: [u8; Self::MAX],
    len: u8,
    is_cut: bool,
}

impl DriftKind {
    /// The number of kinds that concern a known field.
    pub(super) const OF_FIELDS: usize = 4;

    /// Returns the index of a kind that concerns a known field, or `None` for another kind.
    pub(super) const fn of_field(self) -> Option<usize> {
        match self {
            Self::UnknownKey => None,
            Self::MissingField => Some(0),
            Self::UnreadableField => Some(1),
            Self::UnknownWord => Some(2),
            Self::LevelsCut => Some(3),
        }
    }

    /// Returns a short, stable word for logs and scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownKey => "unknown_key",
            Self::MissingField => "missing_field",
            Self::UnreadableField => "unreadable_field",
            Self::UnknownWord => "unknown_word",
            Self::LevelsCut => "levels_cut",
        }
    }
}

impl fmt::Display for DriftKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data_type, format, kind, field, sample } = self;
        write!(f, "{data_type} ({}): ", format.as_str())?;
        match kind {
            DriftKind::UnknownKey => write!(f, "new field {field}, ignored; first value {sample}"),
            DriftKind::MissingField if sample.is_empty() => write!(f, "field {field} is missing"),
            DriftKind::MissingField => write!(f, "field {field} is empty: {sample}"),
            DriftKind::UnreadableField => write!(f, "field {field} cannot be read: {sample}"),
            DriftKind::UnknownWord => write!(f, "field {field} holds an unknown word: {sample}"),
            DriftKind::LevelsCut => write!(f, "field {field} has {sample} units, of which the best are kept"),
        }
    }
}

impl DriftCounts {
    /// Returns the count of one kind.
    pub(super) fn of(&mut self, kind: DriftKind) -> &mut u64 {
        match kind {
            DriftKind::UnknownKey => &mut self.unknown_keys,
            DriftKind::MissingField => &mut self.missing_fields,
            DriftKind::UnreadableField => &mut self.unreadable_fields,
            DriftKind::UnknownWord => &mut self.unknown_words,
            DriftKind::LevelsCut => &mut self.levels_cut,
        }
    }

    /// Adds the counts of `other`.
    pub(super) fn add(&mut self, other: &Self) {
        let Self { unknown_keys, missing_fields, unreadable_fields, unknown_words, levels_cut } = other;
        self.unknown_keys += unknown_keys;
        self.missing_fields += missing_fields;
        self.unreadable_fields += unreadable_fields;
        self.unknown_words += unknown_words;
        self.levels_cut += levels_cut;
    }
}

impl Excerpt {
    /// Maximum number of bytes that are kept.
    pub const MAX: usize = 46;

    pub(super) const EMPTY: Self = Self { bytes: [0; Self::MAX], len: 0, is_cut: false };

    /// Copies the beginning of `text`.
    pub(crate) fn new(text: &[u8]) -> Self {
        let len = text.len().min(Self::MAX);
        let mut excerpt = Self { len: len as u8, is_cut: len < text.len(), ..Self::EMPTY };
        excerpt.bytes[..len].copy_from_slice(&text[..len]);
        excerpt
    }

    /// Prints a number or another value, and keeps the beginning.
    pub(super) fn number(number: impl fmt::Display) -> Self {
        let mut bytes = [0; Self::MAX];
        let mut rest = &mut bytes[..];
        let is_cut = write!(rest, "{number}").is_err();
        let len = Self::MAX - rest.len();
        Self { bytes, len: len as u8, is_cut }
    }

    /// Puts `text` in quotes, and keeps the beginning.
    pub(super) fn quoted(text: &str) -> Self {
        Self::number(format_args!("\"{text}\""))
    }

    /// Returns the bytes that were kept.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Escapes characters that could confuse a terminal, and adds `…` to a text that was cut.
impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.as_bytes().utf8_chunks() {
            for c in chunk.valid().chars() {
                if c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric() {
                    write!(f, "{c}")?;
                } else {
                    write!(f, "{}", c.escape_unicode())?;
                }
            }
            // In a text that was cut, the invalid bytes may be the first part of a valid character.
            if !self.is_cut {
                chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
            }
        }
        f.write_str(if self.is_cut { "…" } else { "" })
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_bounded_and_prints_control_characters_as_escapes() {
        assert_eq!(Excerpt::new(b"\"A\x1b[2J\"").to_string(), "\"A\\u{1b}[2J\"");
        assert_eq!(Excerpt::new("매수\u{202e}".as_bytes()).to_string(), "매수\\u{202e}");
        assert_eq!(Excerpt::new(b"\xff").to_string(), "\\xff");
        let long = Excerpt::new("가".repeat(1000).as_bytes());
        assert_eq!((long.as_bytes().len(), long.to_string()), (46, "가".repeat(15) + "…"));
        assert!(Excerpt::EMPTY.is_empty() && Excerpt::EMPTY.to_string().is_empty());
    }

    #[test]
    fn each_kind_of_drift_prints_as_a_sentence() {
        let drift = |kind, field: &str, sample: &str| {
            let (field, sample) = (Excerpt::new(field.as_bytes()), Excerpt::new(sample.as_bytes()));
            Drift { data_type: DataType::Ticker, format: Format::SimpleList, kind, field, sample }.to_string()
        };
        for (kind, sample, expected) in [
            (DriftKind::UnknownKey, "7", "new field change, ignored; first value 7"),
            (DriftKind::MissingField, "", "field change is missing"),
            (DriftKind::MissingField, "null", "field change is empty: null"),
            (DriftKind::UnreadableField, "[]", "field change cannot be read: []"),
            (DriftKind::UnknownWord, "\"UP\"", "field change holds an unknown word: \"UP\""),
            (DriftKind::LevelsCut, "31", "field change has 31 units, of which the best are kept"),
        ] {
            assert_eq!(drift(kind, "change", sample), format!("ticker (SIMPLE_LIST): {expected}"));
        }
    }
}
