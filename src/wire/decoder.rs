//! The decoder of one connection. Tries the scanner, then the tape walk, and counts the messages that each of them read.

use std::fmt;

use simd_json::{Buffers, ErrorType, INPUT_PADDING, Tape, fill_tape_padded};

use crate::model::planted::{Place, reach};
use crate::model::{Format, NounKind, Receipt, Sink};

use super::drift::{Drift, DriftCounts};
use super::error::{DecodeError, DecodeErrorKind};
use super::huge::blank_huge_numbers;
use super::message::Message;
use super::scan::scan_message;
use super::scratch::{ObjectCounts, Scratch};
use super::tape::walk_message;

/// The number of bytes that should be readable after a message. If there are fewer, the decoder copies the message
/// first.
pub const SLACK: usize = INPUT_PADDING;

/// Maximum nesting of lists and objects. The exchange's messages have four levels.
const DEPTH_MAX: usize = 64;

/// Initial size of the buffers in bytes, enough for ordinary messages: a book of 30 levels has 2.8 KB.
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

/// Counts of what the decoder of a connection has read. While all messages are data in the documented form, only
/// `delivered`, `by_type` and `scanned` grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DecodeCounters {
    /// Data objects handed to the sink.
    pub delivered: u64,
    /// Data objects handed to the sink, by type.
    pub by_type: ObjectCounts,
    /// Data messages that the scanner read and that are in the documented form, apart from numbers in quotes.
    pub scanned: u64,
    /// Data messages that the scanner read, nearly as fast, although they differ from the documented form.
    pub tolerated: u64,
    /// Data messages that only the tape walk (simd-json) could read, which takes several times as long.
    pub fallbacks: u64,
    /// Objects of types without a struct, such as `myOrder`. They are dropped.
    pub skipped: u64,
    /// Refused messages. Of a refused list, the good objects are delivered.
    pub malformed: u64,
    /// Differences between the delivered messages and the documented ones.
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
    /// Creates a decoder with room for ordinary messages.
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
    /// The bytes from `len` on are slack and may hold anything. If there are at least [`SLACK`] of them, the message is
    /// read in place; otherwise it is copied first. If `len` exceeds the length of `bytes`, all bytes are the message.
    /// If a key is repeated, the last one counts. For any bytes, time and memory are proportional to `len`.
    ///
    /// A message needs its type, its code, its price (a book its units, a candle its four prices) and a time. Every
    /// other field may be missing or unreadable, except that the `level` of a book must be readable if it is present.
    ///
    /// # Errors
    /// Returns the reason if the message is refused. If objects of a list are refused, returns the reason of the first
    /// one; the other objects were delivered, and [`delivered`](Self::delivered) has grown by their number.
    pub fn decode(
        &mut self,
        bytes: &[u8],
        len: usize,
        receipt: Receipt,
        sink: &mut impl Sink,
    ) -> Result<Message, DecodeError> {
        let message = bytes.get(..len).unwrap_or(bytes);
        reach(Place::Decode, |code| message.windows(code.len()).any(|text| text == code.as_bytes()));
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

    /// Returns the number of data objects handed to sinks so far.
    #[inline]
    pub fn delivered(&self) -> u64 {
        self.counters.delivered
    }

    /// Returns the counts of what this decoder has read so far.
    pub fn counters(&self) -> DecodeCounters {
        let Scratch { delivered, tolerated, .. } = self.scratch;
        let scanned = self.counters.scanned - tolerated;
        DecodeCounters { by_type: delivered, drift: self.scratch.drift(), scanned, tolerated, ..self.counters }
    }

    /// Returns the number of differences between the delivered messages of one type in one format and the documented
    /// ones.
    pub fn drift(&self, kind: NounKind, format: Format) -> DriftCounts {
        self.scratch.drift_of(kind, format)
    }

    /// Takes the oldest [`Drift`] that was not taken yet. At most 32 wait to be taken; any other is reported when it
    /// occurs again and there is room.
    pub fn take_drift(&mut self) -> Option<Drift> {
        self.scratch.take_drift()
    }

    /// Reads a message that the scanner could not read.
    #[cold]
    fn fall_back(&mut self, message: &[u8], receipt: Receipt, sink: &mut impl Sink) -> Result<Message, DecodeError> {
        self.scratch.differences.reset();
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
            Err(error) => {
                self.counters.malformed += 1;
                // The tape walk reports what it refuses itself. It does not see text that is not JSON.
                if matches!(error.kind, DecodeErrorKind::NotJson | DecodeErrorKind::BadNumber) {
                    sink.refuse(receipt, None);
                }
            }
        }
        result
    }

    /// Reads the copied message with the tape walk. Delivers nothing if it is not JSON.
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

/// Converts an error of simd-json.
pub(super) fn refusal(error: &simd_json::Error) -> DecodeErrorKind {
    match error.error() {
        ErrorType::InvalidNumber => DecodeErrorKind::BadNumber,
        _ => DecodeErrorKind::NotJson,
    }
}
