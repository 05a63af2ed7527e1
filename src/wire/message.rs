//! The results of decoding a message, apart from the data that the sink receives.

use std::fmt;

use crate::model::is_misleading;

/// What one message contained. The sink has already received the data. Rare content is boxed to keep the enum small.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Message {
    /// Market data, delivered to the sink.
    Data {
        /// The number of objects: 1, or the length of the list.
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

/// The exchange's `status`, sent every 10 s after a client has sent `PING`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// `UP`.
    Up,
    /// A status that this version does not know.
    Unknown,
}

/// The exchange's error object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerError {
    /// The kind of error.
    pub name: ErrorName,
    /// The exchange's name of the error: at most [`ServerError::NAME_MAX`] characters, none of them control characters.
    pub raw_name: Box<str>,
    /// The exchange's explanation, often Korean: at most [`ServerError::MESSAGE_MAX`] characters, none of them control
    /// characters.
    pub message: Box<str>,
}

/// The documented kinds of error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorName {
    /// `INVALID_AUTH`: the token is missing or invalid.
    InvalidAuth,
    /// `WRONG_FORMAT`: the exchange cannot parse the request.
    WrongFormat,
    /// `NO_TICKET`: the request has no ticket.
    NoTicket,
    /// `NO_TYPE`: the request has no type.
    NoType,
    /// `NO_CODES`: required codes are missing.
    NoCodes,
    /// `INVALID_PARAM`: an unknown type or parameter.
    InvalidParam,
    /// `TOO_MANY_REQUEST`: a limit was exceeded.
    TooManyRequest,
    /// Any other name.
    Other,
}

/// The exchange's list of what it sends on this connection.
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
    /// Codes as the exchange writes them, some with a `.n` suffix. Empty for types without codes.
    pub codes: Vec<Box<str>>,
    /// The step by which prices of an order book are grouped, in the quote currency. `None` if the exchange sends none.
    pub level: Option<f64>,
}

/// Types of messages without a struct.
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
    /// The maximum length of `raw_name` in characters.
    pub const NAME_MAX: usize = 64;
    /// The maximum length of `message` in characters.
    pub const MESSAGE_MAX: usize = 512;
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.raw_name, self.message)
    }
}

impl ErrorName {
    /// All names.
    pub const ALL: [Self; 8] = [
        Self::InvalidAuth,
        Self::WrongFormat,
        Self::NoTicket,
        Self::NoType,
        Self::NoCodes,
        Self::InvalidParam,
        Self::TooManyRequest,
        Self::Other,
    ];

    /// Returns the exchange's name; `OTHER` for [`Other`](Self::Other).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidAuth => "INVALID_AUTH",
            Self::WrongFormat => "WRONG_FORMAT",
            Self::NoTicket => "NO_TICKET",
            Self::NoType => "NO_TYPE",
            Self::NoCodes => "NO_CODES",
            Self::InvalidParam => "INVALID_PARAM",
            Self::TooManyRequest => "TOO_MANY_REQUEST",
            Self::Other => "OTHER",
        }
    }

    /// Parses the exchange's name. Case matters.
    pub fn from_name(name: &str) -> Self {
        Self::ALL.into_iter().find(|known| known.as_str() == name).unwrap_or(Self::Other)
    }
}

impl OtherType {
    /// Returns the exchange's name, or `unknown`.
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

    /// Parses the exchange's name. Case matters.
    pub fn from_name(name: &str) -> Self {
        [Self::MyOrder, Self::MyAsset, Self::Announcement, Self::Indicator, Self::IndicatorSignal]
            .into_iter()
            .find(|known| known.as_str() == name)
            .unwrap_or(Self::Unknown)
    }
}

/// Cuts text of the exchange to `max` characters and replaces misleading ones with `\u{fffd}`, for logs and errors.
pub(super) fn bounded(text: &str, max: usize) -> Box<str> {
    text.chars().take(max).map(|c| if is_misleading(c) { '\u{fffd}' } else { c }).collect()
}
