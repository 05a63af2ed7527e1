//! A client without a runtime: mio, tungstenite, simd-json, arc-swap and rtrb.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use hoga_cli::rounds::Error;
use mio::{Events, Interest, Poll, Token};
use rtrb::{Consumer, Producer, RingBuffer};
use rustls::{ClientConnection, StreamOwned};
use tungstenite::Message;
use tungstenite::client::client_with_config;

use super::message::{Code, Orderbook, Ticker, Trade};
use super::parser::SimdJson;
use super::running::{Queue, Running};
use super::update::Update;
use super::{CAPACITY, authority, tls, websocket_config};
use crate::stack::{Endpoint, Stack, Strategy, Wait};

/// How often a sleeping thread checks whether the strategy is gone.
const NAP: Duration = Duration::from_millis(100);

/// A WebSocket client on mio. It either parks or spins.
#[derive(Debug, Clone, Copy)]
pub struct Mio {
    /// How its thread waits.
    pub wait: Wait,
}

impl Stack for Mio {
    fn start(&self, endpoint: &Endpoint) -> Result<Box<dyn Strategy>, Error> {
        Ok(Box::new(self.open(endpoint)?))
    }
}

impl Mio {
    /// Starts the client.
    pub fn open(&self, endpoint: &Endpoint) -> Result<Running<Ring>, Error> {
        let (producer, consumer) = RingBuffer::new(CAPACITY);
        let losses = Arc::new(Losses::default());
        let ring = Ring { consumer, losses: losses.clone(), missed: 0, seen: 0 };
        let hub = Hub { newest: Newest::of(endpoint), updates: producer, losses };
        let (spins, endpoint) = (self.wait == Wait::Spin, endpoint.clone());
        Running::start(endpoint.core, ring, move || connect(&endpoint, hub, spins))
    }
}

fn connect(endpoint: &Endpoint, hub: Hub, spins: bool) -> io::Result<()> {
    let socket = TcpStream::connect(authority(endpoint))?;
    socket.set_nodelay(true)?;
    // Opening the WebSocket blocks. The time limit lets the thread notice that the strategy is gone.
    socket.set_read_timeout(Some(NAP))?;
    let watched = socket.try_clone()?;
    if !endpoint.is_secure() {
        return follow(socket, watched, endpoint, hub, spins);
    }
    let tls = ClientConnection::new(tls::config(endpoint)?, tls::server_name()).map_err(io::Error::other)?;
    follow(StreamOwned::new(tls, socket), watched, endpoint, hub, spins)
}

/// Reads frames until the strategy is gone. `watched` is the socket under `stream`.
fn follow<S: Read + Write>(
    stream: S,
    watched: TcpStream,
    endpoint: &Endpoint,
    mut hub: Hub,
    spins: bool,
) -> io::Result<()> {
    let mut opening = client_with_config(endpoint.url.as_str(), stream, Some(websocket_config()));
    let mut socket = loop {
        match opening {
            Ok((socket, _)) => break socket,
            Err(tungstenite::HandshakeError::Interrupted(unfinished)) if !hub.is_abandoned() => {
                opening = unfinished.handshake();
            }
            Err(e) => return Err(io::Error::other(e.to_string())),
        }
    };
    socket.send(Message::text(endpoint.request())).map_err(io::Error::other)?;
    watched.set_nonblocking(true)?;
    let mut watched = mio::net::TcpStream::from_std(watched);
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(8));
    poll.registry().register(&mut watched, Token(0), Interest::READABLE)?;
    let mut parser = SimdJson::default();
    loop {
        match socket.read() {
            Ok(Message::Binary(bytes)) => hub.publish(Update::read(&mut parser, &bytes)),
            Ok(Message::Text(text)) => hub.publish(Update::read(&mut parser, text.as_bytes())),
            Ok(_) => {}
            Err(tungstenite::Error::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => {
                if hub.is_abandoned() {
                    return Ok(());
                }
                if !spins {
                    poll.poll(&mut events, Some(NAP)).or_else(ignore_signals)?;
                }
            }
            Err(e) => return Err(io::Error::other(e)),
        }
    }
}

