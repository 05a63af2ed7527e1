//! The reasons for refusing a message. The error is small and `Copy`, because every call of the decoder returns a
//! result with room for it.

use std::fmt;

use crate::model::StreamKey;

/// The reason why a message was refused, and the stream of the message. The connection continues, because the next
/// message may be good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// The stream of the message, if its type and its code could be read.
    pub stream: Option<StreamKey>,
}

/// What is wrong with a refused message. Fields are named as in format `DEFAULT`. The `level` of a book must be
/// readable if it is present, like a required field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// Not JSON in UTF-8, or nested deeper than any message of the exchange.
    NotJson,
    /// JSON that is not a message: an empty list, no object, or an object without a type, an error, a status or a
    /// method.
    NotAMessage,
    /// A required field is absent.
    MissingField(&'static str),
    /// A required field is `null` or an empty string.
    EmptyField(&'static str),
    /// A required field holds a JSON type that cannot be read. This includes numbers that do not fit: too large, or
    /// with a fraction where a whole number is needed.
    WrongType(&'static str),
    /// A required field holds a text that cannot be read, or none of the levels on one side of a book can be read.
    BadValue(&'static str),
    /// The field `code` holds a text that is not a market code.
    BadMarket,
    /// A number is not written as JSON requires.
    BadNumber,
}

impl DecodeErrorKind {
    /// Returns a short, stable word for logs and scripts.
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
    /// Returns a short, stable word for logs and scripts.
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
    /// A JSON type that cannot be read, or a number that does not fit.
    Type,
    /// A text that cannot be read.
    Value,
    /// A text that is not a market code.
    Market,
    /// A word that this version does not know. The field then holds its value for unknown words.
    Word,
}

impl Fault {
    /// Returns the error for a message that is refused because of the field `name`.
    pub(super) fn at(self, name: &'static str) -> DecodeErrorKind {
        match self {
            Self::Empty => DecodeErrorKind::EmptyField(name),
            Self::Type => DecodeErrorKind::WrongType(name),
            Self::Value | Self::Word => DecodeErrorKind::BadValue(name),
            Self::Market => DecodeErrorKind::BadMarket,
        }
    }
}
