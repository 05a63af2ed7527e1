//! How messages differ from the documented form: what was learned about each type, and the differences found in the
//! message that is being read. A reader writes here only if there is a difference, so a message in the documented form
//! costs no more than a look at one flag.

use crate::model::{EachNoun, Family, Levels, Maybe, Noun, Orderbook, Placed};

use super::drift::{DriftKind, Excerpt};
use super::error::Fault;
use super::layout::Layout;
use super::notes::{Note, Notes};
use super::progress::Progress;
use super::schema::{Quote, Record};

/// The differences from the documented form.
pub(super) struct Differences {
    /// Whether the message has one, or an optional field is missing.
    pub(super) is_odd: bool,
    /// Whether the message has one.
    pub(super) is_drift: bool,
    pub(super) levels: OddLevels,
    /// Whether a unit of the book has a difference that its layout does not know.
    pub(super) is_new_unit: bool,
    /// Whether the odd object has short keys.
    pub(super) short: bool,
    /// The member with the type, if it is not the first one and has not been read yet.
    pub(super) type_place: Option<TypePlace>,
    /// Notes on the message that is being read.
    pub(super) notes: Notes,
    /// For long and for short keys.
    pub(super) layouts: EachNoun<TwoLayouts>,
    /// For the units of books, with long and with short keys.
    pub(super) unit_layouts: [Layout; 2],
}

/// The positions of the key and of the end of the member with the type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TypePlace {
    pub(super) key: u32,
    pub(super) end: u32,
}

/// The levels of a book that were not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OddLevels {
    /// Whether there are any.
    is_odd: bool,
    /// Whether a level of the side could not be read.
    lost: [bool; 2],
    /// The number of levels that did not fit.
    cut: u64,
}

/// Two layouts of each type.
pub(super) struct TwoLayouts;

impl Family for TwoLayouts {
    type Of<T: Noun> = [Layout; 2];
}

/// A record whose differences are kept here.
pub(super) trait Tracked {
    /// Whether it is a unit of a book. Its first field follows a brace, not the type and a comma.
    const IN_UNIT: bool;

    /// Returns the layouts of the record, with long and with short keys, and the notes on the message.
    fn track(differences: &mut Differences) -> (&mut [Layout; 2], &mut Notes);
}

impl<T: Noun> Tracked for T {
    const IN_UNIT: bool = false;

    #[inline(always)]
    fn track(differences: &mut Differences) -> (&mut [Layout; 2], &mut Notes) {
        (T::place(&mut differences.layouts), &mut differences.notes)
    }
}

impl Tracked for Quote {
    const IN_UNIT: bool = true;

    #[inline(always)]
    fn track(differences: &mut Differences) -> (&mut [Layout; 2], &mut Notes) {
        (&mut differences.unit_layouts, &mut differences.notes)
    }
}

macro_rules! documented {
    ([] $($Noun:ident $noun:ident,)*) => {
        EachNoun { $($noun: [Layout::DOCUMENTED; 2],)* }
    };
}

impl Differences {
    /// No differences.
    pub(super) const NONE: Self = Self {
        is_odd: false,
        is_drift: false,
        levels: OddLevels::NONE,
        is_new_unit: false,
        short: false,
        type_place: None,
        notes: Notes::NONE,
        layouts: for_each_noun! { documented! },
        unit_layouts: [Layout::DOCUMENTED; 2],
    };

    /// Returns the layout of a record.
    #[inline(always)]
    pub(super) fn layout<R: Tracked>(&mut self, short: bool) -> &mut Layout {
        &mut R::track(self).0[usize::from(short)]
    }

    /// Announces the member with the type of an object in which it is not the first member.
    pub(super) fn expect_type(&mut self, place: TypePlace) {
        (self.type_place, self.is_odd, self.is_drift) = (Some(place), true, true);
    }

    /// Prepares for the next message. The progress of the layouts that were used has been reset.
    pub(super) fn end_message(&mut self) {
        (self.is_odd, self.is_drift, self.is_new_unit) = (false, false, false);
        self.notes.clear();
    }

    /// Drops the differences of an object in a list, if there are any.
    pub(super) fn drop_odd(&mut self) {
        if self.is_odd {
            self.reset();
        }
    }

    /// Drops the differences of the message that is being read. Keeps what was learned.
    #[cold]
    #[inline(never)]
    pub(super) fn reset(&mut self) {
        self.end_message();
        (self.levels, self.type_place) = (OddLevels::NONE, None);
        each_noun!(T => T::place(&mut self.layouts).iter_mut().for_each(Layout::reset_progress));
        self.unit_layouts.iter_mut().for_each(Layout::reset_progress);
    }

    /// Notes that the object has a difference, and returns its layout.
    #[inline(always)]
    pub(super) fn odd<R: Tracked>(&mut self, short: bool) -> &mut Layout {
        self.is_odd = true;
        let layout = self.layout::<R>(short);
        layout.progress.is_odd = true;
        layout
    }

    /// Records the result of reading a field's value in another place or in another form. If a key is repeated, the last
    /// one counts.
    pub(super) fn put<R: Record>(
        &mut self,
        short: bool,
        index: usize,
        result: Result<(), Fault>,
        sample: impl FnOnce() -> Excerpt,
    ) {
        let bit = 1 << index;
        let progress = &mut self.layout::<R>(short).progress;
        progress.set_read(bit);
        let kind = match result {
            Ok(()) => return,
            Err(Fault::Word) => DriftKind::UnknownWord,
            Err(Fault::Empty) => {
                progress.read &= !bit;
                if R::FIELDS[index].is_optional {
                    return;
                }
                DriftKind::MissingField
            }
            Err(_) => {
                progress.read &= !bit;
                progress.bad |= bit;
                DriftKind::UnreadableField
            }
        };
        self.note::<R>(short, kind, index, sample);
    }

