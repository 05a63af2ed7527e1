//! An answer to the upgrade other than 101, and how long it asks us to wait.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use crate::model::{Nanos, is_misleading};
use tungstenite::http::{HeaderMap, header};

/// Maximum number of bytes kept of a rejection's body. Enough for the exchange's error object or a proxy's first lines.
pub const MAX_BODY_BYTES: usize = 4096;

/// A server's answer that refuses the upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejection {
    /// The HTTP status.
    pub status: u16,
    /// The meaning of the status for the next attempt.
    pub kind: RejectionKind,
    /// How long the server asks us to wait, if it states this.
    pub retry_after: Option<RetryAfter>,
    /// The `Retry-After` header as received, with control characters escaped.
    pub retry_after_text: Option<Box<str>>,
    /// The beginning of the body, at most 4096 bytes. Bytes that are not UTF-8 are replaced, and control characters
    /// escaped, so it is safe to log. The content is up to the server.
    pub body: Box<str>,
}

/// How long a server asks us to wait (RFC 9110 section 10.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RetryAfter {
    /// The time to wait: stated in seconds, or computed from a date and the server's own clock. It can be 136 years
    /// (`u32::MAX` seconds), so the caller must limit it.
    Wait(Duration),
    /// The date to wait for. The server does not state its own time, so the caller must use another clock.
    Until(Nanos),
}

impl RetryAfter {
    /// Returns the time to wait, by a clock that shows `now`. Returns `None` if the date is in the past.
    pub fn wait(self, now: Nanos) -> Option<Duration> {
        match self {
            Self::Wait(wait) => Some(wait),
            Self::Until(date) => date.checked_since(now),
        }
    }

    /// Parses a `Retry-After` header. `date` is the server's time, if known. Returns `None` for a date before it.
    fn parse(text: &str, date: Option<Nanos>) -> Option<Self> {
        if let Some(seconds) = seconds(text) {
            return Some(Self::Wait(seconds));
        }
        let until = http_date(text)?;
        match date {
            Some(date) => until.checked_since(date).map(Self::Wait),
            None => Some(Self::Until(until)),
        }
    }
}

/// The meaning of a rejection's status for the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectionKind {
    /// 3xx. Redirects are never followed, because a token for the exchange must not be sent to another host.
    Redirect,
    /// 401 or 403: the token or the address is refused.
    Unauthorized,
    /// 418: the address is banned, for longer each time. The body states the duration.
    Banned,
    /// 429: more than five connects in one second.
    TooManyRequests,
    /// 5xx: an error inside the server.
    ServerError,
    /// Any other status, including 200.
    Other,
}

impl Rejection {
    /// Creates a rejection from the header; the body is added later.
    pub(super) fn new(status: u16, headers: &HeaderMap) -> Self {
        let text = headers.get(header::RETRY_AFTER).map(|value| printable(value.as_bytes()));
        Self {
            status,
            kind: RejectionKind::of(status),
            retry_after: text.as_deref().and_then(|text| RetryAfter::parse(text, date(headers))),
            retry_after_text: text,
            body: Box::default(),
        }
    }
}

impl RejectionKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Redirect, Self::Unauthorized, Self::Banned, Self::TooManyRequests, Self::ServerError, Self::Other];

    /// Returns a short, stable word for logs and scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Redirect => "redirect",
            Self::Unauthorized => "unauthorized",
            Self::Banned => "banned",
            Self::TooManyRequests => "too_many_requests",
            Self::ServerError => "server_error",
            Self::Other => "other_status",
        }
    }

    fn of(status: u16) -> Self {
        match status {
            300..=399 => Self::Redirect,
            401 | 403 => Self::Unauthorized,
            418 => Self::Banned,
            429 => Self::TooManyRequests,
            500..=599 => Self::ServerError,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answered {} ({:?})", self.status, self.kind)?;
        if let Some(text) = &self.retry_after_text {
            write!(f, ", retry after {text}")?;
        }
        if !self.body.is_empty() {
            write!(f, ": {}", self.body)?;
        }
        Ok(())
    }
}

/// How the end of a rejection's body is determined (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length(usize),
    Chunked,
    UntilEof,
}

