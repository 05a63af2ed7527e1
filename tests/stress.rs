//! Two stress tests for rare faults: calls to a connection's thread around its deadlines, and feeds of every policy
//! that join and leave an open socket. Each runs for [`SECONDS`], or for the number of seconds in the environment
//! variable `HOGA_STRESS_SECONDS`.

mod common;

use std::time::{Duration, Instant};

/// Default length of each test, in seconds.
const SECONDS: u64 = 5;

/// Returns a function that reports whether a test that starts now is over.
#[allow(clippy::disallowed_methods, reason = "the length of the run is not under test")]
fn deadline() -> impl Fn() -> bool {
    let seconds =
        std::env::var("HOGA_STRESS_SECONDS").map_or(SECONDS, |text| text.parse().expect("a number of seconds"));
    let (start, length) = (Instant::now(), Duration::from_secs(seconds));
    move || start.elapsed() >= length
}

mod calls {
    //! A connection with a deadline every few milliseconds, and calls around these deadlines.

    use std::net::TcpListener;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
    use std::sync::{Arc, Mutex, mpsc};
    use std::time::{Duration, Instant};

    use hoga::config::{Config, Endpoint, Pacing, Roots, Timeouts};
    use hoga::model::{ConnectionId, DataType, Nanos, Noun, Receipt, Sink, StreamKey};
    use hoga::net::{Handler, Reactor, Remote, SystemClock, SystemEntropy, SystemResolver, TlsConfig};
    use hoga::plan::DesiredSet;
    use hoga::session::{Budget, Event, Rate, Session, State};

    /// Timeout of the close handshake, which the peer never answers.
    const CLOSE: Duration = Duration::from_millis(3);

    /// Calls begin two margins before the deadline of the close handshake and end one margin after it.
    const MARGIN: Duration = Duration::from_micros(200);

    /// A call that has had no effect for this long counts as lost.
    const LOST: Duration = Duration::from_secs(10);

    #[derive(Clone, Copy)]
    enum Command {
        Want,
        WantNothing,
        Stop,
    }

    /// The owner of the session on the connection's thread.
    struct Owner {
        commands: Arc<Mutex<Vec<Command>>>,
        calls: Arc<AtomicU64>,
        states: mpsc::Sender<State>,
        revision: u64,
    }

    impl Handler for Owner {
        fn commands(&mut self, now: Nanos, session: &mut Session) {
            let commands = std::mem::take(&mut *self.commands.lock().unwrap());
            self.calls.fetch_add(1, SeqCst);
            for command in commands {
                self.revision += 1;
                let streams = match command {
                    Command::Want => [StreamKey::of(DataType::Trade, "KRW-BTC".parse().unwrap())].into_iter().collect(),
                    Command::WantNothing => Default::default(),
                    Command::Stop => return session.stop(now),
                };
                session.set_desired(now, DesiredSet { revision: self.revision, streams, ..DesiredSet::default() });
            }
        }

        fn event(&mut self, event: Event) {
            if let Event::State { to, .. } = event {
                let _ = self.states.send(to);
            }
        }

        fn read_after(&mut self, _: Duration) {}

        fn batch_done(&mut self, _: Nanos, _: &Session) {}
    }

    impl Sink for Owner {
        fn deliver<T: Noun>(&mut self, _: Receipt, _: &T) {}
    }

    /// The other side of the connection's thread.
    struct Connection {
        commands: Arc<Mutex<Vec<Command>>>,
        calls: Arc<AtomicU64>,
        states: mpsc::Receiver<State>,
        remote: Remote,
        thread: std::thread::JoinHandle<usize>,
    }

