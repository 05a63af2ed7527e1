//! A server for several connections. Each of them requests its own streams and may change them at any time. Only the
//! opening of a connection blocks, so one thread can feed the server and read from its clients.

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use hoga_cli::rounds::Error;
use hoga_testing::frames;
use rustls::ServerConnection;
use serde_json::Value;

use super::listener::{Duplex, Listener, Wire};
use crate::serving::traffic::Traffic;
use crate::stack::Endpoint;

/// A client with this much unsent data gets no more for now.
const ROOM: usize = 256 * 1024;
/// The longest request, in bytes.
const REQUEST_MAX: usize = 1 << 20;
const PING: u8 = 9;
const CLOSE: u8 = 8;
const PONG: u8 = 0x8A;

/// The connections, and the traffic that they share.
pub struct MultiServer {
    listener: Listener,
    traffic: Traffic,
    /// The index of each stream by type and code.
    places: HashMap<(String, String), usize>,
    members: Vec<Member>,
    /// The member that carries each stream.
    carriers: Vec<Option<usize>>,
    /// The number of messages sent on each stream.
    sent_of: Vec<u64>,
    sent: u64,
    bytes: u64,
    requests: u64,
    next_frame: usize,
}

/// A message that was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Its number among all messages of the server. The message has it in its timestamp, see
    /// [`FIRST_STAMP`](crate::serving::traffic::FIRST_STAMP).
    pub number: u64,
    /// The index of its stream in [`Traffic::streams`].
    pub stream: usize,
}

impl MultiServer {
    /// Binds a loopback port that the system chooses; with TLS 1.3 if `is_secure`.
    pub fn bind(is_secure: bool, traffic: Traffic) -> Result<Self, Error> {
        let streams = traffic.streams.len();
        let places = traffic.streams.iter().cloned().zip(0..).collect();
        Ok(Self {
            listener: Listener::bind(is_secure)?,
            traffic,
            places,
            members: Vec::new(),
            carriers: vec![None; streams],
            sent_of: vec![0; streams],
            sent: 0,
            bytes: 0,
            requests: 0,
            next_frame: 0,
        })
    }

    /// Returns the endpoint for a client.
    pub fn endpoint(&self, core: usize) -> Endpoint {
        self.listener.endpoint(&self.traffic.wants, core)
    }

    /// Returns the traffic that is sent.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Returns the number of messages sent so far, which is the number of the next one.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Returns the number of messages sent on each stream, including snapshots.
    pub fn sent_of(&self) -> &[u64] {
        &self.sent_of
    }

    /// Returns the bytes of all sent frames, before encryption.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the number of requests read.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Returns the number of requested streams.
    pub fn asked(&self) -> usize {
        self.carriers.iter().flatten().count()
    }

    /// Returns whether the system has accepted all requested snapshots.
    pub fn is_even(&self) -> bool {
        self.members.iter().all(|member| member.snapshots.is_empty() && member.wire.out.is_empty())
    }

    /// Returns whether some client has too much unsent data to get more.
    pub fn is_full(&self) -> bool {
        self.members.iter().any(|member| member.wire.out.len() >= ROOM)
    }

    /// Accepts new clients, applies requests, and sends the requested snapshots.
    pub fn look(&mut self) -> Result<(), Error> {
        while let Some(wire) = self.listener.accept(open)? {
            self.members.push(Member::new(wire)?);
        }
        for place in 0..self.members.len() {
            while let Some(text) = self.members[place].read()? {
                self.obey(place, &text)?;
            }
            while self.members[place].wire.out.len() < ROOM {
                let Some(stream) = self.members[place].snapshots.pop_front() else { break };
                if self.carriers[stream] == Some(place) {
                    self.send(place, stream, None)?;
                }
            }
            self.members[place].flush()?;
        }
        Ok(())
    }

    /// Adds the next message to the output, if a client has requested its stream.
    pub fn push(&mut self) -> Result<Option<Sent>, Error> {
        let frame = self.next_frame;
        self.next_frame = (frame + 1) % self.traffic.frames.len();
        let stream = self.traffic.frames[frame].stream;
        match self.carriers[stream] {
            Some(member) => self.send(member, stream, Some(frame)).map(Some),
            None => Ok(None),
        }
    }

