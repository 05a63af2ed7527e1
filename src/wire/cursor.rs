//! A position in the bytes of a message. Knows nothing of JSON.

/// A position in the bytes of a message and the slack behind it. A copy remembers the position.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    /// A `u32`, so that the sum of a position and a length cannot overflow. Otherwise that would be checked for each field.
    at: u32,
}

impl<'a> Cursor<'a> {
    /// A cursor at the first byte. `None` if there are more bytes than positions.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        u32::try_from(bytes.len()).ok().map(|_| Self { bytes, at: 0 })
    }

    /// The bytes that have not been read.
    #[inline(always)]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at as usize..).unwrap_or_default()
    }

    /// The next `len` bytes; `None` at the end of the slack.
    #[inline(always)]
    pub(super) fn ahead(&self, len: usize) -> Option<&'a [u8]> {
        let at = self.at as usize;
        self.bytes.get(at..at + len)
    }

    /// The next byte; `None` at the end of the slack.
    #[inline(always)]
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at as usize).copied()
    }

    /// The position, counted from the first byte.
    pub(super) fn position(&self) -> u32 {
        self.at
    }

    /// Another position in the same message.
    pub(super) fn moved_to(self, position: u32) -> Self {
        Self { at: position, ..self }
    }

    /// The bytes from here to `end`, a later position in the same message.
    pub(super) fn up_to(&self, end: Self) -> &'a [u8] {
        self.bytes.get(self.at as usize..end.at as usize).unwrap_or_default()
    }

    /// Steps over `text`, or stays. Inlined, so a constant `text` is compared in a few wide loads.
    #[inline(always)]
    pub(super) fn eat(&mut self, text: &[u8]) -> bool {
        let is_here = self.ahead(text.len()) == Some(text);
        if is_here {
            self.skip(text.len());
        }
        is_here
    }

    /// Steps over `word` and the quote behind it, or stays.
    #[inline(always)]
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let ahead = self.ahead(word.len() + 1).map(|ahead| ahead.split_at(word.len()));
        let is_here = ahead.is_some_and(|(text, end)| text == word.as_bytes() && end == b"\"");
        if is_here {
            self.skip(word.len() + 1);
        }
        is_here
    }

    /// Steps over bytes that were looked at.
    #[inline(always)]
    pub(super) fn skip(&mut self, count: usize) {
        self.at += count as u32;
    }
}
