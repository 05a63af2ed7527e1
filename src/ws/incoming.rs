//! What comes out of the stream: messages and control frames, borrowed from where they were received.

use super::{CloseCode, SLACK};

/// One message or control frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A whole text message; it is UTF-8.
    Text(Payload<'a>),
    /// A whole binary message; nobody has looked inside.
    Binary(Payload<'a>),
    /// A ping, at most 125 bytes: answer with a pong of the same bytes (RFC 6455 section 5.5.3).
    Ping(&'a [u8]),
    /// A pong, at most 125 bytes; it may be one nobody asked for.
    Pong(&'a [u8]),
    /// The peer closes, with a code that may be sent and its reason, or with neither. Nothing follows it.
    Close(Option<(CloseCode, &'a str)>),
}

/// The bytes of a message, with at least [`SLACK`] readable bytes behind them.
#[derive(Clone, Copy)]
pub struct Payload<'a> {
    padded: &'a [u8],
    len: usize,
}

impl<'a> Payload<'a> {
    /// `padded` is the message and [`SLACK`] bytes.
    #[inline]
    pub(super) fn new(padded: &'a [u8]) -> Self {
        Self { padded, len: padded.len() - SLACK }
    }

    /// The message.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        &self.padded[..self.len]
    }

    /// The message with its slack, and the length of the message: the slice continues at least [`SLACK`] bytes beyond
    /// it. What those say is unspecified.
    #[inline]
    pub fn padded(&self) -> (&'a [u8], usize) {
        (self.padded, self.len)
    }
}

/// Two payloads are equal if their messages are; the slack does not count.
impl PartialEq for Payload<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Payload<'_> {}

/// Prints the length only: what private messages say stays out of logs.
impl std::fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Payload({} bytes)", self.len)
    }
}
