//! Converts the text of a message from one format to another, for tools that compare formats. The engine does not need
//! this, because the decoder reads all four formats. Only keys change; every value is copied byte for byte.

use std::borrow::Cow;

use crate::model::{DataType, Format};

use super::decoder::refusal;
use super::error::{DecodeError, DecodeErrorKind};
use super::huge::blank_huge_numbers;
use super::json::Json;
use super::message::OtherType;
use super::schema::{
    ANNOUNCEMENT, INDICATOR, INDICATOR_EVENT, INDICATOR_PARAMS, INDICATOR_VALUE, MY_ASSET, MY_ASSET_ENTRY, MY_ORDER,
    Names, Record, SUBSCRIPTIONS, SUBSCRIPTIONS_ENTRY, TYPE,
};
use super::tape::type_of;

/// A message in another format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// The converted message, or one message for each object if the new format has no lists.
    pub messages: Vec<String>,
    /// The original format.
    pub from: Format,
    /// The type of each object: the exchange's name, or `unknown`. Objects without a type are called
    /// `LIST_SUBSCRIPTIONS`, `status` or `error`.
    pub types: Vec<&'static str>,
    /// The number of unknown keys, which are copied unchanged.
    pub unknown_keys: u64,
}

/// The keys of an object, and the keys of nested objects by the long name of the key that holds them.
#[derive(Clone, Copy)]
struct Keys {
    names: &'static [Names],
    inside: &'static [(&'static str, &'static [Names])],
}

/// The type of an object, and how to rename its keys.
struct Shape {
    name: &'static str,
    keys: Keys,
    is_short: bool,
    /// Whether list formats put the object into a list. The exchange sends errors and `{"status":"UP"}` without one.
    is_listed: bool,
}

/// Converts one message in any of the four formats to the format `to`.
///
/// Converting to another format and back returns the same text, unless an unknown key has a name of the other key set,
/// a known key was written with escapes, or white space surrounded objects. The short and long keys of all documented
/// types are known, including nested keys. On the wire, the spelling of numbers differs between formats; this function
/// does not change it.
///
/// # Errors
/// Returns [`DecodeErrorKind::NotJson`] or [`DecodeErrorKind::BadNumber`] for invalid JSON,
/// [`DecodeErrorKind::NotAMessage`] for JSON that the exchange does not send, such as a request, and
/// [`DecodeErrorKind::WrongType`] for a type that is not a string.
pub fn convert(text: &str, to: Format) -> Result<Converted, DecodeError> {
    let text = text.trim_matches(is_space);
    let mut scratch = text.as_bytes().to_vec();
    // This affects only the parser: all values are copied from `text`.
    blank_huge_numbers(&mut scratch);
    let tape = simd_json::to_tape(&mut scratch).map_err(|error| refusal(&error))?;
    let json = Json::new(&tape.0);
    let (shapes, is_list): (Vec<Shape>, bool) = match json.elements() {
        Some(elements) => (elements.map(shape).collect::<Result<_, _>>()?, true),
        None => (vec![shape(json)?], false),
    };
    let first = shapes.first().ok_or(DecodeErrorKind::NotAMessage)?;
    let from = Format::of(first.is_short, is_list);
    let wraps = to.is_list() && (is_list || first.is_listed);
    let types = shapes.iter().map(|shape| shape.name).collect();
    let mut renamer = Renamer { rest: text, out: String::with_capacity(2 * text.len()), ..Renamer::new(to) };
    let objects: Vec<String> = shapes.iter().map(|shape| renamer.next_object(shape)).collect();
    let messages = if wraps { vec![format!("[{}]", objects.join(","))] } else { objects };
    Ok(Converted { messages, from, types, unknown_keys: renamer.unknown_keys })
}

const fn flat(names: &'static [Names]) -> Keys {
    Keys { names, inside: &[] }
}

