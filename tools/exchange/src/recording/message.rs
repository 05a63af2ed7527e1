//! Finds the exchange's message in a JSON text: the text itself, or a message in the objects that a recorder has put
//! around it. Parses only as much as is needed for this.

use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The kinds of lines without a message.
pub(super) const CUT: &str = "cut";
pub(super) const NO_JSON: &str = "no JSON";
pub(super) const SEVERAL: &str = "several messages";
pub(super) const SOMETHING_ELSE: &str = "JSON of something else";
const REQUEST: &str = "request";
const EVENT: &str = "event of hoga watch";

/// How deep a message may be in objects, lists and strings.
const DEPTH_MAX: usize = 8;

/// A message of the exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its text, as it was recorded, without ends of lines.
    pub text: String,
    /// What it is.
    pub content: Content,
}

/// What a message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Data: the type and the market of the first object. Messages of private types may have no market.
    Data {
        /// The type.
        kind: String,
        /// The market.
        code: Option<String>,
    },
    /// A message about the connection: `status`, `error` or `LIST_SUBSCRIPTIONS`.
    Control(&'static str),
}

/// What a text has instead of a message.
type Kind = &'static str;
type Members<'t> = BTreeMap<String, &'t RawValue>;

impl Message {
    fn has_market(&self) -> bool {
        matches!(self.content, Content::Data { code: Some(_), .. })
    }
}

/// Returns the only message in a text, or what is there instead.
pub(super) fn find(text: &str) -> Result<Message, Kind> {
    search(text, DEPTH_MAX)
}

/// Returns the kind of a text that cannot be parsed.
pub(super) fn broken(text: &str, error: &serde_json::Error) -> Kind {
    // A number that ends too early is a syntax error to serde_json.
    let in_number = error.column() >= text.len() && text.ends_with(['.', '-', '+', 'e', 'E']);
    if error.is_eof() || in_number { CUT } else { NO_JSON }
}

fn search(text: &str, depth: usize) -> Result<Message, Kind> {
    let Some(depth) = depth.checked_sub(1) else { return Err(SOMETHING_ELSE) };
    let text = text.trim();
    match text.bytes().next() {
        Some(b'{') => object(text, depth),
        Some(b'[') => list(text, depth),
        Some(b'"') => {
            let inner: String = serde_json::from_str(text).map_err(|error| broken(text, &error))?;
            search(&one_line(&inner), depth)
        }
        _ => Err(SOMETHING_ELSE),
    }
}

/// Returns a JSON text without ends of lines. Strings of JSON have none.
pub(super) fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

fn object(text: &str, depth: usize) -> Result<Message, Kind> {
    let members: Members = serde_json::from_str(text).map_err(|error| broken(text, &error))?;
    let has = |long: &str, short: &str| members.contains_key(long) || members.contains_key(short);
    if members.contains_key("_event") {
        return Err(EVENT);
    }
    let (kind, code) = (string(&members, "type", "ty"), string(&members, "code", "cd"));
    if let (Some(kind), Some(_)) = (&kind, &code) {
        // `hoga watch --json` appends its stamps.
        let text = members.get("_hoga").map_or(text.to_owned(), |stamps| without(text, "_hoga", stamps));
        return Ok(Message { text, content: Content::Data { kind: kind.clone(), code } });
    }
    let control = |name| Ok(Message { text: text.to_owned(), content: Content::Control(name) });
    if has("method", "mthd") && has("result", "rslt") {
        return control("LIST_SUBSCRIPTIONS");
    }
    let inside = only(members.values().map(|value| search(value.get(), depth)));
    if matches!(inside, Ok(_) | Err(SEVERAL)) {
        return inside;
    }
    if let Some(name) = ["error", "status"].into_iter().find(|name| members.contains_key(*name)) {
        return control(name);
    }
    match kind {
        _ if has("ticket", "tckt") || has("codes", "cds") => Err(REQUEST),
        Some(kind) if inside == Err(SOMETHING_ELSE) => {
            Ok(Message { text: text.to_owned(), content: Content::Data { kind, code } })
        }
        _ => inside,
    }
}

