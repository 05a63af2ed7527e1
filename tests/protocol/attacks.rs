//! Known attacks on WebSocket and TLS clients, one test each, named after the attack. Under each of them the memory
//! grows by at most [`MEMORY_MAX`] above the idle connection, and the attack ends after a bounded number of bytes or, in
//! virtual time, at a deadline.
//!
//! Some attacks are tested where their code is:
//!
//! * CVE-2026-1527, line breaks in an option that reach the opening request, for host, path and headers:
//!   `ws_handshake::a_request_with_injected_text_is_not_written`. The endpoint's address is below.
//! * Slowloris in the first three steps of an opening (look-up, TCP, TLS): `each_step_has_its_own_deadline` in
//!   `src/session/dialogues/opening.rs`.
//! * TLS, in `src/net/tls/tests.rs`. A flood of empty records or of warnings: `a_server_that_never_sends_data_is_disconnected`.
//!   A record or a message that is too long, and key updates that are cut: `invalid_messages_after_the_handshake_end_the_connection`.
//!   A request to renegotiate: `harmless_messages_are_ignored`. Truncation: `a_clean_end_and_a_cut_are_different_and_lose_nothing`.
//!   Flipped bits: `a_flipped_bit_is_never_accepted_as_data`.

use std::sync::Arc;
use std::time::Duration;

use hoga::config::{Config, Endpoint, InvalidEndpoint, InvalidProxy, Proxy, Roots};
use hoga::model::{ConnectionId, DataType, DisconnectKind, Nanos, Noun, Receipt, Sink, StreamKey};
use hoga::plan::DesiredSet;
use hoga::session::{Action, Budget, Disconnect, Entropy, Event, Rate, Session, SocketId};
use hoga::ws::{CloseCode, Limits, MAX_HEADER_BYTES, Violation};
use hoga_testing::allocations::{on_this_thread, peak_during};
use hoga_testing::{Rng, frames, messages};
use tungstenite::handshake::derive_accept_key;

/// The most memory that an attack may cost.
const MEMORY_MAX: i64 = 4 << 20;
/// An attack that has sent this many bytes and was neither refused nor harmless has succeeded.
const FLOOD_BYTES: usize = 32 << 20;
/// The largest number of bytes that one call of [`Victim::receive`] passes on.
const READ_BYTES: usize = 16 * 1024;

struct Seeded(Rng);

impl Entropy for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
}

/// Discards all messages.
struct Discard;

impl Sink for Discard {
    fn deliver<T: Noun>(&mut self, _: Receipt, _: &T) {}
}

/// A connection whose peer is the attacker.
struct Victim {
    session: Session,
    socket: SocketId,
    now: Nanos,
    ended: Option<Disconnect>,
    /// The number of bytes that the session took.
    taken: usize,
    /// How many of the outgoing bytes the peer leaves unread, each time it reads.
    unread: usize,
}

impl Victim {
    /// Returns a connection that has sent its opening request.
    fn opening() -> Self {
        let endpoint = Endpoint::custom("ws://127.0.0.1:9/websocket/v1").unwrap();
        let connects = Budget::new([Rate { count: 5, window: Duration::from_secs(1) }]);
        let config = Arc::new(Config { endpoint, ..Config::default() });
        let session = Session::new(ConnectionId(0), config, Box::new(connects), Box::new(Seeded(Rng::new(1))));
        let now = Nanos::from_millis(1_790_000_000_000);
        let mut victim = Self { session, socket: SocketId(0), now, ended: None, taken: 0, unread: 0 };
        let streams = [StreamKey::of(DataType::Trade, "KRW-BTC".parse().unwrap())].into_iter().collect();
        victim.session.set_desired(now, DesiredSet { revision: 1, streams, ..DesiredSet::default() });
        while let Some(action) = victim.session.poll_action() {
            if let Action::Connect(socket, _) = action {
                victim.socket = socket;
            }
        }
        victim.session.handle_connected(now, victim.socket);
        victim
    }

    /// Returns an open connection that has received data.
    fn open() -> Self {
        let mut victim = Self::opening();
        let answer = victim.switching_protocols("");
        victim.receive(answer.as_bytes());
        victim.receive(&trade());
        assert_eq!((victim.session.data_received(), &victim.ended), (1, &None));
        victim.taken = 0;
        victim
    }