    /// Hands the output to the system, as much as it accepts.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.members.iter_mut().try_for_each(Member::flush)
    }

    /// Drops all clients.
    pub fn hang_up(&mut self) {
        self.members.clear();
        self.carriers.fill(None);
        self.requests = 0;
    }

    fn send(&mut self, member: usize, stream: usize, frame: Option<usize>) -> Result<Sent, Error> {
        let frame = match frame {
            Some(frame) => &mut self.traffic.frames[frame],
            None => &mut self.traffic.snapshots[stream],
        };
        let sent = Sent { number: self.sent, stream };
        self.members[member].wire.push(frame.numbered(self.sent))?;
        self.bytes += frame.size() as u64;
        self.sent += 1;
        self.sent_of[stream] += 1;
        Ok(sent)
    }

    /// Applies a request, which replaces the streams of its connection. Snapshots of requested streams are sent first.
    fn obey(&mut self, member: usize, text: &str) -> Result<(), Error> {
        self.requests += 1;
        let Some(asked) = parse(text)? else { return Ok(()) };
        self.carriers.iter_mut().filter(|carrier| **carrier == Some(member)).for_each(|carrier| *carrier = None);
        self.members[member].snapshots.clear();
        for Asked { data_type, code, with_state } in asked {
            // Ignores unknown streams without an answer, as the exchange does.
            let Some(place) = self.places.get(&(data_type, code)) else { continue };
            self.carriers[*place] = Some(member);
            if with_state {
                self.members[member].snapshots.push_back(*place);
            }
        }
        Ok(())
    }
}

/// Upgrades to WebSocket and returns. No byte is lost, because a client sends nothing before it has the answer.
fn open(stream: &mut dyn Duplex) -> Result<(), Error> {
    tungstenite::accept(stream).map_err(|e| Error::failed("a client did not open its WebSocket", e))?;
    Ok(())
}

/// A stream as a request names it.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    data_type: String,
    /// Without the depth of an order book.
    code: String,
    with_state: bool,
}

/// Returns the streams of a request, or `None` if it is a question such as `LIST_SUBSCRIPTIONS`.
fn parse(text: &str) -> Result<Option<Vec<Asked>>, Error> {
    let parts: Vec<Value> = serde_json::from_str(text).map_err(|e| Error::failed("a client sent no request", e))?;
    if parts.iter().any(|part| part.get("method").is_some()) {
        return Ok(None);
    }
    let mut asked = Vec::new();
    for part in &parts {
        let (Some(data_type), Some(codes)) = (part["type"].as_str(), part["codes"].as_array()) else { continue };
        let with_state = part["is_only_realtime"].as_bool() != Some(true);
        let codes = codes.iter().filter_map(|code| code.as_str()?.split('.').next());
        asked.extend(codes.map(|code| Asked { data_type: data_type.to_owned(), code: code.to_owned(), with_state }));
    }
    Ok(Some(asked))
}

/// One connection.
struct Member {
    wire: Wire,
    incoming: Vec<u8>,
    /// Streams whose snapshot is still to be sent.
    snapshots: VecDeque<usize>,
    is_gone: bool,
}

impl Member {
    fn new(wire: Wire) -> Result<Self, Error> {
        wire.socket.set_nonblocking(true)?;
        Ok(Self { wire, incoming: Vec::new(), snapshots: VecDeque::new(), is_gone: false })
    }

    fn flush(&mut self) -> Result<(), Error> {
        let mut written = 0;
        while written < self.wire.out.len() && !self.is_gone {
            match self.wire.socket.write(&self.wire.out[written..]) {
                Ok(n) => written += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.is_gone = true,
            }
        }
        if self.is_gone {
            self.wire.out.clear();
            self.snapshots.clear();
        } else {
            self.wire.out.drain(..written);
        }
        Ok(())
    }

