//! A log that nobody reads stops nothing, and a log that somebody reads is not flooded. The exchange is scripted: it sends
//! fifty messages that cannot be read with each that can.

use std::net::{TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use std::{fmt, fs, io, thread};

use hoga::config::ConnectLedger;
use hoga::feed::CallbackState;
use hoga::prelude::*;
use tracing::field::{Field, Visit};
use tracing::span;
use tungstenite::{Message, WebSocket};

/// Longest that anything here may take: generous, because the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// The scripted exchange's pause between two rounds.
const ROUND: Duration = Duration::from_millis(20);
/// How often a callback fails, a line for each time: more than are kept for a log that takes none.
const FAILURES: u64 = 300;
/// Messages of each round that cannot be read.
const UNREADABLE: usize = 50;

// ---- the log ----

/// Where the lines of this program's log go. While it is stuck, each call waits.
#[derive(Default)]
struct Log {
    state: Mutex<LogState>,
    moves: Condvar,
}

#[derive(Default)]
struct LogState {
    is_stuck: bool,
    lines: Vec<String>,
}

struct Subscriber(&'static Log);

impl Log {
    /// The log of this program, for one test at a time.
    fn take() -> (&'static Self, MutexGuard<'static, ()>) {
        static LOG: OnceLock<Log> = OnceLock::new();
        static ONE_TEST: Mutex<()> = Mutex::new(());
        let turn = ONE_TEST.lock().unwrap_or_else(PoisonError::into_inner);
        let log = LOG.get_or_init(Self::default);
        // The second test finds it set.
        let _ = tracing::subscriber::set_global_default(Subscriber(log));
        log.state().lines.clear();
        (log, turn)
    }

    fn be_stuck(&self, is_stuck: bool) {
        self.state().is_stuck = is_stuck;
        self.moves.notify_all();
    }

    fn lines(&self) -> Vec<String> {
        self.state().lines.clone()
    }

    fn write(&self, line: String) {
        let state = self.state();
        let mut state = self.moves.wait_while(state, |state| state.is_stuck).unwrap_or_else(PoisonError::into_inner);
        state.lines.push(line);
    }

    fn state(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl tracing::Subscriber for Subscriber {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn event(&self, event: &tracing::Event<'_>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                if field.name() == "message" {
                    self.0 = format!("{value:?}");
                }
            }
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.write(text.0);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

// ---- the exchange ----

/// Serves whoever connects, in rounds: messages that cannot be read, then the next ticker of each market that was asked
/// for. Those of a market are numbered by their price, from 1. Knows no market whose name ends in NONE.
struct Scripted {
    url: String,
    unreadable: Arc<AtomicU64>,
}

impl Scripted {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let unreadable = Arc::new(AtomicU64::new(0));
        let sent = unreadable.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let sent = sent.clone();
                thread::spawn(move || serve(stream.unwrap(), &sent));
            }
        });
        Self { url, unreadable }
    }

    fn engine(&self) -> hoga::engine::Builder {
        let endpoint = Endpoint::custom(&self.url).unwrap();
        Engine::builder()
            .endpoint(endpoint)
            .connect_ledger(ConnectLedger::Process)
            .confirm_within(Duration::from_millis(50))
    }
}

/// Until the peer is gone.
fn serve(stream: TcpStream, unreadable: &AtomicU64) {
    stream.set_nodelay(true).unwrap();
    let Ok(mut socket) = tungstenite::accept(stream) else { return };
    socket.get_ref().set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let mut markets = Vec::new();
    for number in 1.. {
        let Ok(request) = request(&mut socket) else { return };
        if let Some(request) = request {
            let codes = ["KRW-BTC", "KRW-ETH", "KRW-XRP"];
            markets = codes.into_iter().filter(|code| request.contains(code)).collect();
        }
        for _ in 0..UNREADABLE {
            if socket.write(Message::binary("unreadable")).is_err() {
                return;
            }
            unreadable.fetch_add(1, Relaxed);
        }
        for code in &markets {
            if socket.write(Message::binary(ticker_of(code, number))).is_err() {
                return;
            }
        }
        if socket.flush().is_err() {
            return;
        }
        thread::sleep(ROUND);
    }
}

