//! The traffic: messages of the simulated exchange, recorded under virtual time and put into frames in advance.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::mpsc::{Sender, channel};

use hoga_cli::rounds::Error;
use hoga_exchange::{Config, ConnId, Exchange, Observer};
use hoga_testing::frames;
use serde_json::Value;

use crate::stack::{Want, request};

/// 2026-03-11T14:40:58Z, in ns.
const OPENS: u64 = 1_773_240_058_000_000_000;
const SECOND: u64 = 1_000_000_000;
/// The virtual time after which a recording fails.
const LONGEST: u64 = 3_600 * SECOND;

/// The `timestamp` of the first message that a feeder sends, in ms. Each following message has a timestamp 1 ms later,
/// so the timestamp identifies a message for any client.
pub const FIRST_STAMP: u64 = 1_790_000_000_000;
const STAMP_DIGITS: usize = 13;
/// The last digits of a trade's `sequential_id`, which must not repeat either.
const ID_DIGITS: usize = 10;

/// A message as the exchange would send it, in its WebSocket frame.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The index of its stream in [`Traffic::streams`].
    pub stream: usize,
    bytes: Vec<u8>,
    payload_at: usize,
    stamp_at: usize,
    id_at: Option<usize>,
}

/// Recorded messages of some streams.
#[derive(Debug, Clone)]
pub struct Traffic {
    /// The streams that a client must request.
    pub wants: Vec<Want>,
    /// Type and code of each stream that has messages.
    pub streams: Vec<(String, String)>,
    /// The first message of each stream.
    pub snapshots: Vec<Frame>,
    /// The messages after them, in the order of the recording.
    pub frames: Vec<Frame>,
}

/// The parameters of a recording.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The number of markets of the exchange.
    pub markets: usize,
    /// The types, in the exchange's words; each is recorded for every market.
    pub data_types: Vec<&'static str>,
    /// Levels of order books; `None` means all 30.
    pub depth: Option<usize>,
    /// The minimum number of messages after the first one of each stream.
    pub frames: usize,
}

impl Recording {
    /// Runs an exchange until there are enough messages. The same recording always returns the same traffic.
    pub fn run(&self) -> Result<Traffic, Error> {
        let config = Config { markets: self.markets, output_limit: 1 << 30, ..Config::default() };
        let mut exchange = Exchange::new(config, OPENS);
        let wants = self.wants(&exchange);
        let (tell, messages) = channel();
        exchange.observe(Box::new(Tape(tell)));
        let conn = exchange.connect(OPENS, IpAddr::V4(Ipv4Addr::LOCALHOST));
        exchange.receive(OPENS, conn, UPGRADE);
        exchange.receive(OPENS, conn, &frames::client(frames::TEXT, request(&wants).as_bytes()));

        let mut recorded = Recorded { wants, ..Recorded::default() };
        let (mut now, mut ignored) = (OPENS, Vec::new());
        while recorded.frames.len() < self.frames && now < OPENS + LONGEST {
            now = exchange.poll_timeout().max(now);
            exchange.handle_timeout(now);
            while {
                exchange.poll_transmit(now, conn, &mut ignored);
                !ignored.is_empty()
            } {
                ignored.clear();
            }
            for payload in messages.try_iter() {
                recorded.add(&payload)?;
            }
        }
        recorded.finish(self.frames)
    }

    fn wants(&self, exchange: &Exchange) -> Vec<Want> {
        let codes = |data_type: &str| {
            let code = |code: &str| match self.depth {
                Some(depth) if data_type == "orderbook" => format!("{code}.{depth}"),
                _ => code.to_owned(),
            };
            exchange.markets().map(code).collect()
        };
        self.data_types.iter().map(|name| Want { data_type: (*name).to_owned(), codes: codes(name) }).collect()
    }
}

/// A client's request for a WebSocket.
pub const UPGRADE: &[u8] =
    b"GET /websocket/v1 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n";

struct Tape(Sender<Vec<u8>>);

impl Observer for Tape {
    fn sent(&mut self, _sent_ns: u64, _conn: ConnId, payload: &[u8]) {
        // The receiver may be gone if the recording has enough messages.
        let _ = self.0.send(payload.to_vec());
    }
}

#[derive(Default)]
struct Recorded {
    wants: Vec<Want>,
    places: HashMap<(String, String), usize>,
    streams: Vec<(String, String)>,
    snapshots: Vec<Frame>,
    frames: Vec<Frame>,
}

