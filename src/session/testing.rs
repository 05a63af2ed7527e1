//! A test harness: a session, a scripted peer, and a clock that the test sets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hoga_testing::{Rng, frames};
use tungstenite::handshake::derive_accept_key;

use super::{Action, Budget, Closed, DialBudget, Disconnect, Entropy, Event, Rate, Session, SocketId, State};
use crate::config::{Config, Endpoint};
use crate::model::{ConnectionId, DataType, Epoch, Format, Nanos, Noun, Receipt, Sink, StreamKey};
use crate::plan::{DesiredSet, Running, StreamSet};

/// Randomness that a seed repeats.
pub(crate) struct SeededEntropy(Rng);

impl SeededEntropy {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rng::new(seed))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
}

/// A sink that records the delivered messages.
#[derive(Default)]
pub(super) struct Delivered(pub Vec<(Epoch, StreamKey)>);

impl Sink for Delivered {
    fn deliver<T: Noun>(&mut self, receipt: Receipt, message: &T) {
        self.0.push((receipt.epoch, message.key()));
    }
}

/// A client frame, as the peer reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sent {
    Text(String),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16),
}

/// A session with its peer and its clock.
pub(super) struct Harness {
    pub session: Session,
    /// The socket that was dialed last.
    pub socket: SocketId,
    pub now: Nanos,
    pub delivered: Delivered,
    pub actions: Vec<Action>,
    pub events: Vec<Event>,
    revision: u64,
    unread: Vec<u8>,
}

pub(super) const START: Nanos = Nanos::from_millis(1_000_000_000_000);

pub(super) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(super) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(super) fn trades(codes: &[&str]) -> StreamSet {
    codes.iter().map(|code| StreamKey::of(DataType::Trade, code.parse().unwrap())).collect()
}

/// A trade in the exchange's format of 2021, the shortest data message there is.
pub(crate) fn trade_message(code: &str, id: u64) -> String {
    format!(
        r#"{{"ty":"trade","cd":"{code}","tms":1618678262000,"td":"2021-04-17","ttm":"16:51:02","ttms":1618678262000,"tp":127.0,"tv":1.5,"ab":"BID","pcp":120.0,"c":"RISE","cp":7.0,"sid":{id},"st":"REALTIME"}}"#
    )
}

/// A whole frame of a server.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    frames::server(0x80 | opcode, payload)
}

pub(super) fn config() -> Config {
    Config { endpoint: Endpoint::custom("ws://127.0.0.1:9/websocket/v1").unwrap(), ..Config::default() }
}

impl Harness {
    pub fn new(config: Config) -> Self {
        let connects = Budget::new([Rate { count: config.limits.connects_per_second, window: secs(1) }]);
        Self::with_budget(config, Box::new(connects))
    }

    pub fn with_budget(config: Config, connects: Box<dyn DialBudget>) -> Self {
        let session = Session::new(ConnectionId(0), Arc::new(config), connects, Box::new(SeededEntropy::new(1)));
        let delivered = Delivered::default();
        let (actions, events, unread) = (Vec::new(), Vec::new(), Vec::new());
        Self { session, socket: SocketId::default(), now: START, delivered, actions, events, revision: 0, unread }
    }

    /// Returns a session that wants `KRW-BTC` and has received its data on an open socket.
    pub fn active(config: Config) -> Self {
        let mut harness = Self::new(config);
        harness.subscribe(&["KRW-BTC"]);
        harness.open();
        harness.data("KRW-BTC", 1);
        assert_eq!(harness.session.state(), State::Active);
        harness
    }

    pub fn subscribe(&mut self, codes: &[&str]) {
        self.subscribe_with_running(codes, &[]);
    }

    /// Subscribes to `codes`. `running` are the codes whose streams run already, as the planner would report.
    pub fn subscribe_with_running(&mut self, codes: &[&str], running: &[&str]) {
        self.revision += 1;
        let keys = Arc::new(trades(running).specs().iter().map(|spec| spec.key).collect());
        let running = Running { epoch: self.session.epoch(), unless_sent: Arc::clone(&keys), keys, sent: None };
        let (streams, format) = (trades(codes), Format::Simple);
        self.session.set_desired(
            self.now,
            DesiredSet { revision: self.revision, streams, format, running, checked: Arc::default() },
        );
        self.settle();
    }

    /// Changes the desired set, and sends nothing.
    pub fn want(&mut self, codes: &[&str]) {
        self.revision += 1;
        let (streams, format) = (trades(codes), Format::Simple);
        let desired = DesiredSet { revision: self.revision, streams, format, ..DesiredSet::default() };
        self.session.set_desired(self.now, desired);
    }

    /// Collects the session's actions, events and outgoing bytes.
    pub fn settle(&mut self) {
        while let Some(event) = self.session.poll_event() {
            self.events.push(event);
        }
        while let Some(action) = self.session.poll_action() {
            match &action {
                Action::Connect(socket, _) => self.socket = *socket,
                Action::Disconnect(_, final_bytes) => self.unread.extend_from_slice(final_bytes),
                Action::Resolve | Action::StartTls(..) => {}
            }
            self.actions.push(action);
        }
        self.transmit();
    }

