//! A client for tests: one connection to an exchange in the same thread, under a clock that the test controls.
#![allow(dead_code, reason = "each test file uses its own part")]

use hoga_exchange::{Config, ConnId, Exchange, Flow, Server};
use hoga_testing::frames;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::sync::Arc;

pub const MS: u64 = 1_000_000;
pub const SECOND: u64 = 1_000 * MS;
/// 2026-03-11T14:40:58Z
pub const START: u64 = 1_773_240_058_000 * MS;
pub const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A frame of the exchange, and when it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub at: u64,
    pub opcode: u8,
    pub fin: bool,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap()
    }
}

pub struct Link {
    pub exchange: Exchange,
    pub conn: ConnId,
    pub now: u64,
    /// The bytes before the first frame.
    pub head: String,
    pub flow: Flow,
    pub frames: Vec<Frame>,
    unread: Vec<u8>,
}

impl Link {
    /// Opens a connection to an exchange with the default configuration.
    pub fn open() -> Self {
        Self::with(Config::default())
    }

    pub fn with(config: Config) -> Self {
        let mut link = Self::connected(config);
        link.receive(upgrade("/websocket/v1", "").as_bytes());
        assert!(link.head.starts_with("HTTP/1.1 101 "), "{}", link.head);
        link
    }

    /// Connects, and sends nothing yet.
    pub fn connected(config: Config) -> Self {
        let mut exchange = Exchange::new(config, START);
        let conn = exchange.connect(START, HOME);
        Self { exchange, conn, now: START, head: String::new(), flow: Flow::Open, frames: vec![], unread: vec![] }
    }

    /// Opens another connection of the same client. The old one stays open and is not polled.
    pub fn reconnect(&mut self) {
        self.conn = self.exchange.connect(self.now, HOME);
        (self.head, self.flow) = (String::new(), Flow::Open);
        self.frames.clear();
        self.unread.clear();
    }

    pub fn receive(&mut self, bytes: &[u8]) {
        self.exchange.receive(self.now, self.conn, bytes);
        self.drain();
    }

    pub fn send(&mut self, opcode: u8, payload: &[u8]) {
        self.receive(&frames::client(0x80 | opcode, payload));
    }

    pub fn say(&mut self, text: &str) {
        self.send(1, text.as_bytes());
    }

    /// Advances the time, stopping at every deadline of the exchange.
    pub fn advance(&mut self, by: u64) {
        let end = self.now + by;
        for _ in 0..10_000_000 {
            let due = self.exchange.poll_timeout();
            if due > end {
                break;
            }
            self.now = due.max(self.now);
            self.exchange.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    pub fn drain(&mut self) {
        loop {
            let mut bytes = Vec::new();
            self.flow = self.exchange.poll_transmit(self.now, self.conn, &mut bytes);
            if bytes.is_empty() {
                break;
            }
            self.unread.extend_from_slice(&bytes);
        }
        if self.head.is_empty() {
            let Some(end) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") else { return };
            self.head = String::from_utf8(self.unread.drain(..end + 4).collect()).unwrap();
            if !self.head.starts_with("HTTP/1.1 101 ") {
                self.head += std::str::from_utf8(&self.unread).unwrap();
                self.unread.clear();
            }
        }
        let mut read = 0;
        while let Some((frame, length)) = frames::parse(&self.unread[read..]) {
            if frame.is_masked || frame.first & 0x70 != 0 {
                // Not a frame that a server may send.
                break;
            }
            read += length;
            let (opcode, fin) = (frame.opcode(), frame.first & 0x80 != 0);
            self.frames.push(Frame { at: self.now, opcode, fin, payload: frame.payload });
        }
        self.unread.drain(..read);
    }

    /// Returns the frames since the last call.
    pub fn take(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.frames)
    }

    /// Returns the messages since the last call as JSON objects, with lists unpacked.
    pub fn objects(&mut self) -> Vec<Value> {
        let messages = self.take().into_iter().filter(|frame| frame.opcode < 8).map(|frame| frame.json());
        messages
            .flat_map(|value| match value {
                Value::Array(items) => items,
                other => vec![other],
            })
            .collect()
    }

    /// Returns the bytes that are not a frame (yet).
    pub fn unread(&self) -> &[u8] {
        &self.unread
    }
}

/// Opens TLS to a server whose authority is trusted.
pub fn encrypt(server: &Server, stream: TcpStream) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(server.ca_der().to_vec())).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::from(server.address().ip());
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
}

pub fn subscribe(kind: &str, codes: &[&str]) -> String {
    request(&format!(r#"{{"type":"{kind}","codes":{}}}"#, serde_json::to_string(codes).unwrap()), "DEFAULT")
}

pub fn request(types: &str, format: &str) -> String {
    format!(r#"[{{"ticket":"t"}},{types},{{"format":"{format}"}}]"#)
}

pub fn upgrade(path: &str, headers: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}
