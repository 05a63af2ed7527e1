//! The event loop with real sockets on loopback, and a handler scripted by the test.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Condvar, Mutex, mpsc};
use std::thread::{self, JoinHandle};

use super::*;
use crate::config::{Backoff, Endpoint, Pacing, Roots, Timeouts};
use crate::model::{self, ConnectionId, DataType, Noun, Receipt, StreamKey};
use crate::net::SystemResolver;
use crate::plan::DesiredSet;
use crate::session::testing::{frame, trade_message};
use crate::session::{Budget, Disconnect, Entropy, Rate, Stage, State};

/// Longer than any wait here takes, unless something hangs.
const PATIENCE: Duration = Duration::from_secs(30);
/// A delay that does not end during a test.
const NEVER: Duration = Duration::from_secs(3600);

/// Makes every random delay as long as possible.
struct Longest;

impl Entropy for Longest {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(0xff);
    }
}

#[derive(Debug, Clone, Copy)]
enum Command {
    Want,
    WantNothing,
    Stop,
}

/// Applies commands, and reports events to the test.
struct Script {
    commands: Arc<Mutex<Vec<Command>>>,
    /// The number of calls of `commands`.
    command_calls: u64,
    events: mpsc::Sender<Event>,
    revision: u64,
    /// The time of the newest batch.
    last: Nanos,
    hooks: Hooks,
}

/// Callbacks of the test on the reactor's thread.
struct Hooks {
    /// Called after commands were applied, with the number of the call.
    applied: Box<dyn FnMut(u64) + Send>,
    /// Called for each trade, with its id.
    traded: Box<dyn FnMut(u64) + Send>,
}

impl Default for Hooks {
    fn default() -> Self {
        Self { applied: Box::new(|_| ()), traded: Box::new(|_| ()) }
    }
}

impl Handler for Script {
    fn commands(&mut self, now: Nanos, session: &mut Session) {
        let commands = std::mem::take(&mut *self.commands.lock().unwrap());
        for command in commands {
            self.revision += 1;
            let streams: &[&str] = if matches!(command, Command::Want) { &["KRW-BTC"] } else { &[] };
            let key = |code: &&str| StreamKey::of(DataType::Trade, code.parse().unwrap());
            let desired = DesiredSet {
                revision: self.revision,
                streams: streams.iter().map(key).collect(),
                ..DesiredSet::default()
            };
            match command {
                Command::Want | Command::WantNothing => session.set_desired(now, desired),
                Command::Stop => session.stop(now),
            }
        }
        self.command_calls += 1;
        (self.hooks.applied)(self.command_calls);
    }

    fn event(&mut self, event: Event) {
        // The test may have dropped the receiver.
        let _ = self.events.send(event);
    }

    fn read_after(&mut self, _: Duration) {}

    fn batch_done(&mut self, now: Nanos, _: &Session) {
        assert!(now >= self.last, "time goes backwards by {:?}", self.last.since(now));
        self.last = now;
    }
}

impl Sink for Script {
    fn deliver<T: Noun>(&mut self, _: Receipt, message: &T) {
        if let model::Event::Trade(trade) = (*message).into() {
            (self.hooks.traded)(trade.sequential_id.get().expect("an id"));
        }
    }
}

/// A running reactor.
struct Rig {
    commands: Arc<Mutex<Vec<Command>>>,
    events: mpsc::Receiver<Event>,
    remote: Remote,
    thread: Option<JoinHandle<usize>>,
}

impl Rig {
    /// Starts a reactor. `hooks` gets the reactor's remote.
    fn start(config: Config, resolver: Arc<dyn Resolve>, hooks: impl FnOnce(Remote) -> Hooks) -> Self {
        let config = Arc::new(config);
        let connects = Budget::with_margin([Rate { count: 10_000, window: Duration::from_secs(1) }], Duration::ZERO);
        let session = Session::new(ConnectionId(0), config.clone(), Box::new(connects), Box::new(Longest));
        let tls = TlsConfig::new(&Roots::bundled()).unwrap();
        let reactor = Reactor::new(session, config, tls, resolver, SystemClock::new()).unwrap();
        let remote = reactor.remote();
        let commands = Arc::<Mutex<Vec<Command>>>::default();
        let (to, events) = mpsc::channel();
        let hooks = hooks(remote.clone());
        let mut script = Script {
            commands: commands.clone(),
            command_calls: 0,
            events: to,
            revision: 0,
            last: Nanos::default(),
            hooks,
        };
        let thread = Some(thread::spawn(move || reactor.run(&mut script)));
        Self { commands, events, remote, thread }
    }

