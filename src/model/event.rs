//! A message of any type, stored inline.

use super::nouns::*;
use super::{StreamKey, StreamType};

/// Generates the enum from the list of nouns.
macro_rules! event {
    ([] $($Noun:ident $noun:ident,)*) => {
        /// One message of the exchange.
        #[derive(Debug, Clone, Copy, PartialEq)]
        #[non_exhaustive]
        #[allow(clippy::large_enum_variant, reason = "a ring of boxes is 20 times slower than one of inline books")]
        pub enum Event {
            $(#[doc = concat!("A [`", stringify!($Noun), "`].")] $Noun($Noun),)*
        }

        impl Event {
            /// The stream that the message belongs to.
            pub fn key(&self) -> StreamKey {
                match self {
                    $(Self::$Noun(value) => value.key(),)*
                }
            }

            /// Whether the message is a snapshot or reports a change.
            pub fn stream_type(&self) -> StreamType {
                match self {
                    $(Self::$Noun(value) => value.stream_type(),)*
                }
            }

            /// Returns the same message with another [`stream_type`](Self::stream_type).
            #[must_use]
            pub fn with_stream_type(self, stream_type: StreamType) -> Self {
                match self {
                    $(Self::$Noun(value) => Self::$Noun(value.with_stream_type(stream_type)),)*
                }
            }
        }

        $(impl From<$Noun> for Event {
            fn from(value: $Noun) -> Self {
                Self::$Noun(value)
            }
        })*
    };
}

for_each_noun! { event! }
