//! Where the exchange's messages differ from the documented ones: counts, and a first sample of each difference.

use std::fmt;
use std::io::Write;

use crate::model::{DataType, Format};

/// How messages of one type differ from the documented ones, with a sample. Reported once for each type, key style, kind
/// and field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drift {
    /// The type of the message.
    pub data_type: DataType,
    /// Its format.
    pub format: Format,
    /// What is different.
    pub kind: DriftKind,
    /// The field: its name in format `DEFAULT`, or an unknown key as the exchange writes it.
    pub field: Excerpt,
    /// The first value that was seen; empty for a missing field.
    pub sample: Excerpt,
}

/// What is different from the documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DriftKind {
    /// A key that no table knows. Its value is ignored.
    UnknownKey,
    /// A field that is not there, or that is `null` or an empty string. It reads as absent.
    MissingField,
    /// A field whose value cannot be read. It reads as absent.
    UnreadableField,
    /// A field with a word that this version does not know. It reads as unknown.
    UnknownWord,
    /// An order book with more levels than it can hold. The best ones are kept.
    LevelsCut,
}

/// The number of differences from the documented messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DriftCounts {
    /// Keys that no table knows, ignored.
    pub unknown_keys: u64,
    /// Fields that were not there, `null` or an empty string, and read as absent.
    pub missing_fields: u64,
    /// Fields whose value could not be read, and read as absent.
    pub unreadable_fields: u64,
    /// Words that this version does not know, read as unknown.
    pub unknown_words: u64,
    /// Levels of order books that were cut off, counted for each side.
    pub levels_cut: u64,
}

/// The beginning of a text of the exchange, at most [`Excerpt::MAX`] bytes. Printed with escapes for all that could confuse
/// a terminal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Excerpt {
    bytes: [u8; Self::MAX],
    len: u8,
    is_cut: bool,
}

impl DriftKind {
    /// The kinds that concern a known field, each at its number.
    pub(super) const OF_FIELDS: usize = 4;

    /// The number of a kind that concerns a known field; `None` for the others.
    pub(super) const fn of_field(self) -> Option<usize> {
        match self {
            Self::UnknownKey => None,
            Self::MissingField => Some(0),
            Self::UnreadableField => Some(1),
            Self::UnknownWord => Some(2),
            Self::LevelsCut => Some(3),
        }
    }

    /// A short, stable word for logs and scripts.
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
    /// The count of one kind.
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
    /// The most bytes that are kept.
    pub const MAX: usize = 46;

    pub(super) const EMPTY: Self = Self { bytes: [0; Self::MAX], len: 0, is_cut: false };

    /// The beginning of `text`.
    pub(super) fn new(text: &[u8]) -> Self {
        let len = text.len().min(Self::MAX);
        let mut excerpt = Self { len: len as u8, is_cut: len < text.len(), ..Self::EMPTY };
        excerpt.bytes[..len].copy_from_slice(&text[..len]);
        excerpt
    }

    /// The beginning of a number or another value, as Rust prints it.
    pub(super) fn number(number: impl fmt::Display) -> Self {
        let mut bytes = [0; Self::MAX];
        let mut rest = &mut bytes[..];
        let is_cut = write!(rest, "{number}").is_err();
        let len = Self::MAX - rest.len();
        Self { bytes, len: len as u8, is_cut }
    }

    /// The beginning of `text`, in quotes.
    pub(super) fn quoted(text: &str) -> Self {
        Self::number(format_args!("\"{text}\""))
    }

    /// The bytes that are kept, as the exchange wrote them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Characters that could confuse a terminal are escaped; `…` stands at the end of a text that was cut.
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
            // A character that was cut in two is not the exchange's mistake.
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
    fn an_excerpt_is_bounded_and_cannot_drive_a_terminal() {
        assert_eq!(Excerpt::new(b"\"A\x1b[2J\"").to_string(), "\"A\\u{1b}[2J\"");
        assert_eq!(Excerpt::new("매수\u{202e}".as_bytes()).to_string(), "매수\\u{202e}");
        assert_eq!(Excerpt::new(b"\xff").to_string(), "\\xff");
        let long = Excerpt::new("가".repeat(1000).as_bytes());
        assert_eq!((long.as_bytes().len(), long.to_string()), (46, "가".repeat(15) + "…"));
        assert!(Excerpt::EMPTY.is_empty() && Excerpt::EMPTY.to_string().is_empty());
    }

    #[test]
    fn each_drift_is_a_plain_sentence() {
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