    fn send(&self, command: Command) {
        self.commands.lock().unwrap().push(command);
        self.remote.wake();
    }

    /// Waits for the first event for which `wanted` returns a value, and returns that.
    #[track_caller]
    fn until<T>(&self, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        loop {
            let event = self.events.recv_timeout(PATIENCE).expect("the reactor hangs");
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    }

    #[track_caller]
    fn until_state(&self, wanted: State) {
        self.until(|event| matches!(event, Event::State { to, .. } if *to == wanted).then_some(()));
    }

    #[track_caller]
    fn until_disconnected(&self) -> Disconnect {
        self.until(|event| if let Event::Disconnected { reason, .. } = event { Some(reason.clone()) } else { None })
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // A reactor that hangs has failed the test already, and is left running.
        if !thread::panicking() {
            self.send(Command::Stop);
            self.thread.take().unwrap().join().unwrap();
        }
    }
}

/// A configuration with no activity except from `timeouts`. A second attempt to connect is an hour away.
fn config(port: u16, timeouts: Timeouts) -> Config {
    Config {
        endpoint: Endpoint::custom(&format!("ws://127.0.0.1:{port}/")).unwrap(),
        timeouts,
        backoff: Backoff::constant(NEVER),
        pacing: Pacing::Aggressive,
        ..Config::default()
    }
}

/// A peer that accepts WebSockets and then stays silent. Keeps the newest ones open.
fn silent_peer() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut kept = VecDeque::new();
        for stream in listener.incoming() {
            let Ok(socket) = tungstenite::accept(stream.unwrap()) else { continue };
            kept.push_back(socket);
            if kept.len() > 4 {
                kept.pop_front();
            }
        }
    });
    port
}

// ---- waking ----

/// A past bug: the turn before a deadline took the event of a call and did not handle the call. No later call wrote
/// another event, so the thread slept until its next deadline, and without a deadline forever.
#[test]
fn a_call_during_a_passing_deadline_is_handled() {
    let close = Duration::from_millis(20);
    let timeouts = Timeouts { close, ..Timeouts::default() };
    let (fourth, is_fourth) = mpsc::channel();
    let rig = Rig::start(config(silent_peer(), timeouts), Arc::new(SystemResolver), |remote| {
        let applied = move |time| match time {
            1 => {}
            // Takes longer than the close deadline; another call is made in the meantime.
            2 => {
                thread::sleep(2 * close);
                remote.wake();
            }
            // The deadline has passed, and yet another call is made before the reactor handles it.
            3 => remote.wake(),
            _ => fourth.send(()).unwrap(),
        };
        Hooks { applied: Box::new(applied), ..Hooks::default() }
    });
    rig.send(Command::Want);
    rig.until_state(State::Connected);
    rig.send(Command::WantNothing);
    rig.until_state(State::Disconnected);
    is_fourth.recv_timeout(PATIENCE).expect("the call is lost, and the thread sleeps forever");
}

/// The same by chance: many calls around the time when a deadline passes, with no deadline after it.
#[test]
fn calls_around_a_deadline_are_all_handled() {
    let close = Duration::from_millis(2);
    let timeouts = Timeouts { close, ..Timeouts::default() };
    let rig = Rig::start(config(silent_peer(), timeouts), Arc::new(SystemResolver), |_| Hooks::default());
    let clock = SystemClock::new();
    for run in 0..200 {
        rig.send(Command::Want);
        rig.until_state(State::Connected);
        rig.send(Command::WantNothing);
        rig.until_state(State::Closing);
        let deadline = clock.now() + close;
        while clock.now() < deadline + close / 4 {
            if clock.now() > deadline - close / 4 {
                rig.remote.wake();
            }
            std::hint::spin_loop();
        }
        rig.until_state(State::Disconnected);
        // The rest of the burst is handled by now, or never will be.
        rig.send(Command::Want);
        let give_up = clock.now() + PATIENCE;
        while !rig.commands.lock().unwrap().is_empty() {
            assert!(clock.now() < give_up, "run {run}: the reactor takes no more commands");
            thread::yield_now();
        }
        rig.send(Command::WantNothing);
        rig.until_state(State::Disconnected);
    }
}

