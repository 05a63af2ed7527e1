//! A stuck log stops nothing, and a working log is not flooded. The scripted exchange sends fifty malformed messages and
//! fifty lists of subscriptions in each round, and its tickers have a new field.

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
use tracing::{Level, span};
use tungstenite::{Message, WebSocket};

/// Timeout of every wait. It is generous, because the machine may be busy.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The scripted exchange's pause between two rounds.
const ROUND: Duration = Duration::from_millis(20);
/// Number of failures of a callback. Each logs a line, and a stuck log keeps fewer lines than this.
const FAILURES: u64 = 300;
/// Number of malformed messages, and of lists, in each round.
const MALFORMED: usize = 50;

/// A list of subscriptions. Watchers get a report of each.
const LIST: &str = r#"{"method":"LIST_SUBSCRIPTIONS","result":[],"ticket":"t"}"#;

// ---- the log ----

/// The log lines of this program. While the log is stuck, each call blocks.
#[derive(Default)]
struct Log {
    state: Mutex<LogState>,
    changed: Condvar,
}

#[derive(Default)]
struct LogState {
    is_stuck: bool,
    lines: Vec<(Level, String)>,
}

struct Subscriber(&'static Log);

impl Log {
    /// Returns the log of this program and a guard that admits one test at a time.
    fn take() -> (&'static Self, MutexGuard<'static, ()>) {
        static LOG: OnceLock<Log> = OnceLock::new();
        static EXCLUSIVE: Mutex<()> = Mutex::new(());
        let guard = EXCLUSIVE.lock().unwrap_or_else(PoisonError::into_inner);
        let log = LOG.get_or_init(Self::default);
        // Fails in the second test, because the subscriber is already set.
        let _ = tracing::subscriber::set_global_default(Subscriber(log));
        log.state().lines.clear();
        (log, guard)
    }

    fn set_stuck(&self, is_stuck: bool) {
        self.state().is_stuck = is_stuck;
        self.changed.notify_all();
    }

    fn lines(&self) -> Vec<String> {
        self.state().lines.iter().map(|(_, line)| line.clone()).collect()
    }

    /// Returns the lines of level `warn`.
    fn warnings(&self) -> Vec<String> {
        let state = self.state();
        state.lines.iter().filter(|(level, _)| *level == Level::WARN).map(|(_, line)| line.clone()).collect()
    }

    fn write(&self, level: Level, line: String) {
        let state = self.state();
        let mut state = self.changed.wait_while(state, |state| state.is_stuck).unwrap_or_else(PoisonError::into_inner);
        state.lines.push((level, line));
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
        self.0.write(*event.metadata().level(), text.0);
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

/// An exchange that serves every connection in rounds: malformed messages and lists, then the next ticker of each
/// requested market. The price of a ticker is the number of its round, counted from 1. Markets whose names end in NONE
/// do not exist.
struct Scripted {
    url: String,
    malformed: Arc<AtomicU64>,
}

impl Scripted {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let malformed = Arc::new(AtomicU64::new(0));
        let sent = malformed.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let sent = sent.clone();
                thread::spawn(move || serve(stream.unwrap(), &sent));
            }
        });
        Self { url, malformed }
    }

    fn engine(&self) -> hoga::engine::Builder {
        let endpoint = Endpoint::custom(&self.url).unwrap();
        Engine::builder()
            .endpoint(endpoint)
            .connect_ledger(ConnectLedger::Process)
            .confirm_within(Duration::from_millis(50))
    }
}

