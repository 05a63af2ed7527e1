//! The differences found in one message. They are counted and reported when it is delivered, or dropped if it is
//! refused.

use super::drift::{DriftCounts, DriftKind, Excerpt};

/// The differences found in one message.
pub(super) struct Notes {
    pub(super) counts: DriftCounts,
    /// Differences that were not reported before.
    fresh: [Note; Self::FRESH_MAX],
    len: usize,
}

/// A difference that was not reported before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Note {
    /// Whether it is in a unit of a book.
    pub(super) in_unit: bool,
    pub(super) kind: DriftKind,
    /// The field's index in the table, or 0 for an unknown key.
    pub(super) index: usize,
    pub(super) field: Excerpt,
    pub(super) sample: Excerpt,
}

impl Notes {
    /// Maximum number of differences that one message reports. A later message reports the others.
    const FRESH_MAX: usize = 4;

    pub(super) const NONE: Self = Self {
        counts: DriftCounts {
            unknown_keys: 0,
            missing_fields: 0,
            unreadable_fields: 0,
            unknown_words: 0,
            levels_cut: 0,
        },
        fresh: [Note {
            in_unit: false,
            kind: DriftKind::UnknownKey,
            index: 0,
            field: Excerpt::EMPTY,
            sample: Excerpt::EMPTY,
        }; Self::FRESH_MAX],
        len: 0,
    };

    /// Differences that were not reported before.
    pub(super) fn fresh(&self) -> &[Note] {
        &self.fresh[..self.len]
    }

    /// Drops all notes.
    pub(super) fn clear(&mut self) {
        (self.counts, self.len) = (DriftCounts::default(), 0);
    }

    pub(super) fn add(&mut self, note: Note) {
        let is_same = |other: &Note| (other.in_unit, other.kind, other.field) == (note.in_unit, note.kind, note.field);
        if self.len < Self::FRESH_MAX && !self.fresh().iter().any(is_same) {
            self.fresh[self.len] = note;
            self.len += 1;
        }
    }
}
