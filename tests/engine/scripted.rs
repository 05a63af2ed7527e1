//! A loopback exchange that sends exactly the messages of a test, and passes the requests to the test.

#![allow(dead_code, reason = "each test file uses its part")]

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use hoga::config::{ConnectLedger, Timeouts};
use hoga::engine::Builder;
use hoga::prelude::*;
use serde_json::{Value, json};
use tungstenite::{Error, Message, WebSocket};

/// Timeout of every wait. It is generous, because the machine may be busy.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// Returns timeouts that do not expire on a busy machine.
pub fn long_timeouts() -> Timeouts {
    let (silent_after, quiet_after) = (TIMEOUT, TIMEOUT);
    Timeouts { connect: TIMEOUT, upgrade: TIMEOUT, silent_after, quiet_after, probe: TIMEOUT, ..Timeouts::default() }
}

/// Polls until the condition holds.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..TIMEOUT.as_millis() {
        if condition() {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("never: {what}");
}

/// An exchange that accepts every connection.
pub struct Scripted {
    url: String,
    sockets: Receiver<Socket>,
}

impl Scripted {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/websocket/v1", listener.local_addr().unwrap());
        let (accepted, sockets) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let ((request_sender, requests), (messages, message_receiver)) = (channel(), channel());
                if accepted.send(Socket { requests, messages }).is_err() {
                    return;
                }
                let stream = stream.unwrap();
                thread::spawn(move || serve(stream, &request_sender, &message_receiver));
            }
        });
        Self { url, sockets }
    }

    /// Returns the builder of an engine without a grace period. Its timeouts are long, so that only the test causes
    /// actions of the engine, even on a busy machine.
    pub fn builder(&self) -> Builder {
        let endpoint = Endpoint::custom(&self.url).unwrap();
        let builder = Engine::builder().endpoint(endpoint).connect_ledger(ConnectLedger::Process);
        builder.grace(Duration::ZERO).timeouts(long_timeouts()).confirm_within(TIMEOUT).stale_after(TIMEOUT)
    }

    /// Returns the next connection.
    #[track_caller]
    pub fn socket(&self) -> Socket {
        self.sockets.recv_timeout(TIMEOUT).expect("a connection")
    }
}

/// The exchange's end of one connection. Dropping it ends the connection without a close frame.
pub struct Socket {
    requests: Receiver<Value>,
    messages: Sender<String>,
}

impl Socket {
    /// Returns the next request.
    #[track_caller]
    pub fn request(&self) -> Request {
        Request(self.requests.recv_timeout(TIMEOUT).expect("a request"))
    }

    /// Sends messages, in order.
    pub fn send<const N: usize>(&self, messages: [Value; N]) {
        messages.iter().for_each(|message| self.messages.send(message.to_string()).unwrap());
    }
}

/// A request of a connection.
pub struct Request(Value);

impl Request {
    /// Returns the mode of a stream, named as in `ticker KRW-BTC`: "all", "snapshot" or "realtime". `None` if the
    /// request does not have it.
    pub fn mode(&self, stream: &str) -> Option<&'static str> {
        let (kind, code) = stream.split_once(' ').unwrap();
        let asks = |part: &&Value| part["type"] == kind && part["codes"].as_array().unwrap().contains(&json!(code));
        let part = self.0.as_array().unwrap().iter().find(asks)?;
        Some(match (&part["is_only_snapshot"], &part["is_only_realtime"]) {
            (Value::Bool(true), _) => "snapshot",
            (_, Value::Bool(true)) => "realtime",
            _ => "all",
        })
    }
}

fn serve(stream: TcpStream, requests: &Sender<Value>, messages: &Receiver<String>) {
    stream.set_nodelay(true).unwrap();
    let Ok(mut socket) = tungstenite::accept(stream) else { return };
    socket.get_mut().set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    while transfer(&mut socket, requests, messages).is_some() {}
}

/// Transfers pending requests and messages. Returns `None` once either side has ended.
fn transfer(socket: &mut WebSocket<TcpStream>, requests: &Sender<Value>, messages: &Receiver<String>) -> Option<()> {
    let is_idle = |error: &Error| matches!(error, Error::Io(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
    match socket.read() {
        Ok(Message::Text(text)) => requests.send(serde_json::from_str(&text).unwrap()).ok()?,
        Ok(_) => {}
        Err(error) if is_idle(&error) => {}
        Err(_) => return None,
    }
    loop {
        match messages.try_recv() {
            Ok(text) => socket.send(Message::Binary(text.into_bytes().into())).ok()?,
            Err(std::sync::mpsc::TryRecvError::Empty) => return socket.flush().ok(),
            Err(std::sync::mpsc::TryRecvError::Disconnected) => return None,
        }
    }
}

// ---- messages: a code, a price that identifies the message, and the exchange's timestamp ----

/// The stream type of a response to a request.
pub const SNAPSHOT: &str = "SNAPSHOT";
/// The stream type of a change.
pub const REALTIME: &str = "REALTIME";

pub fn ticker_json(code: &str, price: f64, at: u64, stream_type: &str) -> Value {
    json!({
        "type": "ticker", "code": code, "opening_price": 1.0, "high_price": 1.0, "low_price": 1.0,
        "trade_price": price, "prev_closing_price": 1.0, "acc_trade_price": 1.0, "change": "EVEN",
        "change_price": 0.0, "signed_change_price": 0.0, "change_rate": 0.0, "signed_change_rate": 0.0,
        "ask_bid": "BID", "trade_volume": 0.1, "acc_trade_volume": 1.0, "trade_date": "20250420",
        "trade_time": "025403", "trade_timestamp": at, "acc_ask_volume": 1.0, "acc_bid_volume": 1.0,
        "highest_52_week_price": 1.0, "highest_52_week_date": "2025-01-20", "lowest_52_week_price": 1.0,
        "lowest_52_week_date": "2024-08-05", "market_state": "ACTIVE", "is_trading_suspended": false,
        "delisting_date": null, "market_warning": "NONE", "timestamp": at, "acc_trade_price_24h": 1.0,
        "acc_trade_volume_24h": 1.0, "stream_type": stream_type
    })
}

/// Returns a trade whose id is its price.
pub fn trade_json(code: &str, price: f64, at: u64, stream_type: &str) -> Value {
    json!({
        "type": "trade", "code": code, "trade_price": price, "trade_volume": 0.5, "ask_bid": "ASK",
        "prev_closing_price": 1.0, "change": "RISE", "change_price": 1.0, "trade_date": "2026-08-26",
        "trade_time": "07:15:54", "trade_timestamp": at, "timestamp": at, "sequential_id": price as u64,
        "best_ask_price": 1.0, "best_ask_size": 0.1, "best_bid_price": 1.0, "best_bid_size": 0.1,
        "stream_type": stream_type
    })
}

/// Returns a book with `levels` levels, whose best ask is the price.
pub fn book_json(code: &str, price: f64, levels: u32, at: u64, stream_type: &str) -> Value {
    let level = |n| json!({"ask_price": price + f64::from(n), "bid_price": 1.0, "ask_size": 1.0, "bid_size": 1.0});
    json!({
        "type": "orderbook", "code": code, "timestamp": at, "total_ask_size": 1.0, "total_bid_size": 1.0,
        "orderbook_units": (0..levels).map(level).collect::<Vec<_>>(), "stream_type": stream_type, "level": 0
    })
}
