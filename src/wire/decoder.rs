//! The decoder of one connection: tries the scanner, falls back to the tape walk, and counts the results.

use std::fmt;

use simd_json::{Buffers, ErrorType, INPUT_PADDING, Tape, fill_tape_padded};

use crate::model::{Receipt, Sink};

use super::error::DecodeError;
use super::huge::blank_huge_numbers;
use super::message::Message;
use super::scan::scan_message;
use super::scratch::{ObjectCounts, Scratch};
use super::tape::walk_message;

/// The number of bytes, of any content, that should follow a message. With fewer, the decoder copies the message first.
pub const SLACK: usize = INPUT_PADDING;

/// The maximum nesting depth. The exchange's messages nest four levels deep.
const DEPTH_MAX: usize = 64;

/// The largest message that fits the initial buffers, in bytes. An order book of 30 levels has 2.8 KB.
const MESSAGE_SIZE: usize = 4096;

/// A decoder for the messages of one connection. After the first few messages, data needs no allocation.
pub struct Decoder {
    scratch: Scratch,
    counters: DecodeCounters,
    buffers: Buffers,
    // Empty between messages; kept for its allocation.
    tape: Tape<'static>,
    // A copy of the message that simd-json may write to, with its padding.
    copy: Vec<u8>,
}

/// Counters of one connection's decoder. While the exchange follows its documentation, only `delivered`, `by_type` and
/// `scanned` should rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DecodeCounters {
    /// Data objects delivered to the sink.
    pub delivered: u64,
    /// `delivered` by type.
    pub by_type: ObjectCounts,
    /// Data messages read by the scanner.
    pub scanned: u64,
    /// Data messages that only the tape walk could read: valid, but not in the documented form. A rising count means
    /// that the exchange has changed its messages.
    pub fallbacks: u64,
    /// Dropped objects of types without a struct.
    pub skipped: u64,
    /// Refused messages, including lists with a refused element.
    pub malformed: u64,
    /// Ignored fields that no table knows.
    pub unknown_keys: u64,
    /// Words, dates and optional numbers that could not be read and were delivered as unknown or `None`.
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
    /// Creates a decoder with buffers for ordinary messages.
    pub fn new() -> Self {
        Self {
            scratch: Scratch::BLANK,
            counters: DecodeCounters::default(),
            buffers: Buffers::with_max_depth(MESSAGE_SIZE, DEPTH_MAX),
            tape: Tape(Vec::with_capacity(MESSAGE_SIZE / 8)),
            copy: Vec::with_capacity(MESSAGE_SIZE),
        }
    }

    /// Decodes one message, `bytes[..len]`, in any of the four formats, and delivers each data object in it to `sink`.
    ///
    /// The bytes from `len` on are slack of any content. With at least [`SLACK`] bytes of slack the message is read in
    /// place; otherwise it is copied first. If a key is repeated, the last occurrence counts. Never panics. For any
    /// bytes, time and memory are proportional to `len`.
    ///
    /// # Errors
    /// Returns why the message was refused. If an element of a list is bad, the other elements have been delivered;
    /// [`delivered`](Self::delivered) counts them.
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

    /// Returns the number of data objects delivered to sinks so far.
    #[inline]
    pub fn delivered(&self) -> u64 {
        self.counters.delivered
    }

    /// Returns the counters of this decoder.
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

    /// Reads the copy with the tape walk. If the copy is not JSON, nothing is delivered.
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

/// Converts simd-json's error to a [`DecodeError`].
pub(super) fn refusal(error: &simd_json::Error) -> DecodeError {
    match error.error() {
        ErrorType::InvalidNumber => DecodeError::BadNumber,
        _ => DecodeError::NotJson,
    }
}