    /// Returns a valid answer to the opening request, with these lines added.
    fn switching_protocols(&self, lines: &str) -> String {
        let request = String::from_utf8(self.session.poll_transmit(self.socket).to_vec()).unwrap();
        let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
        let accept = derive_accept_key(key.as_bytes());
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n{lines}\r\n"
        )
    }

    /// Passes bytes of the attacker to the session, and takes the answers. Does nothing after the socket has ended.
    fn receive(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(READ_BYTES) {
            let spare = self.session.spare(self.socket);
            if spare.is_empty() {
                return;
            }
            spare[..piece.len()].copy_from_slice(piece);
            self.taken += piece.len();
            self.session.handle_received(self.now, self.socket, piece.len(), &mut Discard);
            self.settle();
        }
    }

    fn settle(&mut self) {
        let sent = self.session.poll_transmit(self.socket).len().saturating_sub(self.unread);
        self.session.transmitted(self.socket, sent);
        while self.session.poll_action().is_some() {}
        while let Some(event) = self.session.poll_event() {
            if let Event::Disconnected { reason, .. } = event {
                self.ended.get_or_insert(reason);
            }
        }
    }

    /// Lets this much time pass, or less if the socket ends earlier.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while self.ended.is_none() && self.session.poll_timeout() <= end {
            self.now = self.session.poll_timeout().max(self.now);
            self.session.handle_timeout(self.now);
            self.settle();
        }
        self.now = self.now.max(end);
    }

    /// Receives `first`, and then `again` until the socket ends or [`FLOOD_BYTES`] were sent. Returns how the socket
    /// ended.
    #[track_caller]
    fn flood(&mut self, first: &[u8], again: &[u8]) -> Option<Disconnect> {
        let peak = peak_during(|| {
            self.receive(first);
            while self.ended.is_none() && self.taken < FLOOD_BYTES {
                self.receive(again);
            }
        });
        assert!(peak <= MEMORY_MAX, "{peak} bytes of memory");
        self.ended.take()
    }
}

/// Returns a trade of `KRW-BTC` in a frame.
fn trade() -> Vec<u8> {
    let mut rng = Rng::new(7);
    let text = loop {
        let text = messages::trade(&mut rng).write(true);
        if text.contains("KRW-BTC") {
            break text;
        }
    };
    frames::server(frames::BINARY, text.as_bytes())
}

/// Attacks on the opening handshake.
mod opening {
    use super::*;

    const STATUS: &str = "HTTP/1.1 101 Switching Protocols\r\n";

    #[track_caller]
    fn assert_refused_early(victim: &mut Victim, first: &str, again: &[u8]) {
        let ended = victim.flood(first.as_bytes(), again);
        assert!(matches!(&ended, Some(Disconnect::Handshake(why)) if why.contains("too large")), "{ended:?}");
        assert!(victim.taken <= MAX_HEADER_BYTES + again.len(), "{} bytes were taken", victim.taken);
    }

    /// A header without end cost tungstenite quadratic time, because it was parsed again after each read (also
    /// RUSTSEC-2023-0065).
    #[test]
    fn cve_2023_43669_a_header_without_end() {
        for piece in [&b"x"[..], &[b'x'; 1000], &[b'x'; READ_BYTES], b"\r", b" \t", b"\n "] {
            assert_refused_early(&mut Victim::opening(), &format!("{STATUS}X: "), piece);
        }
        // A status line, a name of a header and a body's length without end.
        assert_refused_early(&mut Victim::opening(), "HTTP/1.1 101 ", b"x");
        assert_refused_early(&mut Victim::opening(), STATUS, b"x");
        assert_refused_early(&mut Victim::opening(), &format!("{STATUS}Content-Length: "), b"9");
    }

    /// A request with more headers than a limit crashed a server of ws for Node.js; here the answer has them.
    #[test]
    fn cve_2024_37890_very_many_headers() {
        assert_refused_early(&mut Victim::opening(), STATUS, b"a:b\r\n");
        let mut victim = Victim::opening();
        let answer = victim.switching_protocols(&"a:b\r\n".repeat(3000));
        assert!(answer.len() < MAX_HEADER_BYTES);
        assert_refused_early(&mut victim, &answer, b"");
    }

