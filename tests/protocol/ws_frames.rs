//! Frames from a server: the events that the reader returns, and the frames that it refuses.

use hoga::ws::*;
use hoga_testing::frames::server;
use proptest::prelude::*;

/// An [`Incoming`] that owns its bytes.
#[derive(Debug, Clone, PartialEq)]
enum Event {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
    Refused(Violation),
}
use Event::{Binary, Close, Ping, Pong, Refused, Text};

impl From<Incoming<'_>> for Event {
    fn from(incoming: Incoming<'_>) -> Self {
        match incoming {
            Incoming::Text(payload) => Text(String::from_utf8(checked(payload)).expect("text is UTF-8")),
            Incoming::Binary(payload) => Binary(checked(payload)),
            Incoming::Ping(bytes) => Ping(bytes.to_vec()),
            Incoming::Pong(bytes) => Pong(bytes.to_vec()),
            Incoming::Close(close) => Close(close.map(|(code, reason)| (code.into(), reason.to_owned()))),
        }
    }
}

fn checked(payload: Payload<'_>) -> Vec<u8> {
    let (padded, len) = payload.padded();
    assert!(padded.len() >= len + SLACK, "{} bytes behind a message of {len}", padded.len() - len);
    assert_eq!(&padded[..len], payload.bytes());
    payload.bytes().to_vec()
}

/// A client that receives frames.
struct Client {
    buffer: ReceiveBuffer,
    frames: FrameReader,
    events: Vec<Event>,
}

impl Client {
    fn new() -> Self {
        Self::with(256, Limits::default())
    }

    fn with(capacity: usize, limits: Limits) -> Self {
        Self { buffer: ReceiveBuffer::new(capacity), frames: FrameReader::new(limits), events: Vec::new() }
    }

    /// Receives the bytes, in as many reads as the buffer's space requires. Returns the events since the last call.
    fn receive(&mut self, mut bytes: &[u8]) -> Vec<Event> {
        while !bytes.is_empty() {
            let spare = self.buffer.spare();
            let n = spare.len().min(bytes.len());
            spare[..n].copy_from_slice(&bytes[..n]);
            self.buffer.advance(n);
            bytes = &bytes[n..];
            self.drain();
        }
        std::mem::take(&mut self.events)
    }

    fn drain(&mut self) {
        loop {
            match self.frames.next(&mut self.buffer) {
                Ok(Some(incoming)) => self.events.push(incoming.into()),
                Ok(None) => break,
                Err(violation) => self.events.push(Refused(violation)),
            }
        }
    }
}

const FIN: u8 = 0x80;

fn text(payload: &str) -> Vec<u8> {
    server(FIN | 1, payload.as_bytes())
}

fn binary(payload: &[u8]) -> Vec<u8> {
    server(FIN | 2, payload)
}

#[track_caller]
fn assert_refused(stream: &[u8], violation: Violation, code: CloseCode) {
    let mut client = Client::new();
    assert_eq!(client.receive(stream).last(), Some(&Refused(violation)));
    assert_eq!(violation.close_code(), code);
    assert_eq!(client.receive(&binary(b"more")), [], "nothing is read after a violation");
}

#[test]
fn messages_and_control_frames_are_read_in_order() {
    let stream =
        [binary(b"{}"), text("호가"), server(FIN | 9, b"are you there"), server(FIN | 10, b""), binary(b"")].concat();
    let expected = [
        Binary(b"{}".into()),
        Text("호가".into()),
        Ping(b"are you there".into()),
        Pong(b"".into()),
        Binary(b"".into()),
    ];
    assert_eq!(Client::new().receive(&stream), expected);
}

#[test]
fn every_length_around_the_limits_of_its_encodings_is_read() {
    for len in (0..300).chain(65_500..65_600).chain([1 << 20]) {
        let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
        assert_eq!(Client::new().receive(&binary(&payload)), [Binary(payload)], "{len} bytes");
    }
}

#[test]
fn fragments_become_one_message_with_control_frames_between_them() {
    let stream =
        [server(1, b"one "), server(FIN | 9, b"p"), server(0, b""), server(FIN | 10, b"q"), server(FIN, b"two")]
            .concat();
    let expected = [Ping(b"p".into()), Pong(b"q".into()), Text("one two".into())];
    assert_eq!(Client::new().receive(&stream), expected);
}

