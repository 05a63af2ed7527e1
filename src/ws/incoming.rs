//! Messages and control frames, borrowed from the buffer that they were received in.

use super::{CloseCode, SLACK};

/// One message or control frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A whole text message; it is UTF-8.
    Text(Payload<'a>),
    /// A whole binary message; its content was not checked.
    Binary(Payload<'a>),
    /// A ping, at most 125 bytes. Answer with a pong of the same bytes (RFC 6455 section 5.5.3).
    Ping(&'a [u8]),
    /// A pong, at most 125 bytes. It may be unsolicited.
    Pong(&'a [u8]),
    /// A close frame, with a valid code and its reason, or with neither. No message follows it.
    Close(Option<(CloseCode, &'a str)>),
}

/// The bytes of a message, with at least [`SLACK`] readable bytes after them.
#[derive(Clone, Copy)]
pub struct Payload<'a> {
    padded: &'a [u8],
    len: usize,
}

impl<'a> Payload<'a> {
    /// Creates a payload from a message and the [`SLACK`] bytes after it.
    #[inline]
    pub(super) fn new(padded: &'a [u8]) -> Self {
        Self { padded, len: padded.len() - SLACK }
    }

    /// Returns the message.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        &self.padded[..self.len]
    }

    /// Returns the message with its slack, and the length of the message. The slice continues at least [`SLACK`] bytes
    /// after the message; their values are unspecified.
    #[inline]
    pub fn padded(&self) -> (&'a [u8], usize) {
        (self.padded, self.len)
    }
}

/// Payloads are equal if their messages are equal; the slack is ignored.
impl PartialEq for Payload<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Payload<'_> {}

/// Prints only the length, so that private messages stay out of logs.
impl std::fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Payload({} bytes)", self.len)
    }
}
