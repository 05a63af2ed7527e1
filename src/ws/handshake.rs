//! The opening handshake (RFC 6455 section 4), sans-IO. Follows no redirect and reads no clock.
//!
//! No byte after the answer's blank line is read here, because these bytes are frames for the
//! [`FrameReader`](super::FrameReader). Nothing is logged, because the caller's headers may contain a token.

use super::ReceiveBuffer;
use super::answer::Answer;
use super::rejection::{Framing, Rejection, date};
use super::request;
use crate::model::Nanos;
use std::fmt;
use tungstenite::handshake::derive_accept_key;

/// Maximum length of an answer's header, in bytes, with the interim answers before it. Even with the additions of a
/// proxy, headers stay below 4 KiB.
pub const MAX_HEADER_BYTES: usize = 16 * 1024;

/// One opening handshake. [`start`](Self::start) returns the request to send. After each read, [`handle`](Self::handle)
/// reports whether the answer is complete.
pub struct Handshake {
    stage: Stage,
}

enum Stage {
    /// The answer's header is not complete. Its first `scanned` bytes were searched for its end, and it may have `left`
    /// bytes.
    Header {
        /// The expected value of `Sec-WebSocket-Accept`.
        accept: String,
        scanned: usize,
        left: usize,
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
    /// [`HandshakeError::InvalidRequest`] if the host, the path or a header is invalid; see
    /// [`header_problem`](super::header_problem).
    pub fn start(
        host: &str,
        port: u16,
        path: &str,
        secure: bool,
        headers: &[(&str, &str)],
        key: [u8; 16],
    ) -> Result<(Self, Vec<u8>), HandshakeError> {
        let key = data_encoding::BASE64.encode(&key);
        let request = request::write(host, port, path, secure, headers, &key)?;
        let accept = derive_accept_key(key.as_bytes());
        Ok((Self { stage: Stage::Header { accept, scanned: 0, left: MAX_HEADER_BYTES } }, request))
    }

    /// Reads the received bytes. Call it after each read until it returns [`Progress::Done`] or an error.
    ///
    /// # Errors
    /// Any [`HandshakeError`] except `InvalidRequest` and `Closed`. Returns [`HandshakeError::Rejected`] once the body
    /// of the rejection is complete or has [`MAX_BODY_BYTES`](super::MAX_BODY_BYTES). If neither happens before the
    /// caller's deadline, [`handle_eof`](Self::handle_eof) returns the rejection with the part of the body that has
    /// arrived.
    pub fn handle(&mut self, buffer: &mut ReceiveBuffer) -> Result<Progress, HandshakeError> {
        while let Stage::Header { scanned, left, .. } = &mut self.stage {
            let Some(size) = find_header(buffer.unparsed(), *left, scanned)? else { return Ok(Progress::NeedMore) };
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

    /// Handles a header, which is the first `size` bytes of the buffer.
    fn handle_header(&mut self, size: usize, buffer: &mut ReceiveBuffer) -> Result<(), HandshakeError> {
        let Stage::Header { accept, left, .. } = std::mem::replace(&mut self.stage, Stage::Failed) else {
            return Ok(());
        };
        let answer = Answer::read(&buffer.unparsed()[..size])?;
        buffer.consume(size);
        let (status, fields) = (answer.status, &answer.fields);
        self.stage = match status {
            101 => {
                answer.check_upgrade(&accept)?;
                Stage::Done { date: date(fields) }
            }
            // Interim answers, such as 103, come before the final one and say nothing about it (RFC 9110 section 15.2).
            100..=199 => Stage::Header { accept, scanned: 0, left: left - size },
            _ => Stage::Body { rejection: Rejection::new(status, fields), framing: Framing::of(status, fields) },
        };
        Ok(())
    }
}

/// Returns the length of the header, if all of it has arrived. Refuses invalid bytes, and more than `left` bytes, as
/// early as possible.
///
/// The first `scanned` bytes were searched before, so that a header that arrives byte by byte is not searched from the
/// start each time.
pub(super) fn find_header(bytes: &[u8], left: usize, scanned: &mut usize) -> Result<Option<usize>, HandshakeError> {
    const PROTOCOL: &[u8] = b"HTTP/";
    let seen = bytes.len().min(PROTOCOL.len());
    if bytes[..seen] != PROTOCOL[..seen] {
        return Err(HandshakeError::Protocol("the answer is not HTTP".into()));
    }
    let bytes = &bytes[..bytes.len().min(left)];
    // A line feed alone also ends a line (RFC 9112 section 2.2).
    let ends = |at: &usize| bytes[*at..].starts_with(b"\n\n") || bytes[*at..].starts_with(b"\n\r\n");
    if let Some(at) = (*scanned..bytes.len()).find(ends) {
        return Ok(Some(at + if bytes[at + 1] == b'\n' { 2 } else { 3 }));
    }
    if bytes.len() == left {
        return Err(HandshakeError::TooLarge);
    }
    *scanned = bytes.len().saturating_sub(2);
    Ok(None)
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidRequest(why) => write!(f, "the request is invalid: {why}"),
            Self::Rejected(rejection) => rejection.fmt(f),
            Self::TooLarge => f.write_str("the answer's header is too large"),
            Self::Protocol(why) => f.write_str(why),
            Self::Closed => f.write_str("the peer closed before its answer was complete"),
        }
    }
}

impl std::error::Error for HandshakeError {}
