//! A simulated exchange and its record of requests and messages. Tests compare the engine's behavior with this record;
//! the engine's own reports only determine when to compare.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hoga::config::ConnectLedger;
use hoga::engine::Builder;
use hoga::feed::Payload;
use hoga::prelude::*;
use hoga_exchange::{ConnId, Exchange, Fault, Observer, Server, ServerConfig};
use serde_json::Value;

/// Timeout of waits for the engine. It is generous, because the machine may be busy.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// The messages of a stream that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestMode {
    All,
    Snapshot,
    Realtime,
}

/// The fields of a data message that identify it on its connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub stream: String,
    pub is_snapshot: bool,
    pub timestamp: u64,
    /// The id of a trade, or the total ask size of a book: two books may have the same timestamp.
    pub detail: f64,
}

#[derive(Default)]
struct Log {
    requests: Vec<(ConnId, Value)>,
    /// The number of messages sent before each request arrived.
    sent_before: Vec<usize>,
    sent: Vec<(ConnId, Message)>,
}

/// The requests and messages of an exchange, in order.
#[derive(Default, Clone)]
pub struct Record(Arc<Mutex<Log>>);

impl Observer for Record {
    fn sent(&mut self, _: u64, conn: ConnId, payload: &[u8]) {
        let messages = match serde_json::from_slice(payload).unwrap() {
            Value::Array(list) => list,
            one => vec![one],
        };
        self.0.lock().unwrap().sent.extend(messages.iter().map(|json| (conn, message(json))));
    }

    fn received(&mut self, _: u64, conn: ConnId, text: &[u8]) {
        let mut log = self.0.lock().unwrap();
        let sent_before = log.sent.len();
        log.sent_before.push(sent_before);
        log.requests.push((conn, serde_json::from_slice(text).unwrap()));
    }
}

/// Returns the low digits of a trade's id, which a float holds exactly. The whole id has too many digits.
fn id_detail(id: u64) -> f64 {
    (id % 1_000_000_000_000) as f64
}

/// Identifies a message in any format.
fn message(json: &Value) -> Message {
    let field = |long: &str, short: &str| json.get(long).or(json.get(short)).cloned().unwrap_or_default();
    let text = |long, short| field(long, short).as_str().unwrap().to_owned();
    let level = field("level", "lv").as_f64().filter(|level| *level != 0.0).map(|level| format!("@{level}"));
    let id = field("sequential_id", "sid").as_u64().map(id_detail);
    let detail = id.or(field("total_ask_size", "tas").as_f64());
    Message {
        stream: format!("{}{} {}", text("type", "ty"), level.unwrap_or_default(), text("code", "cd")),
        is_snapshot: text("stream_type", "st") == "SNAPSHOT",
        timestamp: field("timestamp", "tms").as_u64().unwrap(),
        detail: detail.unwrap_or_default(),
    }
}

/// Identifies a message that a feed delivered.
pub fn delivered<T: Payload + Into<Event>>(item: Item<T>) -> Message {
    let Item::Data(update) = item else { panic!("{item:?}") };
    let event: Event = update.value.into();
    let (timestamp, detail) = match event {
        Event::Ticker(value) => (value.timestamp, 0.0),
        Event::Trade(value) => (value.timestamp, id_detail(value.sequential_id.get().unwrap())),
        Event::Orderbook(value) => (value.timestamp, value.total_ask_size.get().unwrap()),
        Event::Candle(value) => (value.timestamp, 0.0),
        other => panic!("no identity of {other:?}"),
    };
    Message {
        stream: event.key().to_string(),
        is_snapshot: event.stream_type() == hoga::model::StreamType::Snapshot,
        timestamp,
        detail,
    }
}

impl Record {
    /// Returns the subscribe requests with their connections, in order of arrival.
    fn subscribes(&self) -> Vec<(ConnId, Value)> {
        self.0.lock().unwrap().requests.iter().filter(|(_, request)| !is_list(request)).cloned().collect()
    }

    /// Returns the formats that the requests of a connection name, oldest first. `of_lists` selects the requests for
    /// the list of subscriptions; otherwise these are the subscribe requests.
    pub fn formats(&self, conn: ConnId, of_lists: bool) -> Vec<String> {
        let format = |request: &Value| {
            let name = request.as_array().unwrap().iter().find_map(|part| part.get("format"));
            name.expect("every request names its format").as_str().unwrap().to_owned()
        };
        let log = self.0.lock().unwrap();
        let of = log.requests.iter().filter(|(of, request)| *of == conn && is_list(request) == of_lists);
        of.map(|(_, request)| format(request)).collect()
    }

    /// Returns the number of subscribe requests on all connections.
    pub fn requests(&self) -> usize {
        self.subscribes().len()
    }

    /// Returns the connections with a subscribe request, oldest first.
    pub fn connections(&self) -> Vec<ConnId> {
        let mut seen = BTreeSet::new();
        self.subscribes().into_iter().map(|(conn, _)| conn).filter(|conn| seen.insert(*conn)).collect()
    }

    /// Returns the streams of each subscribe request of a connection, oldest first.
    pub fn requested(&self, conn: ConnId) -> Vec<BTreeMap<String, RequestMode>> {
        self.subscribes().iter().filter(|(of, _)| *of == conn).map(|(_, request)| streams(request)).collect()
    }

    /// Same as [`Self::requested`], each request with the number of messages sent on all connections before it.
    pub fn requested_at(&self, conn: ConnId) -> Vec<(usize, BTreeMap<String, RequestMode>)> {
        let log = self.0.lock().unwrap();
        let requests = log.sent_before.iter().zip(&log.requests);
        let of = requests.filter(|(_, (of, request))| *of == conn && !is_list(request));
        of.map(|(sent_before, (_, request))| (*sent_before, streams(request))).collect()
    }