/// Serves one connection until the peer is gone.
fn serve(stream: TcpStream, malformed: &AtomicU64) {
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
        for _ in 0..MALFORMED {
            if socket.write(Message::binary("malformed")).is_err() || socket.write(Message::text(LIST)).is_err() {
                return;
            }
            malformed.fetch_add(1, Relaxed);
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

/// Returns the newest request, if there is one.
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
        r#"{{"type":"ticker","code":"{code}","opening_price":1.0,"high_price":1.0,"low_price":1.0,"trade_price":{number}.0,"prev_closing_price":1.0,"acc_trade_price":1.0,"change":"EVEN","change_price":0.0,"signed_change_price":0.0,"change_rate":0.0,"signed_change_rate":0.0,"ask_bid":"BID","trade_volume":0.1,"acc_trade_volume":1.0,"trade_date":"20250420","trade_time":"025403","trade_timestamp":{time},"acc_ask_volume":1.0,"acc_bid_volume":1.0,"highest_52_week_price":1.0,"highest_52_week_date":"2025-01-20","lowest_52_week_price":1.0,"lowest_52_week_date":"2024-08-05","market_state":"ACTIVE","is_trading_suspended":false,"delisting_date":null,"market_warning":"NONE","timestamp":{time},"acc_trade_price_24h":1.0,"acc_trade_volume_24h":1.0,"stream_type":"{stream_type}","new_field":{number}}}"#
    )
}

// ---- the tests ----

/// Polls until the condition holds.
#[track_caller]
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..TIMEOUT.as_millis() / 10 {
        if condition() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("never: {what}");
}

