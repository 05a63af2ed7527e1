//! A position in the bytes of a message. Knows nothing of JSON.

use bytemuck::cast;
use wide::i8x16;

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

    /// Returns a cursor at a position in a message. For functions that take the two parts of a cursor, because a whole
    /// one would be passed in memory, and the caller could not keep its cursor in registers.
    #[inline(always)]
    pub(super) fn at(bytes: &'a [u8], position: u32) -> Self {
        Self { bytes, at: position }
    }

    /// Returns the message from its first byte.
    #[inline(always)]
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
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

    /// Returns the next `N` bytes, or `None` if the slack ends before that.
    #[inline(always)]
    pub(super) fn chunk<const N: usize>(&self) -> Option<&'a [u8; N]> {
        self.rest().first_chunk()
    }

    /// Returns the byte before this position.
    #[inline(always)]
    pub(super) fn before(&self) -> Option<u8> {
        self.bytes.get((self.at as usize).checked_sub(1)?).copied()
    }

    /// Returns the position, counted from the first byte.
    #[inline(always)]
    pub(super) fn position(&self) -> u32 {
        self.at
    }

    /// Returns a cursor at another position in the same message.
    #[inline(always)]
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

    /// Steps to the next byte with this value, or returns `None` if there is none.
    pub(super) fn skip_to(&mut self, byte: u8) -> Option<()> {
        const BLOCK: usize = 64;

        let splat = i8x16::splat(byte as i8);
        while let Some(block) = self.chunk::<BLOCK>() {
            let parts: [i8x16; 4] = cast(*block);
            let found = parts.map(|part| part.simd_eq(splat));
            if (found[0] | found[1] | found[2] | found[3]).any() {
                let at = found.iter().rev().fold(0u64, |bits, part| bits << 16 | u64::from(part.to_bitmask()));
                self.skip(at.trailing_zeros() as usize);
                return Some(());
            }
            self.skip(BLOCK);
        }
        let at = self.rest().iter().position(|other| *other == byte)?;
        self.skip(at);
        Some(())
    }

    /// Steps over `count` bytes that the caller has seen.
    #[inline(always)]
    pub(super) fn skip(&mut self, count: usize) {
        self.at += count as u32;
    }
}
