//! Decoding with a sink that collects the data, and the messages of recordings.

use std::path::Path;

use hoga::model::{ConnectionId, Epoch, Event, Nanos, Noun, Receipt, Sink};
use hoga::wire::{DecodeError, Decoder, Message, SLACK};
use hoga_exchange::Recording;
use hoga_testing::messages::padded;

pub const RECEIPT: Receipt = Receipt { connection: ConnectionId(1), epoch: Epoch(2), received: Nanos(3) };

/// A data object that a sink received.
pub type Data = Event;

/// A sink that collects all data.
#[derive(Default)]
pub struct Collector(pub Vec<Data>);

impl Sink for Collector {
    fn deliver<T: Noun>(&mut self, receipt: Receipt, message: &T) {
        assert_eq!(receipt, RECEIPT);
        self.0.push((*message).into());
    }
}

/// Decodes a message. Returns the result and the delivered data.
pub fn decode(decoder: &mut Decoder, message: &[u8]) -> (Result<Message, DecodeError>, Vec<Data>) {
    let mut kept = Collector::default();
    let result = decoder.decode(&padded(message, SLACK), message.len(), RECEIPT, &mut kept);
    (result, kept.0)
}

/// Decodes the message after a space, which the scanner does not accept, so the general reader reads it.
pub fn decode_by_tape(decoder: &mut Decoder, message: &[u8]) -> (Result<Message, DecodeError>, Vec<Data>) {
    decode(decoder, &[b" ", message].concat())
}

/// Returns the messages of a recording.
pub fn recorded(path: &Path) -> Vec<String> {
    let mut recording = Recording::open(path).unwrap();
    std::iter::from_fn(|| recording.next_message().unwrap()).map(|message| message.text).collect()
}
