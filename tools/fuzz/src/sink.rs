//! A sink that keeps what it receives.

use hoga::model::{ConnectionId, Epoch, Event, Nanos, Noun, Receipt, Sink};

/// The receipt of every message.
pub const RECEIPT: Receipt = Receipt { connection: ConnectionId(1), epoch: Epoch(2), received: Nanos(3) };

/// The delivered messages.
#[derive(Debug, Default, PartialEq)]
pub struct Collected(pub Vec<Event>);

impl Sink for Collected {
    fn deliver<T: Noun>(&mut self, _: Receipt, message: &T) {
        self.0.push((*message).into());
    }
}