    /// A value of `Sec-WebSocket-Protocol` made a regular expression of ws for Node.js backtrack for minutes. Here no
    /// header costs more allocations than one of normal length, and each byte is looked at a fixed number of times,
    /// because there are no regular expressions.
    #[test]
    fn cve_2021_32640_a_header_that_is_hard_to_parse() {
        let names = ["Connection", "Upgrade", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Date", "X"];
        for (name, hard) in
            names.iter().flat_map(|name| ["a, ", ",", "b  ", "\t \t", "a=\"", ";", "a;b=c,"].map(|hard| (name, hard)))
        {
            let cost = |repeated: usize| {
                let mut victim = Victim::opening();
                let answer = victim.switching_protocols(&format!("{name}: {}b\r\n", hard.repeat(repeated)));
                let before = on_this_thread();
                let peak = peak_during(|| victim.receive(answer.as_bytes()));
                assert!(peak <= MEMORY_MAX, "{peak} bytes of memory");
                on_this_thread() - before
            };
            let (short, long) = (cost(2), cost(15_000 / hard.len()));
            assert!(long <= short + 20, "{name}, {hard:?}: {short} and {long} allocations");
        }
    }

    /// A server that uses permessage-deflate can send a few bytes that inflate to gigabytes, and a bad size of its
    /// window crashed undici (CVE-2026-2229). No extension is offered, so an answer that uses one is refused.
    #[test]
    fn cve_2026_1526_an_answer_with_permessage_deflate() {
        for parameters in
            ["", "; server_max_window_bits=8", "; server_max_window_bits=999", "; client_max_window_bits=\"\""]
        {
            let mut victim = Victim::opening();
            let answer =
                victim.switching_protocols(&format!("Sec-WebSocket-Extensions: permessage-deflate{parameters}\r\n"));
            let ended = victim.flood(answer.as_bytes(), b"");
            assert!(matches!(&ended, Some(Disconnect::Handshake(why)) if why.contains("extension")), "{ended:?}");
        }
    }

    /// Line breaks in an option of undici became lines of its opening request.
    #[test]
    fn cve_2026_1527_line_breaks_in_the_address() {
        for (address, error) in [
            ("wss://a.test\r\nX: y/", InvalidEndpoint::Host),
            ("wss://a.test:443\r\nX: y", InvalidEndpoint::Port),
            ("wss://a.test/path HTTP/1.1\r\nX: y", InvalidEndpoint::Path),
            ("wss://a.test/path\nX:y", InvalidEndpoint::Path),
            ("wss://a.test?query\rX:y", InvalidEndpoint::Path),
        ] {
            assert_eq!(Endpoint::custom(address), Err(error), "{address:?}");
        }
    }

    /// The same in a proxy's address and login, which become lines of CONNECT. Escapes are decoded first.
    #[test]
    fn cve_2026_1527_line_breaks_in_a_proxy() {
        for (proxy, error) in [
            ("http://a.test\r\nX: y", InvalidProxy::Host),
            ("http://a.test:80\r\nX: y", InvalidProxy::Port),
            ("http://user\r\nX: y@a.test", InvalidProxy::Credentials),
            ("http://user%0D%0AX:y@a.test", InvalidProxy::Credentials),
            ("socks5://user:%0a@a.test", InvalidProxy::Credentials),
        ] {
            assert_eq!(Proxy::new(proxy), Err(error), "{proxy:?}");
        }
    }

    /// A peer that sends one byte at a time keeps a client without deadlines busy for hours.
    #[test]
    fn slowloris_in_the_answer_and_in_the_body_of_a_refusal() {
        for (answer, kind) in [
            (STATUS, DisconnectKind::UpgradeTimeout),
            ("HTTP/1.1 503 Busy\r\nContent-Length: 4000\r\n\r\n", DisconnectKind::UpgradeRejected),
        ] {
            let mut victim = Victim::opening();
            let start = victim.now;
            let peak = peak_during(|| {
                victim.receive(answer.as_bytes());
                while victim.ended.is_none() {
                    victim.receive(b"x");
                    victim.wait(Duration::from_millis(10));
                }
            });
            assert!(peak <= MEMORY_MAX, "{peak} bytes of memory");
            assert_eq!(victim.ended.as_ref().map(Disconnect::kind), Some(kind));
            assert!(victim.now.since(start) <= Config::default().timeouts.upgrade + Duration::from_millis(10));
        }
    }
}

/// Attacks with frames on an open socket.
mod frames_of_an_open_socket {
    use super::*;

    const LIMITS: Limits = Limits { max_message: 1 << 20, max_fragments: 1024 };
    const FIN: u8 = 0x80;

    fn claim(first: u8, len: u64) -> Vec<u8> {
        [&[first, 127][..], &len.to_be_bytes()].concat()
    }

