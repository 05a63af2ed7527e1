//! What a decoder makes of a message, and a sink that keeps it.

use hoga::model::{ConnectionId, Epoch, Event, Nanos, Noun, Receipt, Sink};
use hoga::wire::{DecodeError, Decoder, Message, SLACK};
use hoga_testing::messages::padded;

pub const RECEIPT: Receipt = Receipt { connection: ConnectionId(1), epoch: Epoch(2), received: Nanos(3) };

/// What a sink was given.
pub type Data = Event;

/// Keeps everything.
#[derive(Default)]
pub struct Kept(pub Vec<Data>);

impl Sink for Kept {
    fn deliver<T: Noun>(&mut self, receipt: Receipt, message: &T) {
        assert_eq!(receipt, RECEIPT);
        self.0.push((*message).into());
    }
}

/// What a decoder makes of a message.
pub fn decode(decoder: &mut Decoder, message: &[u8]) -> (Result<Message, DecodeError>, Vec<Data>) {
    let mut kept = Kept::default();
    let result = decoder.decode(&padded(message, SLACK), message.len(), RECEIPT, &mut kept);
    (result, kept.0)
}

/// The same message behind a space, which the scanner does not expect: the general reader has to read it.
pub fn decode_by_tape(decoder: &mut Decoder, message: &[u8]) -> (Result<Message, DecodeError>, Vec<Data>) {
    decode(decoder, &[b" ", message].concat())
}
