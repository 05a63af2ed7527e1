//! What does it cost to find a message in a byte stream? Compares the library's in-place reader with tungstenite,
//! including the copy out of the socket. `baseline` is that copy alone: the cost of the harness, and so the lower
//! bound.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hoga::ws::{FrameReader, Incoming, Limits, ReceiveBuffer};
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::time::Duration;
use tungstenite::protocol::{Message, Role, WebSocket, WebSocketConfig};

/// Frames per iteration.
const FRAMES: usize = 128;
/// Bytes per packet.
const PACKET: usize = 1448;
/// Maximum number of bytes per read: the default of `Config::receive_bytes`.
const CAPACITY: usize = 64 * 1024;
/// Sizes in bytes of a trade, a ticker, and an order book of 15 levels in the DEFAULT format.
const PAYLOADS: [usize; 3] = [400, 960, 1500];

/// The number of frames that each read returns.
#[derive(Clone, Copy)]
enum Arrival {
    /// As many as fit: a burst, or a reader that is behind.
    Bulk,
    /// One: a quiet market.
    Single,
}

/// A socket on which the same frames arrive forever.
struct Socket {
    frames: Vec<u8>,
    frame_len: usize,
    at: usize,
    arrival: Arrival,
}

impl Socket {
    fn new(payload_len: usize, arrival: Arrival) -> Self {
        let mut frames = Vec::new();
        for i in 0..FRAMES {
            frames.extend([0x82, 126]);
            frames.extend((payload_len as u16).to_be_bytes());
            frames.extend(payload(i, payload_len));
        }
        Self { frame_len: frames.len() / FRAMES, frames, at: 0, arrival }
    }
}

fn payload(i: usize, len: usize) -> impl Iterator<Item = u8> {
    (0..len).map(move |j| (i * 31 + j) as u8)
}

impl Read for Socket {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let end = match self.arrival {
            Arrival::Bulk => self.frames.len(),
            Arrival::Single => (self.at / self.frame_len + 1) * self.frame_len,
        };
        let n = out.len().min(end - self.at);
        // Copies packet by packet, as a kernel does. One large copy would use `rep movsb`, which is many times slower
        // for some pairs of addresses.
        for (to, from) in out[..n].chunks_mut(PACKET).zip(self.frames[self.at..self.at + n].chunks(PACKET)) {
            to.copy_from_slice(from);
        }
        self.at = (self.at + n) % self.frames.len();
        Ok(n)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The library's reader, used as the connection's thread uses it.
struct InPlace {
    socket: Socket,
    buffer: ReceiveBuffer,
    frames: FrameReader,
}

impl InPlace {
    fn new(socket: Socket) -> Self {
        Self { socket, buffer: ReceiveBuffer::new(CAPACITY), frames: FrameReader::new(Limits::default()) }
    }

    /// Reads [`FRAMES`] messages. Receives only if no complete message is left.
    fn read(&mut self, mut visit: impl FnMut(&[u8])) {
        let mut seen = 0;
        while seen < FRAMES {
            match self.frames.next(&mut self.buffer).unwrap() {
                Some(Incoming::Binary(payload)) => {
                    visit(payload.bytes());
                    seen += 1;
                }
                Some(other) => panic!("not binary: {other:?}"),
                None => {
                    let n = self.socket.read(self.buffer.spare()).unwrap();
                    self.buffer.advance(n);
                }
            }
        }
    }
}

fn tungstenite(socket: Socket, config: WebSocketConfig) -> WebSocket<Socket> {
    WebSocket::from_raw_socket(socket, Role::Client, Some(config))
}

fn read_tungstenite(socket: &mut WebSocket<Socket>, mut visit: impl FnMut(&[u8])) {
    for _ in 0..FRAMES {
        let Message::Binary(payload) = socket.read().unwrap() else { panic!("not binary") };
        visit(&payload);
    }
}

/// Asserts that both readers return every byte of the first frames.
fn assert_same_bytes(payload_len: usize, arrival: Arrival) {
    let check = |i: &mut usize, read: &[u8]| {
        assert!(read.iter().copied().eq(payload(*i % FRAMES, payload_len)), "frame {i}");
        *i += 1;
    };
    let (mut ours, mut theirs) = (0, 0);
    let mut in_place = InPlace::new(Socket::new(payload_len, arrival));
    let mut other = tungstenite(Socket::new(payload_len, arrival), WebSocketConfig::default());
    for _ in 0..3 {
        in_place.read(|read| check(&mut ours, read));
        read_tungstenite(&mut other, |read| check(&mut theirs, read));
    }
    assert_eq!((ours, theirs), (3 * FRAMES, 3 * FRAMES));
}

fn frames(c: &mut Criterion) {
    for (name, arrival) in [("bulk", Arrival::Bulk), ("single", Arrival::Single)] {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(FRAMES as u64));
        group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
        for len in PAYLOADS {
            assert_same_bytes(len, arrival);
            let socket = || Socket::new(len, arrival);

            let (mut baseline, mut room) = (socket(), vec![0; CAPACITY]);
            group.bench_function(BenchmarkId::new("baseline", len), |b| {
                b.iter(|| {
                    let mut left = baseline.frames.len();
                    while left > 0 {
                        left = left.saturating_sub(baseline.read(black_box(&mut room)).unwrap());
                    }
                });
            });

            let mut in_place = InPlace::new(socket());
            group.bench_function(BenchmarkId::new("in_place", len), |b| {
                b.iter(|| in_place.read(|payload| _ = black_box(payload)));
            });

            for (name, config) in [
                ("tungstenite", WebSocketConfig::default()),
                ("tungstenite_16k", WebSocketConfig::default().read_buffer_size(16 * 1024)),
            ] {
                let mut other = tungstenite(socket(), config);
                group.bench_function(BenchmarkId::new(name, len), |b| {
                    b.iter(|| read_tungstenite(&mut other, |payload| _ = black_box(payload)));
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, frames);
criterion_main!(benches);