#[test]
fn fragmented_messages_follow_each_other_without_mixing() {
    let message = |kind, a: &[u8], b: &[u8]| [server(kind, a), server(FIN, b)].concat();
    let stream = [message(2, b"ab", b"cd"), message(1, b"e", b""), binary(b"f"), message(2, b"", b"")].concat();
    let expected = [Binary(b"abcd".into()), Text("e".into()), Binary(b"f".into()), Binary(b"".into())];
    assert_eq!(Client::new().receive(&stream), expected);
}

#[test]
fn a_close_ends_the_stream() {
    for (body, expected) in [
        (&b""[..], None),
        (b"\x03\xe8", Some((1000, String::new()))),
        (b"\x03\xe9going away", Some((1001, "going away".to_owned()))),
        (b"\x0f\xa0", Some((4000, String::new()))),
    ] {
        let mut client = Client::new();
        let stream = [server(FIN | 8, body), binary(b"late")].concat();
        assert_eq!(client.receive(&stream), [Close(expected)]);
        assert_eq!(client.receive(&binary(b"later")), []);
    }
}

#[test]
fn a_stream_cut_inside_a_message_is_detected() {
    for (stream, inside) in [
        (binary(b"whole"), false),
        (binary(b"whole")[..6].to_vec(), true),
        (vec![0x82], true),
        (server(2, b"part"), true),
        (server(FIN | 8, b""), false),
    ] {
        let mut client = Client::new();
        client.receive(&stream);
        assert_eq!(client.frames.is_inside_message(&client.buffer), inside, "{stream:?}");
    }
}

#[test]
fn frames_that_break_the_protocol_are_refused_with_1002() {
    let code = CloseCode::Protocol;
    assert_refused(b"\x82\x82abcd\x00\x00", Violation::Masked, code);
    for bit in [0x40, 0x20, 0x10] {
        assert_refused(&server(FIN | bit | 1, b""), Violation::ReservedBits, code);
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        assert_refused(&server(FIN | opcode, b""), Violation::ReservedOpcode(opcode), code);
    }
    for opcode in [8, 9, 10] {
        assert_refused(&server(opcode, b""), Violation::FragmentedControl, code);
        assert_refused(&server(FIN | opcode, &[0; 126]), Violation::LongControl, code);
    }
    assert_refused(&server(0, b""), Violation::LoneContinuation, code);
    assert_refused(&server(FIN, b""), Violation::LoneContinuation, code);
    assert_refused(&[server(1, b"a"), text("b")].concat(), Violation::InterruptedMessage, code);
    assert_refused(&[server(2, b"a"), server(2, b"b")].concat(), Violation::InterruptedMessage, code);
    assert_refused(
        &[server(2, b"a"), server(FIN, b"b"), server(FIN, b"c")].concat(),
        Violation::LoneContinuation,
        code,
    );
    assert_refused(b"\x82\x7e\x00\x05hello", Violation::NonMinimalLength, code);
    assert_refused(b"HTTP/1.1 400 Bad Request\r\n\r\n", Violation::ReservedBits, code);
}

#[test]
fn bad_close_frames_are_refused() {
    assert_refused(&server(FIN | 8, b"\x03"), Violation::ShortClose, CloseCode::Protocol);
    assert_refused(&server(FIN | 8, &1005u16.to_be_bytes()), Violation::InvalidCloseCode(1005), CloseCode::Protocol);
    assert_refused(&server(FIN | 8, b"\x03\xe8\xff"), Violation::InvalidCloseReason, CloseCode::Invalid);
}

#[test]
fn a_message_above_the_limit_is_refused_at_its_header_without_allocation() {
    let limits = Limits { max_message: 1000, ..Limits::default() };
    let exact = binary(&[7; 1000]);
    let mut client = Client::with(256, limits);
    assert_eq!(client.receive(&exact.repeat(3)), vec![Binary(vec![7; 1000]); 3]);
    assert!(client.buffer.footprint() <= bound(256, limits), "{}", client.buffer.footprint());
    for (header, size) in [
        (&b"\x82\x7e\x03\xe9"[..], 1001),
        (b"\x81\x7e\x03\xe9", 1001),
        (b"\x02\x7e\x03\xe9", 1001),
        (b"\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00", 1 << 63),
        (b"\x01\x7f\xff\xff\xff\xff\xff\xff\xff\xff", u64::MAX),
    ] {
        let mut client = Client::with(256, limits);
        let violation = Violation::TooBig { size, limit: 1000 };
        assert_eq!(client.receive(header), [Refused(violation)]);
        assert_eq!(violation.close_code(), CloseCode::Size);
        assert_eq!(client.buffer.footprint(), 256 + SLACK);
    }
    // A whole message in one read, which needs no state of the reader.
    for (size, limit) in [(1001, 1000), (101, 100)] {
        let mut client = Client::with(4096, Limits { max_message: limit, ..Limits::default() });
        let violation = Violation::TooBig { size: size as u64, limit };
        assert_eq!(client.receive(&binary(&vec![7; size])), [Refused(violation)]);
    }
}