// ---- time ----

/// A past bug: the turn before a deadline read data and stamped it with the time of the read, but the deadline was then
/// handled with an older time.
#[test]
fn time_does_not_go_backwards_when_data_arrives_before_a_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let ((send, may_send), (sent, is_sent)) = (mpsc::channel(), mpsc::channel());
    let peer = thread::spawn(move || {
        let mut socket = tungstenite::accept(listener.accept().unwrap().0).unwrap();
        may_send.recv_timeout(PATIENCE).unwrap();
        socket.get_mut().write_all(&frame(2, trade_message("KRW-BTC", 1).as_bytes())).unwrap();
        sent.send(()).unwrap();
        while !socket.read().unwrap().is_ping() {}
    });
    let ping_after = Duration::from_millis(20);
    let timeouts = Timeouts { ping_after, silent_after: PATIENCE, ..Timeouts::default() };
    let rig = Rig::start(config(port, timeouts), Arc::new(SystemResolver), |remote| {
        let applied = move |time| match time {
            // A ping becomes due while this thread is busy with its commands.
            2 => {
                thread::sleep(2 * ping_after);
                remote.wake();
            }
            // Data arrives before the ping is sent.
            3 => {
                send.send(()).unwrap();
                is_sent.recv_timeout(PATIENCE).unwrap();
            }
            _ => {}
        };
        Hooks { applied: Box::new(applied), ..Hooks::default() }
    });
    rig.send(Command::Want);
    rig.until_state(State::Subscribing);
    rig.remote.wake();
    rig.until_state(State::Active);
    peer.join().unwrap();
}

// ---- endings ----

/// A peer that accepts one WebSocket, sends `bytes` after the first request arrived, and closes without reading the
/// request, so that its end arrives as a reset. The receiver reports when it has closed.
fn peer_that_resets(bytes: Vec<u8>) -> (u16, mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (closed, is_closed) = mpsc::channel();
    thread::spawn(move || {
        let mut socket = tungstenite::accept(listener.accept().unwrap().0).unwrap();
        assert_eq!(socket.get_ref().peek(&mut [0]).unwrap(), 1);
        socket.get_mut().write_all(&bytes).unwrap();
        drop(socket);
        closed.send(()).unwrap();
    });
    (port, is_closed)
}

/// A past bug: the pong's write failed because the peer was gone, and the bytes that the kernel had received were lost.
#[test]
fn a_failed_write_does_not_hide_what_the_peer_sent_before_it_closed() {
    const TRADES: u64 = 100;
    let mut bytes = Vec::new();
    for id in 0..TRADES {
        bytes.extend(frame(2, trade_message("KRW-BTC", id).as_bytes()));
        if id == 0 {
            bytes.extend(frame(9, b"still there?"));
        }
    }
    bytes.extend(frame(8, &[&1001u16.to_be_bytes()[..], b"maintenance"].concat()));
    let (port, is_closed) = peer_that_resets(bytes);
    let (traded, trades) = mpsc::channel();
    // Small reads, so that most bytes are still in the kernel when the pong is sent.
    let config = Config { receive_bytes: 4096, ..config(port, Timeouts::default()) };
    let rig = Rig::start(config, Arc::new(SystemResolver), |_| {
        let traded = move |id| {
            if id == 0 {
                is_closed.recv_timeout(PATIENCE).unwrap();
            }
            traded.send(id).unwrap();
        };
        Hooks { traded: Box::new(traded), ..Hooks::default() }
    });
    rig.send(Command::Want);
    assert_eq!(rig.until_disconnected(), Disconnect::ClosedByPeer { code: 1001, reason: "maintenance".into() });
    assert_eq!(trades.try_iter().collect::<Vec<_>>(), (0..TRADES).collect::<Vec<_>>());
}

/// If the peer sends nothing more, the failed write is the reason.
#[test]
fn a_failed_write_ends_the_connection_after_the_last_message() {
    let message = trade_message("KRW-BTC", 0);
    let (port, is_closed) = peer_that_resets([frame(2, message.as_bytes()), frame(9, b""), frame(2, b"{}")].concat());
    let rig = Rig::start(config(port, Timeouts::default()), Arc::new(SystemResolver), |_| {
        let traded = move |_| is_closed.recv_timeout(PATIENCE).unwrap();
        Hooks { traded: Box::new(traded), ..Hooks::default() }
    });
    rig.send(Command::Want);
    let disconnect = rig.until_disconnected();
    assert!(matches!(disconnect, Disconnect::Io(_)), "{disconnect:?}");
}

