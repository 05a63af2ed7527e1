//! A simulated exchange that keeps a record, and what the record says. The judge of the tests that use it is what the
//! exchange was asked for and what it sent; an engine's own word only tells when to look.

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

/// Longest that anything here may take: generous, because the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What a stream is asked for as, beside its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    All,
    Snapshot,
    Realtime,
}

/// A data message: what tells it from every other one of its connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub stream: String,
    pub is_snapshot: bool,
    pub timestamp: u64,
    /// Of trades the id, of books the size of all asks: two books may have one time.
    pub detail: f64,
}

#[derive(Default)]
struct Log {
    requests: Vec<(ConnId, Value)>,
    /// How many messages had been sent when each request came.
    sent_before: Vec<usize>,
    sent: Vec<(ConnId, Message)>,
}

/// Requests and frames of an exchange, in order.
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

/// The part of a trade's id that differs, which is exact as a float; the whole has too many digits.
fn id_detail(id: u64) -> f64 {
    (id % 1_000_000_000_000) as f64
}

/// In whichever format.
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

/// The same of what a feed delivered.
pub fn delivered<T: Payload + Into<Event>>(item: Item<T>) -> Message {
    let Item::Data(update) = item else { panic!("{item:?}") };
    let event: Event = update.value.into();
    let (timestamp, detail) = match event {
        Event::Ticker(value) => (value.timestamp, 0.0),
        Event::Trade(value) => (value.timestamp, id_detail(value.sequential_id)),
        Event::Orderbook(value) => (value.timestamp, value.total_ask_size),
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
    /// Requests that replace what a connection carries, as they were received, by the connection.
    fn subscribes(&self) -> Vec<(ConnId, Value)> {
        self.0.lock().unwrap().requests.iter().filter(|(_, request)| !is_list(request)).cloned().collect()
    }

    /// The format that each request of a connection named, oldest first: those that subscribe, or those that ask what is
    /// subscribed.
    pub fn formats(&self, conn: ConnId, of_lists: bool) -> Vec<String> {
        let format = |request: &Value| {
            let name = request.as_array().unwrap().iter().find_map(|part| part.get("format"));
            name.expect("every request names its format").as_str().unwrap().to_owned()
        };
        let log = self.0.lock().unwrap();
        let of = log.requests.iter().filter(|(of, request)| *of == conn && is_list(request) == of_lists);
        of.map(|(_, request)| format(request)).collect()
    }

    /// How many such requests were received on all connections together.
    pub fn requests(&self) -> usize {
        self.subscribes().len()
    }

    /// Connections that were asked for something, oldest first.
    pub fn connections(&self) -> Vec<ConnId> {
        let mut seen = BTreeSet::new();
        self.subscribes().into_iter().map(|(conn, _)| conn).filter(|conn| seen.insert(*conn)).collect()
    }

    /// What each request of a connection asked for, oldest first.
    pub fn asked(&self, conn: ConnId) -> Vec<BTreeMap<String, Way>> {
        self.subscribes().iter().filter(|(of, _)| *of == conn).map(|(_, request)| streams(request)).collect()
    }

    /// The same, each with the number of messages that had been sent to anybody before it came.
    pub fn asked_at(&self, conn: ConnId) -> Vec<(usize, BTreeMap<String, Way>)> {
        let log = self.0.lock().unwrap();
        let requests = log.sent_before.iter().zip(&log.requests);
        let of = requests.filter(|(_, (of, request))| *of == conn && !is_list(request));
        of.map(|(sent_before, (_, request))| (*sent_before, streams(request))).collect()
    }

    /// What the newest connection was asked for last.
    pub fn last(&self) -> BTreeMap<String, Way> {
        self.subscribes().last().map(|(_, request)| streams(request)).unwrap_or_default()
    }

    /// The names of that.
    pub fn wire(&self) -> BTreeSet<String> {
        self.last().into_keys().collect()
    }

    /// Every message sent on a connection that `is` so.
    pub fn sent(&self, conn: ConnId, is: impl Fn(&Message) -> bool) -> Vec<Message> {
        let log = self.0.lock().unwrap();
        log.sent.iter().filter(|(of, message)| *of == conn && is(message)).map(|(_, message)| message.clone()).collect()
    }

    /// Every message sent on a connection, with the number of those sent to anybody before it.
    pub fn sent_at(&self, conn: ConnId) -> Vec<(usize, Message)> {
        let log = self.0.lock().unwrap();
        let numbered = log.sent.iter().enumerate().filter(|(_, (of, _))| *of == conn);
        numbered.map(|(at, (_, message))| (at, message.clone())).collect()
    }

    /// How many data messages were sent so far.
    pub fn sent_count(&self) -> usize {
        self.0.lock().unwrap().sent.len()
    }

    /// The streams of all messages that were sent after the first `count`.
    pub fn streams_after(&self, count: usize) -> BTreeSet<String> {
        self.0.lock().unwrap().sent[count..].iter().map(|(_, message)| message.stream.clone()).collect()
    }
}

fn is_list(request: &Value) -> bool {
    request.as_array().unwrap().iter().any(|part| part.get("method").is_some())
}

/// The streams of a request: type, step and code as written, and how each is asked for.
fn streams(request: &Value) -> BTreeMap<String, Way> {
    let mut streams = BTreeMap::new();
    for object in request.as_array().unwrap().iter().filter(|object| object.get("type").is_some()) {
        let level = object.get("level").map(|level| format!("@{level}")).unwrap_or_default();
        let is = |flag: &str| object.get(flag) == Some(&Value::Bool(true));
        let way = match (is("is_only_snapshot"), is("is_only_realtime")) {
            (true, false) => Way::Snapshot,
            (false, true) => Way::Realtime,
            (false, false) => Way::All,
            (true, true) => panic!("both at once: {object}"),
        };
        for code in object["codes"].as_array().unwrap() {
            let name = format!("{}{level} {}", object["type"].as_str().unwrap(), code.as_str().unwrap());
            assert!(streams.insert(name.clone(), way).is_none(), "{name} twice in one request");
        }
    }
    streams
}

/// Names of streams: each type with each code.
pub fn names<'a>(types: impl IntoIterator<Item = &'a str>, codes: &[&str]) -> BTreeSet<String> {
    types.into_iter().flat_map(|kind| codes.iter().map(move |code| format!("{kind} {code}"))).collect()
}