#[test]
fn fragments_together_may_not_exceed_the_limit() {
    let mut client = Client::with(256, Limits { max_message: 1000, ..Limits::default() });
    assert_eq!(client.receive(&server(2, &[0; 600])), []);
    assert_eq!(client.receive(b"\x00\x7e\x01\x91"), [Refused(Violation::TooBig { size: 1001, limit: 1000 })]);
}

#[test]
fn a_flood_of_empty_fragments_is_refused_at_the_limit() {
    let limits = Limits { max_fragments: 10, ..Limits::default() };
    let exact = [server(2, b"").repeat(1), server(0, b"").repeat(8), server(FIN, b"x")].concat();
    let mut client = Client::with(256, limits);
    assert_eq!(client.receive(&exact), [Binary(b"x".into())]);
    assert_eq!(client.receive(&exact), [Binary(b"x".into())], "each message has its own count");
    let flood = [server(2, b""), server(0, b"").repeat(10)].concat();
    assert_eq!(client.receive(&flood), [Refused(Violation::TooManyFragments { limit: 10 })]);
    assert_eq!(Violation::TooManyFragments { limit: 10 }.close_code(), CloseCode::Size);
}

#[test]
fn text_that_is_not_utf8_is_refused_with_1007() {
    for bad in [&b"\xff"[..], b"ok\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"cut \xe2\x82"] {
        assert_refused(&server(FIN | 1, bad), Violation::InvalidUtf8, CloseCode::Invalid);
        assert_refused(&[server(1, bad), server(FIN, b"")].concat(), Violation::InvalidUtf8, CloseCode::Invalid);
        assert_eq!(Client::new().receive(&binary(bad)), [Binary(bad.to_vec())], "binary payloads are not checked");
    }
}

#[test]
fn a_character_may_be_split_by_fragments_and_by_reads() {
    let stream = [server(1, b"\xf0\x9f"), server(FIN | 9, b""), server(0, b"\x98"), server(FIN, b"\x80!")].concat();
    for cut in 0..stream.len() {
        let mut client = Client::new();
        let mut events = client.receive(&stream[..cut]);
        events.extend(client.receive(&stream[cut..]));
        assert_eq!(events, [Ping(vec![]), Text("😀!".into())], "cut after byte {cut}");
    }
}

/// Autobahn 6.4: the connection ends at the first octet that makes the text invalid, not at the end of the message.
#[test]
fn bad_text_is_refused_at_its_first_bad_byte() {
    let good = "κόσμε".as_bytes();
    let bad = [good, b"\xf4\x90\x80\x80", b"edited"].concat();
    for stream in [server(FIN | 1, &bad), server(1, &bad), [server(1, &good[..3]), server(FIN, &bad[3..])].concat()] {
        let at = stream.windows(2).position(|pair| pair == b"\xf4\x90").unwrap() + 1;
        let mut client = Client::new();
        for &byte in &stream[..at] {
            assert_eq!(client.receive(&[byte]), []);
        }
        assert_eq!(client.receive(&stream[at..=at]), [Refused(Violation::InvalidUtf8)]);
    }
}

