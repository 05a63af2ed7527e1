//! After warm-up, reading frames allocates nothing. Counts every allocation of this process, so it is a test alone.

use hoga::ws::{FrameReader, Incoming, Limits, ReceiveBuffer};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory of the caller's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: `ptr` came from `alloc` above, that is from the system, with this layout.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Whole, fragmented, text and control frames, in reads that do not end where frames do.
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

    let before = ALLOCATIONS.load(Relaxed);
    let messages = read_stream(&stream, &mut buffer, &mut frames);
    assert_eq!(ALLOCATIONS.load(Relaxed) - before, 0);
    assert_eq!(messages, 400);
}
