//! A server of several connections, each of which asks for streams of its own and may ask for others at any time.
//! Only the opening of a connection blocks: one thread can feed the server and read what its clients deliver.

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

/// What may wait for a client that is behind before it gets no more.
const ROOM: usize = 256 * 1024;
/// Longest request, in bytes.
const REQUEST_MAX: usize = 1 << 20;
const PING: u8 = 9;
const CLOSE: u8 = 8;
const PONG: u8 = 0x8A;

/// Connections, and the traffic that each gets its part of.
pub struct MultiServer {
    listener: Listener,
    traffic: Traffic,
    /// Of type and code: the place of the stream.
    places: HashMap<(String, String), usize>,
    members: Vec<Member>,
    /// Which member gets a stream.
    carriers: Vec<Option<usize>>,
    /// How many messages of each stream went out.
    sent_of: Vec<u64>,
    sent: u64,
    bytes: u64,
    requests: u64,
    next_frame: usize,
}

/// A message that is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Its number among all messages of the server; its timestamp says so too, see
    /// [`FIRST_STAMP`](crate::serving::traffic::FIRST_STAMP).
    pub number: u64,
    /// The place of its stream in [`Traffic::streams`].
    pub stream: usize,
}

impl MultiServer {
    /// Waits for clients on a loopback port that the system chooses; with TLS 1.3 if `is_secure`.
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

    /// What a client has to know.
    pub fn endpoint(&self, core: usize) -> Endpoint {
        self.listener.endpoint(&self.traffic.wants, core)
    }

    /// What is sent.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Messages that went out so far; the next has this number.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// The same for each stream, snapshots and all.
    pub fn sent_of(&self) -> &[u64] {
        &self.sent_of
    }

    /// Bytes of their frames, before encryption.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Requests that were read.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Streams that are asked for now.
    pub fn asked(&self) -> usize {
        self.carriers.iter().flatten().count()
    }

    /// All snapshots that were asked for have been handed to the system.
    pub fn is_even(&self) -> bool {
        self.members.iter().all(|member| member.snapshots.is_empty() && member.wire.out.is_empty())
    }

    /// Some client is so far behind that it gets nothing more for now.
    pub fn is_full(&self) -> bool {
        self.members.iter().any(|member| member.wire.out.len() >= ROOM)
    }

    /// Takes in new clients, obeys requests, and sends the snapshots that they call for.
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

    /// Adds the next message to what is to be sent, if a client asked for its stream.
    pub fn push(&mut self) -> Result<Option<Sent>, Error> {
        let frame = self.next_frame;
        self.next_frame = (frame + 1) % self.traffic.frames.len();
        let stream = self.traffic.frames[frame].stream;
        match self.carriers[stream] {
            Some(member) => self.send(member, stream, Some(frame)).map(Some),
            None => Ok(None),
        }
    }

    /// Hands to the system what was added, as far as it takes it.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.members.iter_mut().try_for_each(Member::flush)
    }

    /// Forgets all clients.
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

    /// A request replaces what its connection asked for before. What is asked for with its state is sent that first.
    fn obey(&mut self, member: usize, text: &str) -> Result<(), Error> {
        self.requests += 1;
        let Some(asked) = parse(text)? else { return Ok(()) };
        self.carriers.iter_mut().filter(|carrier| **carrier == Some(member)).for_each(|carrier| *carrier = None);
        self.members[member].snapshots.clear();
        for Asked { data_type, code, with_state } in asked {
            // As the exchange: what it does not know, it does not mention.
            let Some(place) = self.places.get(&(data_type, code)) else { continue };
            self.carriers[*place] = Some(member);
            if with_state {
                self.members[member].snapshots.push_back(*place);
            }
        }
        Ok(())
    }
}

/// Upgrades to WebSocket and waits for nothing more. No byte is lost: a client sends nothing before it has the answer.
fn open(stream: &mut dyn Duplex) -> Result<(), Error> {
    tungstenite::accept(stream).map_err(|e| Error::failed("a client did not open its WebSocket", e))?;
    Ok(())
}

/// A stream as a request names it.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    data_type: String,
    /// Without the depth of a book.
    code: String,
    with_state: bool,
}

/// What a request asks for; nothing if it is a question.
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
    /// Streams of which the state is to be sent.
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

    /// The next request, if one has come. Answers pings on the way.
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

    /// Takes what has come.
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
                // A client that is gone is no error here; the command that waits for it reports it.
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

/// Takes a whole frame of a client off the front. Requests are never fragmented.
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
    if is_wrong { Err(Error::Failed("a client sent a frame that no request has".to_owned())) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tungstenite::Message;

    use super::*;
    use crate::memory::tickers;
    use crate::serving::traffic::FIRST_STAMP;

    #[test]
    fn a_request_names_streams_and_which_of_them_begin_with_their_state() {
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
    fn a_frame_is_taken_when_all_of_it_has_come() {
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

    /// Looks until it is as wanted.
    #[track_caller]
    fn until(server: &mut MultiServer, wanted: impl Fn(&MultiServer) -> bool) {
        for _ in 0..10_000 {
            server.look().unwrap();
            if wanted(server) {
                return;
            }
            thread::sleep(std::time::Duration::from_millis(1));
        }
        panic!("it never came to that");
    }

    #[test]
    fn a_request_replaces_the_one_before_and_nobody_gets_what_he_did_not_ask_for() {
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
        assert_eq!((server.asked(), server.sent()), (2, 2), "these were asked for without their state");
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
