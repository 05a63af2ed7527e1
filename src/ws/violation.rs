//! The ways in which a server can violate RFC 6455, and the close codes for them.

use super::CloseCode;
use std::fmt;

/// A violation of the protocol or of a limit by the server. The connection cannot continue: send a close frame with
/// [`close_code`](Self::close_code) and end it (RFC 6455 section 7.1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// A server's frame is masked (section 5.1).
    Masked,
    /// A reserved bit is set, and no extension was negotiated (section 5.2).
    ReservedBits,
    /// The opcode is not defined (section 5.2).
    ReservedOpcode(u8),
    /// A length is not in its shortest encoding (section 5.2).
    NonMinimalLength,
    /// A control frame is fragmented (section 5.5).
    FragmentedControl,
    /// A control frame has more than 125 bytes (section 5.5).
    LongControl,
    /// A continuation frame arrived, but there is no message to continue (section 5.4).
    LoneContinuation,
    /// A new message began inside a fragmented message (section 5.4).
    InterruptedMessage,
    /// A message is larger than the limit. Detected in the header, before memory is allocated for it.
    TooBig {
        /// The size of the message in bytes, up to and including the current fragment.
        size: u64,
        /// The limit in bytes.
        limit: usize,
    },
    /// A message has more fragments than the limit.
    TooManyFragments {
        /// The limit.
        limit: u32,
    },
    /// A text message is not UTF-8 (section 8.1).
    InvalidUtf8,
    /// A close frame has one byte, half a code (section 5.5.1).
    ShortClose,
    /// A close code that must not be sent (section 7.4).
    InvalidCloseCode(u16),
    /// The reason in a close frame is not UTF-8 (section 5.5.1).
    InvalidCloseReason,
}

impl Violation {
    /// Returns the code to close with: 1009 for a message over a limit, 1007 for text that is not UTF-8, and 1002 for
    /// all others (section 7.4.1).
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::TooBig { .. } | Self::TooManyFragments { .. } => CloseCode::Size,
            Self::InvalidUtf8 | Self::InvalidCloseReason => CloseCode::Invalid,
            _ => CloseCode::Protocol,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Masked => f.write_str("a server's frame is masked"),
            Self::ReservedBits => f.write_str("a reserved bit is set"),
            Self::ReservedOpcode(opcode) => write!(f, "opcode {opcode} is reserved"),
            Self::NonMinimalLength => f.write_str("a length is not in its shortest encoding"),
            Self::FragmentedControl => f.write_str("a control frame is fragmented"),
            Self::LongControl => f.write_str("a control frame has more than 125 bytes"),
            Self::LoneContinuation => f.write_str("a continuation frame has no message to continue"),
            Self::InterruptedMessage => f.write_str("a message began inside a fragmented message"),
            Self::TooBig { size, limit } => write!(f, "a message has at least {size} bytes; the limit is {limit}"),
            Self::TooManyFragments { limit } => write!(f, "a message has more than {limit} fragments"),
            Self::InvalidUtf8 => f.write_str("a text message is not UTF-8"),
            Self::ShortClose => f.write_str("a close frame has one byte, half a code"),
            Self::InvalidCloseCode(code) => write!(f, "close code {code} must not be sent"),
            Self::InvalidCloseReason => f.write_str("the reason in a close frame is not UTF-8"),
        }
    }
}

impl std::error::Error for Violation {}
