//! The buffer of received bytes: one flat allocation and two cursors. Knows nothing about frames.

use std::ops::Range;

/// The number of readable, initialized bytes after every message. Their content is unspecified (often the next frame):
/// a scanner may load them in wide steps, but must ignore their values.
pub const SLACK: usize = 64;

/// A buffer of received bytes: one flat allocation, filled at the back and parsed at the front.
///
/// ```text
/// 0 ......... parsed ......... filled ......... len - SLACK .... len
///   read already   not read yet    room to receive      slack
/// ```
///
/// The invariant is `parsed <= filled <= len - SLACK`. Bytes move to the front only if the space at the back has become
/// short (less than a quarter of the capacity). Less than one frame moves then, so a burst does not cause one move per
/// frame.
///
/// The buffer grows only for a frame that does not fit, to the size of that frame plus one `capacity`, and never
/// shrinks. So the buffer holds at most `largest legal frame + capacity + SLACK` bytes, if the caller receives only
/// after the reader has returned `None`.
pub struct ReceiveBuffer {
    bytes: Vec<u8>,
    parsed: usize,
    filled: usize,
    /// The number of bytes after `parsed` that the reader needs to continue; 0 if unknown.
    wanted: usize,
    capacity: usize,
}

impl ReceiveBuffer {
    /// Creates an empty buffer with space for `capacity` bytes, which should be the largest single read. 64 KiB suits a
    /// socket.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self { bytes: vec![0; capacity + SLACK], parsed: 0, filled: 0, wanted: 0, capacity }
    }

    /// Returns the space to receive into, never empty. Report with [`advance`](Self::advance) how much was filled.
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

    /// Records that `n` bytes of [`spare`](Self::spare) were filled.
    ///
    /// # Panics
    /// If `n` is more than the available space.
    #[inline]
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.room(), "more bytes than the available space");
        self.filled += n;
        self.invariants();
    }

    /// Returns the bytes that were received and not read yet.
    #[inline]
    pub fn unparsed(&self) -> &[u8] {
        &self.bytes[self.parsed..self.filled]
    }

    /// Returns the size of the allocated memory, in bytes.
    pub fn footprint(&self) -> usize {
        self.bytes.capacity()
    }

    /// Marks the next `n` bytes as read. Returns their range, valid until the next call of [`spare`](Self::spare).
    #[inline]
    pub fn consume(&mut self, n: usize) -> Range<usize> {
        let start = self.parsed;
        self.parsed += n;
        self.wanted = 0;
        self.invariants();
        start..self.parsed
    }

    /// Records that the reader needs `n` unread bytes to continue, so that [`spare`](Self::spare) makes space for them.
    pub(super) fn want(&mut self, n: usize) {
        self.wanted = n;
    }

    /// Returns the bytes of a range that [`consume`](Self::consume) returned, and [`SLACK`] bytes after them.
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
            // `reserve` may allocate up to double, which would break the documented bound.
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
    fn bytes_move_only_when_space_is_short() {
        let mut buffer = ReceiveBuffer::new(16);
        receive(&mut buffer, b"0123456789");
        buffer.consume(9);
        assert_eq!(buffer.spare().len(), 6, "enough space, so nothing moves");
        receive(&mut buffer, b"abcd");
        assert_eq!(buffer.spare().len(), 11, "two bytes are too few, so the five unread bytes move to the front");
        assert_eq!(buffer.unparsed(), b"9abcd");
    }

    #[test]
    fn the_spare_space_is_never_empty() {
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
    fn slack_follows_the_last_byte() {
        let mut buffer = ReceiveBuffer::new(8);
        receive(&mut buffer, b"01234567");
        let place = buffer.consume(8);
        assert_eq!(buffer.padded(place).len(), 8 + SLACK);
    }
}
