//! The writing end of a feed whose type is known only at run time.

use super::{FeedWriter, Mark, Overflow, Payload};
use crate::model::{AnyNoun, Event, Family, Noun};

/// The writing end of a feed of any type.
#[allow(clippy::large_enum_variant, reason = "all variants are equally large")]
pub(crate) enum AnyWriter {
    /// The feed carries one message type.
    Noun(AnyNoun<Writers>),
    /// The feed carries all message types.
    Event(FeedWriter<Event>),
}

/// Maps each message type to the writing end of a feed of that type.
pub(crate) struct Writers;

impl Family for Writers {
    type Of<T: Noun> = FeedWriter<T>;
}

/// Evaluates `$do` with `$writer` bound to the typed writing end.
macro_rules! for_any {
    ($any:expr, $writer:ident => $do:expr) => {
        match $any {
            AnyWriter::Noun(any) => match_any!(any, $writer => $do),
            AnyWriter::Event($writer) => $do,
        }
    };
}

impl AnyWriter {
    /// Wraps a typed writing end.
    pub(crate) fn new<T: Payload>(writer: FeedWriter<T>) -> Self {
        T::into_any_writer(writer)
    }

    /// Returns the typed writing end, if the feed carries `T`.
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

    /// See [`FeedWriter::lose`].
    #[cfg(feature = "testing")]
    pub(crate) fn lose(&mut self, updates: u64) {
        for_any!(self, writer => writer.lose(updates));
    }

    pub(crate) fn wake(&self) {
        for_any!(self, writer => writer.wake());
    }
}