    impl Connection {
        fn start(port: u16) -> Self {
            let endpoint = Endpoint::custom(&format!("ws://127.0.0.1:{port}/")).unwrap();
            let config = Config {
                endpoint,
                timeouts: Timeouts { close: CLOSE, ..Timeouts::default() },
                pacing: Pacing::Aggressive,
                ..Config::default()
            };
            let connects =
                Budget::with_margin([Rate { count: 10_000, window: Duration::from_secs(1) }], Duration::ZERO);
            let entropy = Box::new(SystemEntropy::new());
            let config = Arc::new(config);
            let session = Session::new(ConnectionId(0), config.clone(), Box::new(connects), entropy);
            let (tls, resolver) = (TlsConfig::new(&Roots::bundled()).unwrap(), Arc::new(SystemResolver));
            let reactor = Reactor::new(session, config, tls, resolver, SystemClock::new()).unwrap();
            let (commands, calls) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU64::new(0)));
            let (sender, states) = mpsc::channel();
            let mut owner = Owner { commands: commands.clone(), calls: calls.clone(), states: sender, revision: 0 };
            let remote = reactor.remote();
            let thread = std::thread::spawn(move || reactor.run(&mut owner));
            Self { commands, calls, states, remote, thread }
        }

        fn command(&self, command: Command) {
            self.commands.lock().unwrap().push(command);
            self.remote.wake();
        }

        #[track_caller]
        fn until(&self, state: State) {
            while self.states.recv_timeout(LOST).expect("the thread missed a call") != state {}
        }
    }

    /// Accepts WebSockets and then neither reads nor writes, so each close handshake runs into its deadline.
    fn deaf_peer() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let mut kept = std::collections::VecDeque::new();
            for stream in listener.incoming() {
                let Ok(socket) = tungstenite::accept(stream.unwrap()) else { continue };
                kept.push_back(socket);
                if kept.len() > 8 {
                    kept.pop_front();
                }
            }
        });
        port
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "the calls must surround a deadline of the real clock")]
    fn no_call_around_a_deadline_is_lost() {
        let is_over = super::deadline();
        let connection = Connection::start(deaf_peer());
        let (mut calls, mut closes) = (0u64, 0u64);
        while !is_over() {
            connection.command(Command::Want);
            connection.until(State::Connected);
            connection.command(Command::WantNothing);
            connection.until(State::Closing);
            let closing = Instant::now();
            std::thread::sleep(CLOSE - 2 * MARGIN);
            while closing.elapsed() < CLOSE + MARGIN {
                connection.command(Command::WantNothing);
                calls += 1;
                let pause = Instant::now();
                while pause.elapsed() < Duration::from_nanos(300) {
                    std::hint::spin_loop();
                }
            }
            // The last call wants a stream, so the thread must connect again.
            connection.command(Command::Want);
            connection.until(State::Connected);
            connection.command(Command::WantNothing);
            connection.until(State::Disconnected);
            closes += 2;
        }
        connection.command(Command::Stop);
        let started = Instant::now();
        while !connection.thread.is_finished() {
            assert!(started.elapsed() < LOST, "the thread missed the call to stop");
            std::thread::sleep(Duration::from_millis(1));
        }
        connection.thread.join().unwrap();
        println!("{calls} calls around {closes} deadlines, handled in {} turns", connection.calls.load(SeqCst));
    }
}

mod streams {
    //! Feeds of every policy join and leave while the socket stays open. Each feed's messages are compared with those
    //! that the exchange sent: none from before the request, none out of order, none missing without a report, and the
    //! newest at the end.

    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::common::{self, Message, Record, RequestMode, builder, delivered, eventually, fall_silent, finish};
    use super::deadline;
    use hoga::config::{Limits, Pacing};
    use hoga::plan::Subscription;
    use hoga::prelude::*;
    use hoga_exchange::{Fault, Server, ServerConfig};
    use hoga_testing::Rng;

    const MARKETS: usize = 6;

    /// Maximum number of feeds at a time.
    const READERS_MAX: usize = 30;

    const POLICIES: [Overflow; 6] = [
        Overflow::ByType,
        Overflow::DropOldest,
        Overflow::DropNewest { capacity: 4096 },
        Overflow::DropNewest { capacity: 4 },
        Overflow::Conflate,
        Overflow::Throttle(Duration::from_millis(5)),
    ];

    /// A feed and what it has delivered.
    struct Reader {
        feed: Feed<Event>,
        history: History,
    }

    /// The messages of one feed.
    struct History {
        stream: String,
        is_trade: bool,
        policy: Overflow,
        /// Number of messages that the exchange had sent when the feed was opened.
        opened_at: usize,
        got: Vec<Message>,
        /// Number of messages that were reported missing.
        missed: u64,
    }

