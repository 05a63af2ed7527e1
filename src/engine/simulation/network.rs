//! The simulated network between a connection and the exchange: two directions that delay and split their bytes.

use std::collections::VecDeque;
use std::time::Duration;

use super::Random;
use crate::model::Nanos;

/// The behavior of the network in one scenario.
#[derive(Clone)]
pub(super) struct Network {
    pub random: Random,
    /// The maximum delay of a piece.
    pub delay: Duration,
    /// The maximum size of a piece, in bytes.
    pub piece: usize,
    /// True while all connects are refused.
    pub is_down: bool,
}

/// One direction of a TCP connection: pieces with their arrival times.
#[derive(Default)]
pub(super) struct Pipe(VecDeque<(Nanos, Piece)>);

#[derive(Debug, PartialEq)]
pub(super) enum Piece {
    Bytes(Vec<u8>),
    Eof,
    Reset,
}

impl Pipe {
    /// Sends bytes, split into pieces.
    pub fn send(&mut self, now: Nanos, bytes: &[u8], network: &Network) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((1 + network.random.below(network.piece)).min(rest.len()));
            self.push(now + network.random.up_to(network.delay), Piece::Bytes(piece.to_vec()));
            rest = after;
        }
    }

    /// Ends the direction, if it has not ended yet.
    pub fn end(&mut self, now: Nanos, end: Piece) {
        if !matches!(self.0.back(), Some((_, Piece::Eof | Piece::Reset))) {
            self.push(now, end);
        }
    }

    /// Adds a piece. Pieces arrive in order, regardless of their delays.
    fn push(&mut self, at: Nanos, piece: Piece) {
        let at = self.0.back().map_or(at, |(last, _)| (*last).max(at));
        self.0.push_back((at, piece));
    }

    /// Returns the arrival time of the next piece.
    pub fn due(&self) -> Nanos {
        self.0.front().map_or(Nanos::NEVER, |(at, _)| *at)
    }

    /// Returns the next piece that has arrived.
    pub fn arrived(&mut self, now: Nanos) -> Option<Piece> {
        (self.due() <= now).then(|| self.0.pop_front().map(|(_, piece)| piece)).flatten()
    }
}
