//! A whole session whose peer sends any bytes: it neither panics nor stores more than its bounds allow, it always has a
//! next deadline, and afterwards it gets data from a peer that keeps the protocol.
//!
//! Input: one byte that selects the cuts and what happens between them, then the bytes of the peer. Until bytes are
//! refused, they continue where the session is: in the answer to the opening request if the byte is even, otherwise
//! after a valid answer.

#![no_main]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hoga::config::{Config, Endpoint};
use hoga::model::{ConnectionId, DataType, Nanos, Noun, Receipt, Sink, StreamKey};
use hoga::plan::DesiredSet;
use hoga::session::{Action, Budget, Closed, Entropy, RETRY_AFTER_MAX, Rate, Session, SocketId, State};
use hoga_fuzz::{ACCEPT, KEY, pieces};
use hoga_testing::allocations::{Counting, peak_during};
use hoga_testing::{Rng, frames, messages};
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most memory that the bytes of a peer may cost.
const MEMORY_MAX: i64 = 4 << 20;
/// More deadlines than a session has in the longest wait of [`Peer::wait`].
const DEADLINES_MAX: usize = 1_000_000;

/// Not random, so that the accept value is always the same.
struct Fixed;

impl Entropy for Fixed {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.iter_mut().zip(KEY.iter().cycle()).for_each(|(byte, key)| *byte = *key);
    }
}

struct Discard;

impl Sink for Discard {
    fn deliver<T: Noun>(&mut self, _: Receipt, _: &T) {}
}

struct Peer {
    session: Session,
    socket: SocketId,
    now: Nanos,
    rng: Rng,
    /// Whether each new socket gets a valid answer to its opening request.
    answers: bool,
    revision: u64,
}

impl Peer {
    fn new(seed: u8) -> Self {
        let endpoint = Endpoint::custom("ws://127.0.0.1:9/websocket/v1").unwrap_or_else(|error| panic!("{error}"));
        let connects = Budget::new([Rate { count: 5, window: Duration::from_secs(1) }]);
        let config = Arc::new(Config { endpoint, receive_bytes: 4096, ..Config::default() });
        let session = Session::new(ConnectionId(0), config, Box::new(connects), Box::new(Fixed));
        let (now, rng) = (Nanos::from_millis(1_790_000_000_000), Rng::new(seed.into()));
        let mut peer = Self { session, socket: SocketId(0), now, rng, answers: seed % 2 == 1, revision: 0 };
        peer.want(&["KRW-BTC"]);
        peer
    }

    fn want(&mut self, codes: &[&str]) {
        self.revision += 1;
        let keys = codes.iter().filter_map(|code| Some(StreamKey::of(DataType::Trade, code.parse().ok()?)));
        let (revision, streams) = (self.revision, keys.collect());
        self.session.set_desired(self.now, DesiredSet { revision, streams, ..DesiredSet::default() });
        self.settle();
    }

    fn settle(&mut self) {
        loop {
            while self.session.poll_event().is_some() {}
            let Some(action) = self.session.poll_action() else { break };
            if let Action::Connect(socket, _) = action {
                self.socket = socket;
                self.session.handle_connected(self.now, socket);
                if self.answers {
                    self.answer();
                }
            }
        }
        assert!(self.session.poll_timeout() < Nanos::NEVER, "{:?}", self.session.state());
    }

    fn answer(&mut self) {
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
        );
        self.send(answer.as_bytes());
    }

    /// Sends bytes to the session's current socket.
    fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let spare = self.session.spare(self.socket);
            if spare.is_empty() {
                return;
            }
            let n = spare.len().min(bytes.len());
            spare[..n].copy_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            self.session.handle_received(self.now, self.socket, n, &mut Discard);
        }
    }

    /// Reads some of what the session has sent.
    fn read(&mut self) {
        let unsent = self.session.poll_transmit(self.socket).len();
        let read = self.rng.below(unsent + 1);
        self.session.transmitted(self.socket, read);
    }

    /// Lets this much time pass, or less if the session is as wanted before.
    fn wait(&mut self, time: Duration, until: impl Fn(&Session) -> bool) {
        let end = self.now + time;
        for _ in 0..DEADLINES_MAX {
            let next = self.session.poll_timeout();
            if next > end || until(&self.session) {
                self.now = self.now.max(end.min(next));
                return;
            }
            self.now = self.now.max(next);
            self.session.handle_timeout(self.now);
            self.settle();
        }
        panic!("the session asks for timeouts without end");
    }

    /// Does one of the other things that happen to a session.
    fn disturb(&mut self) {
        match self.rng.below(24) {
            0 => self.want(&["KRW-BTC", "KRW-ETH"]),
            1 => self.want(&["KRW-BTC"]),
            2 => self.session.handle_closed(self.now, self.socket, Closed::Eof),
            3 => self.session.handle_closed(self.now, self.socket, Closed::Io(io::ErrorKind::ConnectionReset)),
            4 => self.session.list(self.now),
            5 => self.session.probe(self.now),
            6..9 => {
                let time = self.rng.up_to(Duration::from_secs(6));
                self.wait(time, |_| false);
            }
            _ => self.read(),
        }
        self.settle();
    }

    /// Keeps the protocol, from a new socket on.
    fn recover(&mut self) {
        self.answers = true;
        self.session.handle_closed(self.now, self.socket, Closed::Eof);
        self.settle();
        self.wait(RETRY_AFTER_MAX + Duration::from_secs(3600), |session| session.state().is_open());
        self.send(&trade());
        self.settle();
        assert_eq!(self.session.state(), State::Active);
    }
}

fn trade() -> Vec<u8> {
    let mut rng = Rng::new(1);
    let text = std::iter::repeat_with(|| messages::trade(&mut rng).write(true)).find(|text| text.contains("KRW-BTC"));
    frames::server(frames::BINARY, text.unwrap_or_default().as_bytes())
}

fuzz_target!(|input: &[u8]| {
    let Some((&seed, bytes)) = input.split_first() else { return };
    let mut peer = Peer::new(seed);
    let peak = peak_during(|| {
        for piece in pieces(seed, bytes) {
            peer.send(piece);
            peer.settle();
            peer.disturb();
        }
    });
    assert!(peak <= MEMORY_MAX, "{peak} bytes of memory");
    peer.recover();
});