    #[track_caller]
    fn assert_too_big(ended: Option<Disconnect>) {
        match ended {
            Some(Disconnect::Violation(violation)) => assert_eq!(violation.close_code(), CloseCode::Size),
            other => panic!("{other:?}"),
        }
    }

    /// rust-websocket allocated the length that a header claims before any byte of the payload had arrived (also
    /// RUSTSEC-2022-0035).
    #[test]
    fn cve_2022_35922_a_header_that_claims_a_long_payload() {
        for first in [FIN | 1, FIN | 2, 1, 2] {
            let mut victim = Victim::open();
            let peak = peak_during(|| victim.receive(&claim(first, LIMITS.max_message as u64)));
            assert!(peak <= MEMORY_MAX, "{peak} bytes of memory");
            assert_eq!(victim.ended, None, "the limit itself is allowed");
            victim.receive(&[b'x'; READ_BYTES]);
            assert_eq!(victim.ended, None);

            let mut victim = Victim::open();
            let peak = peak_during(|| victim.receive(&claim(first, LIMITS.max_message as u64 + 1)));
            assert!(peak <= 64 * 1024, "{peak} bytes of memory for a refused frame");
            assert_too_big(victim.ended);
        }
    }

    /// undici computed with the 64-bit length of a frame in a smaller type.
    #[test]
    fn cve_2026_1528_a_length_of_64_bits() {
        for len in
            [u64::MAX, u64::MAX - 9, 1 << 63, (1 << 63) - 1, (1 << 53) + 1, 1 << 32, (1 << 32) | 5, (1 << 31) | 5]
        {
            for first in [FIN | 1, FIN | 2, 1, 2] {
                let mut victim = Victim::open();
                victim.receive(&claim(first, len));
                let (size, limit) = (len, LIMITS.max_message);
                assert_eq!(victim.ended, Some(Disconnect::Violation(Violation::TooBig { size, limit })));
            }
            // The length of a later fragment, added to the first.
            let mut victim = Victim::open();
            victim.receive(&frames::server(2, b"first"));
            victim.receive(&claim(FIN, len));
            assert_too_big(victim.ended);
        }
    }

    /// undici kept each fragment of an unfinished message, also the empty ones, without a limit.
    #[test]
    fn cve_2026_12151_fragments_without_end() {
        for kind in [1, 2] {
            for payload in [&b""[..], b"x"] {
                let mut victim = Victim::open();
                let again = frames::server(0, payload);
                assert_too_big(victim.flood(&frames::server(kind, payload), &again));
                assert!(victim.taken <= again.len() * (LIMITS.max_fragments as usize + 1), "{}", victim.taken);
            }
            // Control frames between the fragments do not start the count again.
            let again = [frames::server(0, b""), frames::server(frames::PING, b"x")].concat();
            let mut victim = Victim::open();
            assert_too_big(victim.flood(&frames::server(kind, b""), &again));
            assert!(victim.taken <= again.len() * (LIMITS.max_fragments as usize + 1), "{}", victim.taken);
        }
    }

    /// undici compared each fragment with the limit of a message, but not their sum.
    #[test]
    fn cve_2026_9675_fragments_that_are_too_long_together() {
        for kind in [1, 2] {
            for len in [2000, 60_000, 300_000, LIMITS.max_message] {
                let payload = vec![b'x'; len];
                let mut victim = Victim::open();
                assert_too_big(victim.flood(&frames::server(kind, &payload), &frames::server(0, &payload)));
                assert!(victim.taken <= LIMITS.max_message + len + READ_BYTES, "{} bytes were taken", victim.taken);
            }
        }
    }

    /// A deflate bomb without an answer that has announced compression: the bit that marks it ends the socket.
    #[test]
    fn cve_2026_1526_a_compressed_frame() {
        let mut victim = Victim::open();
        let ended = victim.flood(b"\xc2\x05", b"\x00\x00\x00\xff\xff");
        assert_eq!(ended, Some(Disconnect::Violation(Violation::ReservedBits)));
        assert_eq!(victim.taken, 2);
    }

    /// Clients that queue a pong for each ping ran out of memory if the peer did not read them, or read them too slowly.
    #[test]
    fn slow_pongs() {
        let pings = frames::server(frames::PING, &[b'x'; 125]).repeat(100);
        for unread in [0, 1, 5000, usize::MAX] {
            let mut victim = Victim::open();
            victim.unread = unread;
            assert_eq!(victim.flood(b"", &pings), None, "a flood of pings is no reason to disconnect");
            let counters = victim.session.counters();
            assert_eq!(counters.pings_received as usize, victim.taken / 127);
            assert_eq!(counters.pings_unanswered > 0, unread > 1, "{unread} bytes are left unread");
        }
    }

