//! An answer to the upgrade other than 101: what it says and how long it asks us to wait.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use crate::model::Nanos;
use tungstenite::http::{HeaderMap, header};

/// Bytes of a rejection's body that are kept. Enough for the exchange's error object and a proxy's first lines.
pub const MAX_BODY_BYTES: usize = 4096;

/// The server answered the upgrade, and the answer is no.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejection {
    /// The HTTP status.
    pub status: u16,
    /// What the status means for the next attempt.
    pub kind: RejectionKind,
    /// How long the server asks us to wait, if it says so.
    pub retry_after: Option<RetryAfter>,
    /// The `Retry-After` header as it came, control characters escaped.
    pub retry_after_text: Option<Box<str>>,
    /// The beginning of the body, at most 4096 bytes; bytes that are not UTF-8 replaced, control characters
    /// escaped. Fit for a log, written by whoever answered.
    pub body: Box<str>,
}

/// How long a server asks us to wait (RFC 9110 section 10.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RetryAfter {
    /// This long: given in seconds, or as a date beside what the server's own clock shows. It may be 136 years, so limit
    /// it.
    Wait(Duration),
    /// Until this date. The server does not say what its clock shows, so another has to do.
    Until(Nanos),
}

impl RetryAfter {
    /// How long that is by a clock that shows `now`. `None` for a date that is over: then nothing is known.
    pub fn wait(self, now: Nanos) -> Option<Duration> {
        match self {
            Self::Wait(wait) => Some(wait),
            Self::Until(date) => date.checked_since(now),
        }
    }

    /// `date` is what the server's clock shows.
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

/// What a rejection's status means for the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectionKind {
    /// 3xx. Never followed: a token meant for the exchange must not travel to another host.
    Redirect,
    /// 401 or 403: the token or the address is not welcome.
    Unauthorized,
    /// 418: the address is banned, for longer each time. The body says for how long.
    Banned,
    /// 429: more than five connects in a second.
    TooManyRequests,
    /// 5xx: the server's own trouble.
    ServerError,
    /// Any other status, 200 included.
    Other,
}

impl Rejection {
    /// From the header alone; the body comes later.
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

/// Where the body of a rejection ends (RFC 9112 section 6.3).
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

    /// The body as far as it is here, and whether that is all of it we shall look at.
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

/// Takes the chunk sizes out of a body (RFC 9112 section 7.1), and whether it has ended. A body that is not chunked as
/// it should be ends where that shows: it is only there to be read by people.
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
                // Two more for the CRLF behind the chunk.
                rest = rest.get(size.saturating_add(2)..).unwrap_or_default();
            }
        }
    }
}

/// Text from the network, bounded and fit for a log.
pub(super) fn printable(bytes: &[u8]) -> Box<str> {
    let mut text = String::new();
    for c in String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_BODY_BYTES)]).chars() {
        if text.len() + c.len_utf8() > MAX_BODY_BYTES {
            break;
        }
        if c.is_control() { text.extend(c.escape_default()) } else { text.push(c) }
    }
    text.truncate(text.floor_char_boundary(MAX_BODY_BYTES));
    text.into()
}

/// When the answer was written, by the server's clock. A server need not say so, and one without a clock must not.
pub(super) fn date(headers: &HeaderMap) -> Option<Nanos> {
    http_date(headers.get(header::DATE)?.to_str().ok()?)
}

/// A date of HTTP, in any of its three forms (RFC 9110 section 5.6.7).
fn http_date(text: &str) -> Option<Nanos> {
    let date = httpdate::parse_http_date(text.trim()).ok()?;
    Some(Nanos::default() + date.duration_since(UNIX_EPOCH).ok()?)
}

/// Whole seconds; more than a `u32` of them are the largest `u32`, so that adding them to a clock cannot overflow it.
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
        for filler in [b"\x00", b"x", b"\xff"] {
            assert!(printable(&filler.repeat(2 * MAX_BODY_BYTES)).len() <= MAX_BODY_BYTES);
        }
    }

    #[test]
    fn chunks_are_put_together_and_every_prefix_asks_for_more() {
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
