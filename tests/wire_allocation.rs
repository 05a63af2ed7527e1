//! Once warm, neither reader asks for memory: counted by the allocator itself.

mod wire_support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use hoga::model::{Noun, Receipt, Sink};
use hoga::wire::{Decoder, Message};
use wire_support::{RECEIPT, Rng, candle, orderbook, padded, ticker, trade};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: hands everything on to `System` unchanged; counting touches only a thread-local without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise about `layout` is the one `System` asks for.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` through `alloc` above, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Drops everything.
struct Nowhere;

impl Sink for Nowhere {
    fn deliver<T: Noun>(&mut self, _: Receipt, _: &T) {}
}

#[test]
fn a_warm_decoder_allocates_nothing() {
    let mut rng = Rng(1);
    let mut messages = Vec::new();
    for i in 0..200 {
        let short = i % 2 == 0;
        for draft in [ticker(&mut rng), trade(&mut rng), candle(&mut rng), orderbook(&mut rng, 30, short)] {
            let text = draft.write(short);
            // In place, from a copy, by the general reader, and refused.
            messages.push((padded(text.as_bytes()), text.len(), true));
            messages.push((text.clone().into_bytes(), text.len(), true));
            messages.push((padded(format!(" {text}").as_bytes()), text.len() + 1, true));
            messages.push((
                padded(text.replace("stream_type", "x").replace("\"st\"", "\"x\"").as_bytes()),
                text.len() / 2,
                false,
            ));
        }
    }
    let mut decoder = Decoder::new();
    let mut read_all = || {
        for (bytes, len, good) in &messages {
            let result = decoder.decode(bytes, *len, RECEIPT, &mut Nowhere);
            assert_eq!(matches!(result, Ok(Message::Data { count: 1 })), *good);
        }
    };
    read_all();
    let before = ALLOCATIONS.get();
    read_all();
    assert_eq!(ALLOCATIONS.get() - before, 0);
}
