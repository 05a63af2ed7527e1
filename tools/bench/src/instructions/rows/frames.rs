//! Bytes to frames of 960 bytes, a ticker in the DEFAULT format. The copy out of the socket counts, too.

use std::hint::black_box;

use hoga::ws::{FrameReader, Incoming, Limits, ReceiveBuffer};
use hoga_bench::counting::Work;

use super::Row;

/// Frames of one run; they fit into one read.
const FRAMES: usize = 64;
const PAYLOAD: usize = 960;
/// The length of a frame with its header.
pub const LEN: usize = 4 + PAYLOAD;
/// Bytes of one packet.
const PACKET: usize = 1448;
/// Bytes of one read: the size that the socket layer asks for.
const CAPACITY: usize = 64 * 1024;

pub fn rows() -> Vec<Row> {
    let reads = [("frame, many for each read", FRAMES), ("frame, one for each read", 1)];
    reads.map(|(name, at_once)| Row::new(name, FRAMES, move || Reading::new(at_once))).into()
}

/// Returns frame number `i`.
pub fn frame(i: usize) -> impl Iterator<Item = u8> {
    let [high, low] = (PAYLOAD as u16).to_be_bytes();
    [0x82, 126, high, low].into_iter().chain(payload(i))
}

fn payload(i: usize) -> impl Iterator<Item = u8> {
    (0..PAYLOAD).map(move |j| (i * 31 + j) as u8)
}

/// A stream of frames, read as on the connection's thread.
struct Reading {
    stream: Vec<u8>,
    /// Bytes that one read of the socket returns.
    at_once: usize,
    buffer: ReceiveBuffer,
    reader: FrameReader,
}

impl Reading {
    fn new(at_once: usize) -> Self {
        let stream: Vec<_> = (0..FRAMES).flat_map(frame).collect();
        let (buffer, reader) = (ReceiveBuffer::new(CAPACITY), FrameReader::new(Limits::default()));
        let mut reading = Self { stream, at_once: LEN * at_once, buffer, reader };
        let mut i = 0;
        reading.read(&mut |read| {
            assert!(read.iter().copied().eq(payload(i)), "frame {i} is read incorrectly");
            i += 1;
        });
        assert_eq!(i, FRAMES);
        reading
    }

    fn read(&mut self, look: &mut dyn FnMut(&[u8])) {
        for received in self.stream.chunks(self.at_once) {
            // Packet by packet, as a kernel copies.
            for packet in received.chunks(PACKET) {
                self.buffer.spare()[..packet.len()].copy_from_slice(packet);
                self.buffer.advance(packet.len());
            }
            while let Some(incoming) = self.reader.next(&mut self.buffer).expect("all frames are valid") {
                let Incoming::Binary(payload) = incoming else { panic!("not binary: {incoming:?}") };
                look(payload.bytes());
            }
        }
    }
}

impl Work for Reading {
    fn run(&mut self) {
        self.read(&mut |payload| _ = black_box(payload));
    }
}