fn ignore_signals(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) }
}

/// The destinations of updates.
struct Hub {
    newest: Newest,
    updates: Producer<Update>,
    losses: Arc<Losses>,
}

/// The newest value of every stream. The set of streams is fixed.
struct Newest {
    tickers: HashMap<Code, ArcSwapOption<Ticker>>,
    trades: HashMap<Code, ArcSwapOption<Trade>>,
    orderbooks: HashMap<Code, ArcSwapOption<Orderbook>>,
}

/// Updates that did not fit into the ring. The ring drops the newest, so a strategy that has emptied it also needs the
/// last lost one.
#[derive(Default)]
struct Losses {
    count: AtomicU64,
    last: ArcSwapOption<Update>,
}

impl Newest {
    fn of(endpoint: &Endpoint) -> Self {
        Self {
            tickers: streams(endpoint, "ticker"),
            trades: streams(endpoint, "trade"),
            orderbooks: streams(endpoint, "orderbook"),
        }
    }

    #[inline]
    fn store(&self, update: &Update) {
        match update {
            Update::Ticker(value) => store(&self.tickers, &value.code, value),
            Update::Trade(value) => store(&self.trades, &value.code, value),
            Update::Orderbook(value) => store(&self.orderbooks, &value.code, value),
        }
    }
}

fn streams<T>(endpoint: &Endpoint, data_type: &str) -> HashMap<Code, ArcSwapOption<T>> {
    let wanted = endpoint.wants.iter().filter(|want| want.data_type == data_type);
    let codes = wanted.flat_map(|want| &want.codes).map(|code| code.split('.').next().unwrap_or_default());
    codes.filter_map(|code| Some((Code::from(code).ok()?, ArcSwapOption::empty()))).collect()
}

#[inline]
fn store<T>(streams: &HashMap<Code, ArcSwapOption<T>>, code: &Code, value: &Arc<T>) {
    if let Some(stream) = streams.get(code) {
        stream.store(Some(value.clone()));
    }
}

impl Hub {
    /// Stores an update as the newest of its stream and passes it to the strategy. `None` is a message without data.
    #[inline]
    fn publish(&mut self, update: Option<Update>) {
        let Some(update) = update else { return };
        self.newest.store(&update);
        if let Err(rtrb::PushError::Full(update)) = self.updates.push(update) {
            self.losses.last.store(Some(Arc::new(update)));
            // LOST: Release, pairs with the Acquire in `Ring::lost`. A thread that sees the count sees this update, or
            // a later one.
            self.losses.count.fetch_add(1, Ordering::Release);
        }
    }

    /// Returns whether the strategy is gone.
    fn is_abandoned(&self) -> bool {
        self.updates.is_abandoned()
    }
}

/// The strategy's end of the ring.
pub struct Ring {
    consumer: Consumer<Update>,
    losses: Arc<Losses>,
    missed: u64,
    /// The timestamp of the last update.
    seen: u64,
}

impl Ring {
    /// Returns the last update that did not fit into the ring, if it is newer than the last popped one.
    fn lost(&mut self) -> Option<Update> {
        // Acquire, pairs with LOST in `Hub::publish`.
        let missed = self.losses.count.load(Ordering::Acquire);
        if missed == self.missed {
            return None;
        }
        self.missed = missed;
        let last = self.losses.last.load_full()?;
        (last.timestamp() > self.seen).then(|| (*last).clone())
    }
}

impl Queue for Ring {
    #[inline]
    fn next(&mut self) -> Option<Update> {
        let update = self.consumer.pop().ok().or_else(|| self.lost())?;
        self.seen = update.timestamp();
        Some(update)
    }

    fn missed(&self) -> u64 {
        self.missed
    }
}