/// The server refuses before it reads the request. A past bug: the reset at the end hid the refusal and its wait time.
#[test]
fn a_refusal_that_ends_with_a_reset_is_read() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        assert_eq!(stream.peek(&mut [0]).unwrap(), 1);
        stream.write_all(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 30\r\n\r\nslow down").unwrap();
    });
    let rig = Rig::start(config(port, Timeouts::default()), Arc::new(SystemResolver), |_| Hooks::default());
    rig.send(Command::Want);
    let disconnect = rig.until_disconnected();
    assert!(matches!(&disconnect, Disconnect::Rejected(rejection) if rejection.status == 429), "{disconnect:?}");
}

// ---- addresses ----

/// A resolver that always returns these addresses.
struct Fixed(Vec<SocketAddr>);

impl Resolve for Fixed {
    fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(self.0.clone())
    }
}

/// Returns a listener that answers no connect, because its queue is full, and the sockets in its queue.
fn dead_listener() -> (TcpListener, Vec<TcpStream>) {
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let listener = TcpListener::from(listener);
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(socket) = TcpStream::connect_timeout(&address, Duration::from_millis(500)) {
        queued.push(socket);
        assert!(queued.len() < 64, "the queue is never full");
    }
    (listener, queued)
}

/// The deadline of the first address is an hour away.
#[test]
fn a_dead_first_address_does_not_delay_the_second() {
    let (dead, _queued) = dead_listener();
    let good = TcpListener::bind("127.0.0.1:0").unwrap();
    let resolver = Fixed([&dead, &good].map(|listener| listener.local_addr().unwrap()).to_vec());
    let config = Config {
        endpoint: Endpoint::custom("wss://exchange.test/").unwrap(),
        ..config(1, Timeouts { connect: NEVER, ..Timeouts::default() })
    };
    let rig = Rig::start(config, Arc::new(resolver), |_| Hooks::default());
    rig.send(Command::Want);
    let mut stream = good.accept().unwrap().0;
    rig.until_state(State::TlsHandshake);
    let mut content_type = [0];
    stream.read_exact(&mut content_type).unwrap();
    assert_eq!(content_type, [22], "a TLS handshake");
}

// ---- look-ups ----

/// A resolver that answers each look-up only after its deadline.
struct TooLate {
    port: u16,
    asked: Mutex<u32>,
    passed: Arc<(Mutex<u32>, Condvar)>,
}

impl Resolve for TooLate {
    fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        let number = {
            let mut asked = self.asked.lock().unwrap();
            *asked += 1;
            *asked
        };
        let (passed, changed) = &*self.passed;
        let has_passed = changed.wait_timeout_while(passed.lock().unwrap(), PATIENCE, |passed| *passed < number);
        drop(has_passed.unwrap());
        Ok(vec![([127, 0, 0, 1], self.port).into()])
    }
}

/// A past bug: with a resolver that always took longer than the deadline, nothing was ever dialed.
#[test]
fn addresses_of_a_resolver_that_is_always_too_slow_are_dialed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let passed = Arc::<(Mutex<u32>, Condvar)>::default();
    let timeouts = Timeouts { resolve: Duration::from_millis(5), ..Timeouts::default() };
    let config = Config {
        endpoint: Endpoint::custom(&format!("wss://exchange.test:{port}/")).unwrap(),
        backoff: Backoff::constant(Duration::from_millis(5)),
        ..config(port, timeouts)
    };
    let resolver = TooLate { port, asked: Mutex::default(), passed: passed.clone() };
    let rig = Rig::start(config, Arc::new(resolver), |_| Hooks::default());
    rig.send(Command::Want);
    rig.until(|event| match event {
        Event::Disconnected { reason: Disconnect::Timeout(Stage::Resolve), .. } => {
            let mut number = passed.0.lock().unwrap();
            *number += 1;
            passed.1.notify_all();
            assert!(*number < 20, "each answer missed its deadline, and none was used");
            None
        }
        Event::State { to: State::TlsHandshake, .. } => Some(()),
        _ => None,
    });
    drop(listener);
}
