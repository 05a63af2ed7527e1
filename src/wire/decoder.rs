//! The decoder of one connection. Tries the strict scanner, then the tolerant one, then the tape walk, and counts.

use std::fmt;

use simd_json::{Buffers, ErrorType, INPUT_PADDING, Tape, fill_tape_padded};

use crate::model::{Format, NounKind, Receipt, Sink};

use super::drift::{Drift, DriftCounts};
use super::error::{DecodeError, DecodeErrorKind};
use super::huge::blank_huge_numbers;
use super::message::Message;
use super::scan::scan_message;
use super::scratch::{ObjectCounts, Scratch};
use super::tape::walk_message;
use super::tolerant::tolerate_message;

/// The number of bytes that should be readable behind a message. With fewer, it is copied before it is read.
pub const SLACK: usize = INPUT_PADDING;

/// The deepest nesting that is read. The exchange's messages nest four deep.
const DEPTH_MAX: usize = 64;

/// Message size that needs no growth of the buffers: a book of 30 levels has 2.8 KB.
const MESSAGE_SIZE: usize = 4096;

/// Reads the messages of one connection. After the first few messages, it does not allocate for data.
pub struct Decoder {
    scratch: Scratch,
    counters: DecodeCounters,
    buffers: Buffers,
    // Empty between messages; kept for its allocation.
    tape: Tape<'static>,
    // A copy of the message that simd-json may write to, with its padding.
    copy: Vec<u8>,
}

/// What the decoder of a connection has read. As long as the exchange sends what it documents, all counts but `delivered`,
/// `by_type` and `scanned` stay the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DecodeCounters {
    /// Data objects handed to the sink.
    pub delivered: u64,
    /// The same by type.
    pub by_type: ObjectCounts,
    /// Data messages in the documented form.
    pub scanned: u64,
    /// Data messages that were almost in the documented form, and were read nearly as fast.
    pub tolerated: u64,
    /// Data messages that only the tape walk could read, which takes several times as long.
    pub fallbacks: u64,
    /// Objects of types without a struct, dropped.
    pub skipped: u64,
    /// Messages that were refused, in whole or, if they are lists, in part.
    pub malformed: u64,
    /// How delivered messages differ from the documented ones.
    pub drift: DriftCounts,
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
            scratch: Scratch::new(),
            counters: DecodeCounters::default(),
            buffers: Buffers::with_max_depth(MESSAGE_SIZE, DEPTH_MAX),
            tape: Tape(Vec::with_capacity(MESSAGE_SIZE / 8)),
            copy: Vec::with_capacity(MESSAGE_SIZE),
        }
    }

    /// Reads one message, `bytes[..len]`, in any of the four formats, and hands each data object in it to `sink`.
    ///
    /// The bytes behind `len` are slack of any content. With at least [`SLACK`] bytes of it the message is read in place,
    /// else it is copied first. If a key is repeated, the last one counts. If an element of a list is bad, the others have
    /// been delivered when the error returns; [`delivered`](Self::delivered) returns their number. Never panics; costs time
    /// and memory in proportion to `len` for any bytes.
    ///
    /// A message needs its type, its code, its price (a book its units, a candle its four prices) and a time. Every other
    /// field may be missing, or hold anything.
    pub fn decode(
        &mut self,
        bytes: &[u8],
        len: usize,
        receipt: Receipt,
        sink: &mut impl Sink,
    ) -> Result<Message, DecodeError> {
        let message = bytes.get(..len).unwrap_or(bytes);
        let scanned = if bytes.len() >= message.len() + SLACK {
            scan_message::<true>(bytes, message.len(), &mut self.scratch, receipt, sink)
        } else {
            self.copy(message);
            scan_message::<true>(&self.copy, message.len(), &mut self.scratch, receipt, sink)
        };
        match scanned {
            Some(count) => {
                self.counters.scanned += 1;
                self.counters.delivered += u64::from(count);
                Ok(Message::Data { count })
            }
            None => self.read_again(bytes, message, receipt, sink),
        }
    }

    /// The number of data objects handed to sinks so far.
    #[inline]
    pub fn delivered(&self) -> u64 {
        self.counters.delivered
    }

    /// What this decoder has read so far.
    pub fn counters(&self) -> DecodeCounters {
        DecodeCounters { by_type: self.scratch.delivered, drift: self.scratch.drift, ..self.counters }
    }

    /// How the delivered messages of one type in one format differ from the documented ones.
    pub fn drift(&self, kind: NounKind, format: Format) -> DriftCounts {
        self.scratch.drift_of(kind, format)
    }

    /// The oldest difference from the documented messages that was not taken yet. Each is reported once, with a sample. A
    /// bounded number of them waits; others are reported when there is room again.
    pub fn take_drift(&mut self) -> Option<Drift> {
        self.scratch.take_drift()
    }

    /// Reads a message that the strict scanner could not read.
    #[cold]
    fn read_again(
        &mut self,
        bytes: &[u8],
        message: &[u8],
        receipt: Receipt,
        sink: &mut impl Sink,
    ) -> Result<Message, DecodeError> {
        let padded = if bytes.len() >= message.len() + SLACK { bytes } else { &self.copy };
        let count = if let Some(count) = tolerate_message(padded, message.len(), &mut self.scratch, receipt, sink) {
            self.counters.tolerated += 1;
            count
        } else if message.starts_with(b"[")
            && let Some(count) = scan_message::<false>(padded, message.len(), &mut self.scratch, receipt, sink)
        {
            // The tolerant scanner reads no lists of several objects, not even in the documented form.
            self.counters.scanned += 1;
            count
        } else {
            return self.fall_back(message, receipt, sink);
        };
        self.counters.delivered += u64::from(count);
        Ok(Message::Data { count })
    }

    /// Reads a message that no scanner could read.
    fn fall_back(&mut self, message: &[u8], receipt: Receipt, sink: &mut impl Sink) -> Result<Message, DecodeError> {
        self.copy(message);
        let mut result = self.walk(message.len(), receipt, sink);
        if result == Err(DecodeErrorKind::BadNumber.into()) {
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

    /// Reads the copy with the tape walk. If it is no JSON, nothing has been delivered.
    fn walk(&mut self, len: usize, receipt: Receipt, sink: &mut impl Sink) -> Result<Message, DecodeError> {
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let result = fill_tape_padded(&mut self.copy, len, &mut self.buffers, &mut tape)
            .map_err(|error| DecodeError::from(refusal(&error)))
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

/// The reason of simd-json as one of ours.
pub(super) fn refusal(error: &simd_json::Error) -> DecodeErrorKind {
    match error.error() {
        ErrorType::InvalidNumber => DecodeErrorKind::BadNumber,
        _ => DecodeErrorKind::NotJson,
    }
}
