//! A position in the bytes of a message. Knows nothing of JSON.

/// A position in the bytes of a message and of the slack after it, see [`SLACK`](super::SLACK). A copy keeps its own
/// position.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    /// A `u32`, so that adding a length cannot overflow a `usize`, and no check for that is needed at each field.
    at: u32,
}

impl<'a> Cursor<'a> {
    /// Returns a cursor at the first byte, or `None` if the number of bytes does not fit a `u32`.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        u32::try_from(bytes.len()).ok().map(|_| Self { bytes, at: 0 })
    }

    /// Returns the bytes that have not been read, slack included.
    #[inline(always)]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at as usize..).unwrap_or_default()
    }

    /// Returns the next `len` bytes, or `None` if the slack ends before that.
    #[inline(always)]
    pub(super) fn ahead(&self, len: usize) -> Option<&'a [u8]> {
        let at = self.at as usize;
        self.bytes.get(at..at + len)
    }

    /// Returns the next byte, or `None` at the end of the slack.
    #[inline(always)]
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at as usize).copied()
    }

    /// Returns the position, counted from the first byte.
    pub(super) fn position(&self) -> u32 {
        self.at
    }

    /// Returns a cursor at another position in the same message.
    pub(super) fn moved_to(self, position: u32) -> Self {
        Self { at: position, ..self }
    }

    /// Returns the bytes from here to `end`, a later position in the same message.
    pub(super) fn up_to(&self, end: Self) -> &'a [u8] {
        self.bytes.get(self.at as usize..end.at as usize).unwrap_or_default()
    }

    /// Steps over `text` and returns true if it comes next; otherwise stays. Inlined, so that a constant `text` is
    /// compared in a few wide loads.
    #[inline(always)]
    pub(super) fn eat(&mut self, text: &[u8]) -> bool {
        let is_here = self.ahead(text.len()) == Some(text);
        if is_here {
            self.skip(text.len());
        }
        is_here
    }

    /// Steps over `word` and the quote after it and returns true if they come next; otherwise stays.
    #[inline(always)]
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let ahead = self.ahead(word.len() + 1).map(|ahead| ahead.split_at(word.len()));
        let is_here = ahead.is_some_and(|(text, end)| text == word.as_bytes() && end == b"\"");
        if is_here {
            self.skip(word.len() + 1);
        }
        is_here
    }

    /// Steps over `count` bytes that the caller has seen.
    #[inline(always)]
    pub(super) fn skip(&mut self, count: usize) {
        self.at += count as u32;
    }
}