impl Recorded {
    fn add(&mut self, payload: &[u8]) -> Result<(), Error> {
        let message: Value = serde_json::from_slice(payload).map_err(|e| Error::failed("not a message", e))?;
        let (Some(data_type), Some(code)) = (message["type"].as_str(), message["code"].as_str()) else {
            return Err(Error::Failed(format!("the exchange answered {message}")));
        };
        let stream = (data_type.to_owned(), code.to_owned());
        let next = self.streams.len();
        let place = *self.places.entry(stream.clone()).or_insert(next);
        let frame = Frame::new(place, payload)?;
        if place == next {
            self.streams.push(stream);
            self.snapshots.push(frame);
        } else {
            self.frames.push(frame);
        }
        Ok(())
    }

    fn finish(self, enough: usize) -> Result<Traffic, Error> {
        let Self { wants, streams, snapshots, frames, .. } = self;
        if frames.len() < enough {
            return Err(Error::Failed(format!("an hour of the exchange had only {} messages", frames.len())));
        }
        Ok(Traffic { wants, streams, snapshots, frames })
    }
}

impl Frame {
    pub(crate) fn new(stream: usize, payload: &[u8]) -> Result<Self, Error> {
        let bytes = frames::server(frames::BINARY, payload);
        let payload_at = bytes.len() - payload.len();
        let number = |key: &str| number_at(&bytes, key);
        let stamp = number("\"timestamp\":").filter(|at| at.len() == STAMP_DIGITS);
        let stamp = stamp.ok_or_else(|| Error::Failed("a message without a timestamp in ms".to_owned()))?;
        let id_at = number("\"sequential_id\":").filter(|at| at.len() >= ID_DIGITS).map(|at| at.end - ID_DIGITS);
        Ok(Self { stream, stamp_at: stamp.start, id_at, payload_at, bytes })
    }

    /// Returns the frame as the n-th message that is sent.
    pub fn numbered(&mut self, n: u64) -> &[u8] {
        write_digits(&mut self.bytes[self.stamp_at..][..STAMP_DIGITS], FIRST_STAMP + n);
        if let Some(at) = self.id_at {
            write_digits(&mut self.bytes[at..][..ID_DIGITS], n);
        }
        &self.bytes
    }

    /// Returns the message without its frame: as recorded, or as last numbered.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[self.payload_at..]
    }

    /// Returns the size on the wire before encryption.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// Returns the range of the digits after a key.
fn number_at(bytes: &[u8], key: &str) -> Option<std::ops::Range<usize>> {
    let start = bytes.windows(key.len()).position(|window| window == key.as_bytes())? + key.len();
    let digits = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    Some(start..start + digits)
}

fn write_digits(into: &mut [u8], mut number: u64) {
    for digit in into.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording() -> Recording {
        Recording { markets: 5, data_types: vec!["trade", "orderbook"], depth: Some(15), frames: 200 }
    }

    #[test]
    fn a_recording_repeats_itself_and_knows_its_streams() {
        let (one, two) = (recording().run().unwrap(), recording().run().unwrap());
        assert_eq!((one.snapshots.len(), one.streams.len()), (10, 10));
        assert!(one.frames.len() >= 200);
        assert!(one.frames.iter().zip(&two.frames).all(|(one, two)| one.bytes == two.bytes));
        assert!(one.wants[1].codes.iter().all(|code| code.ends_with(".15")));
    }

    #[test]
    fn a_numbered_frame_is_the_same_message_with_another_time_and_id() {
        let mut traffic = recording().run().unwrap();
        let trade = traffic.streams.iter().position(|(data_type, _)| data_type == "trade").unwrap();
        let frame = traffic.snapshots.iter_mut().find(|frame| frame.stream == trade).unwrap();
        let size = frame.size();
        let messages = [7, 8].map(|n| {
            assert_eq!(frame.numbered(n).len(), size);
            serde_json::from_slice::<Value>(frame.payload()).unwrap()
        });
        let id = |message: &Value| message["sequential_id"].as_u64().unwrap();
        assert_eq!(messages[0]["timestamp"], FIRST_STAMP + 7);
        assert_eq!(messages[1]["timestamp"], FIRST_STAMP + 8);
        assert_eq!(id(&messages[1]), id(&messages[0]) + 1);
        assert_eq!(messages[0]["trade_price"], messages[1]["trade_price"]);
    }
}
