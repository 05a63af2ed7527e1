//! A message of the exchange, of any type and format: the scanner and the walk over simd-json's tape have equal
//! results, or refuse it for the same reason. What follows the message in the buffer has no influence.
//!
//! Input: the message.

#![no_main]

use hoga::wire::{DecodeCounters, DecodeError, Decoder, Message, SLACK};
use hoga_fuzz::{Collected, RECEIPT};
use libfuzzer_sys::fuzz_target;

type Read = (Result<Message, DecodeError>, Collected);

fn decode(decoder: &mut Decoder, prefix: &[u8], message: &[u8], slack: u8) -> Read {
    let mut collected = Collected::default();
    let len = prefix.len() + message.len();
    let bytes = [prefix, message, &[slack; SLACK]].concat();
    let result = decoder.decode(&bytes, len, RECEIPT, &mut collected);
    (result, collected)
}

/// Returns the counts that do not depend on the reader.
fn common(counters: DecodeCounters) -> impl PartialEq + std::fmt::Debug {
    (counters.delivered, counters.by_type, counters.skipped, counters.malformed, counters.drift)
}

fuzz_target!(|message: &[u8]| {
    let (mut scanning, mut walking) = (Decoder::new(), Decoder::new());
    let scanned = decode(&mut scanning, b"", message, b'7');
    // The scanner does not accept a message after a space.
    let walked = decode(&mut walking, b" ", message, b'7');
    assert_eq!(scanned, walked);
    assert_eq!(common(scanning.counters()), common(walking.counters()));
    assert_eq!(walking.counters().scanned + walking.counters().tolerated, 0);
    // The scanner has learned the order of the fields.
    for slack in [b'"', b'}', 0, 0xff] {
        assert_eq!(decode(&mut scanning, b"", message, slack), walked);
    }
    while let Some(drift) = scanning.take_drift() {
        let printed = drift.to_string();
        assert!(!printed.contains(char::is_control), "{printed:?}");
    }
});