/// Returns a stream with every legal kind of frame.
fn all_kinds() -> Vec<u8> {
    let long = "다음 호가 ".repeat(20);
    [
        binary(br#"{"type":"ticker","code":"KRW-BTC","trade_price":122720000.00000000}"#),
        server(FIN | 9, b"ping"),
        text(&long),
        server(1, "조각".as_bytes()),
        server(FIN | 10, b"pong"),
        server(0, &"😀".as_bytes()[..3]),
        server(FIN, &"😀".as_bytes()[3..]),
        binary(b""),
        server(2, b""),
        server(FIN, &[1; 130]),
        binary(&[0xff; 700]),
        server(FIN | 8, b"\x03\xe8bye"),
    ]
    .concat()
}

#[test]
fn every_split_of_the_stream_yields_the_same_events() {
    let stream = all_kinds();
    let whole = Client::new().receive(&stream);
    assert_eq!(whole.len(), 9);
    for cut in 1..stream.len() {
        let mut client = Client::new();
        let mut events = client.receive(&stream[..cut]);
        events.extend(client.receive(&stream[cut..]));
        assert_eq!(events, whole, "cut after byte {cut}");
    }
    for step in 1..64 {
        let mut client = Client::with(1, Limits::default());
        let events: Vec<Event> = stream.chunks(step).flat_map(|chunk| client.receive(chunk)).collect();
        assert_eq!(events, whole, "{step} bytes at a time");
    }
}

/// A message that a valid server may send.
#[derive(Debug, Clone)]
enum Sent {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

fn sent() -> impl Strategy<Value = Sent> {
    let bytes = |max| prop::collection::vec(any::<u8>(), 0..max);
    prop_oneof![
        ".{0,80}".prop_map(Sent::Text),
        bytes(2000).prop_map(Sent::Binary),
        (65_500usize..65_600).prop_map(|len| Sent::Binary(vec![b'x'; len])),
        bytes(126).prop_map(Sent::Ping),
        bytes(126).prop_map(Sent::Pong),
    ]
}

/// Writes the messages with tungstenite in the role of a server.
fn written_by_tungstenite(messages: &[Sent], fragments: &[usize]) -> Vec<u8> {
    use tungstenite::protocol::{Role, WebSocket};
    use tungstenite::{Message, protocol::frame};
    let mut server = WebSocket::from_raw_socket(std::io::Cursor::new(Vec::new()), Role::Server, None);
    let mut fragments = fragments.iter().copied().cycle();
    for message in messages {
        match message.clone() {
            Sent::Ping(payload) => server.send(Message::Ping(payload.into())).unwrap(),
            Sent::Pong(payload) => server.send(Message::Pong(payload.into())).unwrap(),
            Sent::Text(_) | Sent::Binary(_) => {
                let (kind, payload) = match message {
                    Sent::Text(text) => (frame::coding::Data::Text, text.as_bytes()),
                    Sent::Binary(bytes) => (frame::coding::Data::Binary, &bytes[..]),
                    _ => unreachable!(),
                };
                let pieces: Vec<&[u8]> = match fragments.next() {
                    Some(size @ 1..) if !payload.is_empty() => {
                        payload.chunks(size.max(payload.len().div_ceil(1000))).collect()
                    }
                    _ => vec![payload],
                };
                for (i, piece) in pieces.iter().enumerate() {
                    let kind = if i == 0 { kind } else { frame::coding::Data::Continue };
                    let opcode = frame::coding::OpCode::Data(kind);
                    let last = i + 1 == pieces.len();
                    server.send(Message::Frame(frame::Frame::message(piece.to_vec(), opcode, last))).unwrap();
                }
            }
        }
    }
    server.get_ref().get_ref().clone()
}

fn read_by_tungstenite(stream: &[u8]) -> Vec<Event> {
    use tungstenite::protocol::{Message, Role, WebSocket};
    let mut client = WebSocket::from_raw_socket(Duplex(stream), Role::Client, None);
    let mut events = Vec::new();
    while let Ok(message) = client.read() {
        events.push(match message {
            Message::Text(text) => Text(text.to_string()),
            Message::Binary(bytes) => Binary(bytes.to_vec()),
            Message::Ping(bytes) => Ping(bytes.to_vec()),
            Message::Pong(bytes) => Pong(bytes.to_vec()),
            Message::Close(close) => Close(close.map(|close| (close.code.into(), close.reason.to_string()))),
            Message::Frame(_) => unreachable!("not returned when reading"),
        });
    }
    events
}

/// A stream that reads from memory and discards writes.
struct Duplex<'a>(&'a [u8]);

impl std::io::Read for Duplex<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(out)
    }
}

impl std::io::Write for Duplex<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Cuts the stream into pieces of these sizes, repeatedly.
fn cut<'a>(mut stream: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut sizes = sizes.iter().cycle();
    let mut pieces = Vec::new();
    while !stream.is_empty() {
        let (piece, rest) = stream.split_at((*sizes.next().unwrap()).min(stream.len()));
        pieces.push(piece);
        stream = rest;
    }
    pieces
}