/// Takes `count` tickers from a feed and asserts that their numbers are consecutive.
#[track_caller]
fn expect_tickers(feed: &mut Feed<Ticker>, count: usize) {
    let mut last: Option<f64> = None;
    for _ in 0..count {
        assert!(feed.wait(TIMEOUT).unwrap(), "no more after {last:?}");
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

/// Regression: the connection's thread, the control thread and the threads of callbacks wrote to the log themselves.
#[test]
fn a_stuck_log_stops_nothing() {
    let (log, _guard) = Log::take();
    log.set_stuck(true);
    let exchange = Scripted::start();
    let engine = exchange.engine().start().unwrap();
    let watcher = engine.lifecycle(); // never read
    let mut btc = engine.feed(ticker("KRW-BTC"), Overflow::DROP_NEWEST).unwrap();
    expect_tickers(&mut btc, 50);
    eventually("the watcher has lost events", || watcher.dropped() > 0);
    expect_tickers(&mut btc, 20);

    // The control thread logs a line and continues.
    let _none = engine.subscribe(ticker("KRW-NONE")).unwrap();
    eventually("the unknown market is unconfirmed", || !engine.subscriptions().unconfirmed.is_empty());
    let eth = engine.subscribe(ticker("KRW-ETH")).unwrap();
    eth.wait_confirmed(TIMEOUT).unwrap();

    // The shared thread of two callbacks logs a line and continues.
    let dispatcher = engine.dispatcher("shared", 1).unwrap();
    let called = Arc::new(AtomicU64::new(0));
    let counts = called.clone();
    let works = engine.callback("works").on(&dispatcher);
    let works = works.run(ticker("KRW-ETH"), Overflow::DROP_NEWEST, move |_| _ = counts.fetch_add(1, Relaxed));
    let fails = engine.callback("fails").on(&dispatcher).quota(NonZeroU32::MIN);
    let fails = fails.run(ticker(["KRW-BTC", "KRW-ETH"]), Overflow::DROP_NEWEST, |_| Err("as planned")).unwrap();
    eventually("the failing callback is quarantined", || fails.state() == CallbackState::Quarantined);
    let before = called.load(Relaxed);
    eventually("the other callback is called", || called.load(Relaxed) > before + 10);
    let xrp = engine.subscribe(ticker("KRW-XRP")).unwrap();
    xrp.wait_confirmed(TIMEOUT).unwrap();
    // Log more lines than fit.
    for failures in 2..=FAILURES {
        assert!(fails.rearm());
        eventually("the callback fails again", || fails.status().failures == failures);
    }
    let before = called.load(Relaxed);
    eventually("its thread continues", || called.load(Relaxed) > before);
    expect_tickers(&mut btc, 20);
    assert_eq!(log.lines(), [""; 0]);

    drop((works, fails));
    let report = engine.shutdown(Duration::from_secs(3));
    assert!(report.hanging_log, "{report:?}");
    assert_eq!(report.joined, ["hoga-control", "hoga-conn-0"]);
    report.into_result().unwrap();
    drop(engine);
    assert!(is_running("hoga-log"));
    log.set_stuck(false);
    eventually("the log's thread has ended", || !is_running("hoga-log"));
    let lines = log.lines();
    for line in ["no data for ticker KRW-NONE", "callback \"fails\" is quarantined", "closing -> disconnected"] {
        assert!(lines.iter().any(|l| l.starts_with(line)), "{line} is missing in {lines:#?}");
    }
    let failed = lines.iter().filter(|line| line.contains("is quarantined")).count() as u64;
    let missing =
        lines.iter().filter_map(|line| line.strip_suffix(" lines are missing here: the log accepted lines too slowly"));
    let missing: u64 = missing.map(|number| number.parse::<u64>().unwrap()).sum();
    assert_eq!(failed + missing, FAILURES, "each missing line is counted: {lines:#?}");
    assert!(missing > 0);
}

#[test]
fn a_flood_of_malformed_messages_logs_one_line_per_second_with_their_number() {
    let (log, _guard) = Log::take();
    let exchange = Scripted::start();
    let engine = exchange.engine().start().unwrap();
    let began = engine.now();
    let mut btc = engine.feed(ticker("KRW-BTC"), Overflow::DROP_NEWEST).unwrap();
    expect_tickers(&mut btc, 100);
    let report = engine.shutdown(TIMEOUT);
    let seconds = engine.now().since(began).as_secs() as usize;
    assert!(!report.hanging_log && report.joined.ends_with(&["hoga-log".to_owned()]), "{report:?}");
    let refused = report.connections[0].counters.malformed;
    assert!(refused >= 100 * MALFORMED as u64 && refused <= exchange.malformed.load(Relaxed), "{refused}");

    let lines: Vec<_> = log.warnings().into_iter().filter(|line| line.contains("refused")).collect();
    assert!(lines.len() <= seconds + 2, "{lines:#?}");
    let count = |line: &String| line.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(1);
    assert_eq!(lines.iter().map(count).sum::<u64>(), refused, "{lines:#?}");

    let drift: Vec<_> = log.warnings().into_iter().filter(|line| line.contains("documentation")).collect();
    let expected = "ticker (DEFAULT): new field new_field, ignored; first value 1";
    assert_eq!(drift, [format!("the exchange's messages differ from its documentation: {expected}")]);
}

/// A program may name its clients and callbacks after texts from outside.
#[test]
fn names_in_the_log_cannot_control_a_terminal() {
    const HOSTILE: &str = "a\x1b[2J\nWARN all is well";
    let (log, _guard) = Log::take();
    let exchange = Scripted::start();
    let engine = exchange.engine().clean_up_every(Duration::from_millis(10)).start().unwrap();
    // It is never renewed.
    let _client = engine.client_with_lease(HOSTILE, Duration::from_millis(1)).unwrap();
    let fails = engine.callback(HOSTILE).quota(NonZeroU32::MIN);
    let _fails = fails.run(ticker("KRW-BTC"), Overflow::DROP_NEWEST, |_| Err(HOSTILE)).unwrap();
    for part in ["did not renew", "lost its subscriptions", "is quarantined"] {
        let is_logged = |line: &String| line.contains(part) && line.contains("[2J");
        eventually(part, || log.warnings().iter().any(is_logged));
    }
    let printed: Vec<_> = log.lines().into_iter().filter(|line| line.contains(|c: char| c.is_control())).collect();
    assert_eq!(printed, [""; 0]);
    engine.shutdown(TIMEOUT).into_result().unwrap();
}
