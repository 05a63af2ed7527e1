//! Wire: why a message was refused. Small and `Copy`: it travels beside every message.

use std::fmt;

/// Why a message was refused. The connection goes on: one bad message says nothing about the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not JSON in UTF-8, or nested deeper than any message of the exchange.
    NotJson,
    /// JSON, but not a message: no object, or one without a type, an error, a status or a method.
    NotAMessage,
    /// A required field is absent.
    MissingField(&'static str),
    /// A field holds another JSON type than the documented one. A number that does not fit counts as that: a whole one with
    /// a fraction, or one too large.
    WrongType(&'static str),
    /// A field holds a word, date or time that the exchange does not document.
    BadValue(&'static str),
    /// The market code is none.
    BadMarket,
    /// A number is not spelled as JSON spells numbers.
    BadNumber,
    /// More order book levels than [`MAX_LEVELS`](crate::model::MAX_LEVELS).
    TooManyLevels,
}

impl DecodeError {
    /// A short, stable word for logs and scripts.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::NotAMessage => "not_a_message",
            Self::MissingField(_) => "missing_field",
            Self::WrongType(_) => "wrong_type",
            Self::BadValue(_) => "bad_value",
            Self::BadMarket => "bad_market",
            Self::BadNumber => "bad_number",
            Self::TooManyLevels => "too_many_levels",
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson => f.write_str("the message is not JSON"),
            Self::NotAMessage => f.write_str("the JSON has no type, error, status or method"),
            Self::MissingField(name) => write!(f, "field {name} is missing"),
            Self::WrongType(name) => write!(f, "field {name} has another JSON type than documented"),
            Self::BadValue(name) => write!(f, "field {name} holds an undocumented word, date or time"),
            Self::BadMarket => f.write_str("field code holds no market code"),
            Self::BadNumber => f.write_str("a number is misspelt"),
            Self::TooManyLevels => f.write_str("the order book has more than 30 levels"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// What is wrong with one value, before the field's name is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Type,
    Value,
    Market,
    Levels,
    /// In an object inside the value.
    Inside(DecodeError),
}

impl Fault {
    /// The error of the field `name`.
    pub(super) fn at(self, name: &'static str) -> DecodeError {
        match self {
            Self::Type => DecodeError::WrongType(name),
            Self::Value => DecodeError::BadValue(name),
            Self::Market => DecodeError::BadMarket,
            Self::Levels => DecodeError::TooManyLevels,
            Self::Inside(error) => error,
        }
    }
}
