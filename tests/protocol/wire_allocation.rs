//! Neither reader allocates after warm-up, as a counting allocator shows.

use hoga::model::{Noun, Receipt, Sink};
use hoga::wire::{Decoder, Message, SLACK};
use hoga_testing::messages::{candle, orderbook, padded, ticker, trade};
use hoga_testing::{Rng, allocations};

use crate::support::RECEIPT;

/// A sink that drops all data.
struct Discard;

impl Sink for Discard {
    fn deliver<T: Noun>(&mut self, _: Receipt, _: &T) {}
}

#[test]
fn a_warm_decoder_allocates_nothing() {
    let mut rng = Rng::new(1);
    let mut messages = Vec::new();
    for i in 0..200 {
        let short = i % 2 == 0;
        for draft in [ticker(&mut rng), trade(&mut rng), candle(&mut rng), orderbook(&mut rng, 30, short)] {
            let text = draft.write(short);
            // Messages read in place, from a copy, by the general reader, and refused ones.
            messages.push((padded(text.as_bytes(), SLACK), text.len(), true));
            messages.push((text.clone().into_bytes(), text.len(), true));
            messages.push((padded(format!(" {text}").as_bytes(), SLACK), text.len() + 1, true));
            messages.push((
                padded(text.replace("stream_type", "x").replace("\"st\"", "\"x\"").as_bytes(), SLACK),
                text.len() / 2,
                false,
            ));
        }
    }
    let mut decoder = Decoder::new();
    let mut read_all = || {
        for (bytes, len, good) in &messages {
            let result = decoder.decode(bytes, *len, RECEIPT, &mut Discard);
            assert_eq!(matches!(result, Ok(Message::Data { count: 1 })), *good);
        }
    };
    read_all();
    let before = allocations::on_this_thread();
    read_all();
    assert_eq!(allocations::on_this_thread() - before, 0);
}
