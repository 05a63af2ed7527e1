//! The items that a feed carries. All data is inline, so an update crosses threads without an allocation.

use super::{AnyWriter, FeedWriter};
use crate::model::{ConnectionId, DisconnectKind, Epoch, Event, Nanos, Noun, Stamps, StreamType, Ticker, Words};

/// A message with its time stamps and its origin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update<T = Event> {
    /// The message.
    pub value: T,
    /// When the message was created, received and published.
    pub stamps: Stamps,
    /// The connection that received the message.
    pub connection: ConnectionId,
    /// The socket of that connection.
    pub epoch: Epoch,
    /// The pool's version of the stream when this update was sent: the version of this value, or of the newer value if
    /// this one arrived late. In a conflating feed of snapshots only, or of changes only, the version counts only
    /// those.
    ///
    /// Each value of a stream raises the version by one, so versions show what a conflating feed skipped: if two
    /// consecutive updates of a stream have the versions 7 and 10, two values between them were replaced unread.
    pub version: u64,
}

impl<T> Update<T> {
    /// Converts the value, and keeps the rest.
    #[inline]
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Update<U> {
        let Self { value, stamps, connection, epoch, version } = self;
        Update { value: change(value), stamps, connection, epoch, version }
    }
}

impl<T: Payload> Update<T> {
    /// Returns a placeholder to fill memory with.
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

/// An item of a feed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a ring of boxes is 20 times slower than one of inline books")]
pub enum Item<T = Event> {
    /// A message.
    Data(Update<T>),
    /// Messages are missing here, because the reader did not keep up. Conflating feeds never have a gap; see
    /// [`Update::version`].
    Gap {
        /// The number of missing messages.
        missed: u64,
    },
    /// From here on a connection uses another socket. Messages that the exchange sent between the two sockets are lost
    /// to every reader, and their number is unknown. For each stream, the interval is that between its updates before
    /// and after this item; [`Engine::gaps`](crate::Engine::gaps) has the intervals of all streams, and those with other
    /// causes. Trades may be missing. Of other types only freshness was lost: the next update has the whole state.
    Epoch {
        /// The connection.
        connection: ConnectionId,
        /// The socket that ended.
        old: Epoch,
        /// The socket that replaced it.
        new: Epoch,
        /// Why the socket before `new` ended. Failed attempts to open another one do not change it. `None` if the reason
        /// is unknown, or no longer kept: a connection keeps the reasons of its last 64 sockets.
        reason: Option<DisconnectKind>,
        /// When data last arrived on the connection before `new`, rounded down to ms: everything that the exchange sent
        /// before that data was received. `None` if that is unknown, or no longer kept.
        since: Option<Nanos>,
    },
}

/// A placeholder, to create the slice that [`Feed::pop_batch`](super::Feed::pop_batch) fills.
impl<T> Default for Item<T> {
    fn default() -> Self {
        Self::Gap { missed: 0 }
    }
}

/// A type that a feed may carry: a [`Noun`], or an [`Event`], which is any of them. Sealed.
#[allow(private_bounds, reason = "closed to other types")]
pub trait Payload: Copy + std::fmt::Debug + Send + Sync + 'static + sealed::Carried {}

impl<T: Noun> Payload for T {}
impl Payload for Event {}

mod sealed {
    use super::super::{AnyWriter, FeedWriter};
    use crate::model::StreamType;

    /// The private half of [`Payload`](super::Payload).
    pub(crate) trait Carried: Sized {
        /// Returns whether the message answers a request or reports a change.
        fn stream_type(&self) -> StreamType;

        /// Returns the message with another stream type.
        fn with_stream_type(self, stream_type: StreamType) -> Self;

        /// Returns a placeholder to fill memory with.
        fn blank() -> Self;

        /// Wraps the writing end of a feed of this type.
        fn into_any_writer(writer: FeedWriter<Self>) -> AnyWriter;

        /// Returns the writing end, if the feed carries this type.
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
    fn an_update_adds_40_bytes_to_its_value() {
        // A slot of a ring adds 8 bytes: a ring of 4096 events takes 4.5 MB, one of 4096 trades 0.7 MB.
        assert_eq!(size_of::<Update<Event>>(), 1_080);
        assert_eq!(size_of::<Update<Trade>>(), 168);
        assert_eq!(size_of::<Update<Trade>>() - size_of::<Trade>(), 40);
    }
}
