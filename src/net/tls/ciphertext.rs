//! Ciphertext that was received and not processed yet. Knows only the length of records.

use std::io::{self, Read};

use rustls::{Error, InvalidMessage};

/// The least room for one read of the socket. Large enough for many records per system call.
const READ_BYTES: usize = 64 * 1024;
/// The length of a record's header: its type, a version, and its length.
pub(super) const HEADER: usize = 5;
/// The maximum length of a record after its header (RFC 5246 section 6.2.3; TLS 1.3 allows less).
const BODY_MAX: usize = 16 * 1024 + 2048;

/// Received bytes, which are decrypted in place.
pub(super) struct Ciphertext {
    bytes: Box<[u8]>,
    /// The pending bytes are `start..end`. They are less than one record if no whole record is left. Only during the
    /// handshake they may be more, because rustls leaves the records of a message here until the message is complete.
    start: usize,
    end: usize,
    /// Whether the last read left the socket empty.
    drained: bool,
    /// Whether the peer has closed its side, so that the end follows the last bytes.
    ended: bool,
}

impl Ciphertext {
    /// Creates the buffer with bytes that were received earlier.
    pub fn new(received: &[u8]) -> Self {
        let mut bytes = received.to_vec();
        bytes.resize(received.len() + READ_BYTES + HEADER + BODY_MAX, 0);
        Self { bytes: bytes.into(), start: 0, end: received.len(), drained: false, ended: false }
    }

    /// Records that the socket has new bytes, or with `ended` that the peer has closed its side.
    pub fn readable(&mut self, ended: bool) {
        self.drained = false;
        self.ended |= ended;
    }

    /// Reads the socket once; 0 is its end. Returns `WouldBlock` without a read if the socket is known to be empty.
    pub fn receive(&mut self, socket: &mut impl Read) -> io::Result<usize> {
        if self.drained {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // Usually moves a part of one record at most.
        self.bytes.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let room = &mut self.bytes[self.end..];
        if room.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a handshake message in too many records"));
        }
        let n = socket.read(room)?;
        self.ended |= n == 0;
        // A short read means that the socket is empty until its next event; reading again would only cost a system
        // call. But the end that follows the bytes is not reported again, so with `ended` reading must continue.
        self.drained = n < room.len() && !self.ended;
        self.end += n;
        Ok(n)
    }

    /// Returns the bytes that were not processed yet.
    pub fn pending(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// Removes the first `n` bytes of [`pending`](Self::pending).
    pub fn consume(&mut self, n: usize) {
        self.start += n;
        debug_assert!(self.start <= self.end);
    }

    /// Returns the record, with its header, that begins at offset `at` of the pending bytes, or `None` if it is
    /// incomplete.
    #[inline]
    pub fn record_at(&mut self, at: usize) -> Result<Option<&mut [u8]>, Error> {
        let pending = &mut self.bytes[self.start + at..self.end];
        let [_, _, _, high, low, ..] = *pending else { return Ok(None) };
        let len = usize::from(u16::from_be_bytes([high, low]));
        if len > BODY_MAX {
            return Err(InvalidMessage::MessageTooLarge.into());
        }
        Ok(pending.get_mut(..HEADER + len))
    }
}
