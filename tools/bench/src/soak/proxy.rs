//! A TCP proxy between engine and exchange that harms connections: it resets, cuts, stalls, delays and splits them.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hoga::model::{Clock, Nanos};
use hoga::net::SystemClock;
use socket2::SockRef;

/// What is sent as [`Harm::Garbage`].
const GARBAGE: [u8; 64] = [0xff; 64];
/// How often a thread that waits for bytes looks for a new fault.
const LOOK: Duration = Duration::from_millis(5);
/// The size of the pieces of [`Harm::Split`].
const PIECE: usize = 7;
/// The number of bytes of each read that are split. The rest follows in one piece, so that the proxy keeps up.
const SPLIT_MAX: usize = 700;

/// What the proxy does to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// Ends it with a reset.
    Reset,
    /// Ends it after what has arrived.
    Eof,
    /// Ends the direction to the engine only.
    HalfClose,
    /// Ends it with half of what arrives next, inside a TLS record.
    Cut,
    /// Passes on half of what arrives next, inside a TLS record, and then nothing.
    Stick,
    /// Sends bytes that are neither TLS nor a frame.
    Garbage,
    /// Passes nothing on, in either direction. The connection stays open.
    Stall,
    /// Passes on each read after this time.
    Delay(Duration),
    /// Passes on the data in pieces of a few bytes.
    Split,
}

/// A running proxy. Dropping it ends its threads.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    exchange: SocketAddr,
    mode: AtomicU8,
    clock: SystemClock,
    /// When a connection was last harmed, in ns.
    harmed_at: Arc<AtomicU64>,
    /// Weak, because a connection must be closed as soon as its threads end.
    links: Mutex<Vec<Weak<Link>>>,
}

/// What the proxy does with new connections: the values of `Shared::mode`.
const FORWARD: u8 = 0;
const REFUSE: u8 = 1;
const STOPPED: u8 = 2;

/// A connection of the engine and the one to the exchange that belongs to it.
struct Link {
    client: TcpStream,
    exchange: TcpStream,
    harm: Mutex<Option<Harm>>,
    is_over: AtomicBool,
    clock: SystemClock,
    harmed_at: Arc<AtomicU64>,
}

impl Proxy {
    /// Starts a proxy in front of the exchange.
    pub fn start(exchange: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            exchange,
            mode: AtomicU8::new(FORWARD),
            clock: SystemClock::new(),
            harmed_at: Arc::default(),
            links: Mutex::default(),
        });
        let accept = shared.clone();
        let thread = thread::Builder::new().name("proxy".into()).spawn(move || accept.run(listener, address))?;
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// Returns the address for the engine.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Refuses TCP connects from now on, or ends that.
    pub fn refuse(&self, on: bool) {
        self.shared.mode.store(if on { REFUSE } else { FORWARD }, Relaxed);
        if on {
            // Wakes the thread that accepts.
            let _ = TcpStream::connect(self.address);
        }
    }

    /// Returns when a connection was last harmed: just before its end, if that was the harm.
    pub fn harmed_at(&self) -> Nanos {
        Nanos(self.shared.harmed_at.load(Relaxed))
    }

    /// Harms one of the open connections. 0 is the oldest.
    pub fn harm_one(&self, which: usize, harm: Harm) {
        let links = self.shared.open();
        if let Some(link) = links.get(which % links.len().max(1)) {
            *link.harm() = Some(harm);
        }
    }

    /// Harms all open connections, or ends that.
    pub fn harm_all(&self, harm: Option<Harm>) {
        self.shared.open().iter().for_each(|link| *link.harm() = harm);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.mode.store(STOPPED, Relaxed);
        self.harm_all(Some(Harm::Reset));
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, first: TcpListener, address: SocketAddr) {
        let mut listener = Some(first);
        while self.mode.load(Relaxed) != STOPPED {
            if self.mode.load(Relaxed) == REFUSE {
                // Nothing listens, so connects are refused.
                listener = None;
                thread::sleep(LOOK);
                continue;
            }
            listener = listener.or_else(|| TcpListener::bind(address).ok());
            let Some(client) = listener.as_ref().map(TcpListener::accept) else { continue };
            if self.mode.load(Relaxed) == FORWARD {
                // A failure here looks to the engine like a connection that ends at once.
                let _ = client.and_then(|(client, _)| self.forward(client));
            }
        }
    }

    fn forward(&self, client: TcpStream) -> io::Result<()> {
        let exchange = TcpStream::connect(self.exchange)?;
        for stream in [&client, &exchange] {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(LOOK))?;
        }
        let (is_over, harmed_at) = (AtomicBool::new(false), self.harmed_at.clone());
        let link = Arc::new(Link { client, exchange, harm: Mutex::default(), is_over, clock: self.clock, harmed_at });
        self.lock().push(Arc::downgrade(&link));
        let up = link.clone();
        thread::Builder::new().name("proxy-up".into()).spawn(move || up.pump(Way::ToExchange))?;
        thread::Builder::new().name("proxy-down".into()).spawn(move || link.pump(Way::ToClient))?;
        Ok(())
    }

    /// Returns the connections that are not stalled and have not ended.
    fn open(&self) -> Vec<Arc<Link>> {
        let mut links = self.lock();
        links.retain(|link| link.strong_count() > 0);
        let is_open = |link: &Arc<Link>| !link.is_over.load(Relaxed) && !link.is_stalled();
        links.iter().filter_map(Weak::upgrade).filter(is_open).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    ToExchange,
    ToClient,
}