fn list(text: &str, depth: usize) -> Result<Message, Kind> {
    let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| broken(text, &error))?;
    let found: Vec<_> = elements.iter().map(|element| search(element.get(), depth)).collect();
    if found.contains(&Err(REQUEST)) {
        return Err(REQUEST);
    }
    match (elements.first(), found.first()) {
        // A message in a list format, unless the first element only contains a message.
        (Some(element), Some(Ok(first))) if first.text == element.get() => {
            Ok(Message { text: text.to_owned(), content: first.content.clone() })
        }
        _ => only(found.into_iter()),
    }
}

/// Returns the only message of these, or else the kind of one of the others.
fn only(found: impl Iterator<Item = Result<Message, Kind>>) -> Result<Message, Kind> {
    let (mut messages, mut kind) = (Vec::new(), SOMETHING_ELSE);
    for found in found {
        match found {
            Ok(message) => messages.push(message),
            Err(other @ (CUT | REQUEST | EVENT | SEVERAL)) => kind = other,
            Err(_) => {}
        }
    }
    // A recorder may describe itself or its socket in an object with a type, but not with a market.
    if messages.iter().any(Message::has_market) {
        messages.retain(Message::has_market);
    }
    match (messages.pop(), messages.is_empty()) {
        (Some(message), true) => Ok(message),
        (Some(_), false) => Err(SEVERAL),
        (None, _) => Err(kind),
    }
}

fn string(members: &Members, long: &str, short: &str) -> Option<String> {
    let value = members.get(long).or_else(|| members.get(short))?;
    serde_json::from_str(value.get()).ok()
}

