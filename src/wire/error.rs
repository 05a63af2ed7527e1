//! Why a message was refused. Small and `Copy`, because it travels beside every message.

use std::fmt;

use crate::model::StreamKey;

/// Why a message was refused, and of which stream it was. The connection goes on: one bad message says nothing about the
/// next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// The stream of the message, if its type and its code could be read.
    pub stream: Option<StreamKey>,
}

/// What is wrong with a refused message. Fields are named as in format `DEFAULT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// Not JSON in UTF-8, or nested deeper than any message of the exchange.
    NotJson,
    /// JSON, but not a message: no object, or one without a type, an error, a status or a method.
    NotAMessage,
    /// A required field is absent.
    MissingField(&'static str),
    /// A required field is `null` or an empty string.
    EmptyField(&'static str),
    /// A required field holds a JSON type that cannot be read. A number that does not fit counts as that: one too large, or
    /// a whole one with a fraction.
    WrongType(&'static str),
    /// A required field holds a text that cannot be read, or an order book has a side without a level that can be read.
    BadValue(&'static str),
    /// The market code is none.
    BadMarket,
    /// A number is not spelled as JSON spells numbers.
    BadNumber,
}

impl DecodeErrorKind {
    /// A short, stable word for logs and scripts.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::NotAMessage => "not_a_message",
            Self::MissingField(_) => "missing_field",
            Self::EmptyField(_) => "empty_field",
            Self::WrongType(_) => "wrong_type",
            Self::BadValue(_) => "bad_value",
            Self::BadMarket => "bad_market",
            Self::BadNumber => "bad_number",
        }
    }
}

impl DecodeError {
    /// A short, stable word for logs and scripts.
    pub const fn code(&self) -> &'static str {
        self.kind.as_str()
    }
}

impl From<DecodeErrorKind> for DecodeError {
    fn from(kind: DecodeErrorKind) -> Self {
        Self { kind, stream: None }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.stream {
            Some(stream) => write!(f, "{stream}: {}", self.kind),
            None => self.kind.fmt(f),
        }
    }
}

impl fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson => f.write_str("the message is not JSON"),
            Self::NotAMessage => f.write_str("the JSON has no type, error, status or method"),
            Self::MissingField(name) => write!(f, "field {name} is missing"),
            Self::EmptyField(name) => write!(f, "field {name} is empty"),
            Self::WrongType(name) => write!(f, "field {name} holds another JSON type than documented"),
            Self::BadValue(name) => write!(f, "field {name} holds a value that cannot be read"),
            Self::BadMarket => f.write_str("field code holds no market code"),
            Self::BadNumber => f.write_str("a number is not spelled as JSON spells numbers"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// What is wrong with one value, before the field's name is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// `null` or an empty string.
    Empty,
    /// Another JSON type.
    Type,
    /// A text that cannot be read.
    Value,
    /// A text that is no market code.
    Market,
    /// A word that this version does not know. The field holds what stands for it.
    Word,
}

impl Fault {
    /// The error of the field `name`, if it is required.
    pub(super) fn at(self, name: &'static str) -> DecodeErrorKind {
        match self {
            Self::Empty => DecodeErrorKind::EmptyField(name),
            Self::Type => DecodeErrorKind::WrongType(name),
            Self::Value | Self::Word => DecodeErrorKind::BadValue(name),
            Self::Market => DecodeErrorKind::BadMarket,
        }
    }
}
