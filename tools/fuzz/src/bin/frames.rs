//! Frames of a server: any bytes, with any cuts, are read in the same way and within the bounds of memory.
//!
//! Input: one byte that selects the cuts and the size of the buffer, then the stream.

#![no_main]

use hoga::ws::{FrameReader, Incoming, Limits, ReceiveBuffer, SLACK, Violation};
use hoga_fuzz::{pieces, receive};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { max_message: 1000, max_fragments: 8 };
/// The longest header of a frame.
const HEADER: usize = 10;

#[derive(Debug, PartialEq)]
enum Read {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
    Refused(Violation),
}

impl From<Incoming<'_>> for Read {
    fn from(incoming: Incoming<'_>) -> Self {
        match incoming {
            Incoming::Text(payload) => {
                assert!(str::from_utf8(payload.bytes()).is_ok(), "text is UTF-8");
                Self::Text(payload.bytes().to_vec())
            }
            Incoming::Binary(payload) => {
                let (padded, len) = payload.padded();
                assert!(padded.len() >= len + SLACK);
                Self::Binary(payload.bytes().to_vec())
            }
            Incoming::Ping(bytes) => Self::Ping(bytes.to_vec()),
            Incoming::Pong(bytes) => Self::Pong(bytes.to_vec()),
            Incoming::Close(close) => Self::Close(close.map(|(code, reason)| (code.into(), reason.to_owned()))),
        }
    }
}

fn read(pieces: &[&[u8]], capacity: usize) -> Vec<Read> {
    let (mut buffer, mut frames) = (ReceiveBuffer::new(capacity), FrameReader::new(LIMITS));
    let mut all = Vec::new();
    for piece in pieces {
        receive(&mut buffer, piece, |buffer| {
            loop {
                match frames.next(buffer) {
                    Ok(Some(incoming)) => all.push(incoming.into()),
                    Ok(None) => return true,
                    Err(violation) => all.push(Read::Refused(violation)),
                }
            }
        });
        assert!(buffer.footprint() <= LIMITS.max_message + HEADER + capacity + SLACK, "{}", buffer.footprint());
        assert!(frames.footprint() <= 2 * (LIMITS.max_message + SLACK), "{}", frames.footprint());
    }
    all
}

fuzz_target!(|input: &[u8]| {
    let Some((&seed, stream)) = input.split_first() else { return };
    let whole = read(&[stream], 4096);
    assert_eq!(read(&pieces(seed, stream), 1 + usize::from(seed)), whole);
    let end = whole.iter().position(|read| matches!(read, Read::Close(_) | Read::Refused(_)));
    assert!(end.is_none_or(|at| at + 1 == whole.len()), "nothing is read after the end: {whole:?}");
});
