//! The progress of the tolerant scanner or the tape walk through one object: the fields that were read, and the
//! differences from the documented form.

use super::drift::{DriftCounts, DriftKind, Excerpt};
use super::error::Fault;
use super::layout::Layout;
use super::schema::Record;

/// The progress through one object.
pub(super) struct Progress<'a> {
    /// Whether the object has short keys.
    pub(super) short: bool,
    /// Fields whose value was read. In this and the other masks, each field has one bit.
    pub(super) read: u64,
    /// Fields whose value could not be read.
    pub(super) bad: u64,
    /// Fields that are `null` or an empty string.
    empty: u64,
    /// Fields that are not looked for at their place, because they are displaced or were found elsewhere.
    pub(super) passed: u64,
    /// Whether a field is displaced that was not known to be.
    pub(super) is_new: bool,
    /// The position of the first unit of a book for which `is_new` was set.
    pub(super) new_unit: Option<u32>,
    pub(super) layout: &'a Layout,
    /// The layout of the units of a book.
    pub(super) units: &'a Layout,
    pub(super) notes: &'a mut Notes,
    /// Whether the object is a unit of a book.
    in_unit: bool,
}

/// The differences found in one message. They are counted and reported when it is delivered, or dropped if it is
/// refused.
pub(super) struct Notes {
    pub(super) counts: DriftCounts,
    /// Differences that were not reported before.
    fresh: [Note; Self::FRESH_MAX],
    len: usize,
    /// Whether a unit of the book is not in the documented form.
    pub(super) odd_units: bool,
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

impl<'a> Progress<'a> {
    pub(super) fn new(short: bool, layout: &'a Layout, units: &'a Layout, notes: &'a mut Notes) -> Self {
        let (passed, in_unit) = (layout.displaced(), false);
        Self { short, read: 0, bad: 0, empty: 0, passed, is_new: false, new_unit: None, layout, units, notes, in_unit }
    }

    /// Starts the progress through one unit of this book.
    pub(super) fn unit(&mut self) -> Progress<'_> {
        Progress { in_unit: true, ..Progress::new(self.short, self.units, self.units, self.notes) }
    }

    /// Returns the fields that the object has, readable or not.
    #[inline]
    pub(super) fn met(&self) -> u64 {
        self.read | self.bad | self.empty
    }

    /// Records the result of reading a field's value. If a key is repeated, the last one counts.
    pub(super) fn put<R: Record>(&mut self, index: usize, result: Result<(), Fault>, sample: impl FnOnce() -> Excerpt) {
        let bit = 1 << index;
        self.read &= !bit;
        self.bad &= !bit;
        self.empty &= !bit;
        let kind = match result {
            Ok(()) => {
                self.read |= bit;
                return;
            }
            Err(Fault::Word) => {
                self.read |= bit;
                DriftKind::UnknownWord
            }
            Err(Fault::Empty) => {
                self.empty |= bit;
                if R::FIELDS[index].is_optional {
                    return;
                }
                DriftKind::MissingField
            }
            Err(_) => {
                self.bad |= bit;
                DriftKind::UnreadableField
            }
        };
        self.note::<R>(kind, index, sample);
    }

    fn note<R: Record>(&mut self, kind: DriftKind, index: usize, sample: impl FnOnce() -> Excerpt) {
        *self.notes.counts.of(kind) += 1;
        if kind.of_field().is_some_and(|kind| self.layout.is_reported(kind, index)) {
            return;
        }
        let field = Excerpt::new(R::FIELDS[index].names.long.as_bytes());
        self.notes.add(Note { in_unit: self.in_unit, kind, index, field, sample: sample() });
    }

    /// Notes an unknown key.
    pub(super) fn note_unknown(&mut self, key: &[u8], sample: impl FnOnce() -> Excerpt) {
        self.notes.counts.unknown_keys += 1;
        if self.layout.wants_key(key) {
            let (in_unit, kind, field) = (self.in_unit, DriftKind::UnknownKey, Excerpt::new(key));
            self.notes.add(Note { in_unit, kind, index: 0, field, sample: sample() });
        }
    }

    /// Notes that `cut` levels of this book, which has `units` units, did not fit.
    pub(super) fn note_levels_cut(&mut self, units: u64, cut: u64) {
        const KIND: DriftKind = DriftKind::LevelsCut;
        self.notes.counts.levels_cut += cut;
        if KIND.of_field().is_some_and(|kind| !self.layout.is_reported(kind, 0)) {
            let (field, sample) = (Excerpt::new(b"orderbook_units"), Excerpt::number(units));
            self.notes.add(Note { in_unit: false, kind: KIND, index: 0, field, sample });
        }
    }

    /// Notes a unit that is not in the documented form. `new_unit` is its position if its `is_new` was set.
    pub(super) fn note_odd_unit(&mut self, new_unit: Option<u32>) {
        self.notes.odd_units = true;
        self.new_unit = self.new_unit.or(new_unit);
    }

    /// Ends the object: makes all fields that were not read absent, notes the missing ones, and fills in fields that
    /// others can stand in for. If the message has to be refused, the error is the index of the field that is the
    /// reason.
    pub(super) fn finish<R: Record>(&mut self, record: &mut R) -> Result<(), usize> {
        let mut absent = R::ALL & !self.read;
        while absent != 0 {
            let index = absent.trailing_zeros() as usize;
            let bit = 1 << index;
            absent &= !bit;
            (R::FIELDS[index].clear)(record);
            if self.met() & bit == 0 && !R::FIELDS[index].is_optional {
                self.note::<R>(DriftKind::MissingField, index, || Excerpt::EMPTY);
            }
        }
        match (R::REQUIRED & !self.read) | (R::IDENTITY & self.bad) {
            0 => record.complete(),
            refused => Err(refused.trailing_zeros() as usize),
        }
    }
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
        odd_units: false,
    };

    /// Differences that were not reported before.
    pub(super) fn fresh(&self) -> &[Note] {
        &self.fresh[..self.len]
    }

    /// Drops all notes.
    pub(super) fn clear(&mut self) {
        (self.counts, self.len, self.odd_units) = (DriftCounts::default(), 0, false);
    }

    fn add(&mut self, note: Note) {
        let is_same = |other: &Note| (other.in_unit, other.kind, other.field) == (note.in_unit, note.kind, note.field);
        if self.len < Self::FRESH_MAX && !self.fresh().iter().any(is_same) {
            self.fresh[self.len] = note;
            self.len += 1;
        }
    }
}
