//! The opening handshake (RFC 6455 section 4), sans-IO, based on tungstenite. Follows no redirect and reads no clock.
//!
//! tungstenite writes the request and validates the answer. It never sees the caller's headers, because it logs the
//! request, and a token must not reach a log. It never sees a byte after the answer's blank line, because these bytes
//! are frames for the [`FrameReader`](super::FrameReader).

use super::ReceiveBuffer;
use super::rejection::{Framing, Rejection, date, printable};
use crate::model::Nanos;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Write};
use tungstenite::handshake::MidHandshake;
use tungstenite::handshake::client::{ClientHandshake, Response};
use tungstenite::http::{HeaderName, HeaderValue, Request, Uri};
use tungstenite::protocol::WebSocketConfig;

/// Maximum length of an answer's header, in bytes. Even with the additions of a proxy, headers stay below 4 KiB.
pub const MAX_HEADER_BYTES: usize = 16 * 1024;

/// Headers that the caller may not set, because the handshake writes them itself or because they must not be sent. With
/// an `Origin` the exchange allows only one connect in ten seconds, and we offer no extension or subprotocol.
const OWN_HEADERS: [&str; 8] = [
    "host",
    "connection",
    "upgrade",
    "sec-websocket-version",
    "sec-websocket-key",
    "sec-websocket-extensions",
    "sec-websocket-protocol",
    "origin",
];

/// One opening handshake. [`start`](Self::start) returns the request to send. After each read, [`handle`](Self::handle)
/// reports whether the answer is complete.
pub struct Handshake {
    stage: Stage,
}

enum Stage {
    /// The answer's header is not complete. Its first `scanned` bytes were searched for its end.
    Header {
        opening: Box<Opening>,
        scanned: usize,
    },
    /// The answer was a rejection; its body is not complete.
    Body {
        rejection: Rejection,
        framing: Framing,
    },
    Done {
        date: Option<Nanos>,
    },
    Failed,
}

type Opening = MidHandshake<ClientHandshake<Memory>>;

/// The progress of a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The answer is not complete: receive more.
    NeedMore,
    /// The connection is open. Bytes received after the answer are in the buffer, for the frame reader.
    Done,
}

/// Why a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandshakeError {
    /// The request is invalid: a bad host, path or header, or a header that the caller may not set. Nothing was sent.
    InvalidRequest(Box<str>),
    /// The server answered with a status other than 101.
    Rejected(Rejection),
    /// The answer's header has more than [`MAX_HEADER_BYTES`] bytes or more than 124 lines.
    TooLarge,
    /// The answer is not HTTP, or violates the rules of the handshake.
    Protocol(Box<str>),
    /// The peer closed before its answer was complete.
    Closed,
}

impl Handshake {
    /// Begins a handshake and returns the bytes to send. `secure` selects `wss` instead of `ws`. `key` is 16 random
    /// bytes, new for each handshake (RFC 6455 section 4.1). `headers`, such as `Authorization`, are sent unchanged.
    ///
    /// # Errors
    /// [`HandshakeError::InvalidRequest`] if the host, the path or a header is invalid, or if `headers` contains a
    /// header of the handshake itself, `Origin`, or an offer of extensions or subprotocols.
    pub fn start(
        host: &str,
        port: u16,
        path: &str,
        secure: bool,
        headers: &[(&str, &str)],
        key: [u8; 16],
    ) -> Result<(Self, Vec<u8>), HandshakeError> {
        let authority = authority(host, port, secure);
        let scheme = if secure { "wss" } else { "ws" };
        let uri: Uri = format!("{scheme}://{authority}{path}").parse().map_err(invalid_request)?;
        // The parsed authority differs if part of the host was parsed as path, or part of the path as host.
        let is_whole = uri.authority().is_some_and(|parsed| parsed.as_str() == authority && !authority.contains('@'));
        if !is_whole || !path.starts_with('/') {
            return Err(invalid_request("the host or the path is invalid"));
        }
        let request = Request::builder()
            .uri(uri)
            .header("Host", authority)
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", base64(key))
            .body(())
            .map_err(invalid_request)?;
        let mut opening = begin(request)?;
        let mut bytes = std::mem::take(&mut opening.get_mut().get_mut().sent);
        insert_headers(&mut bytes, headers)?;
        Ok((Self { stage: Stage::Header { opening: Box::new(opening), scanned: 0 } }, bytes))
    }

