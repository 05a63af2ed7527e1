//! The messages of a connection's newest WebSocket that were refused: their number, the reasons, and their streams.

use std::fmt;

use crate::model::{Epoch, StreamKey};
use crate::wire::DecodeError;

/// The maximum number of streams whose refused messages are counted separately.
const STREAMS_MAX: usize = 1024;

/// A number of refused messages, with the first and the last reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// The number of messages, at least 1.
    pub count: u64,
    /// Why the first one was refused.
    pub first: DecodeError,
    /// Why the last one was refused.
    pub last: DecodeError,
}

/// The messages that were refused since a connection's newest WebSocket was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RefusedMessages {
    epoch: Epoch,
    all: Option<Refused>,
    unnamed: Option<Refused>,
    /// Sorted by stream.
    streams: Vec<(StreamKey, Refused)>,
}

impl Refused {
    fn add(counted: &mut Option<Self>, error: DecodeError) {
        match counted {
            Some(refused) => (refused.count, refused.last) = (refused.count + 1, error),
            None => *counted = Some(Self { count: 1, first: error, last: error }),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => f.write_str("connected, and 1 message was refused")?,
            count => write!(f, "connected, and {count} messages were refused, the first")?,
        }
        if let Some(stream) = self.first.stream {
            write!(f, " ({stream})")?;
        }
        write!(f, " because {}", self.first.kind)
    }
}

impl RefusedMessages {
    /// Returns all refused messages; `None` if there were none.
    pub fn all(&self) -> Option<Refused> {
        self.all
    }

    /// Returns the refused messages of one stream.
    pub fn of(&self, stream: StreamKey) -> Option<Refused> {
        self.find(stream).ok().map(|at| self.streams[at].1)
    }

    /// Returns the refused messages whose stream could not be read. They may be messages of any stream. If messages of
    /// more than 1024 streams are refused, those of further streams count as unnamed.
    pub fn unnamed(&self) -> Option<Refused> {
        self.unnamed
    }

    fn find(&self, stream: StreamKey) -> Result<usize, usize> {
        self.streams.binary_search_by_key(&stream, |(stream, _)| *stream)
    }

    /// Starts to count for a new WebSocket.
    pub(super) fn opened(&mut self, epoch: Epoch) {
        (self.epoch, self.all, self.unnamed) = (epoch, None, None);
        self.streams.clear();
    }

    pub(super) fn add(&mut self, error: DecodeError) {
        Refused::add(&mut self.all, error);
        match error.stream.map(|stream| (stream, self.find(stream))) {
            Some((_, Ok(at))) => {
                let refused = &mut self.streams[at].1;
                (refused.count, refused.last) = (refused.count + 1, error);
            }
            Some((stream, Err(at))) if self.streams.len() < STREAMS_MAX => {
                self.streams.insert(at, (stream, Refused { count: 1, first: error, last: error }));
            }
            _ => Refused::add(&mut self.unnamed, error),
        }
    }

    /// Copies `newest`, if it has changed since it was last copied.
    pub(crate) fn follow(&mut self, newest: &Self) {
        let state = |messages: &Self| (messages.epoch, messages.all.map(|refused| refused.count));
        if state(self) != state(newest) {
            (self.epoch, self.all, self.unnamed) = (newest.epoch, newest.all, newest.unnamed);
            self.streams.clone_from(&newest.streams);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DataType, Market};
    use crate::wire::DecodeErrorKind;

    fn error(field: &'static str, number: Option<usize>) -> DecodeError {
        let market = |number| format!("KRW-M{number}").parse::<Market>().unwrap();
        let stream = number.map(|number| StreamKey::of(DataType::Ticker, market(number)));
        DecodeError { stream, ..DecodeErrorKind::MissingField(field).into() }
    }

    #[test]
    fn refused_messages_are_counted_in_total_by_stream_and_without_a_stream() {
        let mut messages = RefusedMessages::default();
        assert_eq!(messages.all(), None);
        for (field, number) in [("a", Some(2)), ("b", Some(1)), ("c", None), ("d", Some(2))] {
            messages.add(error(field, number));
        }
        let refused = |count, first, last| Some(Refused { count, first, last });
        let (two, one) = (error("a", Some(2)), error("b", Some(1)));
        assert_eq!(messages.all(), refused(4, two, error("d", Some(2))));
        assert_eq!(messages.of(two.stream.unwrap()), refused(2, two, error("d", Some(2))));
        assert_eq!(messages.of(one.stream.unwrap()), refused(1, one, one));
        assert_eq!(messages.of(error("", Some(3)).stream.unwrap()), None);
        assert_eq!(messages.unnamed(), refused(1, error("c", None), error("c", None)));
        let mut copy = RefusedMessages::default();
        copy.follow(&messages);
        assert_eq!(copy, messages);
        messages.opened(Epoch(2));
        copy.follow(&messages);
        assert_eq!((copy.all(), copy.unnamed(), copy.of(two.stream.unwrap())), (None, None, None));
    }

    #[test]
    fn messages_of_many_streams_take_bounded_memory_and_none_is_forgotten() {
        let mut messages = RefusedMessages::default();
        (0..3 * STREAMS_MAX).for_each(|number| messages.add(error("a", Some(number))));
        assert_eq!(messages.streams.len(), STREAMS_MAX);
        assert_eq!(messages.unnamed().map(|refused| refused.count), Some(2 * STREAMS_MAX as u64));
        assert_eq!(messages.all().map(|refused| refused.count), Some(3 * STREAMS_MAX as u64));
    }

    #[test]
    fn it_prints_the_number_and_the_first_reason() {
        let refused = |count, first| Refused { count, first, last: error("b", None) }.to_string();
        assert_eq!(
            refused(5, error("trade_price", Some(1))),
            "connected, and 5 messages were refused, the first (ticker KRW-M1) because field trade_price is missing"
        );
        assert_eq!(
            refused(1, DecodeErrorKind::NotJson.into()),
            "connected, and 1 message was refused because the message is not JSON"
        );
    }
}