impl Framing {
    pub(super) fn of(status: u16, headers: &HeaderMap) -> Self {
        if matches!(status, 100..=199 | 204 | 304) {
            return Self::Length(0);
        }
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        match (text(header::TRANSFER_ENCODING), text(header::CONTENT_LENGTH)) {
            (Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => Self::Chunked,
            (Some(_), _) => Self::UntilEof,
            (None, Some(length)) => length.parse().map_or(Self::UntilEof, Self::Length),
            (None, None) => Self::UntilEof,
        }
    }

    /// Returns the part of the body that has arrived, and true if no more of it is needed.
    pub(super) fn body(self, arrived: &[u8]) -> (Box<str>, bool) {
        match self {
            Self::Length(length) => {
                let length = length.min(MAX_BODY_BYTES);
                (printable(&arrived[..arrived.len().min(length)]), arrived.len() >= length)
            }
            Self::UntilEof => (printable(arrived), arrived.len() >= MAX_BODY_BYTES),
            Self::Chunked => {
                let (body, ended) = unchunk(arrived);
                (printable(&body), ended || arrived.len() >= MAX_BODY_BYTES)
            }
        }
    }
}

/// Removes the chunk sizes from a body (RFC 9112 section 7.1), and returns whether it has ended. A malformed body ends
/// at the first error, because it is only read by people.
fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(line_end) = rest.iter().position(|&byte| byte == b'\n') else { return (body, false) };
        let line = str::from_utf8(&rest[..line_end]).unwrap_or_default();
        let digits = line.split(';').next().unwrap_or_default().trim();
        rest = &rest[line_end + 1..];
        match usize::from_str_radix(digits, 16) {
            Ok(0) | Err(_) => return (body, true),
            Ok(size) => {
                body.extend_from_slice(&rest[..rest.len().min(size)]);
                // Skip the CRLF after the chunk, 2 bytes.
                rest = rest.get(size.saturating_add(2)..).unwrap_or_default();
            }
        }
    }
}

/// Converts text from the network into a bounded string that is safe to log.
pub(super) fn printable(bytes: &[u8]) -> Box<str> {
    let mut text = String::new();
    for c in String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_BODY_BYTES)]).chars() {
        if text.len() + c.len_utf8() > MAX_BODY_BYTES {
            break;
        }
        if is_misleading(c) { text.extend(c.escape_default()) } else { text.push(c) }
    }
    text.truncate(text.floor_char_boundary(MAX_BODY_BYTES));
    text.into()
}

/// Returns the server's time from its `Date` header. A server may omit it, and must if it has no clock.
pub(super) fn date(headers: &HeaderMap) -> Option<Nanos> {
    http_date(headers.get(header::DATE)?.to_str().ok()?)
}

/// Parses an HTTP date in any of its three forms (RFC 9110 section 5.6.7).
fn http_date(text: &str) -> Option<Nanos> {
    let date = httpdate::parse_http_date(text.trim()).ok()?;
    Some(Nanos::default() + date.duration_since(UNIX_EPOCH).ok()?)
}

/// Parses whole seconds. Larger values become `u32::MAX`, so that adding them to a clock cannot overflow it.
fn seconds(text: &str) -> Option<Duration> {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Duration::from_secs(text.parse().unwrap_or(u32::MAX).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_bounded_and_has_no_control_characters() {
        assert_eq!(&*printable(b"a\x1b[2J\r\n\xff\x00"), "a\\u{1b}[2J\\r\\n\u{fffd}\\u{0}");
        assert_eq!(&*printable("매수\u{202e}".as_bytes()), "매수\\u{202e}");
        for filler in [b"\x00", b"x", b"\xff"] {
            assert!(printable(&filler.repeat(2 * MAX_BODY_BYTES)).len() <= MAX_BODY_BYTES);
        }
    }

    #[test]
    fn chunks_are_joined_and_every_prefix_needs_more() {
        let chunked = b"4\r\nWiki\r\n6;name=value\r\npedia \r\n0\r\n\r\n";
        assert_eq!(unchunk(chunked), (b"Wikipedia ".to_vec(), true));
        for cut in 0..chunked.len() - 4 {
            assert!(!unchunk(&chunked[..cut]).1, "{cut} bytes");
        }
        assert_eq!(unchunk(b"not chunked\r\n"), (vec![], true));
        assert_eq!(unchunk(b"ffffffffffffffff\r\nabc"), (b"abc".to_vec(), false));
    }

    #[test]
    fn only_whole_seconds_are_a_duration() {
        assert_eq!(seconds("120"), Some(Duration::from_secs(120)));
        assert_eq!(seconds("99999999999999999999"), Some(Duration::from_secs(u32::MAX.into())));
        for text in ["", "-1", "+1", "1.5", "soon", "Wed, 21 Oct 2026 07:28:00 GMT"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