/// Returns the shape of an object according to its type.
fn shape(json: Json<'_>) -> Result<Shape, DecodeError> {
    let members = json.members().ok_or(DecodeErrorKind::NotAMessage)?;
    let Some((name, is_short)) = type_of(members) else { return control(json) };
    let name = name.as_str().ok_or(DecodeErrorKind::WrongType(TYPE.long))?;
    let (name, keys) = match DataType::from_name(name) {
        Some(data_type) => (data_type.as_str(), with_noun!(data_type.kind(), T => keys_of::<T>())),
        None => other(OtherType::from_name(name)),
    };
    Ok(Shape { name, keys, is_short, is_listed: true })
}

fn keys_of<T: Record>() -> Keys {
    Keys { names: T::NAMES, inside: T::INSIDE }
}

fn other(other: OtherType) -> (&'static str, Keys) {
    let keys = match other {
        OtherType::MyOrder => flat(MY_ORDER),
        OtherType::MyAsset => Keys { names: MY_ASSET, inside: &[("assets", MY_ASSET_ENTRY)] },
        OtherType::Announcement => flat(ANNOUNCEMENT),
        OtherType::Indicator | OtherType::IndicatorSignal => Keys {
            names: INDICATOR,
            inside: &[("params", INDICATOR_PARAMS), ("event_params", INDICATOR_EVENT), ("value", INDICATOR_VALUE)],
        },
        OtherType::Unknown => flat(&[]),
    };
    (other.as_str(), keys)
}

/// Returns the shape of an object without a type.
fn control(json: Json<'_>) -> Result<Shape, DecodeError> {
    const LISTS: Keys = Keys { names: SUBSCRIPTIONS, inside: &[("result", SUBSCRIPTIONS_ENTRY)] };
    const WORDS: Keys = flat(&[Names { long: "status", short: "status" }, Names { long: "error", short: "error" }]);

    let has = |name| json.member(name).is_some();
    if let Some(name) = ["error", "status"].into_iter().find(|name| has(name)) {
        return Ok(Shape { name, keys: WORDS, is_short: false, is_listed: false });
    }
    // A request also has a method, but no result.
    if (has("method") || has("mthd")) && (has("result") || has("rslt")) {
        return Ok(Shape { name: "LIST_SUBSCRIPTIONS", keys: LISTS, is_short: !has("result"), is_listed: true });
    }
    Err(DecodeErrorKind::NotAMessage.into())
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// Copies valid JSON and renames its keys.
struct Renamer<'t> {
    rest: &'t str,
    out: String,
    from_short: bool,
    to_short: bool,
    unknown_keys: u64,
}

impl<'t> Renamer<'t> {
    fn new(to: Format) -> Self {
        Self { rest: "", out: String::new(), from_short: false, to_short: to.is_short(), unknown_keys: 0 }
    }

    /// Converts the next object of the message. Skips the text between objects.
    fn next_object(&mut self, shape: &Shape) -> String {
        let start = self.rest.find('{').unwrap_or(self.rest.len());
        self.rest = &self.rest[start..];
        self.from_short = shape.is_short;
        self.object(shape.keys, true);
        std::mem::take(&mut self.out)
    }

    fn value(&mut self, keys: Keys) {
        match self.rest.as_bytes().first() {
            Some(b'{') => self.object(keys, false),
            Some(b'[') => self.list(keys),
            _ => self.copy_value(),
        }
    }

    fn list(&mut self, keys: Keys) {
        self.copy(1);
        while let Some(byte) = self.next_token() {
            match byte {
                b',' => self.copy(1),
                b']' => return self.copy(1),
                _ => self.value(keys),
            }
        }
    }

    fn object(&mut self, keys: Keys, is_message: bool) {
        self.copy(1);
        while let Some(byte) = self.next_token() {
            match byte {
                b',' => self.copy(1),
                b'}' => return self.copy(1),
                _ => {
                    let inside = self.key(keys, is_message);
                    self.next_token();
                    self.copy(1); // the colon
                    self.next_token();
                    match inside {
                        Some(keys) => self.value(keys),
                        None => self.copy_value(),
                    }
                }
            }
        }
    }