/// Returns an object without one of its members.
fn without(object: &str, name: &str, value: &RawValue) -> String {
    let start = value.get().as_ptr() as usize - object.as_ptr() as usize;
    let (before, after) = (&object[..start], object[start + value.get().len()..].trim_start());
    let before = before.rfind(&format!("\"{name}\"")).map_or(before, |key| before[..key].trim_end());
    match before.strip_suffix(',') {
        Some(before) => format!("{before}{after}"),
        None => format!("{before}{}", after.strip_prefix(',').unwrap_or(after)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRADE: &str = r#"{"type":"trade", "code":"KRW-BTC","tp":1.50E-8}"#;

    fn escaped(text: &str) -> String {
        serde_json::Value::from(text).to_string()
    }

    #[test]
    fn a_message_of_any_format_is_found_with_its_type_and_market() {
        let short = r#"{"cd":"KRW-BTC","ty":"trade"}"#;
        for text in [TRADE, short, &format!("[{TRADE}]"), &format!("[{short},{short}]")] {
            let content = Content::Data { kind: "trade".to_owned(), code: Some("KRW-BTC".to_owned()) };
            assert_eq!(find(text), Ok(Message { text: text.to_owned(), content }));
        }
        let asset = r#"{"type":"myAsset","assets":[{"currency":"KRW"}]}"#;
        let content = Content::Data { kind: "myAsset".to_owned(), code: None };
        assert_eq!(find(asset), Ok(Message { text: asset.to_owned(), content }));
    }

    #[test]
    fn a_message_is_found_byte_for_byte_in_the_objects_of_recorders() {
        let text = escaped(TRADE);
        for line in [
            format!(r#"{{"sent_ns":17,"conn":3,"frame":{TRADE}}}"#),
            format!(r#"{{"ts":1796000000.5,"data":{TRADE}}}"#),
            format!(r#"{{"received":"2026-11-30T00:00:00Z","message":{text}}}"#),
            format!(r#"{{"exchange":"upbit","payload":{{"stream":"a","data":{TRADE}}}}}"#),
            format!(r#"{{"type":"receive","time":17.5,"opcode":2,"data":{text}}}"#),
            format!(r#"{{"socket":{{"type":"public"}},"raw":{text},"note":"[x"}}"#),
            format!(r#"{{"status":"ok","data":{TRADE}}}"#),
            text.clone(),
        ] {
            assert_eq!(find(&line).map(|message| message.text).as_deref(), Ok(TRADE), "{line}");
        }
        let list = format!("[{TRADE}]");
        assert_eq!(find(&format!(r#"{{"ts":1,"data":{list}}}"#)).unwrap().text, list);
        let pretty = escaped("{\n\"type\":\"trade\",\r\n\"code\":\"KRW-BTC\"}");
        assert_eq!(find(&pretty).unwrap().text, r#"{ "type":"trade",  "code":"KRW-BTC"}"#);
    }

    #[test]
    fn lines_of_hoga_watch_are_messages_without_their_stamps_or_events() {
        let plain = r#"{"type":"trade","code":"KRW-BTC"}"#;
        for line in [
            r#"{"type":"trade","code":"KRW-BTC","_hoga":{"conn":0,"epoch":1}}"#,
            r#"{"type":"trade","code":"KRW-BTC", "_hoga": {"conn": 0} }"#,
            r#"{"_hoga":{"conn":0},"type":"trade","code":"KRW-BTC"}"#,
        ] {
            assert_eq!(find(line).unwrap().text, plain, "{line}");
        }
        assert_eq!(find(r#"{"_event":"error","conn":0,"reason":"x","message":"{}"}"#), Err(EVENT));
    }

    #[test]
    fn messages_about_the_connection_have_a_name() {
        let answer = r#"{"method":"LIST_SUBSCRIPTIONS","result":[{"type":"ticker","codes":["KRW-BTC"]}],"ticket":"t"}"#;
        let short = r#"{"mthd":"LIST_SUBSCRIPTIONS","rslt":[{"ty":"ticker","cds":["KRW-BTC"]}],"tckt":"t"}"#;
        let error = r#"{"error":{"name":"WRONG_FORMAT","message":"Format"}}"#;
        for (text, name) in [
            (r#"{"status":"UP"}"#, "status"),
            (error, "error"),
            (answer, "LIST_SUBSCRIPTIONS"),
            (short, "LIST_SUBSCRIPTIONS"),
        ] {
            for text in [text, &format!("[{text}]")] {
                let wrapped = format!(r#"{{"ts":1,"data":{}}}"#, escaped(text));
                for line in [text, &wrapped] {
                    let message = Message { text: text.to_owned(), content: Content::Control(name) };
                    assert_eq!(find(line), Ok(message), "{line}");
                }
            }
        }
    }

    #[test]
    fn every_other_text_has_a_kind() {
        let request = r#"[{"ticket":"t"},{"type":"trade","codes":["KRW-BTC"]},{"type":"myAsset"}]"#;
        for (text, kind) in [
            (request, REQUEST),
            (&format!(r#"{{"type":"send","data":{}}}"#, escaped(request)), REQUEST),
            (&format!(r#"{{"a":{TRADE},"b":{TRADE}}}"#), SEVERAL),
            (r#"{"type":"trade","co"#, CUT),
            (r#"{"type":"trade","code":"KRW-BTC","tp":1."#, CUT),
            (&format!(r#"{{"ts":1,"data":{}}}"#, escaped(&TRADE[..20])), CUT),
            (r#"{"type":"trade" "code":"KRW-BTC"}"#, NO_JSON),
            (r#"{"level":"info","msg":"connected"}"#, SOMETHING_ELSE),
            (r#"{"type":1,"code":2}"#, SOMETHING_ELSE),
            ("[]", SOMETHING_ELSE),
            (&format!("{}{TRADE}{}", r#"{"a":"#.repeat(9), "}".repeat(9)), SOMETHING_ELSE),
            (&"[".repeat(1 << 20), CUT),
        ] {
            assert_eq!(find(text), Err(kind), "{}", &text[..text.len().min(200)]);
        }
    }
}
