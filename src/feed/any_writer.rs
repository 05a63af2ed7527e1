//! A writing end of a feed whose type is known when the program runs.

use super::{FeedWriter, Mark, Overflow, Payload};
use crate::model::{AnyNoun, Event, Family, Noun};

/// A writing end of a feed of any type.
#[allow(clippy::large_enum_variant, reason = "all variants are as large")]
pub(crate) enum AnyWriter {
    /// Of a feed of one type.
    Noun(AnyNoun<Writers>),
    /// Of a feed of all types.
    Event(FeedWriter<Event>),
}

/// Of each type, the writing end of a feed.
pub(crate) struct Writers;

impl Family for Writers {
    type Of<T: Noun> = FeedWriter<T>;
}

/// Evaluates an expression with `$writer` as the writing end.
macro_rules! for_any {
    ($any:expr, $writer:ident => $do:expr) => {
        match $any {
            AnyWriter::Noun(any) => match_any!(any, $writer => $do),
            AnyWriter::Event($writer) => $do,
        }
    };
}

impl AnyWriter {
    /// A writing end of a feed of this type.
    pub(crate) fn new<T: Payload>(writer: FeedWriter<T>) -> Self {
        T::into_any_writer(writer)
    }

    /// The writing end, if the feed is of this type.
    #[inline]
    pub(crate) fn typed<T: Payload>(&mut self) -> Option<&mut FeedWriter<T>> {
        T::from_any_writer(self)
    }

    pub(crate) fn overflow(&self) -> Overflow {
        for_any!(self, writer => writer.overflow())
    }

    /// See [`FeedWriter::is_neglected`].
    pub(crate) fn is_neglected(&self) -> bool {
        for_any!(self, writer => writer.is_neglected())
    }

    #[inline]
    pub(crate) fn mark(&mut self, mark: Mark) -> bool {
        for_any!(self, writer => writer.mark(mark))
    }

    #[inline]
    pub(crate) fn filter(&mut self) {
        for_any!(self, writer => writer.filter());
    }

    #[inline]
    pub(crate) fn flush(&mut self) {
        for_any!(self, writer => writer.flush());
    }

    pub(crate) fn wake(&self) {
        for_any!(self, writer => writer.wake());
    }
}
