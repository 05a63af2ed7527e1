//! The opening handshake: the server's responses to the upgrade, and the client's reactions.

use hoga::model::Nanos;
use hoga::ws::*;
use std::time::Duration;

const KEY: [u8; 16] = *b"the sample nonce";
/// The accept value for [`KEY`] (RFC 6455 section 1.3).
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const TOKEN: (&str, &str) = ("Authorization", "Bearer canary-secret");

/// A handshake in progress.
struct Dialogue {
    handshake: Handshake,
    buffer: ReceiveBuffer,
}

impl Dialogue {
    fn start() -> Self {
        let (handshake, _) = Handshake::start("api.upbit.com", 443, "/websocket/v1", true, &[TOKEN], KEY).unwrap();
        Self { handshake, buffer: ReceiveBuffer::new(64) }
    }

    /// Receives these bytes from the server. Handles each read until the handshake makes progress or the bytes end.
    fn answer(&mut self, mut bytes: &[u8]) -> Result<Progress, HandshakeError> {
        loop {
            let spare = self.buffer.spare();
            let n = spare.len().min(bytes.len());
            spare[..n].copy_from_slice(&bytes[..n]);
            self.buffer.advance(n);
            bytes = &bytes[n..];
            let progress = self.handshake.handle(&mut self.buffer);
            if progress != Ok(Progress::NeedMore) || bytes.is_empty() {
                // The rest of the bytes is still in the socket, not in the buffer.
                self.receive(bytes);
                return progress;
            }
        }
    }

    fn receive(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let spare = self.buffer.spare();
            let n = spare.len().min(bytes.len());
            spare[..n].copy_from_slice(&bytes[..n]);
            self.buffer.advance(n);
            bytes = &bytes[n..];
        }
    }

    #[track_caller]
    fn rejected(&mut self, answer: &[u8]) -> Rejection {
        match self.answer(answer) {
            Err(HandshakeError::Rejected(rejection)) => rejection,
            other => panic!("not rejected: {other:?}"),
        }
    }

    fn eof(&mut self) -> HandshakeError {
        self.handshake.handle_eof(&mut self.buffer)
    }
}

/// Returns a valid response with these lines added.
fn accepted(lines: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n{lines}\r\n"
    )
}

#[track_caller]
fn refused(answer: &str, why: &str) {
    let mut dialogue = Dialogue::start();
    match dialogue.answer(answer.as_bytes()) {
        Err(HandshakeError::Protocol(text)) => assert!(text.contains(why), "{text}"),
        other => panic!("not refused: {other:?}"),
    }
    assert!(dialogue.answer(b"").is_err(), "a failed handshake stays failed");
}

#[test]
fn the_request_has_what_the_rfc_requires_and_no_forbidden_headers() {
    let (_, request) = Handshake::start("127.0.0.1", 8080, "/websocket/v1", false, &[TOKEN], KEY).unwrap();
    assert_eq!(
        String::from_utf8(request).unwrap(),
        "GET /websocket/v1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Authorization: Bearer canary-secret\r\n\r\n"
    );
}

#[test]
fn a_request_with_injected_text_is_not_written() {
    let start = |host, path, headers: &[(&str, &str)]| match Handshake::start(host, 443, path, true, headers, KEY) {
        Err(HandshakeError::InvalidRequest(why)) => why,
        _ => panic!("accepted {host} {path} {headers:?}"),
    };
    for host in ["", "a b", "a\r\nX: y", "user@host", "a/b", "a?b"] {
        start(host, "/", &[]);
    }
    for path in ["", "x", "/a b", "/\r\nX: y"] {
        start("host", path, &[]);
    }
    for name in ["a b", "", "X\r\nY", "X:", "매수"] {
        assert_eq!(&*start("host", "/", &[(name, "canary")]), "the name of a header is invalid");
    }
    for name in ["Host", "connection", "Upgrade", "Sec-WebSocket-Key", "sec-websocket-Version"] {
        assert!(start("host", "/", &[(name, "canary")]).contains(&format!("the header {name} may not be set")));
    }
    for name in ["Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol", "Content-Length", "Transfer-Encoding"] {
        assert!(start("host", "/", &[(name, "canary")]).contains(&format!("the header {name} may not be set")));
    }
    for name in ["Origin", "origin"] {
        assert!(start("host", "/", &[(name, "canary")]).contains("only one connect in ten seconds"));
    }
    for name in ["Origin", "Sec-WebSocket-Extensions", "Host", "a b", ""] {
        let why = start("host", "/", &[(name, "canary")]);
        assert!(!why.contains("canary"), "{why}");
    }
    for value in ["canary\r\nX: y", "canary\0", "canary\n"] {
        let why = start("host", "/", &[("Authorization", value)]);
        assert!(why.contains("Authorization") && !why.contains("canary"), "{why}");
    }
}