    /// Writes the next key under its new name. Returns the keys of the objects that it holds, if they are known.
    fn key(&mut self, keys: Keys, is_message: bool) -> Option<Keys> {
        let length = value_length(self.rest);
        let key = unescaped(&self.rest[..length]);
        let from = if self.from_short { |names: &Names| names.short } else { |names: &Names| names.long };
        let known = keys.names.iter().find(|names| *from(names) == *key);
        let Some(names) = known.or((is_message && *from(&TYPE) == *key).then_some(&TYPE)) else {
            self.unknown_keys += 1;
            self.copy(length);
            return None;
        };
        let name = if self.to_short { names.short } else { names.long };
        self.out.extend(["\"", name, "\""]);
        self.rest = &self.rest[length..];
        let inside = keys.inside.iter().find(|(holder, _)| *holder == names.long);
        inside.filter(|(_, inside)| !inside.is_empty()).map(|(_, inside)| flat(inside))
    }

    fn copy_value(&mut self) {
        self.copy(value_length(self.rest));
    }

    /// Copies white space and returns the byte that follows.
    fn next_token(&mut self) -> Option<u8> {
        self.copy(self.rest.len() - self.rest.trim_start_matches(is_space).len());
        self.rest.bytes().next()
    }

    fn copy(&mut self, length: usize) {
        let (copied, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.out.push_str(copied);
        self.rest = rest;
    }
}

/// Returns the content of a JSON string without its quotes and escapes.
fn unescaped(string: &str) -> Cow<'_, str> {
    let plain = &string[1..string.len() - 1];
    if !plain.contains('\\') {
        return Cow::Borrowed(plain);
    }
    let mut scratch = string.as_bytes().to_vec();
    let tape = simd_json::to_tape(&mut scratch).ok();
    let text = tape.as_ref().and_then(|tape| Json::new(&tape.0).as_str());
    Cow::Owned(text.unwrap_or(plain).to_owned())
}

