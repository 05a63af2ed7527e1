//! A position in the bytes of a message, independent of JSON.

/// A position in the bytes of a message and the slack after it. A copy of a cursor remembers the position.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    /// A `u32`, so that adding a length in `usize` cannot overflow and needs no check for each field.
    at: u32,
}

impl<'a> Cursor<'a> {
    /// Creates a cursor at the start of `bytes`. Returns `None` if their length does not fit a `u32`.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        u32::try_from(bytes.len()).ok().map(|_| Self { bytes, at: 0 })
    }

    /// Returns the bytes that have not been read.
    #[inline(always)]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at as usize..).unwrap_or_default()
    }

    /// Returns the next `len` bytes, or `None` if fewer remain, slack included.
    #[inline(always)]
    pub(super) fn ahead(&self, len: usize) -> Option<&'a [u8]> {
        let at = self.at as usize;
        self.bytes.get(at..at + len)
    }

    /// Steps over `text` if it is next, and returns whether it was. Inlined, so that comparing a constant `text` takes
    /// a few wide loads.
    #[inline(always)]
    pub(super) fn eat(&mut self, text: &[u8]) -> bool {
        let is_here = self.ahead(text.len()) == Some(text);
        if is_here {
            self.skip(text.len());
        }
        is_here
    }

    /// Steps over `word` and a closing quote if they are next, and returns whether they were.
    #[inline(always)]
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let ahead = self.ahead(word.len() + 1).map(|ahead| ahead.split_at(word.len()));
        let is_here = ahead.is_some_and(|(text, end)| text == word.as_bytes() && end == b"\"");
        if is_here {
            self.skip(word.len() + 1);
        }
        is_here
    }

    /// Steps over `count` bytes that the caller has examined.
    #[inline(always)]
    pub(super) fn skip(&mut self, count: usize) {
        self.at += count as u32;
    }
}
