//! Finds the JSON text in a line of a recording. Recorders write stamps next to it, or put it in quotes.

use super::message::{CUT, Message, NO_JSON, SEVERAL, SOMETHING_ELSE, broken, find, one_line};
use serde_json::value::RawValue;
use serde_json::{Deserializer, Value};
use std::borrow::Cow;

const EMPTY: &str = "empty";
const COMMENT: &str = "comment";
const NOT_UTF8: &str = "not UTF-8";

/// Windows programs write it at the start of a file.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A JSON text, and what follows it in its line.
type Part<'l> = Result<(Cow<'l, str>, &'l str), &'static str>;

/// Returns the message in a line, or the kind of the line.
pub(super) fn message(line: &[u8]) -> Result<Message, &'static str> {
    // A line that ends in the middle of a character is cut.
    let line = str::from_utf8(line).map_err(|error| if error.error_len().is_none() { CUT } else { NOT_UTF8 })?;
    let line = line.trim_start_matches(BYTE_ORDER_MARK).trim();
    if line.is_empty() {
        return Err(EMPTY);
    }
    if line.starts_with('#') || line.starts_with("//") {
        return Err(COMMENT);
    }
    let Some(start) = start(line) else {
        let is_list = line.starts_with('[') && serde_json::from_str::<Value>(line).is_ok();
        return Err(if is_list { SOMETHING_ELSE } else { NO_JSON });
    };
    let (before, rest) = line.split_at(start);
    let (text, after) = match before.chars().next_back() {
        Some('\'') => python(rest, '\'')?,
        Some('"') if before.ends_with("b\"") => python(rest, '"')?,
        Some('"') if rest.contains("\"\"") => csv(rest)?,
        Some('"') => string(&line[start - 1..])?,
        _ => plain(rest)?,
    };
    // Stamps have no braces.
    if after.contains('{') {
        return Err(SEVERAL);
    }
    if before.contains('}') || after.contains('}') {
        return Err(NO_JSON);
    }
    find(&text)
}

/// Returns where the first object, or list that starts with an object, is in a line.
fn start(line: &str) -> Option<usize> {
    let is_start = |at: &usize| match line.as_bytes()[*at] {
        b'{' => true,
        b'[' => line[at + 1..].trim_start().starts_with('{'),
        _ => false,
    };
    line.match_indices(['{', '[']).map(|(at, _)| at).find(is_start)
}

/// Splits a line after its JSON value.
fn plain(line: &str) -> Part<'_> {
    let mut values = Deserializer::from_str(line).into_iter::<&RawValue>();
    match values.next() {
        Some(Ok(value)) => Ok((Cow::Borrowed(value.get()), &line[values.byte_offset()..])),
        Some(Err(error)) => Err(broken(line, &error)),
        None => Err(NO_JSON),
    }
}

/// Splits a line after its JSON string, and returns the string's content.
fn string(line: &str) -> Part<'_> {
    let mut values = Deserializer::from_str(line).into_iter::<String>();
    match values.next() {
        Some(Ok(text)) => Ok((Cow::Owned(one_line(&text)), &line[values.byte_offset()..])),
        Some(Err(error)) => Err(broken(line, &error)),
        None => Err(NO_JSON),
    }
}

/// Splits the rest of a line of comma-separated values after its first value, in which quotes are doubled.
fn csv(rest: &str) -> Part<'_> {
    let bytes = rest.as_bytes();
    let mut at = 0;
    while let Some(quote) = rest[at..].find('"') {
        at += quote + 1;
        if bytes.get(at) != Some(&b'"') {
            return Ok((Cow::Owned(rest[..at - 1].replace("\"\"", "\"")), &rest[at..]));
        }
        at += 1;
    }
    Err(CUT)
}

/// Splits the rest of a line after a text as Python prints strings and bytes.
fn python(rest: &str, quote: char) -> Part<'_> {
    let (inner, after) = rest.rsplit_once(quote).ok_or(CUT)?;
    let text = unescaped(inner).ok_or(NO_JSON)?;
    Ok((Cow::Owned(one_line(&text)), after))
}

/// Returns a text without the escapes with which Python prints bytes.
fn unescaped(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
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
                u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?
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

    const TRADE: &str = r#"{"ty":"trade","cd":"KRW-BTC","x":"호가's \"x\" \\ "}"#;

    #[test]
    fn a_message_is_found_next_to_the_stamps_of_any_recorder() {
        let python = r#"{"ty":"trade","cd":"KRW-BTC","x":"\xed\x98\xb8\xea\xb0\x80\'s \\"x\\" \\\\ "}"#;
        let (csv, json) = (TRADE.replace('"', "\"\""), serde_json::Value::from(TRADE));
        for line in [
            TRADE.to_owned(),
            format!("\u{feff}  {TRADE}\r\n"),
            format!("1618678263.010785\t{TRADE}"),
            format!("1618678263.01: b'{python}'"),
            format!("1618678263.01: b\"{python}\""),
            format!("2026-11-30T20:50:26.123Z {TRADE}"),
            format!("2026-11-30 20:50:26,123\t{TRADE}"),
            format!("[2026-11-30 20:50:26] {TRADE}"),
            format!("[1796000000.5] < {TRADE}"),
            format!("1796000000123,KRW-BTC,{TRADE}"),
            format!("{TRADE},1796000000123"),
            format!("1796000000123,\"{csv}\",\"KRW-BTC\""),
            format!("\"2026-11-30\",{json}"),
            format!("[1796000000.5, {TRADE}]"),
            format!("[1796000000.5, {json}]"),
            format!("{TRADE},"),
        ] {
            assert_eq!(message(line.as_bytes()).map(|message| message.text).as_deref(), Ok(TRADE), "{line}");
        }
        let list = format!("[{TRADE}]");
        assert_eq!(message(format!("[17:00:01] {list}").as_bytes()).unwrap().text, list);
    }

    #[test]
    fn every_other_line_has_a_kind() {
        let trade = TRADE.as_bytes();
        let middle_of_a_character = TRADE.find('호').unwrap() + 1;
        for (line, what) in [
            (&b""[..], EMPTY),
            (b" \r\n", EMPTY),
            (b"# day one {}", COMMENT),
            (b"// day one", COMMENT),
            (b"\xff{}", NOT_UTF8),
            (b"wss://api.upbit.com/websocket/v1 <-> 1618678261.68", NO_JSON),
            (b"1618678263.01: b'{\\q}'", NO_JSON),
            (b"[package]", NO_JSON),
            (b"17\t{oops}", NO_JSON),
            (b"[7]", SOMETHING_ELSE),
            (b"17\t{}", SOMETHING_ELSE),
            (&trade[..30], CUT),
            (&trade[..middle_of_a_character], CUT),
            (br#"17: b'{"ty":"tr"#, CUT),
            (br#"17,"{""ty"":""tr"#, CUT),
            (br#"17,"{\"ty\":\"tr"#, CUT),
            (&[&trade[20..], trade].concat(), NO_JSON),
            (&[trade, trade].concat(), SEVERAL),
            (&[trade, b"}"].concat(), NO_JSON),
        ] {
            assert_eq!(message(line), Err(what), "{}", String::from_utf8_lossy(line));
        }
    }
}