#[test]
fn a_valid_response_opens_the_connection() {
    let mut dialogue = Dialogue::start();
    let headers = "remaining-req: group=websocket; min=300; sec=3\r\nlimit-by-ip: Yes\r\n";
    assert_eq!(dialogue.answer(accepted(headers).as_bytes()), Ok(Progress::Done));
    assert!(dialogue.buffer.unparsed().is_empty());
    assert_eq!(dialogue.answer(b""), Ok(Progress::Done), "the connection stays open");
}

#[test]
fn the_servers_time_is_known_if_its_date_header_is_valid() {
    let date = |lines: &str| {
        let mut dialogue = Dialogue::start();
        assert_eq!(dialogue.handshake.date(), None);
        assert_eq!(dialogue.answer(accepted(lines).as_bytes()), Ok(Progress::Done));
        dialogue.handshake.date()
    };
    assert_eq!(date("date: Wed, 11 Mar 2026 14:40:58 GMT\r\n"), Some(Nanos::from_millis(1_773_240_058_000)));
    for nothing in ["", "Date: soon\r\n", "Date: \u{ff}\r\n", "Date: Wed, 31 Dec 1969 23:59:59 GMT\r\n"] {
        assert_eq!(date(nothing), None, "{nothing:?}");
    }
}

#[test]
fn frames_in_the_same_bytes_as_the_response_are_read_with_any_cut() {
    for line_end in ["\r\n", "\n"] {
        let answer = accepted("").replace("\r\n", line_end);
        let stream = [answer.as_bytes(), b"\x82\x02{}", b"\x89\x00"].concat();
        for cut in 0..stream.len() {
            let mut dialogue = Dialogue::start();
            let first = dialogue.answer(&stream[..cut]);
            assert_eq!(first == Ok(Progress::Done), cut >= answer.len(), "cut after byte {cut}");
            assert_eq!(dialogue.answer(&stream[cut..]), Ok(Progress::Done), "cut after byte {cut}");
            let mut frames = FrameReader::new(Limits::default());
            match frames.next(&mut dialogue.buffer) {
                Ok(Some(Incoming::Binary(payload))) => assert_eq!(payload.bytes(), b"{}"),
                other => panic!("{other:?}, cut after byte {cut}"),
            }
            assert_eq!(frames.next(&mut dialogue.buffer), Ok(Some(Incoming::Ping(b""))));
            assert_eq!(frames.next(&mut dialogue.buffer), Ok(None));
        }
    }
}

#[test]
fn a_response_that_arrives_byte_by_byte_opens_the_connection() {
    // So long that tungstenite's own check against many small packets would refuse it.
    let answer = accepted(&format!("X-Filler: {}\r\n", "x".repeat(3000)));
    let mut dialogue = Dialogue::start();
    let (last, before) = answer.as_bytes().split_last().unwrap();
    for byte in before {
        assert_eq!(dialogue.answer(&[*byte]), Ok(Progress::NeedMore));
    }
    assert_eq!(dialogue.answer(&[*last]), Ok(Progress::Done));
}

#[test]
fn each_status_determines_the_reaction() {
    use RejectionKind::*;
    for (status, kind) in [
        (200, Other),
        (204, Other),
        (301, Redirect),
        (302, Redirect),
        (307, Redirect),
        (400, Other),
        (401, Unauthorized),
        (403, Unauthorized),
        (404, Other),
        (418, Banned),
        (426, Other),
        (429, TooManyRequests),
        (500, ServerError),
        (502, ServerError),
        (503, ServerError),
    ] {
        for version in ["1.1", "1.0"] {
            let answer = format!("HTTP/{version} {status} Any\r\nContent-Length: 0\r\nLocation: wss://evil/\r\n\r\n");
            let rejection = Dialogue::start().rejected(answer.as_bytes());
            assert_eq!((rejection.status, rejection.kind), (status, kind));
            assert_eq!((rejection.retry_after, &*rejection.body), (None, ""));
        }
    }
}

