//! The header of an answer to the opening request: reads it (RFC 9112 sections 4 and 5), and checks that a 101 opens the
//! WebSocket (RFC 6455 section 4.1). Each refusal names the field and quotes what was there.

use std::fmt;

use tungstenite::http::{HeaderMap, HeaderName, HeaderValue};

use super::HandshakeError;
use super::rejection::printable;

/// Maximum number of lines with fields.
const MAX_FIELDS: usize = 124;
/// Maximum number of bytes that are quoted from an answer.
const MAX_QUOTE: usize = 60;

/// A whole header.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub fields: HeaderMap,
}

impl Answer {
    /// Reads a header that begins with `HTTP/` and ends with a blank line.
    pub fn read(header: &[u8]) -> Result<Self, HandshakeError> {
        // A line feed alone also ends a line (RFC 9112 section 2.2).
        let mut lines = header.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let status = read_status(lines.next().unwrap_or_default())?;
        let mut fields = HeaderMap::new();
        let mut last = None;
        for line in lines.take_while(|line| !line.is_empty()) {
            if fields.len() == MAX_FIELDS {
                return Err(HandshakeError::TooLarge);
            }
            let (name, value) = read_field(line, last.as_ref())?;
            last = Some(name.clone());
            fields.append(name, value);
        }
        Ok(Self { status, fields })
    }

    /// Checks that a 101 accepts exactly what was offered (points 2 to 6 of RFC 6455 section 4.1). `accept` is the
    /// expected value of `Sec-WebSocket-Accept`.
    pub fn check_upgrade(&self, accept: &str) -> Result<(), HandshakeError> {
        self.require_token("Upgrade", "websocket")?;
        self.require_token("Connection", "upgrade")?;
        let name = "Sec-WebSocket-Accept";
        let is_ours = self.lines(name).all(|line| line == accept.as_bytes());
        self.require(name, is_ours, "which does not answer our key")?;
        self.refuse("Sec-WebSocket-Extensions", "extension")?;
        self.refuse("Sec-WebSocket-Protocol", "subprotocol")
    }

    /// Requires a token in a list that may have several lines (RFC 9110 sections 5.3 and 5.6.1).
    fn require_token(&self, name: &str, token: &str) -> Result<(), HandshakeError> {
        let mut items = self.lines(name).flat_map(|line| line.split(|byte| *byte == b','));
        let has_token = items.any(|item| trim(item).eq_ignore_ascii_case(token.as_bytes()));
        self.require(name, has_token, format_args!("without `{token}`"))
    }

    /// Requires a field for which `holds`. `problem` says what is wrong if not.
    fn require(&self, name: &str, holds: bool, problem: impl fmt::Display) -> Result<(), HandshakeError> {
        match self.value(name) {
            None => Err(protocol(format_args!("the header {name} is missing"))),
            Some(_) if holds => Ok(()),
            Some(value) => Err(protocol(format_args!("the header {name} is `{}`, {problem}", quote(&value)))),
        }
    }

    /// Refuses a field, because we offered no `feature`. An empty one is allowed.
    fn refuse(&self, name: &str, feature: &str) -> Result<(), HandshakeError> {
        match self.value(name) {
            Some(value) if !value.iter().all(|byte| matches!(byte, b',' | b' ')) => {
                let value = quote(&value);
                Err(protocol(format_args!("the header {name} is `{value}`, but no {feature} was offered")))
            }
            _ => Ok(()),
        }
    }

    fn lines(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.fields.get_all(name).into_iter().map(HeaderValue::as_bytes)
    }

    /// Returns the value of a field, with the lines of a repeated one joined as a list.
    fn value(&self, name: &str) -> Option<Vec<u8>> {
        self.fields.contains_key(name).then(|| self.lines(name).collect::<Vec<_>>().join(&b", "[..]))
    }
}

/// Returns the words after the status, safe to log.
pub(super) fn reason(header: &[u8]) -> String {
    let line = header.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    quote(trim(line.splitn(3, |byte| *byte == b' ').nth(2).unwrap_or_default()))
}

/// Reads the status. Ignores the reason phrase, which may be absent, empty or any bytes (RFC 9112 section 4).
fn read_status(line: &[u8]) -> Result<u16, HandshakeError> {
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    let version = words.next().unwrap_or_default();
    let is_old = version == b"HTTP/1.0";
    if !is_old && !matches!(version, [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9']) {
        return Err(protocol(format_args!("the version is `{}`, not HTTP/1.1", quote(version))));
    }
    let status = match words.next() {
        Some([hundreds @ b'1'..=b'9', tens @ b'0'..=b'9', ones @ b'0'..=b'9']) => {
            [hundreds, tens, ones].iter().fold(0, |status, digit| status * 10 + u16::from(**digit - b'0'))
        }
        _ => return Err(protocol(format_args!("the line `{}` has no status", quote(line)))),
    };
    // Some proxies send 502 or 503 in HTTP/1.0, but that version has no upgrade.
    if is_old && status == 101 {
        return Err(protocol("the version is HTTP/1.0, which has no upgrade"));
    }
    Ok(status)
}

/// Reads a line with a field. `last` is the field before it.
fn read_field(line: &[u8], last: Option<&HeaderName>) -> Result<(HeaderName, HeaderValue), HandshakeError> {
    // This folding is obsolete, and recipients have disagreed about what it means (RFC 9112 section 5.2).
    if let [b' ' | b'\t', ..] = line {
        let name = last.map_or("status", HeaderName::as_str);
        return Err(protocol(format_args!("the header {name} continues on a second line: `{}`", quote(line))));
    }
    let Some(colon) = line.iter().position(|byte| *byte == b':') else {
        return Err(protocol(format_args!("the header line `{}` has no colon", quote(line))));
    };
    let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
    let name = HeaderName::from_bytes(name)
        .map_err(|_| protocol(format_args!("the header name `{}` is invalid", quote(name))))?;
    let value = HeaderValue::from_bytes(value)
        .map_err(|_| protocol(format_args!("the header {name} has control characters: `{}`", quote(value))))?;
    Ok((name, value))
}

/// Removes the optional white space around a value or an item of a list.
fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// Returns the beginning of text from an answer, safe to log.
fn quote(text: &[u8]) -> String {
    let more = if text.len() > MAX_QUOTE { "…" } else { "" };
    format!("{}{more}", printable(&text[..text.len().min(MAX_QUOTE)]))
}

fn protocol(why: impl fmt::Display) -> HandshakeError {
    HandshakeError::Protocol(why.to_string().into())
}
