//! The structs that messages are read into, one of each type, reused for every message. Also what the decoder has
//! learned and counted.

use std::collections::VecDeque;
use std::ops::{Index, IndexMut};

use crate::model::{DataType, EachNoun, Family, Format, Noun, NounKind, Placed, Receipt, Sink};

use super::differences::Differences;
use super::drift::{Drift, DriftCounts};
use super::schema::Record;

/// The structs that messages are read into, and what the decoder has learned and counted.
pub(super) struct Scratch {
    /// Unspecified between messages. A struct is delivered only if a message was read into it completely.
    pub(super) nouns: EachNoun<OneOfEach>,
    pub(super) differences: Differences,
    pub(super) delivered: ObjectCounts,
    /// Messages with a difference that the scanner read.
    pub(super) tolerated: u64,
    drift_by_type: [[DriftCounts; Format::ALL.len()]; NounKind::COUNT],
    /// Reports that were not taken yet.
    drifts: VecDeque<Drift>,
}

/// Maximum number of reports that wait to be taken. Any other drift is reported when it occurs again and there is room.
const DRIFTS_MAX: usize = 32;

/// One message of each type.
pub(super) struct OneOfEach;

impl Family for OneOfEach {
    type Of<T: Noun> = T;
}

/// Counts data objects by type: `delivered[NounKind::Trade]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ObjectCounts {
    by_kind: [u64; NounKind::COUNT],
    /// Units of the order books. The units of one book are the levels of its deeper side.
    pub units: u64,
}

macro_rules! blank {
    ([] $($Noun:ident $noun:ident,)*) => {
        EachNoun { $($noun: <crate::model::$Noun as Record>::BLANK,)* }
    };
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self {
            nouns: for_each_noun! { blank! },
            differences: Differences::NONE,
            delivered: ObjectCounts::default(),
            tolerated: 0,
            drift_by_type: Default::default(),
            drifts: VecDeque::with_capacity(DRIFTS_MAX),
        }
    }

    /// Counts and reports what the notes say about a message that is about to be delivered.
    #[inline]
    pub(super) fn commit(&mut self, data_type: DataType, format: Format) {
        let counts = &self.differences.notes.counts;
        self.drift_by_type[data_type.kind() as usize][format as usize].add(counts);
        if !self.differences.notes.fresh().is_empty() {
            self.report(data_type, format);
        }
    }

    /// Reports the differences that were not reported before.
    #[cold]
    fn report(&mut self, data_type: DataType, format: Format) {
        let (kind, short) = (data_type.kind(), format.is_short());
        let differences = &mut self.differences;
        let (layouts, unit_layouts) = (&mut differences.layouts, &mut differences.unit_layouts);
        for note in differences.notes.fresh() {
            if self.drifts.len() == DRIFTS_MAX {
                break;
            }
            let layouts = if note.in_unit { &mut *unit_layouts } else { with_noun!(kind, T => T::place(layouts)) };
            let layout = &mut layouts[usize::from(short)];
            let is_news = match note.kind.of_field() {
                Some(kind) => {
                    layout.set_reported(kind, note.index);
                    true
                }
                None => layout.remember(note.field.as_bytes()),
            };
            if is_news {
                let (kind, field, sample) = (note.kind, note.field, note.sample);
                self.drifts.push_back(Drift { data_type, format, kind, field, sample });
            }
        }
    }

    /// Takes the oldest report that was not taken yet.
    pub(super) fn take_drift(&mut self) -> Option<Drift> {
        self.drifts.pop_front()
    }

    /// Returns the drift of all messages.
    pub(super) fn drift(&self) -> DriftCounts {
        let mut sum = DriftCounts::default();
        self.drift_by_type.iter().flatten().for_each(|counts| sum.add(counts));
        sum
    }

    /// Returns the drift of one type of message in one format.
    pub(super) fn drift_of(&self, kind: NounKind, format: Format) -> DriftCounts {
        self.drift_by_type[kind as usize][format as usize]
    }

    /// Hands the struct of one type to `sink`.
    #[inline(always)]
    pub(super) fn deliver(&mut self, kind: NounKind, receipt: Receipt, sink: &mut impl Sink) {
        with_noun!(kind, T => {
            let message = T::place(&mut self.nouns);
            self.delivered[kind] += 1;
            self.delivered.units += message.unit_count() as u64;
            sink.deliver(receipt, &*message);
        });
    }
}

impl ObjectCounts {
    /// Combines each count with the same count of `other`.
    #[must_use]
    pub fn zip(mut self, other: &Self, combine: impl Fn(u64, u64) -> u64) -> Self {
        for (count, other) in self.by_kind.iter_mut().zip(&other.by_kind) {
            *count = combine(*count, *other);
        }
        self.units = combine(self.units, other.units);
        self
    }
}

impl Index<NounKind> for ObjectCounts {
    type Output = u64;

    #[inline]
    fn index(&self, kind: NounKind) -> &u64 {
        &self.by_kind[kind as usize]
    }
}

impl IndexMut<NounKind> for ObjectCounts {
    #[inline]
    fn index_mut(&mut self, kind: NounKind) -> &mut u64 {
        &mut self.by_kind[kind as usize]
    }
}
