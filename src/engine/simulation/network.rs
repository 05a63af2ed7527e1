//! What lies between a connection and the exchange: two directions that delay and split what they carry.

use std::collections::VecDeque;
use std::time::Duration;

use super::Random;
use crate::model::Nanos;

/// How the network behaves in one scenario.
#[derive(Clone)]
pub(super) struct Network {
    pub random: Random,
    /// The longest delay of a piece.
    pub delay: Duration,
    /// The most bytes of a piece.
    pub piece: usize,
}

/// One direction of a TCP connection: pieces with the time of their arrival.
#[derive(Default)]
pub(super) struct Pipe(VecDeque<(Nanos, Piece)>);

#[derive(Debug, PartialEq)]
pub(super) enum Piece {
    Bytes(Vec<u8>),
    Eof,
    Reset,
}

impl Pipe {
    /// Sends bytes on their way.
    pub fn send(&mut self, now: Nanos, bytes: &[u8], network: &Network) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((1 + network.random.below(network.piece)).min(rest.len()));
            self.push(now + network.random.up_to(network.delay), Piece::Bytes(piece.to_vec()));
            rest = after;
        }
    }

    /// Ends the direction, once.
    pub fn end(&mut self, now: Nanos, end: Piece) {
        if !matches!(self.0.back(), Some((_, Piece::Eof | Piece::Reset))) {
            self.push(now, end);
        }
    }

    /// Pieces arrive in order, whatever their delays.
    fn push(&mut self, at: Nanos, piece: Piece) {
        let at = self.0.back().map_or(at, |(last, _)| (*last).max(at));
        self.0.push_back((at, piece));
    }

    /// When the next piece arrives.
    pub fn due(&self) -> Nanos {
        self.0.front().map_or(Nanos::NEVER, |(at, _)| *at)
    }

    /// The next piece that has arrived.
    pub fn arrived(&mut self, now: Nanos) -> Option<Piece> {
        (self.due() <= now).then(|| self.0.pop_front().map(|(_, piece)| piece)).flatten()
    }
}
