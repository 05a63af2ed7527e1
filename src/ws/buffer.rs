//! Where received bytes wait: one flat buffer and two cursors. Knows nothing about frames.

use std::ops::Range;

/// Readable, initialised bytes behind every message handed out. Their content is unspecified (often the next frame):
/// a scanner may load them in wide steps, and must not believe them.
pub const SLACK: usize = 64;

/// Where received bytes wait: one flat buffer, filled at the back, parsed at the front.
///
/// ```text
/// 0 ......... parsed ......... filled ......... len - SLACK .... len
///   read already   not read yet    room to receive      slack
/// ```
///
/// The invariant is `parsed <= filled <= len - SLACK`. Bytes move to the front only when the room at the back has
/// become short (less than a quarter of the capacity), and then less than one frame moves: bytes of a burst are
/// never moved once per frame.
///
/// The buffer grows only for a frame that does not fit, to that frame and one more `capacity`, and never shrinks. Who
/// reads until the reader asks for more before receiving again therefore holds at most
/// `largest legal frame + capacity + SLACK` bytes.
pub struct ReceiveBuffer {
    bytes: Vec<u8>,
    parsed: usize,
    filled: usize,
    /// Bytes that have to lie behind `parsed` before the reader can go on; 0 if it has not said.
    wanted: usize,
    capacity: usize,
}

impl ReceiveBuffer {
    /// An empty buffer with room for `capacity` bytes: the largest single read. 64 KiB suits a socket.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self { bytes: vec![0; capacity + SLACK], parsed: 0, filled: 0, wanted: 0, capacity }
    }

    /// Room to receive into, never empty. Say with [`advance`](Self::advance) how much of it was filled.
    #[inline]
    pub fn spare(&mut self) -> &mut [u8] {
        if self.parsed == self.filled {
            self.rewind();
        }
        if self.room() < self.capacity / 4 || self.room() == 0 {
            self.make_room();
        }
        self.invariants();
        let end = self.end();
        &mut self.bytes[self.filled..end]
    }

    /// `n` bytes of [`spare`](Self::spare) were filled.
    ///
    /// # Panics
    /// If `n` is more than there was room for.
    #[inline]
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.room(), "more bytes than there was room for");
        self.filled += n;
        self.invariants();
    }

    /// The bytes received and not read yet.
    #[inline]
    pub fn unparsed(&self) -> &[u8] {
        &self.bytes[self.parsed..self.filled]
    }

    /// Bytes of memory held.
    pub fn footprint(&self) -> usize {
        self.bytes.capacity()
    }

    /// The next `n` bytes have been read. Gives their place, good until the next call of [`spare`](Self::spare).
    #[inline]
    pub(super) fn consume(&mut self, n: usize) -> Range<usize> {
        let start = self.parsed;
        self.parsed += n;
        self.wanted = 0;
        self.invariants();
        start..self.parsed
    }

    /// Nothing can be read before `n` bytes lie behind the parsed ones, so there has to be room for them.
    pub(super) fn want(&mut self, n: usize) {
        self.wanted = n;
    }

    /// The bytes of a place that [`consume`](Self::consume) gave, with [`SLACK`] behind them.
    #[inline]
    pub(super) fn padded(&self, place: Range<usize>) -> &[u8] {
        &self.bytes[place.start..place.end + SLACK]
    }

    fn end(&self) -> usize {
        self.bytes.len() - SLACK
    }

    fn room(&self) -> usize {
        self.end() - self.filled
    }

    fn rewind(&mut self) {
        self.parsed = 0;
        self.filled = 0;
        self.wanted = 0;
    }

    #[cold]
    fn make_room(&mut self) {
        self.bytes.copy_within(self.parsed..self.filled, 0);
        self.filled -= self.parsed;
        self.parsed = 0;
        if self.wanted > self.end() || self.room() == 0 {
            // `exact`: a bound that doubles is not the bound that was written down.
            let len = self.wanted.max(self.filled) + self.capacity + SLACK;
            self.bytes.reserve_exact(len - self.bytes.len());
            self.bytes.resize(len, 0);
        }
    }

    #[inline]
    fn invariants(&self) {
        debug_assert!(self.parsed <= self.filled, "parsed {} > filled {}", self.parsed, self.filled);
        debug_assert!(self.filled + SLACK <= self.bytes.len(), "filled {} has no slack", self.filled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(buffer: &mut ReceiveBuffer, bytes: &[u8]) {
        buffer.spare()[..bytes.len()].copy_from_slice(bytes);
        buffer.advance(bytes.len());
    }

    #[test]
    fn a_buffer_read_to_the_end_starts_over_at_the_front() {
        let mut buffer = ReceiveBuffer::new(16);
        receive(&mut buffer, b"0123456789");
        buffer.consume(10);
        assert_eq!(buffer.spare().len(), 16);
    }

    #[test]
    fn bytes_move_only_when_the_room_is_short() {
        let mut buffer = ReceiveBuffer::new(16);
        receive(&mut buffer, b"0123456789");
        buffer.consume(9);
        assert_eq!(buffer.spare().len(), 6, "room enough: nothing moves");
        receive(&mut buffer, b"abcd");
        assert_eq!(buffer.spare().len(), 11, "two bytes are short: the five unread ones move to the front");
        assert_eq!(buffer.unparsed(), b"9abcd");
    }

    #[test]
    fn the_room_is_never_empty() {
        let mut buffer = ReceiveBuffer::new(1);
        for n in 0..300 {
            assert!(!buffer.spare().is_empty(), "after {n} bytes");
            receive(&mut buffer, b"x");
        }
        assert_eq!(buffer.unparsed().len(), 300);
    }

    #[test]
    fn a_large_frame_grows_the_buffer_once_and_by_what_it_needs() {
        let mut buffer = ReceiveBuffer::new(16);
        receive(&mut buffer, b"0123456789abcdef");
        buffer.consume(2);
        buffer.want(1000);
        assert_eq!(buffer.spare().len(), 1000 + 16 - 14);
        assert_eq!(buffer.footprint(), 1000 + 16 + SLACK);
    }

    #[test]
    fn slack_lies_behind_the_last_byte() {
        let mut buffer = ReceiveBuffer::new(8);
        receive(&mut buffer, b"01234567");
        let place = buffer.consume(8);
        assert_eq!(buffer.padded(place).len(), 8 + SLACK);
    }
}
