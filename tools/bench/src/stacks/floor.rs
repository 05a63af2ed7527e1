//! The lower bound for all clients: a thread that reads the socket, finds the frames and counts them.

use std::io::{self, Read};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use hoga_cli::rounds::Error;
use tungstenite::Message;
use tungstenite::client::IntoClientRequest;

use crate::cpu::pin_here;
use crate::serving::traffic::FIRST_STAMP;
use crate::stack::{Endpoint, Stack, Strategy, Wait};

/// Bytes of one read.
const BYTES: usize = 64 * 1024;

/// Reads frames and decodes nothing. It works only over a plain socket, and either parks or spins.
#[derive(Debug, Clone, Copy)]
pub struct Floor {
    /// How its thread waits.
    pub wait: Wait,
}

impl Stack for Floor {
    fn start(&self, endpoint: &Endpoint) -> Result<Box<dyn Strategy>, Error> {
        if endpoint.is_secure() {
            return Err(Error::Failed("the bare socket cannot speak TLS".to_owned()));
        }
        let shared = Arc::new(Shared::default());
        let (spins, endpoint, theirs) = (self.wait == Wait::Spin, endpoint.clone(), shared.clone());
        let run = move || {
            pin_here(endpoint.core);
            // A failure shows as a first message that never arrives.
            let _ = open(&endpoint).and_then(|socket| count(socket, spins, &theirs));
        };
        let thread = thread::Builder::new().name("floor".to_owned()).spawn(run)?;
        Ok(Box::new(Counting { shared, seen: 0, thread: Some(thread) }))
    }
}

#[derive(Default)]
struct Shared {
    frames: AtomicU64,
    stops: AtomicBool,
}

fn open(endpoint: &Endpoint) -> io::Result<TcpStream> {
    let request = endpoint.url.as_str().into_client_request().map_err(io::Error::other)?;
    let authority = request.uri().authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default();
    let socket = TcpStream::connect(authority)?;
    socket.set_nodelay(true)?;
    let (mut socket, _) = tungstenite::client(request, socket).map_err(io::Error::other)?;
    socket.send(Message::text(endpoint.request())).map_err(io::Error::other)?;
    Ok(socket.into_inner())
}

/// Counts frames until the feeder closes the connection.
fn count(mut socket: TcpStream, spins: bool, shared: &Shared) -> io::Result<()> {
    socket.set_nonblocking(spins)?;
    let (mut buffer, mut filled, mut frames) = (vec![0; BYTES], 0, 0);
    while !shared.stops.load(Ordering::Relaxed) {
        match socket.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
            Err(e) => return Err(e),
        }
        let mut at = 0;
        while let Some(size) = frame_size(&buffer[at..filled]).filter(|size| at + size <= filled) {
            at += size;
            frames += 1;
        }
        buffer.copy_within(at..filled, 0);
        filled -= at;
        shared.frames.store(frames, Ordering::Release);
    }
    Ok(())
}

/// Returns the size of a server's frame with its header. The feeder's frames are never fragmented and at most 64 KiB.
fn frame_size(bytes: &[u8]) -> Option<usize> {
    match (bytes.get(1)?, bytes) {
        (126, [_, _, high, low, ..]) => Some(4 + usize::from(u16::from_be_bytes([*high, *low]))),
        (126.., _) => None,
        (size, _) => Some(2 + usize::from(*size)),
    }
}

struct Counting {
    shared: Arc<Shared>,
    seen: u64,
    thread: Option<JoinHandle<()>>,
}

impl Strategy for Counting {
    #[inline]
    fn poll(&mut self) -> Option<u64> {
        // The feeder numbers its messages, so the n-th frame is the n-th message.
        let stamp = FIRST_STAMP + self.seen;
        (self.shared.frames.load(Ordering::Acquire) > self.seen).then(|| {
            self.seen += 1;
            stamp
        })
    }

    fn missed(&self) -> u64 {
        0
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.shared.stops.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // The feeder has closed the connection before, so the thread ends by itself.
            let _ = thread.join();
        }
    }
}
