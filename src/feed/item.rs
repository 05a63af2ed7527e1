//! What a feed carries. Everything is inline: an update crosses threads without an allocation.

use super::{AnyWriter, FeedWriter};
use crate::model::{ConnectionId, DisconnectKind, Epoch, Event, Noun, Stamps, StreamType, Ticker, Words};

/// A message and the proof of where and when it came from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update<T = Event> {
    /// The message.
    pub value: T,
    /// When it happened, was received and was published.
    pub stamps: Stamps,
    /// The connection that brought it.
    pub connection: ConnectionId,
    /// Which of its sockets.
    pub epoch: Epoch,
    /// The pool's version of the stream when this was sent: its own, or that of the newer value if it came late. A feed
    /// that conflates snapshots or changes alone counts those instead.
    ///
    /// Versions count the values of a stream one by one. This is how a feed that conflates tells what it skipped: if two
    /// consecutive updates of a stream have the versions 7 and 10, two values between them were replaced unread.
    pub version: u64,
}

impl<T> Update<T> {
    /// The same of another type.
    #[inline]
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Update<U> {
        let Self { value, stamps, connection, epoch, version } = self;
        Update { value: change(value), stamps, connection, epoch, version }
    }
}

impl<T: Payload> Update<T> {
    /// Something to fill memory with.
    pub(super) fn blank() -> Self {
        Self {
            value: T::blank(),
            stamps: Stamps::default(),
            connection: ConnectionId(0),
            epoch: Epoch::default(),
            version: 0,
        }
    }
}

/// What a feed hands out.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a ring of boxes is 20 times slower than one of inline books")]
pub enum Item<T = Event> {
    /// A message.
    Data(Update<T>),
    /// Messages are missing here: the reader did not keep up. Feeds that conflate never have a gap; see
    /// [`Update::version`].
    Gap {
        /// How many.
        missed: u64,
    },
    /// From here on a connection uses another socket. What the exchange sent between the two is lost to everybody, and
    /// nobody can say how much it was.
    Epoch {
        /// Which connection.
        connection: ConnectionId,
        /// The socket that ended.
        old: Epoch,
        /// The socket that came after it.
        new: Epoch,
        /// Why the last socket, or the last try to get one, ended; none if that is too long ago.
        reason: Option<DisconnectKind>,
    },
}

/// A place for an item: what `pop_batch` is given.
impl<T> Default for Item<T> {
    fn default() -> Self {
        Self::Gap { missed: 0 }
    }
}

/// What a feed may carry: a [`Noun`], or any of them as an [`Event`]. Closed to other types.
#[allow(private_bounds, reason = "closed to other types")]
pub trait Payload: Copy + std::fmt::Debug + Send + Sync + 'static + sealed::Carried {}

impl<T: Noun> Payload for T {}
impl Payload for Event {}

mod sealed {
    use super::super::{AnyWriter, FeedWriter};
    use crate::model::StreamType;

    /// The private half of [`Payload`](super::Payload).
    pub(crate) trait Carried: Sized {
        /// Whether it answers a request or reports a change.
        fn stream_type(&self) -> StreamType;

        /// The same with another stream type.
        fn with_stream_type(self, stream_type: StreamType) -> Self;

        /// Something to fill memory with.
        fn blank() -> Self;

        /// The writing end of a feed of this type, as one that may be of any type.
        fn into_any_writer(writer: FeedWriter<Self>) -> AnyWriter;

        /// The writing end, if the feed is of this type.
        fn from_any_writer(writer: &mut AnyWriter) -> Option<&mut FeedWriter<Self>>;
    }
}

impl<T: Noun> sealed::Carried for T {
    #[inline]
    fn stream_type(&self) -> StreamType {
        Noun::stream_type(self)
    }

    fn with_stream_type(self, stream_type: StreamType) -> Self {
        Noun::with_stream_type(self, stream_type)
    }

    fn blank() -> Self {
        Words::take(&mut || 0)
    }

    fn into_any_writer(writer: FeedWriter<Self>) -> AnyWriter {
        AnyWriter::Noun(T::into_any(writer))
    }

    #[inline]
    fn from_any_writer(writer: &mut AnyWriter) -> Option<&mut FeedWriter<Self>> {
        if let AnyWriter::Noun(writer) = writer { T::from_any_mut(writer) } else { None }
    }
}

impl sealed::Carried for Event {
    fn stream_type(&self) -> StreamType {
        self.stream_type()
    }

    fn with_stream_type(self, stream_type: StreamType) -> Self {
        self.with_stream_type(stream_type)
    }

    fn blank() -> Self {
        Ticker::blank().into()
    }

    fn into_any_writer(writer: FeedWriter<Self>) -> AnyWriter {
        AnyWriter::Event(writer)
    }

    fn from_any_writer(writer: &mut AnyWriter) -> Option<&mut FeedWriter<Self>> {
        if let AnyWriter::Event(writer) = writer { Some(writer) } else { None }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::model::Trade;

    #[test]
    fn an_update_is_as_large_as_its_value_and_its_proof() {
        // And 8 bytes more in a ring: one of 4096 takes 4.5 MB of any event, 0.9 MB of trades.
        assert_eq!(size_of::<Update<Event>>(), 1_088);
        assert_eq!(size_of::<Update<Trade>>(), 200);
        assert_eq!(size_of::<Update<Trade>>() - size_of::<Trade>(), 40);
    }
}
