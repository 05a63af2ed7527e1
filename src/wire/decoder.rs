//! Wire: the decoder of one connection. Tries the fast reader, falls back to the general one, and counts.

use std::fmt;

use simd_json::{Buffers, ErrorType, INPUT_PADDING, Tape, fill_tape_padded};

use crate::model::{Receipt, Sink};

use super::error::DecodeError;
use super::huge::blank_huge_numbers;
use super::message::Message;
use super::scan::scan_message;
use super::scratch::{ObjectCounts, Scratch};
use super::tape::walk_message;

/// Bytes that should be readable behind a message, with any content; with fewer it is copied before it is read.
pub const SLACK: usize = INPUT_PADDING;

/// The deepest nesting that is read. The exchange's messages nest four deep.
const DEPTH_MAX: usize = 64;

/// Message size that needs no growth of the buffers: a book of 30 levels has 2.8 KB.
const MESSAGE_SIZE: usize = 4096;

/// Reads the messages of one connection. After the first few messages, data costs no allocation.
pub struct Decoder {
    scratch: Scratch,
    counters: DecodeCounters,
    buffers: Buffers,
    // Empty between messages; kept for its allocation.
    tape: Tape<'static>,
    // A copy of the message that simd-json may write to, with its padding.
    copy: Vec<u8>,
}

/// What the decoder of a connection has met. All but `delivered`, `by_type` and `scanned` should stand still while the exchange sends what it documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DecodeCounters {
    /// Data objects given to the sink.
    pub delivered: u64,
    /// The same by type.
    pub by_type: ObjectCounts,
    /// Data messages that the fast reader read.
    pub scanned: u64,
    /// Data messages that only the general reader could read: right, but not in the documented form. Rising means that
    /// the exchange has changed its messages.
    pub fallbacks: u64,
    /// Objects of types without a struct, dropped.
    pub skipped: u64,
    /// Messages that were refused, in whole or, of a list, in part.
    pub malformed: u64,
    /// Fields that no table knows, ignored.
    pub unknown_keys: u64,
    /// Words, dates and optional numbers that cannot be read, and are given as unknown or as none.
    pub unknown_values: u64,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("counters", &self.counters).finish_non_exhaustive()
    }
}

impl Decoder {
    /// A decoder with room for ordinary messages.
    pub fn new() -> Self {
        Self {
            scratch: Scratch::BLANK,
            counters: DecodeCounters::default(),
            buffers: Buffers::with_max_depth(MESSAGE_SIZE, DEPTH_MAX),
            tape: Tape(Vec::with_capacity(MESSAGE_SIZE / 8)),
            copy: Vec::with_capacity(MESSAGE_SIZE),
        }
    }

    /// Reads one message, `bytes[..len]`, in any of the four formats, and gives each data object in it to `sink`.
    ///
    /// What stands behind `len` is slack of any content. With at least [`SLACK`] bytes of it the message is read in
    /// place, else it is copied first. A key that is repeated counts as its last occurrence. Of a list with a bad
    /// element, the others have been delivered when the error returns; [`delivered`](Self::delivered) tells how many.
    /// Never panics; costs time and memory in proportion to `len`, whatever the bytes.
    pub fn decode(
        &mut self,
        bytes: &[u8],
        len: usize,
        receipt: Receipt,
        sink: &mut impl Sink,
    ) -> Result<Message, DecodeError> {
        let message = bytes.get(..len).unwrap_or(bytes);
        let scanned = if bytes.len() >= message.len() + SLACK {
            scan_message(bytes, message.len(), &mut self.scratch, receipt, sink)
        } else {
            self.copy(message);
            scan_message(&self.copy, message.len(), &mut self.scratch, receipt, sink)
        };
        match scanned {
            Some(count) => {
                self.counters.scanned += 1;
                self.counters.delivered += u64::from(count);
                Ok(Message::Data { count })
            }
            None => self.fall_back(message, receipt, sink),
        }
    }

    /// Data objects given to sinks so far.
    #[inline]
    pub fn delivered(&self) -> u64 {
        self.counters.delivered
    }

    /// What this decoder has met so far.
    pub fn counters(&self) -> DecodeCounters {
        DecodeCounters { by_type: self.scratch.delivered, ..self.counters }
    }

    /// Reads a message that the scanner refused.
    #[cold]
    fn fall_back(&mut self, message: &[u8], receipt: Receipt, sink: &mut impl Sink) -> Result<Message, DecodeError> {
        self.copy(message);
        let mut result = self.walk(message.len(), receipt, sink);
        if result == Err(DecodeError::BadNumber) {
            self.copy(message);
            if blank_huge_numbers(&mut self.copy[..message.len()]) {
                result = self.walk(message.len(), receipt, sink);
            }
        }
        match result {
            Ok(Message::Data { .. }) => self.counters.fallbacks += 1,
            Ok(_) => {}
            Err(_) => self.counters.malformed += 1,
        }
        result
    }

    /// Reads the copy with the general reader. If it is no JSON, nothing has been delivered.
    fn walk(&mut self, len: usize, receipt: Receipt, sink: &mut impl Sink) -> Result<Message, DecodeError> {
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let result = fill_tape_padded(&mut self.copy, len, &mut self.buffers, &mut tape)
            .map_err(|error| refusal(&error))
            .and_then(|()| walk_message(&tape.0, &mut self.scratch, &mut self.counters, receipt, sink));
        self.tape = tape.reset();
        result
    }

    fn copy(&mut self, message: &[u8]) {
        self.copy.clear();
        self.copy.extend_from_slice(message);
        self.copy.resize(message.len() + SLACK, 0);
    }
}

/// simd-json's reason in our words.
pub(super) fn refusal(error: &simd_json::Error) -> DecodeError {
    match error.error() {
        ErrorType::InvalidNumber => DecodeError::BadNumber,
        _ => DecodeError::NotJson,
    }
}
