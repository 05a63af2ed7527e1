//! The structs into which messages are read: one of each noun, reused for every message.

use std::ops::{Index, IndexMut};

use crate::model::{EachNoun, Family, Noun, NounKind, Placed, Receipt, Sink};

use super::schema::Record;

/// One struct of each noun. The content is unspecified between messages; only completely read structs are delivered.
pub(super) struct Scratch {
    pub(super) nouns: EachNoun<OneOfEach>,
    pub(super) delivered: ObjectCounts,
}

/// The [`Family`] with one message of each noun.
pub(super) struct OneOfEach;

impl Family for OneOfEach {
    type Of<T: Noun> = T;
}

/// The number of data objects of each noun: `delivered[NounKind::Trade]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ObjectCounts {
    by_kind: [u64; NounKind::COUNT],
    /// The number of order book units. Each book counts the levels of its deeper side.
    pub units: u64,
}

macro_rules! blank {
    ([] $($Noun:ident $noun:ident,)*) => {
        EachNoun { $($noun: <crate::model::$Noun as Record>::BLANK,)* }
    };
}

impl Scratch {
    pub(super) const BLANK: Self = Self { nouns: for_each_noun! { blank! }, delivered: ObjectCounts::NOTHING };

    /// Counts the struct of one noun and delivers it to `sink`.
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
    const NOTHING: Self = Self { by_kind: [0; NounKind::COUNT], units: 0 };

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