    /// Reads the received bytes. Call it after each read until it returns [`Progress::Done`] or an error.
    ///
    /// # Errors
    /// Any [`HandshakeError`] except `InvalidRequest` and `Closed`. Returns [`HandshakeError::Rejected`] once the body
    /// of the rejection is complete or has [`MAX_BODY_BYTES`](super::MAX_BODY_BYTES). If neither happens before the
    /// caller's deadline, [`handle_eof`](Self::handle_eof) returns the rejection with the part of the body that has
    /// arrived.
    pub fn handle(&mut self, buffer: &mut ReceiveBuffer) -> Result<Progress, HandshakeError> {
        if let Stage::Header { scanned, .. } = &mut self.stage {
            let Some(size) = find_header(buffer.unparsed(), scanned)? else { return Ok(Progress::NeedMore) };
            self.handle_header(size, buffer)?;
        }
        match &mut self.stage {
            Stage::Body { rejection, framing } => {
                let (body, complete) = framing.body(buffer.unparsed());
                if !complete {
                    return Ok(Progress::NeedMore);
                }
                rejection.body = body;
                Err(HandshakeError::Rejected(rejection.clone()))
            }
            Stage::Done { .. } => Ok(Progress::Done),
            Stage::Header { .. } | Stage::Failed => Err(HandshakeError::Protocol("the handshake has failed".into())),
        }
    }

    /// Ends the handshake because the peer closed or the deadline has passed. Returns the rejection if its header has
    /// arrived, otherwise [`HandshakeError::Closed`].
    pub fn handle_eof(&mut self, buffer: &mut ReceiveBuffer) -> HandshakeError {
        match &mut self.stage {
            Stage::Body { rejection, framing } => {
                rejection.body = framing.body(buffer.unparsed()).0;
                HandshakeError::Rejected(rejection.clone())
            }
            Stage::Header { .. } | Stage::Done { .. } | Stage::Failed => HandshakeError::Closed,
        }
    }

    /// Returns the server's `Date` in whole seconds, if the answer has one. `None` before [`Progress::Done`].
    pub fn date(&self) -> Option<Nanos> {
        if let Stage::Done { date } = self.stage { date } else { None }
    }

    /// Handles the header, which is the first `size` bytes of the buffer.
    fn handle_header(&mut self, size: usize, buffer: &mut ReceiveBuffer) -> Result<(), HandshakeError> {
        let Stage::Header { mut opening, .. } = std::mem::replace(&mut self.stage, Stage::Failed) else {
            return Ok(());
        };
        let answer = &mut opening.get_mut().get_mut().answer;
        answer.extend(&buffer.unparsed()[..size]);
        accept_old_rejection(answer.make_contiguous());
        buffer.consume(size);
        match opening.handshake() {
            Ok((_, response)) => {
                refuse_extensions(&response)?;
                self.stage = Stage::Done { date: date(response.headers()) };
                Ok(())
            }
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response))) => {
                let (status, headers) = (response.status().as_u16(), response.headers());
                let rejection = Rejection::new(status, headers);
                self.stage = Stage::Body { rejection, framing: Framing::of(status, headers) };
                Ok(())
            }
            Err(tungstenite::HandshakeError::Failure(error)) => Err(failure(&error)),
            // Unreachable, because the header is complete; but input from the network must never cause a panic.
            Err(tungstenite::HandshakeError::Interrupted(_)) => Err(HandshakeError::Protocol("no header".into())),
        }
    }
}

/// Returns the host, and the port unless it is the scheme's default (RFC 6455 section 4.1, point 4).
fn authority(host: &str, port: u16, secure: bool) -> String {
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
    if port == if secure { 443 } else { 80 } { host } else { format!("{host}:{port}") }
}

fn begin(request: Request<()>) -> Result<Opening, HandshakeError> {
    // The frame layer that tungstenite builds at the end is dropped, so it need not reserve buffers.
    let config = WebSocketConfig::default().read_buffer_size(1).write_buffer_size(0);
    let opening = ClientHandshake::start(Memory::default(), request, Some(config)).map_err(invalid_request)?;
    match opening.handshake() {
        Err(tungstenite::HandshakeError::Interrupted(opening)) => Ok(opening),
        Err(tungstenite::HandshakeError::Failure(error)) => Err(invalid_request(error)),
        Ok(_) => Err(invalid_request("the request was answered before it was sent")),
    }
}

/// Inserts the caller's headers before the blank line that ends the request.
fn insert_headers(request: &mut Vec<u8>, headers: &[(&str, &str)]) -> Result<(), HandshakeError> {
    request.truncate(request.len() - b"\r\n".len());
    for (name, value) in headers {
        // The errors contain the header's name and never its value, which may be a token.
        let parsed = HeaderName::try_from(*name).map_err(|_| invalid_request("a header name is invalid"))?;
        if OWN_HEADERS.contains(&parsed.as_str()) {
            return Err(invalid_request(format_args!("the header {parsed} may not be set by the caller")));
        }
        HeaderValue::from_str(value)
            .map_err(|_| invalid_request(format_args!("the value of the header {parsed} is invalid")))?;
        for part in [name, ": ", value, "\r\n"] {
            request.extend_from_slice(part.as_bytes());
        }
    }
    request.extend_from_slice(b"\r\n");
    Ok(())
}