    fn note<R: Record>(&mut self, short: bool, kind: DriftKind, index: usize, sample: impl FnOnce() -> Excerpt) {
        let (layouts, notes) = R::track(self);
        *notes.counts.of(kind) += 1;
        if kind.of_field().is_some_and(|kind| layouts[usize::from(short)].is_reported(kind, index)) {
            return;
        }
        let field = Excerpt::new(R::FIELDS[index].names.long.as_bytes());
        notes.add(Note { in_unit: R::IN_UNIT, kind, index, field, sample: sample() });
    }

    /// Notes an unknown key.
    pub(super) fn note_unknown<R: Record>(&mut self, short: bool, key: &str, sample: impl FnOnce() -> Excerpt) {
        let (layouts, notes) = R::track(self);
        notes.counts.unknown_keys += 1;
        if layouts[usize::from(short)].wants_key(key.as_bytes()) {
            let (kind, field) = (DriftKind::UnknownKey, Excerpt::new(key.as_bytes()));
            notes.add(Note { in_unit: R::IN_UNIT, kind, index: 0, field, sample: sample() });
        }
    }

    /// Ends an object: makes all fields absent that were passed and not read, notes the missing ones, and fills in fields
    /// that others can stand in for. If the message has to be refused, the error is the index of the field that is the
    /// reason.
    #[inline]
    pub(super) fn finish<R: Record>(&mut self, short: bool, record: &mut R) -> Result<(), usize> {
        let progress = &self.layout::<R>(short).progress;
        let absent = progress.passed & R::ALL & !progress.read;
        if absent == 0 {
            return Ok(());
        }
        let (met, bad) = (progress.met, progress.bad);
        let mut left = absent;
        while left != 0 {
            let index = left.trailing_zeros() as usize;
            left &= left - 1;
            (R::FIELDS[index].clear)(record);
            if met & 1 << index == 0 && !R::FIELDS[index].is_optional {
                self.note::<R>(short, DriftKind::MissingField, index, || Excerpt::EMPTY);
            }
        }
        match (R::REQUIRED & absent) | (R::IDENTITY & absent & bad) {
            0 => record.complete(),
            refused => Err(refused.trailing_zeros() as usize),
        }
    }

    /// Ends a unit of a book that is not in the documented form.
    #[cold]
    #[inline(never)]
    pub(super) fn finish_unit(&mut self, short: bool, unit: &mut Quote) {
        let layout = self.layout::<Quote>(short);
        let Progress { passed, read, is_new, .. } = layout.progress;
        if passed & !read != 0 {
            // This cannot fail, because a unit has no required field.
            let _ = self.finish(short, unit);
            self.levels.drop_unreadable(unit);
        }
        self.layout::<Quote>(short).reset_progress();
        (self.is_drift, self.is_new_unit) = (true, self.is_new_unit | is_new);
    }

    /// Ends the units of a book: notes the levels that did not fit. `units` counts the units. Refuses the book if one of
    /// its `sides` is empty because its levels could not be read.
    #[inline(always)]
    pub(super) fn finish_levels(
        &mut self,
        short: bool,
        sides: [&Levels; 2],
        units: impl FnOnce() -> u64,
    ) -> Result<(), Fault> {
        if self.levels.is_odd { self.finish_odd_levels(short, sides, units) } else { Ok(()) }
    }

    #[cold]
    fn finish_odd_levels(
        &mut self,
        short: bool,
        sides: [&Levels; 2],
        units: impl FnOnce() -> u64,
    ) -> Result<(), Fault> {
        const KIND: DriftKind = DriftKind::LevelsCut;
        let OddLevels { lost, cut, .. } = std::mem::replace(&mut self.levels, OddLevels::NONE);
        self.notes.counts.levels_cut += cut;
        (self.is_odd, self.is_drift) = (true, true);
        let is_reported = KIND.of_field().is_some_and(|kind| self.layout::<Orderbook>(short).is_reported(kind, 0));
        if cut > 0 && !is_reported {
            let (field, sample) = (Excerpt::new(b"orderbook_units"), Excerpt::number(units()));
            self.notes.add(Note { in_unit: false, kind: KIND, index: 0, field, sample });
        }
        let is_gone = |side: usize| lost[side] && sides[side].is_empty();
        if is_gone(0) || is_gone(1) { Err(Fault::Value) } else { Ok(()) }
    }
}

impl OddLevels {
    pub(super) const NONE: Self = Self { is_odd: false, lost: [false; 2], cut: 0 };

    /// Counts levels that do not fit.
    pub(super) fn count_cut(&mut self, count: u64) {
        self.cut += count;
        self.is_odd |= count > 0;
    }

    /// Makes the levels of the unit empty whose price or size could not be read.
    fn drop_unreadable(&mut self, unit: &mut Quote) {
        let Quote { ask_price, bid_price, ask_size, bid_size } = unit;
        for (side, price, size) in [(0, ask_price, ask_size), (1, bid_price, bid_size)] {
            if price.is_absent() || size.is_absent() {
                (self.is_odd, self.lost[side]) = (true, true);
                (*price, *size) = (Maybe::from(0.0), Maybe::from(0.0));
            }
        }
    }
}
