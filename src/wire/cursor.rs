//! Wire: a place in the bytes of a message. Knows constants and words of eight bytes, nothing of JSON.

/// The bytes not read yet, slack included. Copying one remembers a place.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// What has not been read.
    #[inline(always)]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Steps over `text`, or stays. Inlined, so a constant `text` is compared in a few wide loads.
    #[inline(always)]
    pub(super) fn eat(&mut self, text: &[u8]) -> bool {
        match self.rest.split_at_checked(text.len()) {
            Some((head, tail)) if head == text => {
                self.rest = tail;
                true
            }
            _ => false,
        }
    }

    /// The next `N` bytes; `None` at the end of the slack.
    #[inline(always)]
    pub(super) fn chunk<const N: usize>(&self) -> Option<&'a [u8; N]> {
        self.rest.first_chunk()
    }

    /// Steps over `count` bytes.
    #[inline(always)]
    pub(super) fn skip(&mut self, count: usize) -> Option<()> {
        self.rest = self.rest.get(count..)?;
        Some(())
    }
}