#[test]
fn a_ban_has_its_body_and_its_wait_with_any_cut() {
    let answer =
        "HTTP/1.1 418 I'm a teapot\r\nRetry-After: 30\r\nContent-Length: 24\r\n\r\nblocked for 30 seconds\r\nnot ours";
    for cut in 0..answer.len() {
        let (a, b) = answer.as_bytes().split_at(cut);
        let mut dialogue = Dialogue::start();
        let rejection = match dialogue.answer(a) {
            Ok(_) => dialogue.rejected(b),
            Err(HandshakeError::Rejected(rejection)) => rejection,
            Err(error) => panic!("{error}, cut after byte {cut}"),
        };
        assert_eq!(rejection.kind, RejectionKind::Banned);
        assert_eq!(rejection.retry_after, Some(RetryAfter::Wait(Duration::from_secs(30))));
        assert_eq!(&*rejection.body, "blocked for 30 seconds\\r\\n");
    }
}

#[test]
fn a_retry_after_date_is_a_wait_by_the_servers_clock() {
    let until = "Wed, 21 Oct 2026 07:28:00 GMT";
    let retry_after = |date: &str| {
        let answer = format!("HTTP/1.1 429 Too Many\r\n{date}Retry-After: {until}\r\nContent-Length: 0\r\n\r\n");
        let rejection = Dialogue::start().rejected(answer.as_bytes());
        assert_eq!(rejection.kind, RejectionKind::TooManyRequests);
        assert_eq!(rejection.retry_after_text.as_deref(), Some(until));
        rejection.retry_after
    };
    let wait = |seconds| Some(RetryAfter::Wait(Duration::from_secs(seconds)));
    assert_eq!(retry_after("Date: Wed, 21 Oct 2026 07:26:00 GMT\r\n"), wait(120));
    assert_eq!(retry_after(&format!("Date: {until}\r\n")), wait(0));
    assert_eq!(retry_after("Date: Wed, 21 Oct 2026 07:29:00 GMT\r\n"), None, "a date in the past is no wait");
    for date in ["", "Date: today\r\n"] {
        assert_eq!(retry_after(date), Some(RetryAfter::Until(Nanos::from_millis(1_792_567_680_000))));
    }
}

#[test]
fn a_chunked_body_ends_with_its_last_chunk() {
    let answer = "HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n\
                  7\r\n{\"error\r\n4\r\n\":1}\r\n0\r\n\r\n";
    let rejection = Dialogue::start().rejected(answer.as_bytes());
    assert_eq!(rejection.kind, RejectionKind::Unauthorized);
    assert_eq!(&*rejection.body, "{\"error\":1}");
}

#[test]
fn a_body_without_a_length_ends_with_the_connection_or_at_the_limit() {
    let header = "HTTP/1.1 503 Service Unavailable\r\n\r\n";
    let mut dialogue = Dialogue::start();
    assert_eq!(dialogue.answer(header.as_bytes()), Ok(Progress::NeedMore));
    assert_eq!(dialogue.answer(b"over"), Ok(Progress::NeedMore));
    assert_eq!(dialogue.answer(b"loaded"), Ok(Progress::NeedMore));
    let HandshakeError::Rejected(rejection) = dialogue.eof() else { panic!("not rejected") };
    assert_eq!((rejection.status, &*rejection.body), (503, "overloaded"));

    for length in ["", "Content-Length: 999999999\r\n", "Content-Length: -1\r\n"] {
        let endless = format!("HTTP/1.1 503 Service Unavailable\r\n{length}\r\n{}", "x".repeat(3 * MAX_BODY_BYTES));
        let mut dialogue = Dialogue::start();
        assert_eq!(dialogue.rejected(endless.as_bytes()).body.len(), MAX_BODY_BYTES);
    }
}

