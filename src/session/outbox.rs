//! The outgoing bytes of a socket, bounded against a peer that does not read them. Builds masked frames.

use std::ops::Range;

use super::entropy::{Entropy, EntropyExt};
use crate::ws::{self, CloseCode};

/// While more bytes than this are unsent, only the newest ping is answered (RFC 6455 section 5.5.3). 16 KiB is more than
/// a hundred of the longest pongs.
const PONG_BACKLOG: usize = 16 * 1024;

/// While more bytes than this are unsent, no request is queued. The kernel holds as much again, and requests are a few
/// KiB long and limited to a hundred per minute, so a peer that reads at all does not reach this.
const UNSENT_MAX: usize = 1 << 20;

/// Outgoing bytes of one socket.
///
/// The unsent bytes are at most [`UNSENT_MAX`] with one request and a few control frames. Sent bytes are removed when
/// they are as many as the unsent ones, so they at most double the memory, and each byte moves once on average.
pub(super) struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
    /// The place of the newest pong in `bytes`, until it is removed.
    pong: Option<Range<usize>>,
}

impl Outbox {
    pub fn new() -> Self {
        Self { bytes: Vec::with_capacity(4096), sent: 0, pong: None }
    }

    /// Returns the unsent bytes.
    pub fn pending(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Returns true if no request may be queued, because the peer does not read.
    pub fn is_full(&self) -> bool {
        self.pending().len() > UNSENT_MAX
    }

    /// Records that `n` bytes of [`pending`](Self::pending) were sent.
    pub fn advance(&mut self, n: usize) {
        self.sent += n;
        if self.sent >= self.pending().len() {
            self.remove_sent();
        }
    }

    fn remove_sent(&mut self) {
        let sent = std::mem::take(&mut self.sent);
        self.bytes.drain(..sent);
        let moved = |pong: Range<usize>| Some(pong.start.checked_sub(sent)?..pong.end - sent);
        self.pong = self.pong.take().and_then(moved);
    }

    /// Takes the unsent bytes.
    pub fn take(&mut self) -> Vec<u8> {
        self.remove_sent();
        self.pong = None;
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

    /// Answers a ping. Returns false if the answer replaces that to an earlier ping, because too many bytes are unsent.
    pub fn pong(&mut self, payload: &[u8], entropy: &mut dyn Entropy) -> bool {
        let replaces = self.pending().len() > PONG_BACKLOG && self.remove_pong();
        let mask = entropy.bytes();
        let start = self.bytes.len();
        ws::write_pong(&mut self.bytes, payload, mask);
        self.pong = Some(start..self.bytes.len());
        !replaces
    }

    /// Removes the newest pong. Returns false if there is none, or if its first byte was sent.
    fn remove_pong(&mut self) -> bool {
        let unsent = self.pong.take().filter(|pong| pong.start >= self.sent);
        unsent.map(|pong| self.bytes.drain(pong)).is_some()
    }

    pub fn close(&mut self, code: CloseCode, entropy: &mut dyn Entropy) {
        let mask = entropy.bytes();
        ws::write_close(&mut self.bytes, Some((code, "")), mask);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::session::testing::SeededEntropy;

    struct Zeros;

    impl Entropy for Zeros {
        fn fill(&mut self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    /// Returns the payloads of the pongs in these bytes. The mask is zero.
    fn pongs(mut bytes: &[u8]) -> Vec<u32> {
        let mut numbers = Vec::new();
        while let [first, second, rest @ ..] = bytes {
            let len = usize::from(second & 0x7f);
            assert_eq!((*first, second & 0x80), (0x8a, 0x80), "a whole pong begins here");
            numbers.push(u32::from_be_bytes(*rest[4..].first_chunk().unwrap()));
            bytes = &rest[4 + len..];
        }
        numbers
    }

    fn ping(outbox: &mut Outbox, number: u32) -> bool {
        let mut payload = [0; 125];
        payload[..4].copy_from_slice(&number.to_be_bytes());
        outbox.pong(&payload, &mut Zeros)
    }

    /// Regression: bytes were freed only when all had been sent, so the outbox held everything that was ever sent.
    #[test]
    fn a_peer_that_always_leaves_a_byte_unread_does_not_make_the_outbox_grow() {
        let mut outbox = Outbox::new();
        let mut received = Vec::new();
        for number in 0..100_000 {
            ping(&mut outbox, number);
            let n = outbox.pending().len() - 1;
            received.extend_from_slice(&outbox.pending()[..n]);
            outbox.advance(n);
            assert!(outbox.bytes.len() <= 2 * 131, "{} bytes after ping {number}", outbox.bytes.len());
        }
        received.extend_from_slice(outbox.pending());
        assert_eq!(pongs(&received), (0..100_000).collect::<Vec<_>>());
        assert!(outbox.bytes.capacity() <= 4096);
    }

    #[test]
    fn a_peer_that_reads_slower_than_it_pings_gets_whole_pongs_and_always_the_newest() {
        for read in [1, 7, 64, 130] {
            let mut outbox = Outbox::new();
            let (mut received, mut unanswered) = (Vec::new(), 0);
            for number in 0..20_000 {
                unanswered += usize::from(!ping(&mut outbox, number));
                assert!(outbox.bytes.len() <= 2 * (PONG_BACKLOG + 2 * 131), "{}", outbox.bytes.len());
                received.extend_from_slice(&outbox.pending()[..read]);
                outbox.advance(read);
            }
            received.extend_from_slice(outbox.pending());
            let answered = pongs(&received);
            assert!(answered.is_sorted() && answered.last() == Some(&19_999));
            assert_eq!(answered.len() + unanswered, 20_000);
        }
    }

    #[test]
    fn a_pong_is_replaced_and_what_was_queued_after_it_stays() {
        let mut outbox = Outbox::new();
        outbox.raw(&[0; PONG_BACKLOG + 1]);
        ping(&mut outbox, 1);
        outbox.text("request", &mut Zeros);
        assert!(!ping(&mut outbox, 2), "the first answer is replaced");
        let after = &outbox.pending()[PONG_BACKLOG + 1..];
        assert_eq!(&after[6..13], b"request");
        assert_eq!(pongs(&after[13..]), [2]);
    }

    /// RFC 6455 section 5.3: a server must not be able to predict a mask from earlier ones.
    #[test]
    fn each_frame_has_a_new_random_mask() {
        let (mut outbox, mut entropy) = (Outbox::new(), SeededEntropy::new(1));
        let mut masks = std::collections::BTreeSet::new();
        for frame in 0..8 {
            let start = outbox.bytes.len();
            match frame % 4 {
                0 => outbox.text("text", &mut entropy),
                1 => drop(outbox.ping(&mut entropy)),
                2 => drop(outbox.pong(b"pong", &mut entropy)),
                _ => outbox.close(CloseCode::Normal, &mut entropy),
            }
            masks.insert(outbox.bytes[start + 2..start + 6].to_vec());
        }
        assert!(masks.len() == 8 && !masks.contains(&[0; 4][..]), "{masks:?}");
    }

    #[test]
    fn a_pong_of_which_a_byte_was_sent_is_not_replaced() {
        let mut outbox = Outbox::new();
        outbox.raw(&[0; 10]);
        ping(&mut outbox, 1);
        outbox.raw(&[0; PONG_BACKLOG]);
        outbox.advance(11);
        let before = outbox.pending().len();
        assert!(ping(&mut outbox, 2));
        assert_eq!(outbox.pending().len(), before + 131);
        assert!(!ping(&mut outbox, 3));
        assert_eq!(outbox.take().len(), before + 131);
    }
}