    /// A peer that floods close frames, pongs, or messages that cannot be read.
    #[test]
    fn floods_of_other_frames() {
        let mut victim = Victim::open();
        assert_eq!(victim.flood(b"", &frames::server(frames::PONG, b"unsolicited").repeat(1000)), None);
        let mut victim = Victim::open();
        assert_eq!(victim.flood(b"", &frames::server(frames::BINARY, &[b'['; 60_000])), None);
        assert!(victim.session.counters().malformed > 500);
        let mut victim = Victim::open();
        let ended = victim.flood(b"", &frames::server(frames::CLOSE, b"").repeat(1000));
        assert_eq!(ended.map(|ended| ended.kind()), Some(DisconnectKind::ClosedByPeer));
        assert!(victim.taken <= READ_BYTES);
    }

    /// A frame, or a message in many fragments, that arrives one byte at a time.
    #[test]
    fn slowloris_in_a_frame_and_in_a_fragmented_message() {
        let timeouts = Config::default().timeouts;
        let mut victim = Victim::open();
        let start = victim.now;
        victim.receive(&claim(FIN | 2, LIMITS.max_message as u64));
        while victim.ended.is_none() {
            victim.receive(b"x");
            victim.wait(Duration::from_millis(500));
        }
        assert_eq!(victim.ended, Some(Disconnect::Silent(timeouts.silent_after)));
        assert!(victim.now.since(start) <= timeouts.silent_after + Duration::from_millis(500));

        // The pings show that the peer is there, so only the missing data ends the socket.
        let mut victim = Victim::open();
        let start = victim.now;
        victim.receive(&frames::server(2, b""));
        while victim.ended.is_none() {
            victim.receive(&[frames::server(0, b"x"), frames::server(frames::PING, b"")].concat());
            victim.wait(Duration::from_millis(500));
        }
        assert_eq!(victim.ended.as_ref().map(Disconnect::kind), Some(DisconnectKind::Mute));
        assert!(victim.now.since(start) <= timeouts.quiet_after + timeouts.probe + Duration::from_millis(500));
    }
}

/// Attacks on the TLS client, which is ours after the handshake.
mod tls {
    use std::io::{self, Read, Write};

    use hoga::net::{Tls, TlsConfig};
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use rustls::{ServerConfig, ServerConnection};

    use super::*;

    /// A socket whose other end is the attacker. The client's bytes are discarded if there is no `server`.
    #[derive(Default)]
    struct Attacker {
        server: Option<ServerConnection>,
        to_client: Vec<u8>,
        piece: usize,
        /// Whether the client's bytes are refused, as by a full socket.
        is_deaf: bool,
    }

    impl Attacker {
        fn collect(&mut self) -> io::Result<()> {
            if let Some(server) = &mut self.server {
                while server.wants_write() {
                    server.write_tls(&mut self.to_client)?;
                }
            }
            Ok(())
        }
    }

