//! The errors that answer a request, spelled as on the Korean host. A close follows each.

/// The name of an in-band error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorName {
    /// Missing or invalid authentication.
    InvalidAuth,
    /// Not JSON, not an array, or a value of the wrong JSON type.
    WrongFormat,
    /// No ticket.
    NoTicket,
    /// No type.
    NoType,
    /// No codes although they are required.
    NoCodes,
    /// A value that is not supported.
    InvalidParam,
    /// The message limit was exceeded.
    TooManyRequest,
}

impl ErrorName {
    /// All names.
    pub const ALL: [Self; 7] = [
        Self::InvalidAuth,
        Self::WrongFormat,
        Self::NoTicket,
        Self::NoType,
        Self::NoCodes,
        Self::InvalidParam,
        Self::TooManyRequest,
    ];

    /// The spelling on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidAuth => "INVALID_AUTH",
            Self::WrongFormat => "WRONG_FORMAT",
            Self::NoTicket => "NO_TICKET",
            Self::NoType => "NO_TYPE",
            Self::NoCodes => "NO_CODES",
            Self::InvalidParam => "INVALID_PARAM",
            Self::TooManyRequest => "TOO_MANY_REQUEST",
        }
    }

    // There is no Korean recording of NO_TYPE, NO_CODES and TOO_MANY_REQUEST: those texts are guesses.
    fn message(self) -> &'static str {
        match self {
            Self::InvalidAuth => "인증 정보가 올바르지 않습니다.",
            Self::WrongFormat => "Format 이 맞지 않습니다.",
            Self::NoTicket => "티켓이 존재하지 않거나, 유효하지 않습니다.",
            Self::NoType => "type 필드가 존재하지 않습니다.",
            Self::NoCodes => "codes 필드가 존재하지 않습니다.",
            Self::InvalidParam => "지원하지 않는 값입니다.",
            Self::TooManyRequest => "요청 한도를 초과했습니다.",
        }
    }

    fn is_name_first(self) -> bool {
        matches!(self, Self::NoTicket | Self::NoType | Self::NoCodes)
    }
}

/// The reason why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub name: ErrorName,
    message: Option<String>,
}

impl Refusal {
    pub fn unknown_type(name: &str) -> Self {
        Self {
            name: ErrorName::InvalidParam, message: Some(format!("{name} 은 지원하지 않는 타입입니다."))
        }
    }

    /// Bithumb's wording.
    pub fn empty_codes() -> Self {
        Self { name: ErrorName::InvalidParam, message: Some("codes 필드가 비어 있습니다.".to_owned()) }
    }

    /// The message on the wire: a single object in every format.
    pub fn to_json(&self) -> Vec<u8> {
        let message = serde_json::Value::from(self.message.as_deref().unwrap_or(self.name.message()));
        let name = self.name.as_str();
        let body = match self.name.is_name_first() {
            true => format!(r#"{{"error":{{"name":"{name}","message":{message}}}}}"#),
            false => format!(r#"{{"error":{{"message":{message},"name":"{name}"}}}}"#),
        };
        body.into_bytes()
    }
}

impl From<ErrorName> for Refusal {
    fn from(name: ErrorName) -> Self {
        Self { name, message: None }
    }
}
