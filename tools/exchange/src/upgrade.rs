//! Parses the first HTTP request of a connection, either an upgrade or a REST request, and prints the responses. Does
//! not check limits.

use crate::calendar::Moment;
use std::collections::HashSet;

/// The maximum size of a request head, in bytes.
const HEAD_MAX: usize = 16 * 1024;

/// The first request of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    Upgrade(Upgrade),
    /// A plain GET of this target, which is a path and a query.
    Rest(String),
}

/// A well-formed upgrade request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Upgrade {
    pub path: String,
    /// `Sec-WebSocket-Key`.
    pub key: String,
    pub has_origin: bool,
    /// Length of the head in bytes. Frames follow it.
    pub length: usize,
}

/// An HTTP response that ends the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub status: u16,
    pub retry_after: Option<u32>,
    pub body: String,
}

impl Answer {
    /// A successful response.
    pub fn ok(body: String) -> Self {
        Self { status: 200, retry_after: None, body }
    }

    /// A refusal, in the exchange's format for errors.
    pub fn refuse(status: u16, name: impl Into<serde_json::Value>, message: &str) -> Self {
        let body = serde_json::json!({"error": {"name": name.into(), "message": message}}).to_string();
        Self { status, retry_after: None, body }
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        head += "Content-Type: application/json;charset=UTF-8\r\nConnection: close\r\nlimit-by-ip: Yes\r\n";
        if let Some(seconds) = self.retry_after {
            head += &format!("Retry-After: {seconds}\r\n");
        }
        head += &format!("Content-Length: {}\r\n\r\n", self.body.len());
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(self.body.as_bytes());
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        418 => "I'm a teapot",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Refused",
    }
}

impl Opening {
    /// Parses the head of a request. Returns `None` if it is not complete yet.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, Answer> {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            let too_long = bytes.len() > HEAD_MAX;
            return if too_long { Err(bad(431, "the request head is too long")) } else { Ok(None) };
        };
        let head = std::str::from_utf8(&bytes[..end]).map_err(|_| bad(400, "the request head is not text"))?;
        let mut lines = head.split("\r\n");
        let target = target(lines.next().unwrap_or_default())?;
        let headers: Vec<(String, &str)> = lines.filter_map(header).collect();
        // Upbit refuses repeated headers since July 2026. The status and the text are guesses.
        if has_duplicate(&headers) {
            return Err(bad(400, "a header was sent twice"));
        }
        // An upgrade without its headers is still handled as an upgrade, and refused as one.
        let is_rest = !target.starts_with("/websocket") && !headers.iter().any(|(name, _)| name == "upgrade");
        if is_rest {
            return Ok(Some(Self::Rest(target.to_owned())));
        }
        Upgrade::check(target, &headers, end + 4).map(|upgrade| Some(Self::Upgrade(upgrade)))
    }
}

impl Upgrade {
    fn check(target: &str, headers: &[(String, &str)], length: usize) -> Result<Self, Answer> {
        let path = target.split('?').next().unwrap_or_default().to_owned();
        let value = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| *value);
        let contains = |name: &str, token: &str| {
            value(name).is_some_and(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
        };
        if !contains("upgrade", "websocket") || !contains("connection", "upgrade") {
            return Err(bad(400, "not a WebSocket upgrade"));
        }
        if value("sec-websocket-version") != Some("13") {
            return Err(bad(426, "Sec-WebSocket-Version must be 13"));
        }
        let key = value("sec-websocket-key").filter(|key| is_key(key)).ok_or(bad(400, "bad Sec-WebSocket-Key"))?;
        let has_origin = value("origin").is_some();
        if value("host").is_none() {
            return Err(bad(400, "Host is missing"));
        }
        Ok(Self { path, key: key.to_owned(), has_origin, length })
    }

    /// Writes the 101 response, dated `now_ms`.
    pub fn accept(&self, out: &mut Vec<u8>, remaining: u64, now_ms: u64) {
        let accept = tungstenite::handshake::derive_accept_key(self.key.as_bytes());
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nDate: {}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\nremaining-req: group=websocket; min=300; sec={remaining}\r\n\
             limit-by-ip: Yes\r\n\r\n",
            Moment::utc(now_ms).http()
        );
        out.extend_from_slice(head.as_bytes());
    }
}

fn bad(status: u16, message: &str) -> Answer {
    Answer::refuse(status, "bad_request", message)
}

fn target(request_line: &str) -> Result<&str, Answer> {
    let mut words = request_line.split(' ');
    let (Some("GET"), Some(target), Some("HTTP/1.1"), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(bad(400, "expected GET with HTTP/1.1"));
    };
    Ok(target)
}

fn header(line: &str) -> Option<(String, &str)> {
    let (name, value) = line.split_once(':')?;
    Some((name.to_ascii_lowercase(), value.trim()))
}

fn has_duplicate(headers: &[(String, &str)]) -> bool {
    let mut names = HashSet::new();
    !headers.iter().all(|(name, _)| names.insert(name))
}

/// Whether this is the Base64 encoding of 16 bytes.
fn is_key(key: &str) -> bool {
    let (digits, padding) = key.split_at_checked(22).unwrap_or_default();
    padding == "==" && digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/')
}