    impl Read for Attacker {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let n = into.len().min(self.piece).min(self.to_client.len());
            into[..n].copy_from_slice(&self.to_client[..n]);
            self.to_client.drain(..n);
            if n == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(n) }
        }
    }

    impl Write for Attacker {
        fn write(&mut self, mut bytes: &[u8]) -> io::Result<usize> {
            let len = bytes.len();
            if self.is_deaf {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            if let Some(server) = &mut self.server {
                while !bytes.is_empty() {
                    server.read_tls(&mut bytes)?;
                    server.process_new_packets().map_err(io::Error::other)?;
                    while server.reader().read(&mut [0; 100]).is_ok_and(|n| n > 0) {}
                }
            }
            self.collect()?;
            Ok(len)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Returns an open connection to an attacker who has a certificate.
    fn open() -> (Tls, Attacker) {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let server = ServerConnection::new(Arc::new(config)).unwrap();
        let mut attacker = Attacker { server: Some(server), piece: usize::MAX, ..Attacker::default() };
        let mut tls =
            Tls::new(&TlsConfig::new(&Roots::bundled().and_pem(cert.pem())).unwrap(), "localhost", &[]).unwrap();
        while let Err(error) = tls.handshake(&mut attacker) {
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
            tls.readable(false);
        }
        (tls, attacker)
    }

    /// Each key update asks for one in return, so a peer that does not read makes the answers pile up.
    #[test]
    fn key_update_flood() {
        for is_deaf in [false, true] {
            let (mut tls, mut attacker) = open();
            attacker.is_deaf = is_deaf;
            let mut ended = None;
            let mut rounds = 0;
            let peak = peak_during(|| {
                while ended.is_none() && rounds < 5_000 {
                    let server = attacker.server.as_mut().unwrap();
                    server.refresh_traffic_keys().unwrap();
                    server.writer().write_all(b"data").unwrap();
                    attacker.collect().unwrap();
                    tls.readable(false);
                    if let Err(error) = tls.read(&mut attacker, &mut [0; 100]) {
                        ended = Some(error);
                    }
                    if !is_deaf {
                        // rustls accepts only a few key updates in a row without data.
                        tls.write(b"data").unwrap();
                        tls.flush(&mut attacker).unwrap();
                    }
                    rounds += 1;
                }
            });
            assert!(peak <= MEMORY_MAX, "{peak} bytes of memory");
            // Answers that are read are as many as the key updates, and cost nothing that lasts.
            let ended = ended.map(|error| error.kind());
            assert_eq!(ended, is_deaf.then_some(io::ErrorKind::InvalidData), "after {rounds} key updates");
        }
    }

    /// Feeds a client that waits for the server's part of the handshake. Returns how many bytes it took before it failed.
    #[track_caller]
    fn handshake_with(first: &[u8], again: &[u8], piece: usize) -> usize {
        let mut tls = Tls::new(&TlsConfig::new(&Roots::bundled()).unwrap(), "localhost", &[]).unwrap();
        let mut attacker = Attacker { to_client: first.to_vec(), piece, ..Attacker::default() };
        let mut given = first.len();
        let peak = peak_during(|| {
            loop {
                match tls.handshake(&mut attacker) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock && given < FLOOD_BYTES => {
                        tls.readable(false);
                        if attacker.to_client.is_empty() {
                            attacker.to_client.extend_from_slice(again);
                            given += again.len();
                        }
                    }
                    Err(error) => break assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}"),
                    Ok(()) => panic!("opened"),
                }
            }
        });
        assert!(peak <= MEMORY_MAX, "{peak} bytes of memory");
        given
    }

    /// A message of the handshake that claims 16 MB, in whole records, in records of one byte, and byte by byte.
    #[test]
    fn a_handshake_message_without_end() {
        let long = [&[22, 3, 3, 0x40, 0][..], &[0; 16 * 1024]].concat();
        let claim = [22, 3, 3, 0, 4, 2, 0xff, 0xff, 0xff];
        for (again, piece) in [(&long[..], usize::MAX), (&[22, 3, 3, 0, 1, 0], usize::MAX), (&[22, 3, 3, 0, 1, 0], 1)] {
            let taken = handshake_with(&claim, again, piece);
            assert!(taken <= 256 * 1024, "{taken} bytes were taken");
        }
    }

    /// A record that claims 64 KB, and text that is not TLS.
    #[test]
    fn an_oversize_record() {
        assert_eq!(handshake_with(&[22, 3, 3, 0xff, 0xff], &[0; 1000], 1), 5);
        let taken = handshake_with(b"HTTP/1.1 400 Bad Request\r\n", &[b'x'; 1000], 100);
        assert!(taken <= 64 * 1024, "{taken} bytes were taken");
    }
}

/// Attacks on the libraries that do the cryptography: fixed in the versions that are used.
mod versions {
    /// Returns the version of a package in `Cargo.lock`.
    fn version(package: &str) -> Vec<u32> {
        let name = format!("name = \"{package}\"\nversion = \"");
        let lock = include_str!("../../Cargo.lock");
        let mut found = lock.split(&name).skip(1).map(|rest| rest.split('"').next().unwrap());
        let version = found.next().unwrap();
        assert_eq!(found.next(), None, "{package} is there twice");
        version.split('.').map(|part| part.parse().unwrap()).collect()
    }

    /// Constraints on names, and lists of revoked certificates, were not checked as the standard demands.
    #[test]
    fn rustsec_2026_0049_0098_0099_0104_checks_of_certificates() {
        assert!(version("rustls-webpki") >= vec![0, 103, 13]);
    }

    /// AES of ring panicked on some inputs in programs that check for overflow.
    #[test]
    fn rustsec_2025_0009_a_panic_in_aes() {
        assert!(version("ring") >= vec![0, 17, 12]);
    }
}