/// Returns the maximum number of bytes that the buffer and the reader may hold, regardless of the input.
fn bound(capacity: usize, limits: Limits) -> usize {
    limits.max_message + 10 + capacity + SLACK
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages_of_tungstenite_are_read_like_tungstenite_reads_them(
        messages in prop::collection::vec(sent(), 0..12),
        fragments in prop::collection::vec(0usize..40, 1..5),
        cuts in prop::collection::vec(1usize..3000, 1..20),
        capacity in 1usize..5000,
    ) {
        let stream = written_by_tungstenite(&messages, &fragments);
        let mut client = Client::with(capacity, Limits::default());
        let events: Vec<Event> = cut(&stream, &cuts).iter().flat_map(|piece| client.receive(piece)).collect();
        prop_assert_eq!(events.len(), messages.len());
        prop_assert_eq!(events, read_by_tungstenite(&stream));
        prop_assert!(!client.frames.is_inside_message(&client.buffer));
    }

    #[test]
    fn any_cuts_of_the_stream_yield_the_same_events(
        cuts in prop::collection::vec(1usize..200, 1..30),
        capacity in 1usize..600,
    ) {
        let stream = all_kinds();
        let mut client = Client::with(capacity, Limits::default());
        let events: Vec<Event> = cut(&stream, &cuts).iter().flat_map(|piece| client.receive(piece)).collect();
        prop_assert_eq!(events, Client::new().receive(&stream));
    }

    #[test]
    fn random_bytes_never_panic_or_exceed_the_memory_limit(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        cuts in prop::collection::vec(1usize..50, 1..8),
        capacity in 1usize..100,
    ) {
        let limits = Limits { max_message: 300, max_fragments: 5 };
        let mut client = Client::with(capacity, limits);
        cut(&bytes, &cuts).iter().for_each(|piece| { client.receive(piece); });
        prop_assert!(client.buffer.footprint() <= bound(capacity, limits));
        prop_assert!(client.frames.footprint() <= 2 * (limits.max_message + SLACK));
    }

    /// Random bytes rarely pass the first header; a mutated stream goes deeper. Cuts must not change the verdict.
    #[test]
    fn a_mutated_stream_has_the_same_result_with_any_cuts(
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cuts in prop::collection::vec(1usize..50, 1..8),
        capacity in 1usize..600,
    ) {
        let mut stream = all_kinds();
        for (at, byte) in mutations {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        let limits = Limits { max_message: 4000, max_fragments: 5 };
        let whole = Client::with(4096, limits).receive(&stream);
        let mut client = Client::with(capacity, limits);
        let events: Vec<Event> = cut(&stream, &cuts).iter().flat_map(|piece| client.receive(piece)).collect();
        prop_assert!(client.buffer.footprint() <= bound(capacity, limits));
        prop_assert_eq!(events, whole);
    }

    #[test]
    fn tungstenite_as_a_server_reads_our_frames(
        messages in prop::collection::vec(sent(), 0..12),
        reason in ".{0,150}",
        mask in any::<[u8; 4]>(),
    ) {
        use tungstenite::protocol::{Message, Role, WebSocket};
        let mut out = Vec::new();
        for message in &messages {
            match message {
                Sent::Text(text) => write_text(&mut out, text, mask),
                Sent::Binary(bytes) => write_binary(&mut out, bytes, mask),
                Sent::Ping(bytes) => write_ping(&mut out, bytes, mask),
                Sent::Pong(bytes) => write_pong(&mut out, bytes, mask),
            }
        }
        write_close(&mut out, Some((CloseCode::Away, &reason)), mask);
        let mut server = WebSocket::from_raw_socket(Duplex(&out), Role::Server, None);
        for message in messages {
            let expected = match message {
                Sent::Text(text) => Message::text(text),
                Sent::Binary(bytes) => Message::binary(bytes),
                Sent::Ping(bytes) => Message::Ping(bytes.into()),
                Sent::Pong(bytes) => Message::Pong(bytes.into()),
            };
            prop_assert_eq!(server.read().unwrap(), expected);
        }
        let Message::Close(Some(close)) = server.read().unwrap() else { panic!("not a close") };
        prop_assert_eq!(close.code, CloseCode::Away);
        prop_assert!(reason.starts_with(close.reason.as_str()));
        prop_assert!(close.reason.len() == reason.len() || close.reason.len() > 119, "cut at the last character");
    }
}

#[test]
fn outgoing_frames_are_masked_byte_for_byte() {
    let mut out = b"before".to_vec();
    write_text(&mut out, "Hello", [0x37, 0xfa, 0x21, 0x3d]);
    // RFC 6455 section 5.7, "a single-frame masked text message".
    assert_eq!(out, b"before\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
}

#[test]
fn a_close_without_a_code_or_with_one_that_must_not_be_sent_is_empty() {
    for close in [None, Some((CloseCode::Status, "no")), Some((CloseCode::Abnormal, "no"))] {
        let mut out = Vec::new();
        write_close(&mut out, close, [0; 4]);
        assert_eq!(out, b"\x88\x80\0\0\0\0");
    }
}

#[test]
#[should_panic(expected = "at most 125 bytes")]
fn a_ping_of_126_bytes_panics() {
    write_ping(&mut Vec::new(), &[0; 126], [0; 4]);
}