    /// Returns the streams of the newest subscribe request.
    pub fn last_request(&self) -> BTreeMap<String, RequestMode> {
        self.subscribes().last().map(|(_, request)| streams(request)).unwrap_or_default()
    }

    /// Returns the names of the streams of the newest subscribe request.
    pub fn wire(&self) -> BTreeSet<String> {
        self.last_request().into_keys().collect()
    }

    /// Returns the messages sent on a connection for which `is` holds.
    pub fn sent(&self, conn: ConnId, is: impl Fn(&Message) -> bool) -> Vec<Message> {
        let log = self.0.lock().unwrap();
        log.sent.iter().filter(|(of, message)| *of == conn && is(message)).map(|(_, message)| message.clone()).collect()
    }

    /// Returns every message sent on a connection, with the number of messages sent on all connections before it.
    pub fn sent_at(&self, conn: ConnId) -> Vec<(usize, Message)> {
        let log = self.0.lock().unwrap();
        let numbered = log.sent.iter().enumerate().filter(|(_, (of, _))| *of == conn);
        numbered.map(|(at, (_, message))| (at, message.clone())).collect()
    }

    /// Returns the number of data messages sent so far.
    pub fn sent_count(&self) -> usize {
        self.0.lock().unwrap().sent.len()
    }

    /// Returns the streams of all messages that were sent after the first `count`.
    pub fn streams_after(&self, count: usize) -> BTreeSet<String> {
        self.0.lock().unwrap().sent[count..].iter().map(|(_, message)| message.stream.clone()).collect()
    }
}

fn is_list(request: &Value) -> bool {
    request.as_array().unwrap().iter().any(|part| part.get("method").is_some())
}

/// Returns the streams of a request: type, step and code as written, each with its mode.
fn streams(request: &Value) -> BTreeMap<String, RequestMode> {
    let mut streams = BTreeMap::new();
    for object in request.as_array().unwrap().iter().filter(|object| object.get("type").is_some()) {
        let level = object.get("level").map(|level| format!("@{level}")).unwrap_or_default();
        let is = |flag: &str| object.get(flag) == Some(&Value::Bool(true));
        let mode = match (is("is_only_snapshot"), is("is_only_realtime")) {
            (true, false) => RequestMode::Snapshot,
            (false, true) => RequestMode::Realtime,
            (false, false) => RequestMode::All,
            (true, true) => panic!("both modes at once: {object}"),
        };
        for code in object["codes"].as_array().unwrap() {
            let name = format!("{}{level} {}", object["type"].as_str().unwrap(), code.as_str().unwrap());
            assert!(streams.insert(name.clone(), mode).is_none(), "{name} twice in one request");
        }
    }
    streams
}

/// Returns stream names: each type with each code.
pub fn names<'a>(types: impl IntoIterator<Item = &'a str>, codes: &[&str]) -> BTreeSet<String> {
    types.into_iter().flat_map(|kind| codes.iter().map(move |code| format!("{kind} {code}"))).collect()
}

/// Returns the union of several sets.
pub fn union<const N: usize>(sets: [BTreeSet<String>; N]) -> BTreeSet<String> {
    sets.into_iter().flatten().collect()
}

/// Returns the codes of an exchange with `count` markets.
pub fn markets(count: usize) -> Vec<String> {
    let config = hoga_exchange::Config { markets: count, ..Default::default() };
    Exchange::new(config, 0).markets().map(str::to_owned).collect()
}

/// Starts an exchange without TLS, and its record.
pub fn exchange(speed: f64, markets: usize) -> (Server, Record) {
    let mut config = ServerConfig { plain: true, ..ServerConfig::default() };
    (config.exchange.speed, config.exchange.markets) = (speed, markets);
    let record = Record::default();
    (Server::start_observed(config, Box::new(record.clone())).unwrap(), record)
}

/// Returns the builder of an engine that uses this exchange. Connects are counted only in this process, because no
/// other process uses the exchange.
pub fn builder(server: &Server) -> Builder {
    let endpoint = Endpoint::custom(&server.url()).unwrap();
    Engine::builder().endpoint(endpoint).connect_ledger(ConnectLedger::Process).grace(Duration::from_millis(200))
}

/// Polls until the condition holds, for at most 40 s.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..4000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("never: {what}");
}

/// Polls until the newest request asks for exactly these streams, for at most 40 s.
#[track_caller]
pub fn eventually_wire(record: &Record, expected: &BTreeSet<String>) {
    for _ in 0..4000 {
        if record.wire() == *expected {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(record.wire(), *expected);
}

/// Mutes the exchange and waits until the engine has received all that was sent.
#[track_caller]
pub fn fall_silent(server: &Server, engine: &Engine) {
    server.inject(Fault::Mute(true));
    eventually("everything has arrived", || {
        let before = server.stats().data_frames;
        std::thread::sleep(Duration::from_millis(20));
        let received: u64 = engine.connections().iter().map(|connection| connection.counters.data).sum();
        received == before && server.stats().data_frames == before
    });
}

/// Shuts the engine down and asserts that the exchange saw no violation.
#[track_caller]
pub fn finish(engine: Engine, server: &Server) {
    engine.shutdown(TIMEOUT).into_result().unwrap();
    assert_eq!(server.stats().violations(), 0, "{:?}", server.stats());
}

/// Moves the messages that have arrived so far into `into`. Skips the reports of new sockets.
pub fn drain<T: Payload + Into<Event>>(feed: &mut Feed<T>, into: &mut Vec<Message>) {
    let of_sockets = |item: &Item<T>| matches!(item, Item::Epoch { .. });
    into.extend(feed.filter(|item| !of_sockets(item)).map(delivered));
}