/// One set of several.
pub fn union<const N: usize>(sets: [BTreeSet<String>; N]) -> BTreeSet<String> {
    sets.into_iter().flatten().collect()
}

/// The codes of an exchange with so many markets.
pub fn markets(count: usize) -> Vec<String> {
    let config = hoga_exchange::Config { markets: count, ..Default::default() };
    Exchange::new(config, 0).markets().map(str::to_owned).collect()
}

/// A plain exchange with so many markets, and its record.
pub fn exchange(speed: f64, markets: usize) -> (Server, Record) {
    let mut config = ServerConfig { plain: true, ..ServerConfig::default() };
    (config.exchange.speed, config.exchange.markets) = (speed, markets);
    let record = Record::default();
    (Server::start_observed(config, Box::new(record.clone())).unwrap(), record)
}

/// An engine for it. Each test has an exchange of its own, which no other process knows.
pub fn builder(server: &Server) -> Builder {
    let endpoint = Endpoint::custom(&server.url()).unwrap();
    Engine::builder().endpoint(endpoint).connect_ledger(ConnectLedger::Process).grace(Duration::from_millis(200))
}

/// Looks until it is so.
#[track_caller]
pub fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..4000 {
        if so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("never: {what}");
}

/// Looks until the newest request asks for exactly these streams.
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

/// Ends engine and test: the exchange must have nothing to complain about.
#[track_caller]
pub fn finish(engine: Engine, server: &Server) {
    engine.shutdown(PATIENCE).into_result().unwrap();
    assert_eq!(server.stats().violations(), 0, "{:?}", server.stats());
}

/// Takes the messages that have come so far.
pub fn drain<T: Payload + Into<Event>>(feed: &mut Feed<T>, into: &mut Vec<Message>) {
    let of_sockets = |item: &Item<T>| matches!(item, Item::Epoch { .. });
    into.extend(feed.filter(|item| !of_sockets(item)).map(delivered));
}
