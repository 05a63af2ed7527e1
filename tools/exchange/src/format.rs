//! The four message formats, and the JSON writer for their keys. `number` prints the values.

use crate::number;

/// The format of a connection's data. Every request sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// `{...}` with long keys.
    #[default]
    Default,
    /// `{...}` with short keys.
    Simple,
    /// `[{...}]` with long keys.
    JsonList,
    /// `[{...}]` with short keys.
    SimpleList,
}

impl Format {
    /// Whether keys are abbreviated.
    pub fn is_short(self) -> bool {
        matches!(self, Self::Simple | Self::SimpleList)
    }

    /// Whether each message is wrapped in a list.
    pub fn is_list(self) -> bool {
        matches!(self, Self::JsonList | Self::SimpleList)
    }

    /// Returns the format with this name. An unknown name is the default format, as on Bithumb; Upbit's behavior is not
    /// known.
    pub fn named(name: &str) -> Self {
        match name {
            "SIMPLE" => Self::Simple,
            "JSON_LIST" => Self::JsonList,
            "SIMPLE_LIST" => Self::SimpleList,
            _ => Self::Default,
        }
    }
}

/// A key as its long and its short name.
pub(crate) type Key = (&'static str, &'static str);

/// Writes one message in a [`Format`], with the keys in the order of the calls.
pub(crate) struct Writer {
    out: Vec<u8>,
    short: bool,
    list: bool,
    /// Adds an unknown key to each object: [`Fault::UnknownKeys`](crate::Fault::UnknownKeys).
    unknown_keys: bool,
}

impl Writer {
    pub fn new(format: Format, unknown_keys: bool) -> Self {
        let mut out = Vec::with_capacity(1024);
        if format.is_list() {
            out.push(b'[');
        }
        Self { out, short: format.is_short(), list: format.is_list(), unknown_keys }
    }

    pub fn is_short(&self) -> bool {
        self.short
    }

    pub fn finish(mut self) -> Vec<u8> {
        if self.list {
            self.out.push(b']');
        }
        self.out
    }

    pub fn object(&mut self, fields: impl FnOnce(&mut Self)) {
        self.separate();
        self.out.push(b'{');
        fields(self);
        if self.unknown_keys {
            self.separate();
            self.out.extend_from_slice(br#""zz_new":{"a":[1,-2.5E-3,null,"}]\""]}"#);
        }
        self.out.push(b'}');
    }

    pub fn array(&mut self, key: Key, items: impl FnOnce(&mut Self)) {
        self.key(key);
        self.out.push(b'[');
        items(self);
        self.out.push(b']');
    }

    pub fn text(&mut self, key: Key, value: &str) {
        self.key(key);
        self.string(value);
    }

    /// Writes a string element of an array.
    pub fn item(&mut self, value: &str) {
        self.separate();
        self.string(value);
    }

    /// Writes a value unchanged: `true`, `null`.
    pub fn literal(&mut self, key: Key, value: &str) {
        self.key(key);
        self.out.extend_from_slice(value.as_bytes());
    }

    pub fn integer(&mut self, key: Key, value: u64) {
        self.key(key);
        number::integer(&mut self.out, value);
    }

    pub fn big_decimal(&mut self, key: Key, value: i128, scale: u32) {
        self.key(key);
        number::big_decimal(&mut self.out, value, scale);
    }

    pub fn double(&mut self, key: Key, value: i128) {
        self.key(key);
        number::double(&mut self.out, value);
    }

    pub fn plain(&mut self, key: Key, value: i128) {
        self.key(key);
        number::plain(&mut self.out, value);
    }

    fn key(&mut self, (long, short): Key) {
        self.separate();
        self.out.push(b'"');
        self.out.extend_from_slice(if self.short { short } else { long }.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn string(&mut self, value: &str) {
        let quoted = serde_json::Value::from(value).to_string();
        self.out.extend_from_slice(quoted.as_bytes());
    }

    fn separate(&mut self) {
        if !matches!(self.out.last(), None | Some(b'{' | b'[')) {
            self.out.push(b',');
        }
    }
}
