//! Wire: what a message was, besides the data that went to the sink.

use std::fmt;

/// What one message was. Data has already gone to the sink; everything rare is boxed to keep this small.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Message {
    /// Market data, delivered.
    Data {
        /// How many objects: 1, or the length of the list.
        count: u32,
    },
    /// The answer to `PING`.
    Status(Status),
    /// The exchange refused a request and will close the connection.
    Error(Box<ServerError>),
    /// The answer to `LIST_SUBSCRIPTIONS`.
    Subscriptions(Box<SubscriptionList>),
    /// A message of a type without a struct. It was read as JSON and dropped.
    Other(OtherType),
}

/// `status` of the exchange, sent every 10 s once a client has sent `PING`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// `UP`.
    Up,
    /// A word this version does not know.
    Unknown,
}

/// The exchange's error object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerError {
    /// Its kind.
    pub name: ErrorName,
    /// The exchange's own word, at most [`ServerError::NAME_MAX`] characters, no control characters.
    pub raw_name: Box<str>,
    /// The exchange's explanation, often Korean, at most [`ServerError::MESSAGE_MAX`] characters, no control characters.
    pub message: Box<str>,
}

/// The documented kinds of error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorName {
    /// `INVALID_AUTH`: no token, or a bad one.
    InvalidAuth,
    /// `WRONG_FORMAT`: the request is not what the exchange reads.
    WrongFormat,
    /// `NO_TICKET`: the request has no ticket.
    NoTicket,
    /// `NO_TYPE`: the request asks for nothing.
    NoType,
    /// `NO_CODES`: codes are missing where they are required.
    NoCodes,
    /// `INVALID_PARAM`: an unknown type or parameter.
    InvalidParam,
    /// `TOO_MANY_REQUEST`: a limit was passed.
    TooManyRequest,
    /// Any other word.
    Other,
}

/// What the exchange says it is sending on this connection.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct SubscriptionList {
    /// The ticket of the request.
    pub ticket: Box<str>,
    /// One entry per subscribed type; a type may occur more than once.
    pub entries: Vec<SubscriptionEntry>,
}

/// One type of a [`SubscriptionList`].
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct SubscriptionEntry {
    /// The exchange's name of the type.
    pub type_name: Box<str>,
    /// Codes, as written; they may carry a `.n` suffix. Empty for types without codes.
    pub codes: Vec<Box<str>>,
    /// Price grouping of an order book.
    pub level: Option<f64>,
}

/// Types that have no struct here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OtherType {
    /// `myOrder`.
    MyOrder,
    /// `myAsset`.
    MyAsset,
    /// `announcement`.
    Announcement,
    /// `indicator`.
    Indicator,
    /// `indicator_signal`.
    IndicatorSignal,
    /// A name this version does not know.
    Unknown,
}

impl ServerError {
    /// The most characters of `raw_name`.
    pub const NAME_MAX: usize = 64;
    /// The most characters of `message`.
    pub const MESSAGE_MAX: usize = 512;
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.raw_name, self.message)
    }
}

impl ErrorName {
    /// Reads the exchange's word.
    pub fn from_name(name: &str) -> Self {
        match name {
            "INVALID_AUTH" => Self::InvalidAuth,
            "WRONG_FORMAT" => Self::WrongFormat,
            "NO_TICKET" => Self::NoTicket,
            "NO_TYPE" => Self::NoType,
            "NO_CODES" => Self::NoCodes,
            "INVALID_PARAM" => Self::InvalidParam,
            "TOO_MANY_REQUEST" => Self::TooManyRequest,
            _ => Self::Other,
        }
    }
}

impl OtherType {
    /// The exchange's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MyOrder => "myOrder",
            Self::MyAsset => "myAsset",
            Self::Announcement => "announcement",
            Self::Indicator => "indicator",
            Self::IndicatorSignal => "indicator_signal",
            Self::Unknown => "unknown",
        }
    }

    /// Reads the exchange's name. Case matters.
    pub fn from_name(name: &str) -> Self {
        [Self::MyOrder, Self::MyAsset, Self::Announcement, Self::Indicator, Self::IndicatorSignal]
            .into_iter()
            .find(|known| known.as_str() == name)
            .unwrap_or(Self::Unknown)
    }
}

/// Text of the exchange for logs and errors: cut to `max` characters, control characters shown as `\u{fffd}`.
pub(super) fn bounded(text: &str, max: usize) -> Box<str> {
    text.chars().take(max).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