/// Proxies add items and lines to these headers, and change the case of names.
#[test]
fn lists_lines_and_names_of_any_form_open_the_connection() {
    for (from, to) in [
        ("Connection: Upgrade", "Connection: upgrade, keep-alive"),
        ("Connection: Upgrade", "Connection: keep-alive ,\tUPGRADE"),
        ("Connection: Upgrade", "Connection: keep-alive\r\nConnection: Upgrade"),
        ("Connection: Upgrade", "Connection: ,,upgrade,"),
        ("Connection: Upgrade", "CONNECTION:Upgrade"),
        ("Connection: Upgrade", "connection: \t Upgrade \t"),
        ("Connection: Upgrade", "Connection: Upgrade\r\nSec-WebSocket-Extensions:\r\nSec-WebSocket-Protocol: ,"),
        ("Connection: Upgrade", "Connection: Upgrade\r\nX-Text: caf\u{e9}\r\nX-Empty:"),
        ("Upgrade: websocket", "Upgrade: WebSocket"),
        ("Upgrade: websocket", "Upgrade: h2c, websocket"),
        ("Upgrade: websocket", "Upgrade: h2c\r\nupgrade: websocket"),
        ("Sec-WebSocket-Accept", "sec-websocket-ACCEPT"),
        ("HTTP/1.1 101 Switching Protocols", "HTTP/1.1 101 "),
        ("HTTP/1.1 101 Switching Protocols", "HTTP/1.1 101"),
        ("HTTP/1.1 101 Switching Protocols", "HTTP/1.1 101 \u{b9e4}\u{c218} \u{e9}"),
        ("HTTP/1.1 101 Switching Protocols", "HTTP/1.1  101\tOK: fine"),
        ("HTTP/1.1 101 Switching Protocols", "HTTP/1.2 101 Web Socket Protocol Handshake"),
    ] {
        let answer = accepted("").replacen(from, to, 1);
        assert!(answer.contains(to), "{from}");
        assert_eq!(Dialogue::start().answer(answer.as_bytes()), Ok(Progress::Done), "{to:?}");
    }
}

#[test]
fn interim_responses_are_skipped_with_any_cut() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\nConnection: close\r\n\r\n";
    let interim = format!("HTTP/1.1 100 Continue\r\n\r\n{hints}{hints}HTTP/1.1 102\r\n\r\n");
    let answer = format!("{interim}{}", accepted("")).into_bytes();
    for cut in 0..answer.len() {
        let mut dialogue = Dialogue::start();
        assert_eq!(dialogue.answer(&answer[..cut]), Ok(Progress::NeedMore), "cut after byte {cut}");
        assert_eq!(dialogue.answer(&answer[cut..]), Ok(Progress::Done), "cut after byte {cut}");
        assert!(dialogue.buffer.unparsed().is_empty());
    }
    let refusal = format!("{interim}HTTP/1.1 503 Down\r\nContent-Length: 4\r\n\r\nback");
    let rejection = Dialogue::start().rejected(refusal.as_bytes());
    assert_eq!((rejection.status, &*rejection.body), (503, "back"));
    let mut dialogue = Dialogue::start();
    assert_eq!(dialogue.answer(interim.as_bytes()), Ok(Progress::NeedMore));
    assert_eq!(dialogue.eof(), HandshakeError::Closed);
    refused(&format!("{interim}SSH-2.0"), "not HTTP");
    // Their bytes count, so they cannot go on without end.
    assert_eq!(Dialogue::start().answer(hints.repeat(1000).as_bytes()), Err(HandshakeError::TooLarge));
}

#[test]
fn a_response_that_violates_the_handshake_is_refused() {
    let replaced = |from: &str, to: &str| accepted("").replace(from, to);
    refused(&replaced("s3pP", "AAAA"), "the header Sec-WebSocket-Accept is `AAAALMBiTxaQ9kYGzzhZRbK+xOo=`");
    refused(&replaced("Sec-WebSocket-Accept", "X-Accept"), "the header Sec-WebSocket-Accept is missing");
    refused(&accepted("Sec-WebSocket-Accept: x\r\n"), "`s3pPLMBiTxaQ9kYGzzhZRbK+xOo=, x`, which does not answer");
    refused(&replaced("Upgrade: websocket", "Upgrade: h2c"), "the header Upgrade is `h2c`, without `websocket`");
    refused(&replaced("Upgrade: websocket\r\n", ""), "the header Upgrade is missing");
    refused(
        &replaced("Connection: Upgrade", "Connection: close"),
        "the header Connection is `close`, without `upgrade`",
    );
    refused(&replaced("Connection: Upgrade", "Connection: upgrade-insecure"), "without `upgrade`");
    refused(&replaced("Connection: Upgrade\r\n", ""), "the header Connection is missing");
    refused(&accepted("Sec-WebSocket-Protocol: chat\r\n"), "`chat`, but no subprotocol was offered");
    refused(&accepted("Sec-WebSocket-Extensions: permessage-deflate\r\n"), "`permessage-deflate`, but no extension");
    refused(&accepted("Sec-WebSocket-Extensions:\r\nSec-WebSocket-Extensions: x\r\n"), "but no extension was offered");
    refused(&accepted(&format!("Sec-WebSocket-Protocol: {}\r\n", "x".repeat(1000))), &format!("`{}…`", "x".repeat(60)));
    refused(&replaced("HTTP/1.1", "HTTP/1.0"), "the version is HTTP/1.0");
    refused(&replaced("HTTP/1.1", "HTTP/2"), "the version is `HTTP/2`");
    refused(&replaced("HTTP/1.1", "HTTP/1.10"), "the version is `HTTP/1.10`");
    refused(&accepted("X-One: a\r\n b\r\n"), "the header x-one continues on a second line: ` b`");
    refused("HTTP/1.1 101 OK\r\n\tX: a\r\n\r\n", "the header status continues on a second line");
    refused(&accepted("no colon\x1b\r\n"), "the header line `no colon\\u{1b}` has no colon");
    refused(&accepted("X-One : a\r\n"), "the header name `X-One ` is invalid");
    refused(&accepted(": a\r\n"), "the header name `` is invalid");
    refused(&accepted("X-One: a\rb\r\n"), "the header x-one has control characters: `a\\rb`");
    refused("HTTP/1.1 abc\r\n\r\n", "the line `HTTP/1.1 abc` has no status");
    refused("HTTP/1.1 1010 OK\r\n\r\n", "has no status");
    refused("HTTP/1.1\r\n\r\n", "has no status");
}