impl Link {
    fn harm(&self) -> MutexGuard<'_, Option<Harm>> {
        self.harm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether nothing is passed on.
    fn is_stalled(&self) -> bool {
        matches!(*self.harm(), Some(Harm::Stall | Harm::Stick))
    }

    fn mark(&self) {
        self.harmed_at.store(self.clock.now().0, Relaxed);
    }

    /// Copies in one direction until the connection ends.
    fn pump(&self, way: Way) {
        let (from, to) = match way {
            Way::ToExchange => (&self.client, &self.exchange),
            Way::ToClient => (&self.exchange, &self.client),
        };
        let mut buffer = vec![0; 64 << 10];
        while !self.is_over.load(Relaxed) {
            let harm = *self.harm();
            if harm == Some(Harm::Reset) {
                self.reset();
            } else if harm == Some(Harm::Eof) {
                self.is_over.store(true, Relaxed);
            } else if way == Way::ToClient && matches!(harm, Some(Harm::Stall | Harm::HalfClose)) {
                if harm == Some(Harm::HalfClose) {
                    self.mark();
                    let _ = to.shutdown(Shutdown::Write);
                    *self.harm() = Some(Harm::Stall);
                }
                // The other thread notices if the engine closes the connection.
                thread::sleep(LOOK);
            } else if self.pass_on(way, from, to, &mut buffer).is_err() {
                self.is_over.store(true, Relaxed);
            }
        }
        let harm = *self.harm();
        if harm != Some(Harm::Reset) {
            if harm == Some(Harm::Eof) && way == Way::ToClient {
                self.mark();
            }
            let _ = to.shutdown(Shutdown::Write);
        }
    }

    /// Passes on what arrives within a short time. An error means that the connection has ended.
    fn pass_on(&self, way: Way, mut from: &TcpStream, mut to: &TcpStream, buffer: &mut [u8]) -> io::Result<()> {
        let count = match from.read(buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(()),
            Err(error) => return Err(error),
        };
        let bytes = &buffer[..count];
        let harm = *self.harm();
        match harm.filter(|harm| way == Way::ToClient || *harm == Harm::Stall) {
            Some(Harm::Stall) => Ok(()),
            Some(Harm::Cut) => {
                to.write_all(&bytes[..count.div_ceil(2)])?;
                self.mark();
                Err(ErrorKind::UnexpectedEof.into())
            }
            Some(Harm::Stick) => {
                self.mark();
                *self.harm() = Some(Harm::Stall);
                to.write_all(&bytes[..count.div_ceil(2)])
            }
            Some(Harm::Garbage) => {
                self.mark();
                *self.harm() = Some(Harm::Stall);
                to.write_all(&GARBAGE)
            }
            Some(Harm::Delay(time)) => {
                thread::sleep(time);
                to.write_all(bytes)
            }
            Some(Harm::Split) => {
                let (pieces, rest) = bytes.split_at(count.min(SPLIT_MAX));
                pieces.chunks(PIECE).try_for_each(|piece| to.write_all(piece))?;
                to.write_all(rest)
            }
            Some(Harm::Reset | Harm::Eof | Harm::HalfClose) | None => to.write_all(bytes),
        }
    }

    /// Makes the end of the connection a reset: both ends close without sending what is left.
    fn reset(&self) {
        for stream in [&self.client, &self.exchange] {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
        self.is_over.store(true, Relaxed);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // A reset is sent when the sockets are closed, which happens next.
        if *self.harm() == Some(Harm::Reset) {
            self.mark();
        }
    }
}