    /// Returns the next request, if one has arrived. Answers pings on the way.
    fn read(&mut self) -> Result<Option<String>, Error> {
        self.receive()?;
        while let Some((opcode, payload)) = take_frame(&mut self.incoming)? {
            match opcode {
                PING => {
                    let mut pong = vec![PONG, payload.len() as u8];
                    pong.extend(payload);
                    self.wire.push(&pong)?;
                }
                CLOSE => self.is_gone = true,
                1 | 2 => return Ok(Some(String::from_utf8_lossy(&payload).into_owned())),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Reads the bytes that have arrived.
    fn receive(&mut self) -> Result<(), Error> {
        let mut bytes = [0; 4096];
        while !self.is_gone {
            let read = match &mut self.wire.tls {
                None => self.wire.socket.read(&mut bytes),
                Some(tls) => read_tls(tls, &mut self.wire.socket, &mut bytes),
            };
            match read {
                Ok(0) => self.is_gone = true,
                Ok(n) => self.incoming.extend_from_slice(&bytes[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                // A client that has gone is not an error here; the command that waits for it reports it.
                Err(_) => self.is_gone = true,
            }
        }
        Ok(())
    }
}

fn read_tls(tls: &mut ServerConnection, socket: &mut TcpStream, bytes: &mut [u8]) -> io::Result<usize> {
    loop {
        match tls.reader().read(bytes) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            read => return read,
        }
        if tls.read_tls(socket)? == 0 {
            return Ok(0);
        }
        tls.process_new_packets().map_err(io::Error::other)?;
    }
}

/// Removes a complete client frame from the front. Requests are never fragmented.
fn take_frame(bytes: &mut Vec<u8>) -> Result<Option<(u8, Vec<u8>)>, Error> {
    const WHOLE: u8 = 0x80;
    let is_wrong = match frames::parse(bytes) {
        None => bytes.len() > REQUEST_MAX,
        Some((frame, _)) if !frame.is_masked || frame.first & 0xF0 != WHOLE => true,
        Some((frame, size)) => {
            bytes.drain(..size);
            return Ok(Some((frame.opcode(), frame.payload)));
        }
    };
    if is_wrong { Err(Error::Failed("a client sent a frame that cannot be a request".to_owned())) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tungstenite::Message;

    use super::*;
    use crate::memory::tickers;
    use crate::serving::traffic::FIRST_STAMP;

    #[test]
    fn a_request_names_streams_and_whether_they_begin_with_a_snapshot() {
        let asked = |data_type: &str, code: &str, with_state| Asked {
            data_type: data_type.to_owned(),
            code: code.to_owned(),
            with_state,
        };
        let text = r#"[{"ticket":"t"},{"type":"orderbook","codes":["KRW-BTC.15"]},
            {"type":"candle.1s","codes":["KRW-BTC","KRW-ETH"],"is_only_realtime":true},{"format":"DEFAULT"}]"#;
        let expected = [
            asked("orderbook", "KRW-BTC", true),
            asked("candle.1s", "KRW-BTC", false),
            asked("candle.1s", "KRW-ETH", false),
        ];
        assert_eq!(parse(text).unwrap().unwrap(), expected);
        let question = r#"[{"ticket":"t"},{"method":"LIST_SUBSCRIPTIONS"},{"format":"DEFAULT"}]"#;
        assert_eq!(parse(question).unwrap(), None);
        assert!(parse("PING").is_err());
    }

    #[test]
    fn a_frame_is_taken_when_it_is_complete() {
        let whole = frames::client(frames::TEXT, b"hello");
        for cut in 0..whole.len() {
            let mut bytes = whole[..cut].to_vec();
            assert_eq!(take_frame(&mut bytes).unwrap(), None);
            bytes.extend_from_slice(&whole[cut..]);
            bytes.push(0x81);
            assert_eq!(take_frame(&mut bytes).unwrap(), Some((1, b"hello".to_vec())));
            assert_eq!(bytes, [0x81]);
        }
        assert!(take_frame(&mut vec![0x81, 0x01, b'x']).is_err(), "clients mask");
    }

    /// Polls the server until the condition holds.
    #[track_caller]
    fn until(server: &mut MultiServer, wanted: impl Fn(&MultiServer) -> bool) {
        for _ in 0..10_000 {
            server.look().unwrap();
            if wanted(server) {
                return;
            }
            thread::sleep(std::time::Duration::from_millis(1));
        }
        panic!("the condition never held");
    }

    #[test]
    fn a_request_replaces_the_one_before_and_clients_get_only_requested_streams() {
        let mut traffic = tickers(3).unwrap();
        traffic.frames = traffic.snapshots.clone();
        let mut server = MultiServer::bind(false, traffic).unwrap();
        let url = server.endpoint(0).url;
        let ask = |codes: &str, mode: &str| {
            Message::text(format!(r#"[{{"ticket":"t"}},{{"type":"ticker","codes":[{codes}]{mode}}}]"#))
        };
        let client = thread::spawn(move || {
            let (mut socket, _) = tungstenite::connect(url).unwrap();
            socket.send(ask(r#""KRW-C0000","KRW-C0001""#, "")).unwrap();
            let mut read = || serde_json::from_slice::<Value>(&socket.read().unwrap().into_data()).unwrap();
            let states = [read(), read()].map(|state| state["code"].as_str().unwrap().to_owned());
            socket.send(ask(r#""KRW-C0001","KRW-C0002""#, r#","is_only_realtime":true"#)).unwrap();
            let mut read = || serde_json::from_slice::<Value>(&socket.read().unwrap().into_data()).unwrap();
            let changes = [read(), read()];
            (states, changes)
        });
        until(&mut server, |server| server.requests() == 1 && server.is_even());
        assert_eq!((server.asked(), server.sent_of()), (2, &[1, 1, 0][..]));
        until(&mut server, |server| server.requests() == 2);
        assert_eq!((server.asked(), server.sent()), (2, 2), "these streams were requested without snapshots");
        let sent = [(); 3].map(|()| server.push().unwrap().map(|sent| (sent.number, sent.stream)));
        assert_eq!(sent, [None, Some((2, 1)), Some((3, 2))]);
        server.flush().unwrap();
        let (states, changes) = client.join().unwrap();
        assert_eq!(states, ["KRW-C0000", "KRW-C0001"]);
        assert_eq!(changes.each_ref().map(|change| change["code"].as_str().unwrap()), ["KRW-C0001", "KRW-C0002"]);
        assert_eq!(changes[1]["timestamp"], FIRST_STAMP + 3);
        until(&mut server, |server| server.members[0].is_gone);
    }
}
