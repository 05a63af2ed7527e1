//! Ciphertext that was received and not read yet. Knows records by their length alone.

use std::io::{self, Read};

use rustls::{Error, InvalidMessage};

/// The least room of one read of the socket. Many records come with each system call then.
const READ_BYTES: usize = 64 * 1024;
/// What stands in front of a record: its type, a version, its length.
pub(super) const HEADER: usize = 5;
/// The longest record after its header (RFC 5246 section 6.2.3; TLS 1.3 allows less).
const BODY_MAX: usize = 16 * 1024 + 2048;

/// Received bytes, which are decrypted where they lie.
pub(super) struct Ciphertext {
    bytes: Box<[u8]>,
    /// Read already, and filled so far. Less than one record is left when there is no whole one; only during the handshake
    /// more, because rustls leaves the records of a message here until it is whole.
    start: usize,
    end: usize,
    /// The last read left the socket empty.
    drained: bool,
    /// The peer has closed its side, so an end waits behind the last bytes.
    ended: bool,
}

impl Ciphertext {
    pub fn new() -> Self {
        let bytes = vec![0; READ_BYTES + HEADER + BODY_MAX].into();
        Self { bytes, start: 0, end: 0, drained: false, ended: false }
    }

    /// The socket has news: it holds bytes again, or its end (`ended`).
    pub fn readable(&mut self, ended: bool) {
        self.drained = false;
        self.ended |= ended;
    }

    /// Reads the socket once; 0 is its end. `WouldBlock` without asking it, if it is known to be empty.
    pub fn receive(&mut self, socket: &mut impl Read) -> io::Result<usize> {
        if self.drained {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // Seldom more than a piece of one record.
        self.bytes.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let room = &mut self.bytes[self.end..];
        if room.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a handshake message in too many pieces"));
        }
        let n = socket.read(room)?;
        self.ended |= n == 0;
        // Less than there was room for: the socket is empty until it says otherwise, and asking it again would only
        // cost a system call. An end that waits behind the bytes is not announced a second time.
        self.drained = n < room.len() && !self.ended;
        self.end += n;
        Ok(n)
    }

    /// What has not been read.
    pub fn pending(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// The first bytes of [`pending`](Self::pending) have been read.
    pub fn consume(&mut self, n: usize) {
        self.start += n;
        debug_assert!(self.start <= self.end);
    }

    /// The record, with its header, that begins so many bytes into what has not been read; if it is here whole.
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