/// The newest request, if there is one.
fn request(socket: &mut WebSocket<TcpStream>) -> Result<Option<String>, tungstenite::Error> {
    let is_timeout = |kind| matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
    match socket.read() {
        Ok(message) if message.is_text() || message.is_binary() => Ok(Some(message.to_text()?.to_owned())),
        Ok(_) => Ok(None),
        Err(tungstenite::Error::Io(error)) if is_timeout(error.kind()) => Ok(None),
        Err(error) => Err(error),
    }
}

fn ticker_of(code: &str, number: u64) -> String {
    let time = 1_700_000_000_000 + number;
    let stream_type = if number == 1 { "SNAPSHOT" } else { "REALTIME" };
    format!(
        r#"{{"type":"ticker","code":"{code}","opening_price":1.0,"high_price":1.0,"low_price":1.0,"trade_price":{number}.0,"prev_closing_price":1.0,"acc_trade_price":1.0,"change":"EVEN","change_price":0.0,"signed_change_price":0.0,"change_rate":0.0,"signed_change_rate":0.0,"ask_bid":"BID","trade_volume":0.1,"acc_trade_volume":1.0,"trade_date":"20250420","trade_time":"025403","trade_timestamp":{time},"acc_ask_volume":1.0,"acc_bid_volume":1.0,"highest_52_week_price":1.0,"highest_52_week_date":"2025-01-20","lowest_52_week_price":1.0,"lowest_52_week_date":"2024-08-05","market_state":"ACTIVE","is_trading_suspended":false,"delisting_date":null,"market_warning":"NONE","timestamp":{time},"acc_trade_price_24h":1.0,"acc_trade_volume_24h":1.0,"stream_type":"{stream_type}"}}"#
    )
}

// ---- the tests ----

/// Looks until it is so.
#[track_caller]
fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..PATIENCE.as_millis() / 10 {
        if so() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("never: {what}");
}

/// Takes so many tickers from a feed: each is the one after the last.
#[track_caller]
fn expect_tickers(feed: &mut Feed<Ticker>, count: usize) {
    let mut last: Option<f64> = None;
    for _ in 0..count {
        assert!(feed.wait(PATIENCE), "no more after {last:?}");
        match feed.pop() {
            Some(Item::Data(update)) => {
                let number = update.value.trade_price;
                assert!(last.is_none_or(|last| number == last + 1.0), "{number} after {last:?}");
                last = Some(number);
            }
            other => panic!("{other:?} after {last:?}"),
        }
    }
}

fn is_running(thread: &str) -> bool {
    let name = |task: io::Result<fs::DirEntry>| fs::read_to_string(task.ok()?.path().join("comm")).ok();
    fs::read_dir("/proc/self/task").unwrap().filter_map(name).any(|name| name.trim() == thread)
}