/// Returns the length of the value at the start of `json`.
fn value_length(json: &str) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in json.bytes().enumerate() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = byte == b'\\' && !escaped;
            if !in_string && depth == 0 {
                return at + 1;
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            // The end of the list or object that holds a number or a word.
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' if depth == 1 => return at + 1,
            b'}' | b']' => depth -= 1,
            b',' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return at,
            _ => {}
        }
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str, to: Format) -> String {
        let mut messages = convert(text, to).unwrap().messages;
        assert_eq!(messages.len(), 1);
        messages.remove(0)
    }

    const TRADE: &str = r#"{"type":"trade","code":"KRW-BTC","trade_price":1.10E+8,"is_new":{"code":[1,"}\""]},"st":0}"#;

    #[test]
    fn only_known_keys_change() {
        let short = r#"{"ty":"trade","cd":"KRW-BTC","tp":1.10E+8,"is_new":{"code":[1,"}\""]},"st":0}"#;
        let converted = convert(TRADE, Format::Simple).unwrap();
        assert_eq!((converted.messages[0].as_str(), converted.unknown_keys), (short, 2));
        assert_eq!((converted.from, converted.types), (Format::Default, vec!["trade"]));
        assert_eq!(one(TRADE, Format::Default), TRADE);
        assert_eq!(one(TRADE, Format::SimpleList), format!("[{short}]"));
    }

    #[test]
    fn the_meaning_of_a_key_depends_on_its_object() {
        // `ap` differs between orders and units, and `p` between params and orders. `trade_date` has two short names.
        for (long, short) in [
            (r#"{"type":"myOrder","avg_price":1,"price":2}"#, r#"{"ty":"myOrder","ap":1,"p":2}"#),
            (
                r#"{"type":"orderbook","orderbook_units":[{"ask_price":1}, {"bid_size":2}]}"#,
                r#"{"ty":"orderbook","obu":[{"ap":1}, {"bs":2}]}"#,
            ),
            (r#"{"type":"trade","trade_date":"a"}"#, r#"{"ty":"trade","td":"a"}"#),
            (r#"{"type":"ticker","trade_date":"a"}"#, r#"{"ty":"ticker","tdt":"a"}"#),
            (
                r#"{"type":"indicator","params":{"type":"SMA","period":5},"value":{"value":1}}"#,
                r#"{"ty":"indicator","p":{"t":"SMA","p":5},"v":{"value":1}}"#,
            ),
            (
                r#"{"method":"LIST_SUBSCRIPTIONS","result":[{"type":"ticker","codes":["KRW-BTC"]}],"ticket":"t"}"#,
                r#"{"mthd":"LIST_SUBSCRIPTIONS","rslt":[{"ty":"ticker","cds":["KRW-BTC"]}],"tckt":"t"}"#,
            ),
        ] {
            assert_eq!((one(long, Format::Simple), one(short, Format::Default)), (short.to_owned(), long.to_owned()));
        }
    }

    #[test]
    fn a_list_of_several_objects_is_split_for_formats_without_lists() {
        let list = r#" [{"type":"trade"} , {"type":"ticker"}] "#;
        assert_eq!(one(list, Format::SimpleList), r#"[{"ty":"trade"},{"ty":"ticker"}]"#);
        let converted = convert(list, Format::Simple).unwrap();
        assert_eq!(converted.messages, [r#"{"ty":"trade"}"#, r#"{"ty":"ticker"}"#]);
        assert_eq!((converted.from, converted.types), (Format::JsonList, vec!["trade", "ticker"]));
    }

    #[test]
    fn errors_and_status_are_the_same_in_all_formats() {
        for text in [r#"{"status":"UP"}"#, r#"{"error":{"name":"NO_TYPE","message":"x"}}"#] {
            assert!(Format::ALL.into_iter().all(|format| one(text, format) == text), "{text}");
        }
    }

    #[test]
    fn a_key_with_escapes_is_known() {
        let escaped = r#"{"\u0074ype":"trade","c\u006fde":"KRW-BTC","\u0041":1,"ask\u005Fbid":"\u0041SK"}"#;
        let short = r#"{"ty":"trade","cd":"KRW-BTC","\u0041":1,"ab":"\u0041SK"}"#;
        assert_eq!(convert(escaped, Format::Simple).map(|converted| converted.unknown_keys), Ok(1));
        assert_eq!(
            (one(escaped, Format::Simple), one(escaped, Format::Default)),
            (short.to_owned(), { r#"{"type":"trade","code":"KRW-BTC","\u0041":1,"ask_bid":"\u0041SK"}"#.to_owned() })
        );
    }

    #[test]
    fn a_huge_number_stays_unchanged() {
        for value in ["1e400", "[-1E+999]"] {
            let text = |code, key| format!(r#"{{"{key}":"trade","{code}":"KRW-BTC","x":{value}}}"#);
            assert_eq!(one(&text("code", "type"), Format::Simple), text("cd", "ty"));
        }
    }

    #[test]
    fn the_key_of_the_market_code_decides_if_a_new_field_is_called_type() {
        let short = r#"{"ty":"trade","cd":"KRW-BTC","tp":1,"type":"LIMIT"}"#;
        let converted = convert(short, Format::SimpleList).unwrap();
        assert_eq!((converted.from, converted.types), (Format::Simple, vec!["trade"]));
        assert_eq!(converted.messages, [format!("[{short}]")]);
    }

    #[test]
    fn requests_and_other_json_are_refused() {
        for text in [
            r#"[{"ticket":"t"},{"type":"ticker","codes":["KRW-BTC"]},{"format":"SIMPLE"}]"#,
            r#"[{"ticket":"t"},{"method":"LIST_SUBSCRIPTIONS"}]"#,
            "{}",
            "[]",
            "7",
            r#"["x"]"#,
        ] {
            assert_eq!(convert(text, Format::Simple), Err(DecodeErrorKind::NotAMessage.into()), "{text}");
        }
        assert_eq!(convert(r#"{"type":"#, Format::Simple), Err(DecodeErrorKind::NotJson.into()));
    }
}
