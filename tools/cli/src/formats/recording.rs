//! Finds the message in a line of recorded traffic. Knows how recorders write lines, and does not read the messages.

use std::borrow::Cow;
use std::io::{self, BufRead, ErrorKind, Read};

/// The longest line that is read, in bytes. The exchange's messages have a few KB.
const LINE_MAX: u64 = 16 << 20;

/// Reads the next line without the white space at its end. Returns false at the end of the file.
pub fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let read = reader.by_ref().take(LINE_MAX + 1).read_until(b'\n', line)?;
    if read as u64 > LINE_MAX {
        let why = format!("a line is longer than {LINE_MAX} bytes: this is not a recording of messages");
        return Err(io::Error::new(ErrorKind::InvalidData, why));
    }
    while line.last().is_some_and(u8::is_ascii_whitespace) {
        line.pop();
    }
    Ok(read > 0)
}

/// Returns the message in a line, or as an error the kind of the line. A message may be alone in its line, after a time
/// and a tab, after a time and a colon in the form in which Python prints bytes, or in the log of `hoga exchange`.
pub fn payload(line: &[u8]) -> Result<Cow<'_, str>, &'static str> {
    let line = std::str::from_utf8(line).map_err(|_| "not UTF-8")?.trim();
    if line.is_empty() {
        return Err("empty");
    }
    if line.starts_with('#') || line.starts_with("//") {
        return Err("comment");
    }
    if let Some(frame) = line.strip_prefix(r#"{"sent_ns":"#).and_then(|rest| rest.split_once(r#","frame":"#)) {
        return frame.1.strip_suffix('}').map(Cow::Borrowed).ok_or("no JSON");
    }
    if line.starts_with(['{', '[']) {
        return Ok(Cow::Borrowed(line));
    }
    let is_time = |text: &str| text.trim().parse::<f64>().is_ok();
    if let Some((_, payload)) = line.split_once('\t').filter(|(time, _)| is_time(time)) {
        return Ok(Cow::Borrowed(payload.trim()));
    }
    let bytes = line.split_once(": b").filter(|(time, _)| is_time(time)).and_then(|(_, quoted)| unquoted(quoted));
    bytes.map(Cow::Owned).ok_or("neither JSON nor a time and JSON")
}

/// Returns the kind of a text that is not a message with data.
pub fn refused(text: &str) -> &'static str {
    match serde_json::from_str::<serde_json::Value>(text) {
        Err(_) => "no JSON",
        Ok(json) if json.as_array().is_some_and(|list| list.iter().any(|part| part.get("ticket").is_some())) => {
            "request"
        }
        Ok(_) => "JSON of something else",
    }
}

/// Returns the text in quotes, without the escapes with which Python prints bytes.
fn unquoted(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    let (mut bytes, mut rest) = (Vec::with_capacity(inner.len()), inner.as_bytes());
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (escape, after) = rest.split_first()?;
        rest = after;
        bytes.push(match escape {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => {
                let (digits, after) = rest.split_at_checked(2)?;
                rest = after;
                u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
            }
            b'\\' | b'\'' | b'"' => *escape,
            _ => return None,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_found_in_each_kind_of_recording() {
        let message = r#"{"ty":"trade","x":"호가's \"x\" \\ "}"#;
        let python = r#"1618678263.01: b'{"ty":"trade","x":"\xed\x98\xb8\xea\xb0\x80\'s \\"x\\" \\\\ "}'"#;
        let log = format!(r#"{{"sent_ns":17,"conn":3,"frame":{message}}}"#);
        for line in [message, &format!("1618678263.010785\t{message}"), &format!("  {message}"), &log, python] {
            assert_eq!(payload(line.as_bytes()).as_deref(), Ok(message), "{line}");
        }
    }

    #[test]
    fn every_other_line_has_a_kind() {
        for (line, what) in [
            ("", "empty"),
            ("# day one", "comment"),
            ("wss://api.upbit.com/websocket/v1 <-> 1618678261.68", "neither JSON nor a time and JSON"),
            ("1618678263.01: b'{\\q}'", "neither JSON nor a time and JSON"),
        ] {
            assert_eq!(payload(line.as_bytes()), Err(what), "{line}");
        }
        assert_eq!(payload(b"\xff"), Err("not UTF-8"));
        assert_eq!(refused(r#"[{"ticket":"t"},{"type":"trade","codes":[]}]"#), "request");
        assert_eq!((refused("{"), refused("[7]")), ("no JSON", "JSON of something else"));
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut endless = io::BufReader::new(io::repeat(b'x'));
        assert!(next_line(&mut endless, &mut Vec::new()).is_err());
    }
}
