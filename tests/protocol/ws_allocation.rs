//! After warm-up, reading frames allocates nothing.

use hoga::ws::{FrameReader, Incoming, Limits, ReceiveBuffer};
use hoga_testing::allocations;

/// Reads whole, fragmented, text and control frames, in reads that do not end at frame boundaries.
fn read_stream(stream: &[u8], buffer: &mut ReceiveBuffer, frames: &mut FrameReader) -> usize {
    let mut messages = 0;
    for piece in stream.chunks(777) {
        buffer.spare()[..piece.len()].copy_from_slice(piece);
        buffer.advance(piece.len());
        while let Some(incoming) = frames.next(buffer).unwrap() {
            messages += usize::from(matches!(incoming, Incoming::Text(_) | Incoming::Binary(_)));
        }
    }
    messages
}

#[test]
fn reading_allocates_nothing_after_warm_up() {
    let mut stream = Vec::new();
    for _ in 0..100 {
        stream.extend(b"\x82\x7e\x03\xc0");
        stream.extend([b'x'; 960]);
        stream.extend(b"\x81\x05hello\x89\x01p\x02\x03abc\x8a\x00\x80\x03def");
        stream.extend(b"\x82\x7e\x13\x88");
        stream.extend([b'y'; 5000]);
    }
    let mut buffer = ReceiveBuffer::new(4096);
    let mut frames = FrameReader::new(Limits::default());
    read_stream(&stream, &mut buffer, &mut frames);

    let before = allocations::on_this_thread();
    let messages = read_stream(&stream, &mut buffer, &mut frames);
    assert_eq!(allocations::on_this_thread() - before, 0);
    assert_eq!(messages, 400);
}
