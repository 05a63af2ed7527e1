//! The record of the requests that clients sent, for tests of a client.

use crate::exchange::ConnId;
use crate::refusal::ErrorName;
use std::collections::VecDeque;

/// A message that a client sent, other than the text `PING`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The time of arrival, in ns since the Unix epoch.
    pub at_ns: u64,
    /// The connection that sent it.
    pub conn: ConnId,
    /// The text, with invalid UTF-8 replaced.
    pub text: String,
    /// The error that answered it; [`ErrorName::TooManyRequest`] is a violation of the rate limits.
    pub refused: Option<ErrorName>,
}

/// The maximum size of all stored texts, in bytes: requests of 1 MiB each must not fill the memory.
const TEXT_MAX: usize = 16 << 20;

/// The newest messages, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Record {
    kept: VecDeque<Received>,
    /// The size of the texts in `kept`, in bytes.
    length: usize,
}

impl Record {
    /// Adds a message. Removes the oldest ones to keep at most `limit`.
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
