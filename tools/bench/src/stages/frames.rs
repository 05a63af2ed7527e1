//! Bytes to frames: hoga's reader, which reads in place, tungstenite and fastwebsockets. The copy out of the socket
//! counts.

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use fastwebsockets::OpCode;
use futures_util::FutureExt;
use hoga::ws::{FrameReader, Incoming, Limits, ReceiveBuffer};
use hoga_cli::rounds::{Candidate, Error, Line};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tungstenite::Message;
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};

use super::timing::{Measure, row};
use super::{HOGA, part};
use crate::report::Target;

/// Frames that the socket holds.
const FRAMES: usize = 128;
/// Frames between two clock reads.
const TIMES: usize = 8 * FRAMES;
/// A ticker in the DEFAULT format.
const PAYLOAD: usize = 960;
/// Bytes of one packet.
const PACKET: usize = 1448;
/// Bytes of one read: the size that the socket layer asks for.
const CAPACITY: usize = 64 * 1024;
const TUNGSTENITE: &str = "tungstenite";

const ARRIVALS: [(Arrival, &str, f64); 2] = [
    (Arrival::Bulk, "frames of 960 bytes, bulk", 1.0 / 4.0),
    (Arrival::Single, "frames of 960 bytes, one for each read", 1.0 / 10.0),
];

/// Returns one candidate for each reader and kind of arrival.
pub fn candidates(measure: &Measure) -> Result<Vec<Candidate<'static>>, Error> {
    let mut all = Vec::new();
    for (arrival, table, _) in ARRIVALS.into_iter().filter(|(_, table, _)| measure.wants(table)) {
        let config = WebSocketConfig::default();
        all.push(reader(table, HOGA, measure, InPlace::new(arrival))?);
        all.push(reader(table, TUNGSTENITE, measure, tungstenite(arrival, config))?);
        let config = config.read_buffer_size(16 * 1024);
        all.push(reader(table, "tungstenite, 16 KiB buffer", measure, tungstenite(arrival, config))?);
        all.push(reader(table, "fastwebsockets", measure, fastwebsockets(arrival))?);
    }
    Ok(all)
}

/// Returns the targets.
pub fn targets(lines: &[Line]) -> Vec<Target> {
    ARRIVALS.into_iter().filter_map(|(_, table, most)| part(lines, table, HOGA, TUNGSTENITE, most)).collect()
}

/// Finds the next frame.
trait Frames: 'static {
    /// Passes the payload of the next frame to `look`.
    fn next(&mut self, look: impl FnOnce(&[u8])) -> Option<()>;
}

/// Returns a row, after checking that the reader reads every byte correctly.
fn reader(table: &str, name: &str, measure: &Measure, mut frames: impl Frames) -> Result<Candidate<'static>, Error> {
    for i in 0..2 * FRAMES {
        let mut is_right = false;
        let found = frames.next(|read| is_right = read.iter().copied().eq(payload(i % FRAMES)));
        if found.is_none() || !is_right {
            return Err(Error::Failed(format!("{table}: {name} reads frame {i} incorrectly")));
        }
    }
    let work = move || {
        for _ in 0..TIMES {
            frames.next(|payload| _ = black_box(payload));
        }
    };
    row(table, name, measure, TIMES, work)
}

/// How the stream arrives.
#[derive(Clone, Copy)]
enum Arrival {
    /// A read returns as much as it asks for: a burst, or a slow reader.
    Bulk,
    /// A read returns one frame: a quiet market.
    Single,
}

/// A socket on which the same frames arrive forever.
struct Socket {
    frames: Vec<u8>,
    at: usize,
    arrival: Arrival,
}

impl Socket {
    fn new(arrival: Arrival) -> Self {
        let mut frames = Vec::new();
        for i in 0..FRAMES {
            frames.extend([0x82, 126]);
            frames.extend((PAYLOAD as u16).to_be_bytes());
            frames.extend(payload(i));
        }
        Self { frames, at: 0, arrival }
    }
}

fn payload(i: usize) -> impl Iterator<Item = u8> {
    (0..PAYLOAD).map(move |j| (i * 31 + j) as u8)
}

impl Read for Socket {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let frame = self.frames.len() / FRAMES;
        let end = match self.arrival {
            Arrival::Bulk => self.frames.len(),
            Arrival::Single => (self.at / frame + 1) * frame,
        };
        let n = out.len().min(end - self.at);
        // Copies packet by packet, as a kernel does: one large copy is many times slower for some pairs of addresses.
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

/// This socket is always ready.
impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let n = self.read(out.initialize_unfilled())?;
        out.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// hoga's reader, used as on the connection's thread.
struct InPlace {
    socket: Socket,
    buffer: ReceiveBuffer,
    frames: FrameReader,
}

impl InPlace {
    fn new(arrival: Arrival) -> Self {
        let (buffer, frames) = (ReceiveBuffer::new(CAPACITY), FrameReader::new(Limits::default()));
        Self { socket: Socket::new(arrival), buffer, frames }
    }
}

impl Frames for InPlace {
    #[inline]
    fn next(&mut self, look: impl FnOnce(&[u8])) -> Option<()> {
        loop {
            match self.frames.next(&mut self.buffer).ok()? {
                Some(Incoming::Binary(payload)) => {
                    look(payload.bytes());
                    return Some(());
                }
                Some(_) => return None,
                None => {
                    let n = self.socket.read(self.buffer.spare()).ok()?;
                    self.buffer.advance(n);
                }
            }
        }
    }
}

fn tungstenite(arrival: Arrival, config: WebSocketConfig) -> WebSocket<Socket> {
    WebSocket::from_raw_socket(Socket::new(arrival), Role::Client, Some(config))
}

impl Frames for WebSocket<Socket> {
    #[inline]
    fn next(&mut self, look: impl FnOnce(&[u8])) -> Option<()> {
        let Message::Binary(payload) = self.read().ok()? else { return None };
        look(&payload);
        Some(())
    }
}

fn fastwebsockets(arrival: Arrival) -> fastwebsockets::WebSocket<Socket> {
    fastwebsockets::WebSocket::after_handshake(Socket::new(arrival), fastwebsockets::Role::Client)
}

impl Frames for fastwebsockets::WebSocket<Socket> {
    #[inline]
    fn next(&mut self, look: impl FnOnce(&[u8])) -> Option<()> {
        // No runtime is needed, because the future is ready at once.
        let frame = self.read_frame().now_or_never()?.ok()?;
        (frame.opcode == OpCode::Binary).then(|| look(&frame.payload))
    }
}