    fn transmit(&mut self) {
        let pending = self.session.poll_transmit(self.socket);
        let n = pending.len();
        self.unread.extend_from_slice(pending);
        self.session.transmitted(self.socket, n);
    }

    /// Advances the clock, and calls the session at each deadline that it asked for.
    #[track_caller]
    pub fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..100_000 {
            let next = self.session.poll_timeout();
            if next > end {
                self.now = end;
                return;
            }
            self.now = next.max(self.now);
            self.session.handle_timeout(self.now);
            self.settle();
        }
        panic!("the session asks for timeouts without end");
    }

    /// Returns the addresses dialed since the last call.
    pub fn dials(&mut self) -> Vec<SocketAddr> {
        let dials = self.actions.iter().filter_map(|a| if let Action::Connect(_, to) = a { Some(*to) } else { None });
        let dials = dials.collect();
        self.actions.clear();
        dials
    }

    /// Opens TCP, and does not answer the upgrade yet.
    #[track_caller]
    pub fn connect(&mut self) {
        assert!(!self.dials().is_empty(), "the session did not dial");
        self.connected();
    }

    /// Opens TCP to the address that was dialed last.
    pub fn connected(&mut self) {
        self.unread.clear();
        self.session.handle_connected(self.now, self.socket);
        self.settle();
    }

    /// Opens TCP and answers the upgrade with 101.
    #[track_caller]
    pub fn open(&mut self) {
        self.connect();
        let answer = self.switching_protocols();
        self.receive(&answer);
        assert!(self.session.state().is_open(), "{:?}", self.session.state());
    }

    /// Returns the peer's answer to the opening request.
    #[track_caller]
    pub fn switching_protocols(&mut self) -> Vec<u8> {
        let request = String::from_utf8(std::mem::take(&mut self.unread)).unwrap();
        let key = request.lines().find_map(|l| l.strip_prefix("Sec-WebSocket-Key: ")).expect("a key in the request");
        let accept = derive_accept_key(key.trim().as_bytes());
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        .into_bytes()
    }

    /// Passes received bytes to the session.
    pub fn receive(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(16 * 1024) {
            let spare = self.session.spare(self.socket);
            if spare.is_empty() {
                // The socket is gone.
                return;
            }
            spare[..piece.len()].copy_from_slice(piece);
            self.session.handle_received(self.now, self.socket, piece.len(), &mut self.delivered);
            self.settle();
        }
    }

    pub fn message(&mut self, text: &str) {
        self.receive(&frame(2, text.as_bytes()));
    }

    pub fn data(&mut self, code: &str, id: u64) {
        self.message(&trade_message(code, id));
    }

    pub fn closed(&mut self, how: Closed) {
        self.session.handle_closed(self.now, self.socket, how);
        self.settle();
    }

    /// Returns the opening request as text, if it was sent last.
    pub fn opening_request(&self) -> String {
        String::from_utf8_lossy(&self.unread).into_owned()
    }

    /// Returns the frames sent since the last call.
    pub fn sent(&mut self) -> Vec<Sent> {
        let bytes = std::mem::take(&mut self.unread);
        let mut rest = &bytes[..];
        let mut sent = Vec::new();
        while let Some((frame, length)) = frames::parse(rest) {
            assert!(frame.is_masked, "a client must mask every frame");
            rest = &rest[length..];
            sent.push(match (frame.opcode(), frame.payload) {
                (1, text) => Sent::Text(String::from_utf8(text).unwrap()),
                (8, payload) => Sent::Close(u16::from_be_bytes([payload[0], payload[1]])),
                (9, payload) => Sent::Ping(payload),
                (10, payload) => Sent::Pong(payload),
                (other, _) => panic!("opcode {other}"),
            });
        }
        assert!(rest.is_empty(), "only whole frames are sent");
        sent
    }

    /// Returns the subscription requests sent since the last call; discards other frames.
    pub fn requests(&mut self) -> Vec<String> {
        self.sent().into_iter().filter_map(|f| if let Sent::Text(text) = f { Some(text) } else { None }).collect()
    }

    /// Returns the disconnect reasons since the last call.
    pub fn disconnects(&mut self) -> Vec<Disconnect> {
        let events = std::mem::take(&mut self.events);
        events
            .into_iter()
            .filter_map(|e| if let Event::Disconnected { reason, .. } = e { Some(reason) } else { None })
            .collect()
    }

    /// Returns the pause between the newest disconnect and the next attempt.
    #[track_caller]
    pub fn pause(&self) -> Duration {
        let pause = |event: &Event| match event {
            Event::Disconnected { at, retry_at: Some(retry_at), .. } => Some(retry_at.since(*at)),
            _ => None,
        };
        self.events.iter().rev().find_map(pause).expect("no disconnect with a retry was reported")
    }

    /// For `time`, answers every ping and sends nothing else.
    pub fn answer_pings(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end && self.session.state().is_open() {
            self.advance(ms(100).min(end.since(self.now)));
            for sent in self.sent() {
                if let Sent::Ping(payload) = sent {
                    self.receive(&frame(10, &payload));
                }
            }
        }
    }
}