/// Returns the length of the header, if all of it has arrived. Refuses invalid bytes as early as possible.
///
/// The first `scanned` bytes were searched before, so that a header that arrives byte by byte is not searched from the
/// start each time.
fn find_header(bytes: &[u8], scanned: &mut usize) -> Result<Option<usize>, HandshakeError> {
    const PROTOCOL: &[u8] = b"HTTP/";
    let seen = bytes.len().min(PROTOCOL.len());
    if bytes[..seen] != PROTOCOL[..seen] {
        return Err(HandshakeError::Protocol("the answer is not HTTP".into()));
    }
    let bytes = &bytes[..bytes.len().min(MAX_HEADER_BYTES)];
    // The parser accepts a line feed alone as the end of a line (RFC 9112 section 2.2), so we must as well. If its end
    // of the header differed from ours, bytes of the first frame would be lost.
    let ends = |at: &usize| bytes[*at..].starts_with(b"\n\n") || bytes[*at..].starts_with(b"\n\r\n");
    if let Some(at) = (*scanned..bytes.len()).find(ends) {
        return Ok(Some(at + if bytes[at + 1] == b'\n' { 2 } else { 3 }));
    }
    if bytes.len() == MAX_HEADER_BYTES {
        return Err(HandshakeError::TooLarge);
    }
    *scanned = bytes.len().saturating_sub(2);
    Ok(None)
}

/// Marks a rejection in HTTP/1.0 as HTTP/1.1, because tungstenite refuses HTTP/1.0 before it reads the status. Some
/// proxies send 502 or 503 in HTTP/1.0. A 101 in HTTP/1.0 stays refused, as the RFC requires.
fn accept_old_rejection(answer: &mut [u8]) {
    if answer.starts_with(b"HTTP/1.0 ") && !answer.starts_with(b"HTTP/1.0 101") {
        answer[7] = b'1';
    }
}

/// Applies point 5 of RFC 6455 section 4.1, which tungstenite does not check: an extension must have been offered.
fn refuse_extensions(response: &Response) -> Result<(), HandshakeError> {
    if response.headers().get_all("Sec-WebSocket-Extensions").iter().any(|value| !value.is_empty()) {
        return Err(HandshakeError::Protocol("the server uses an extension that was not offered".into()));
    }
    Ok(())
}

#[cold]
fn failure(error: &tungstenite::Error) -> HandshakeError {
    match error {
        tungstenite::Error::Capacity(_) | tungstenite::Error::AttackAttempt => HandshakeError::TooLarge,
        error => HandshakeError::Protocol(printable(error.to_string().as_bytes())),
    }
}

fn invalid_request(why: impl fmt::Display) -> HandshakeError {
    HandshakeError::InvalidRequest(why.to_string().into())
}

fn base64(key: [u8; 16]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(24);
    for group in key.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for sextet in 0..=group.len() {
            text.push(ALPHABET[(bits >> (18 - 6 * sextet)) as usize & 63].into());
        }
    }
    text.push_str("==");
    text
}

/// An in-memory stream for tungstenite. Keeps written bytes, and returns `WouldBlock` if there is nothing to read.
#[derive(Debug, Default)]
struct Memory {
    sent: Vec<u8>,
    answer: VecDeque<u8>,
}

impl Read for Memory {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.answer.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { self.answer.read(out) }
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sent.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidRequest(why) => write!(f, "the request is invalid: {why}"),
            Self::Rejected(rejection) => rejection.fmt(f),
            Self::TooLarge => f.write_str("the answer's header is too large"),
            Self::Protocol(why) => write!(f, "the answer is not a valid handshake: {why}"),
            Self::Closed => f.write_str("the peer closed before its answer was complete"),
        }
    }
}

impl std::error::Error for HandshakeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_matches_the_example_of_the_rfc() {
        assert_eq!(base64(*b"the sample nonce"), "dGhlIHNhbXBsZSBub25jZQ==");
    }

    #[test]
    fn the_port_is_omitted_if_it_is_the_default_of_the_scheme() {
        assert_eq!(authority("api.upbit.com", 443, true), "api.upbit.com");
        assert_eq!(authority("api.upbit.com", 80, true), "api.upbit.com:80");
        assert_eq!(authority("127.0.0.1", 9443, true), "127.0.0.1:9443");
        assert_eq!(authority("::1", 80, false), "[::1]");
        assert_eq!(authority("[::1]", 8080, false), "[::1]:8080");
    }
}