    impl Reader {
        fn open(engine: &Engine, record: &Record, rng: &mut Rng, codes: &[String]) -> Self {
            let code = codes[rng.below(codes.len())].as_str();
            let (name, subscription): (_, Subscription) = match rng.below(3) {
                0 => ("ticker", ticker(code).mixed()),
                1 => ("trade", trade(code).mixed()),
                _ => ("orderbook", orderbook(code).mixed()),
            };
            let policy = *rng.pick(&POLICIES);
            let opened_at = record.sent_count();
            let feed = engine.feed(subscription, policy).unwrap();
            let (stream, is_trade) = (format!("{name} {code}"), name == "trade");
            let history = History { stream, is_trade, policy, opened_at, got: Vec::new(), missed: 0 };
            Self { feed, history }
        }

        fn drain(&mut self) {
            for item in self.feed.by_ref() {
                match item {
                    Item::Gap { missed } => self.history.missed += missed,
                    Item::Epoch { .. } => panic!("the socket disconnected"),
                    data => self.history.got.push(delivered(data)),
                }
            }
        }

        /// Reads what has arrived, and drops the feed.
        fn leave(mut self) -> History {
            self.drain();
            self.history
        }
    }

    impl History {
        fn conflates(&self) -> bool {
            match self.policy {
                Overflow::ByType => !self.is_trade,
                Overflow::Conflate | Overflow::Throttle(_) => true,
                _ => false,
            }
        }

        /// Compares the delivered messages with the sent ones. `is_settled`: the feed has delivered all that was sent.
        /// A feed that has left has not, and may have left before the first message.
        #[track_caller]
        fn check(&self, log: &Log, is_settled: bool) {
            let what = format!("{} with {}", self.stream, self.policy);
            // Messages sent before the stream was requested do not concern this feed.
            let since = log.requested_since(&self.stream, self.opened_at);
            let sent = log.sent.get(&self.stream).map_or(&[][..], Vec::as_slice);
            let sent = &sent[sent.partition_point(|(at, _)| *at < since)..];
            let places = places(&what, &self.got, sent);
            if !self.conflates()
                && let (Some(first), Some(last)) = (places.first(), places.last())
            {
                let end = if is_settled { sent.len() - 1 } else { *last };
                let news = news(&sent[*first..=end], self.is_trade);
                let gone = news - news_among(&places, sent, self.is_trade);
                assert!(gone as u64 <= self.missed, "{what}: {gone} of {news} are missing, {} reported", self.missed);
            }
            if is_settled {
                let (_, newest) = sent.last().unwrap_or_else(|| panic!("{what}: its request was not answered"));
                let last = self.got.last().unwrap_or_else(|| panic!("{what}: no message arrived, {newest:?} was sent"));
                if self.missed == 0 {
                    assert!(
                        last.timestamp >= newest_time(sent, self.is_trade, newest),
                        "{what}: {last:?} is not {newest:?}"
                    );
                }
            }
        }
    }

    /// Returns the time that the last delivered message must reach. For trades that is the newest message's own time,
    /// because trades may arrive late.
    fn newest_time(sent: &[(usize, Message)], is_trade: bool, newest: &Message) -> u64 {
        if is_trade { newest.timestamp } else { sent.iter().map(|(_, message)| message.timestamp).max().unwrap() }
    }

    /// Returns the index in `sent` of each message. Each follows the previous one.
    #[track_caller]
    fn places(what: &str, got: &[Message], sent: &[(usize, Message)]) -> Vec<usize> {
        let mut next = 0;
        let place = |message: &Message| {
            let is_it =
                |(_, other): &(usize, Message)| (other.timestamp, other.detail) == (message.timestamp, message.detail);
            let found = sent[next..].iter().position(is_it);
            let place =
                next + found.unwrap_or_else(|| panic!("{what}: {message:?} is old, arrived twice or was not sent"));
            next = place + 1;
            place
        };
        got.iter().map(place).collect()
    }

    /// Returns the number of messages with news. Each trade counts once. A ticker or book counts if it is not older
    /// than an earlier one.
    fn news(sent: &[(usize, Message)], is_trade: bool) -> usize {
        news_among(&(0..sent.len()).collect::<Vec<_>>(), sent, is_trade)
    }

    fn news_among(places: &[usize], sent: &[(usize, Message)], is_trade: bool) -> usize {
        let mut seen = std::collections::BTreeSet::new();
        let mut newest = 0;
        let is_news = |place: &&usize| {
            let message = &sent[**place].1;
            let is_late = message.timestamp < newest;
            newest = newest.max(message.timestamp);
            let is_first = seen.insert((message.timestamp, message.detail.to_bits()));
            is_first && (is_trade || !is_late)
        };
        places.iter().filter(is_news).count()
    }