/// The connection's thread wrote to the log itself, and so did the control thread and those of callbacks.
#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let (log, _turn) = Log::take();
    log.be_stuck(true);
    let exchange = Scripted::start();
    let engine = exchange.engine().start().unwrap();
    let watcher = engine.lifecycle(); // nobody looks at it
    let mut btc = engine.feed(ticker("KRW-BTC"), Overflow::DROP_NEWEST).unwrap();
    expect_tickers(&mut btc, 50);
    eventually("the watcher has lost reports", || watcher.dropped() > 0);
    expect_tickers(&mut btc, 20);

    // The control thread has something to say, and goes on.
    let _none = engine.subscribe(ticker("KRW-NONE")).unwrap();
    eventually("the market that is not there is unconfirmed", || !engine.subscriptions().unconfirmed.is_empty());
    let eth = engine.subscribe(ticker("KRW-ETH")).unwrap();
    eth.wait_confirmed(PATIENCE).unwrap();

    // So has the thread of two callbacks.
    let dispatcher = engine.dispatcher("shared", 1).unwrap();
    let called = Arc::new(AtomicU64::new(0));
    let counts = called.clone();
    let works = engine.callback("works").on(&dispatcher);
    let works = works.run(ticker("KRW-ETH"), Overflow::DROP_NEWEST, move |_| _ = counts.fetch_add(1, Relaxed));
    let fails = engine.callback("fails").on(&dispatcher).quota(NonZeroU32::MIN);
    let fails = fails.run(ticker(["KRW-BTC", "KRW-ETH"]), Overflow::DROP_NEWEST, |_| Err("as planned")).unwrap();
    eventually("the one that fails is quarantined", || fails.state() == CallbackState::Quarantined);
    let before = called.load(Relaxed);
    eventually("the other one is called", || called.load(Relaxed) > before + 10);
    let xrp = engine.subscribe(ticker("KRW-XRP")).unwrap();
    xrp.wait_confirmed(PATIENCE).unwrap();
    // More is said than fits.
    for failures in 2..=FAILURES {
        assert!(fails.rearm());
        eventually("it fails again", || fails.status().failures == failures);
    }
    let before = called.load(Relaxed);
    eventually("its thread goes on", || called.load(Relaxed) > before);
    expect_tickers(&mut btc, 20);
    assert_eq!(log.lines(), [""; 0]);

    drop((works, fails));
    let report = engine.shutdown(Duration::from_secs(3));
    assert!(report.hanging_log, "{report:?}");
    assert_eq!(report.joined, ["hoga-control", "hoga-conn-0"]);
    report.into_result().unwrap();
    drop(engine);
    assert!(is_running("hoga-log"));
    log.be_stuck(false);
    eventually("the log's thread has ended", || !is_running("hoga-log"));
    let lines = log.lines();
    for line in ["no data for ticker KRW-NONE", "callback \"fails\" is quarantined", "closing -> disconnected"] {
        assert!(lines.iter().any(|l| l.starts_with(line)), "{line} is missing in {lines:#?}");
    }
    let failed = lines.iter().filter(|line| line.contains("is quarantined")).count() as u64;
    let missing =
        lines.iter().filter_map(|line| line.strip_suffix(" lines are missing here: the log took lines too slowly"));
    let missing: u64 = missing.map(|number| number.parse::<u64>().unwrap()).sum();
    assert_eq!(failed + missing, FAILURES, "what was not written is counted: {lines:#?}");
    assert!(missing > 0);
}

#[test]
fn a_flood_of_unreadable_messages_is_one_line_a_second_that_counts_them() {
    let (log, _turn) = Log::take();
    let exchange = Scripted::start();
    let engine = exchange.engine().start().unwrap();
    let began = engine.now();
    let mut btc = engine.feed(ticker("KRW-BTC"), Overflow::DROP_NEWEST).unwrap();
    expect_tickers(&mut btc, 100);
    let report = engine.shutdown(PATIENCE);
    let seconds = engine.now().since(began).as_secs() as usize;
    assert!(!report.hanging_log && report.joined.ends_with(&["hoga-log".to_owned()]), "{report:?}");
    let refused = report.connections[0].counters.malformed;
    assert!(refused >= 100 * UNREADABLE as u64 && refused <= exchange.unreadable.load(Relaxed), "{refused}");

    let lines: Vec<_> = log.lines().into_iter().filter(|line| line.contains("refused")).collect();
    assert!(lines.len() <= seconds + 2, "{lines:#?}");
    let count = |line: &String| line.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(1);
    assert_eq!(lines.iter().map(count).sum::<u64>(), refused, "{lines:#?}");
}