#[test]
fn text_that_is_not_http_is_refused_at_its_first_wrong_byte() {
    refused("SSH-2.0-OpenSSH_9.6", "not HTTP");
    refused("HTTX", "not HTTP");
    refused("\r\nHTTP/1.1 101", "not HTTP");
    refused("\x15\x03\x01\x00\x02\x02\x46", "not HTTP");
}

#[test]
fn a_header_of_any_size_is_bounded() {
    let mut dialogue = Dialogue::start();
    let endless = format!("HTTP/1.1 101 Switching Protocols\r\nX: {}", "x".repeat(1 << 20));
    assert_eq!(dialogue.answer(&endless.as_bytes()[..MAX_HEADER_BYTES - 1]), Ok(Progress::NeedMore));
    assert_eq!(dialogue.answer(b"x"), Err(HandshakeError::TooLarge));
    assert_eq!(Dialogue::start().answer(endless.as_bytes()), Err(HandshakeError::TooLarge));

    let fits = accepted(&"X: y\r\n".repeat(120));
    assert_eq!(Dialogue::start().answer(fits.as_bytes()), Ok(Progress::Done));
    let flood = accepted(&"X: y\r\n".repeat(125));
    assert_eq!(Dialogue::start().answer(flood.as_bytes()), Err(HandshakeError::TooLarge));
    let flood = accepted(&"X: y\r\n".repeat(10_000));
    assert_eq!(Dialogue::start().answer(flood.as_bytes()), Err(HandshakeError::TooLarge));
}

#[test]
fn an_end_of_file_before_the_response_is_complete_is_a_close() {
    let answer = accepted("");
    for cut in 0..answer.len() {
        let mut dialogue = Dialogue::start();
        assert_eq!(dialogue.answer(&answer.as_bytes()[..cut]), Ok(Progress::NeedMore));
        assert_eq!(dialogue.eof(), HandshakeError::Closed);
    }
}

#[test]
fn printed_text_never_has_a_control_character() {
    let answer = b"HTTP/1.1 418 x\r\nRetry-After: soon \xff\r\nContent-Length: 5\r\n\r\n\x1b[2J\n";
    let rejection = Dialogue::start().rejected(answer);
    let printed = format!("{rejection} {rejection:?}");
    assert!(printed.contains("[2J") && !printed.contains(|c: char| c.is_control()), "{printed}");
}

mod any_bytes {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_mutated_response_never_panics_and_is_read_the_same_when_cut(
            mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in any::<prop::sample::Index>(),
            rejected in any::<bool>(),
        ) {
            let mut answer = if rejected {
                b"HTTP/1.1 429 Slow\r\nTransfer-Encoding: chunked\r\nRetry-After: 2\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_vec()
            } else {
                accepted("X: y\r\n").into_bytes()
            };
            for (at, byte) in mutations {
                let at = at.index(answer.len());
                answer[at] = byte;
            }
            let mut dialogue = Dialogue::start();
            let whole = dialogue.answer(&answer);
            let (a, b) = answer.split_at(cut.index(answer.len()));
            let mut dialogue = Dialogue::start();
            let parts = match dialogue.answer(a) {
                Ok(Progress::NeedMore) => dialogue.answer(b),
                other => other,
            };
            prop_assert_eq!(parts, whole);
        }
    }
}
