//! Cuts the bytes of a peer into the pieces that a socket would deliver.

use hoga::ws::ReceiveBuffer;
use hoga_testing::Rng;

/// Cuts `bytes` into pieces whose sizes follow from `seed`. With seed 0 there is one piece.
pub fn pieces(seed: u8, mut bytes: &[u8]) -> Vec<&[u8]> {
    if seed == 0 {
        return vec![bytes];
    }
    let mut rng = Rng::new(seed.into());
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let largest = 1 << rng.below(10);
        let (piece, rest) = bytes.split_at((1 + rng.below(largest)).min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

/// Receives a piece, in as many reads as the buffer needs. Calls `read` after each; ends early if it returns false.
/// Returns false if it did.
pub fn receive(buffer: &mut ReceiveBuffer, mut piece: &[u8], mut read: impl FnMut(&mut ReceiveBuffer) -> bool) -> bool {
    while !piece.is_empty() {
        let spare = buffer.spare();
        let n = spare.len().min(piece.len());
        spare[..n].copy_from_slice(&piece[..n]);
        buffer.advance(n);
        piece = &piece[n..];
        if !read(buffer) {
            return false;
        }
    }
    true
}
