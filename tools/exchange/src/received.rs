//! The record of what clients asked for, kept for whoever tests a client.

use crate::exchange::ConnId;
use crate::refusal::ErrorName;
use std::collections::VecDeque;

/// One message that a client sent, other than the text `PING`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// When it arrived, in nanoseconds since the Unix epoch.
    pub at_ns: u64,
    /// Whose it is.
    pub conn: ConnId,
    /// As it came; what is not UTF-8 is replaced.
    pub text: String,
    /// The error it earned; [`ErrorName::TooManyRequest`] is a violation of the rate limits.
    pub refused: Option<ErrorName>,
}

/// Text kept in all, in bytes: requests of a mebibyte each must not fill the memory.
const TEXT_MAX: usize = 16 << 20;

/// The newest of them, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Record {
    kept: VecDeque<Received>,
    /// Bytes of text in `kept`.
    length: usize,
}

impl Record {
    /// Keeps a message, `limit` of them at most; the oldest make room.
    pub fn push(&mut self, received: Received, limit: usize) {
        self.length += received.text.len();
        self.kept.push_back(received);
        while self.kept.len() > limit || self.length > TEXT_MAX {
            let Some(oldest) = self.kept.pop_front() else { return };
            self.length -= oldest.text.len();
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Received> {
        self.kept.iter()
    }
}
