//! The outgoing bytes of a socket. Builds masked frames.

use super::entropy::{Entropy, EntropyExt};
use crate::ws::{self, CloseCode};

/// If more bytes than this are unsent, pings are not answered: a peer that floods us with pings and does not read must
/// not make us store its pongs. 16 KiB is more than a hundred of the longest pongs.
const PONG_BACKLOG: usize = 16 * 1024;

/// Outgoing bytes of one socket.
pub(super) struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outbox {
    pub fn new() -> Self {
        Self { bytes: Vec::with_capacity(4096), sent: 0 }
    }

    /// Returns the unsent bytes.
    pub fn pending(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Records that `n` bytes of [`pending`](Self::pending) were sent.
    pub fn advance(&mut self, n: usize) {
        self.sent += n;
        if self.sent >= self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        }
    }

    /// Takes the unsent bytes.
    pub fn take(&mut self) -> Vec<u8> {
        self.bytes.drain(..self.sent);
        self.sent = 0;
        std::mem::take(&mut self.bytes)
    }

    /// Appends bytes without a frame: the opening request.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub fn text(&mut self, text: &str, entropy: &mut dyn Entropy) {
        let mask = entropy.bytes();
        ws::write_text(&mut self.bytes, text, mask);
    }

    /// Appends a ping with a random payload, and returns the payload.
    pub fn ping(&mut self, entropy: &mut dyn Entropy) -> [u8; 8] {
        let payload = entropy.bytes();
        let mask = entropy.bytes();
        ws::write_ping(&mut self.bytes, &payload, mask);
        payload
    }

    /// Answers a ping. Returns false if too many bytes are unsent.
    pub fn pong(&mut self, payload: &[u8], entropy: &mut dyn Entropy) -> bool {
        if self.pending().len() > PONG_BACKLOG {
            return false;
        }
        let mask = entropy.bytes();
        ws::write_pong(&mut self.bytes, payload, mask);
        true
    }

    pub fn close(&mut self, code: CloseCode, entropy: &mut dyn Entropy) {
        let mask = entropy.bytes();
        ws::write_close(&mut self.bytes, Some((code, "")), mask);
    }
}
