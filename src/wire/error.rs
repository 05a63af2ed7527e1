//! The reasons for refusing a message. They are small and `Copy`, because every decoding result has room for one.

use std::fmt;

/// Why a message was refused. The connection continues, because one bad message says nothing about the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not JSON in UTF-8, or nested deeper than any message of the exchange.
    NotJson,
    /// JSON, but not a message: not an object, or an object without a type, error, status or method.
    NotAMessage,
    /// A required field is absent.
    MissingField(&'static str),
    /// A field does not have the documented JSON type. This includes a number that does not fit: a fraction where a
    /// whole number is expected, or a number that is too large.
    WrongType(&'static str),
    /// A field holds a word, date or time that the exchange does not document.
    BadValue(&'static str),
    /// The market code is invalid.
    BadMarket,
    /// A number does not follow the JSON grammar.
    BadNumber,
    /// More order book levels than [`MAX_LEVELS`](crate::model::MAX_LEVELS).
    TooManyLevels,
}

impl DecodeError {
    /// Returns a short, stable word for logs and scripts.
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
            Self::WrongType(name) => write!(f, "field {name} does not have the documented JSON type"),
            Self::BadValue(name) => write!(f, "field {name} holds an undocumented word, date or time"),
            Self::BadMarket => f.write_str("field code does not hold a market code"),
            Self::BadNumber => f.write_str("a number is malformed"),
            Self::TooManyLevels => f.write_str("the order book has more than 30 levels"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// The fault of one value, before the field's name is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Type,
    Value,
    Market,
    Levels,
    /// A fault in an object inside the value.
    Inside(DecodeError),
}

impl Fault {
    /// Returns the error for the field `name`.
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