    /// The messages that the exchange sent for each stream, and the requests that it received, numbered together.
    struct Log {
        sent: BTreeMap<String, Vec<(usize, Message)>>,
        requests: Vec<(usize, BTreeMap<String, RequestMode>)>,
    }

    impl Log {
        fn of(record: &Record) -> Self {
            let connections = record.connections();
            let [conn] = connections[..] else { panic!("only one socket was expected: {connections:?}") };
            let mut sent: BTreeMap<String, Vec<_>> = BTreeMap::new();
            for (at, message) in record.sent_at(conn) {
                sent.entry(message.stream.clone()).or_default().push((at, message));
            }
            Self { sent, requests: record.requested_at(conn) }
        }

        /// Returns the start of the unbroken run of requests for a stream that contains `opened_at`. If the stream was
        /// not requested then, returns its next request.
        fn requested_since(&self, stream: &str, opened_at: usize) -> usize {
            let (before, after): (Vec<_>, Vec<_>) = self.requests.iter().partition(|(at, _)| *at <= opened_at);
            let is_requested = |(_, streams): &&&(usize, BTreeMap<String, RequestMode>)| streams.contains_key(stream);
            match before.iter().rev().take_while(is_requested).last() {
                Some((at, _)) => *at,
                None => after.iter().find(is_requested).map_or(usize::MAX, |(at, _)| *at),
            }
        }
    }

    fn exchange() -> (Server, Record) {
        let mut config = ServerConfig { plain: true, ..ServerConfig::default() };
        (config.exchange.speed, config.exchange.markets) = (200.0, MARKETS);
        (config.exchange.limits.requests_per_second, config.exchange.limits.requests_per_minute) = (1_000, 10_000);
        let record = Record::default();
        (Server::start_observed(config, Box::new(record.clone())).unwrap(), record)
    }

    #[test]
    fn feeds_that_join_and_leave_an_open_socket_get_no_old_values_and_miss_none() {
        let is_over = deadline();
        let (server, record) = exchange();
        let codes = common::markets(MARKETS);
        // The first market keeps the socket open; the others join and leave. Grace is short, so that they do leave the
        // wire.
        let limits = Limits { requests_per_second: 1_000, requests_per_minute: 10_000, ..Limits::default() };
        let engine = builder(&server)
            .grace(Duration::from_millis(5))
            .pacing(Pacing::Aggressive)
            .limits(limits)
            .ticker(&codes[0])
            .start()
            .unwrap();
        engine.wait_ready(common::TIMEOUT).unwrap();
        let (mut rng, mut readers, mut gone) = (Rng::new(1), Vec::new(), Vec::new());
        let (mut rounds, mut checked) = (0, 0);
        while !is_over() {
            for _ in 0..100 {
                if rng.below(2) == 0 && readers.len() < READERS_MAX {
                    readers.push(Reader::open(&engine, &record, &mut rng, &codes[1..]));
                } else if !readers.is_empty() {
                    gone.push(readers.swap_remove(rng.below(readers.len())).leave());
                }
                for reader in &mut readers {
                    // Some readers fall behind.
                    if rng.below(4) > 0 {
                        reader.drain();
                    }
                }
                std::thread::sleep(Duration::from_millis(rng.below(8) as u64));
            }
            for reader in &readers {
                reader.feed.subscribed().wait_confirmed(common::TIMEOUT).unwrap();
            }
            fall_silent(&server, &engine);
            let log = Log::of(&record);
            for reader in &mut readers {
                eventually("all queued messages are read", || {
                    reader.drain();
                    reader.feed.counts().queued == 0
                });
                reader.history.check(&log, true);
            }
            gone.iter().for_each(|history: &History| history.check(&log, false));
            checked += gone.iter().map(|history| history.got.len()).sum::<usize>();
            gone.clear();
            server.inject(Fault::Mute(false));
            rounds += 1;
        }
        println!("{rounds} rounds, {checked} messages of dropped feeds, {} messages sent", record.sent_count());
        assert!(checked > 0, "no dropped feed has delivered a message");
        drop(readers);
        finish(engine, &server);
    }
}
