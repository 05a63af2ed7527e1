//! The message types of the exchange: the list of them, the [`Noun`] trait that each implements, and the code generated
//! from the list. ARCHITECTURE.md says how to add a type.
//!
//! Other rooms do not name the types one by one. They are generic over [`Noun`], keep an [`EachNoun`] or an
//! [`AnyNoun`], or turn a [`NounKind`] into its type with `with_noun!`.

/// The list of message types. Calls a macro with the given arguments, followed by each type and its name in lower case.
///
/// The scanner tries the types in this order, so the most frequent type is first.
macro_rules! for_each_noun {
    ($then:ident! $($with:tt)*) => {
        $then! {
            [$($with)*]
            Orderbook orderbook,
            Ticker ticker,
            Trade trade,
            Candle candle,
        }
    };
}

/// Evaluates an expression with `$T` as the type that a [`NounKind`] names.
macro_rules! with_noun {
    ($kind:expr, $T:ident => $do:expr) => {
        for_each_noun! { with_noun_arms! ($kind) $T ($do) }
    };
}

macro_rules! with_noun_arms {
    ([($kind:expr) $T:ident ($do:expr)] $($Noun:ident $noun:ident,)*) => {
        match $kind {
            $($crate::model::NounKind::$Noun => {
                type $T = $crate::model::$Noun;
                $do
            })*
        }
    };
}

/// Evaluates an expression once for each type, as `$T`.
macro_rules! each_noun {
    ($T:ident => $do:expr) => {
        for_each_noun! { each_noun_blocks! $T ($do) }
    };
}

macro_rules! each_noun_blocks {
    ([$T:ident ($do:expr)] $($Noun:ident $noun:ident,)*) => {
        $({
            type $T = $crate::model::$Noun;
            $do;
        })*
    };
}

/// Evaluates an expression with `$it` as the content of an [`AnyNoun`].
macro_rules! match_any {
    ($any:expr, $it:ident => $do:expr) => {
        for_each_noun! { match_any_arms! ($any) $it ($do) }
    };
}

macro_rules! match_any_arms {
    ([($any:expr) $it:ident ($do:expr)] $($Noun:ident $noun:ident,)*) => {
        match $any {
            $($crate::model::AnyNoun::$Noun($it) => $do,)*
        }
    };
}

/// Implements part of [`Noun`] for a message about a market with the fields `market`, `timestamp` and `stream_type`.
macro_rules! common_answers {
    () => {
        #[inline]
        fn scope(&self) -> $crate::model::Scope {
            self.market.into()
        }

        #[inline]
        fn exchange_ms(&self) -> u64 {
            self.timestamp
        }

        #[inline]
        fn stream_type(&self) -> StreamType {
            self.stream_type
        }

        #[inline]
        fn with_stream_type(self, stream_type: StreamType) -> Self {
            Self { stream_type, ..self }
        }
    };
}

mod candle;
mod family;
mod orderbook;
mod ticker;
mod trade;

pub use candle::Candle;
pub(crate) use family::{AnyNoun, EachNoun, Family, Placed};
pub use orderbook::{BestLevels, Level, Levels, MAX_LEVELS, Orderbook, Unit};
pub use ticker::{Change, MarketState, MarketWarning, Ticker};
pub use trade::Trade;

use std::fmt::Debug;

use super::{DataType, Fingerprint, Scope, StreamKey, StreamType, Words};

/// A message type: [`Ticker`], [`Trade`], [`Orderbook`] or [`Candle`]. Sealed: other types cannot implement it.
///
/// Properties that differ between the types have no default, so that each new type has to define them.
#[allow(private_bounds, reason = "sealed")]
pub trait Noun: family::Placed + Words + Into<super::Event> + Copy + PartialEq + Debug + Send + Sync + 'static {
    /// The kind of this type.
    const KIND: NounKind = Self::PLACE;

    /// The data types that carry this message, except grouped order books, of which there is one for each step.
    const DATA_TYPES: &'static [DataType];

    /// How a message relates to earlier ones of its stream.
    const NATURE: Nature;

    /// The access that subscribing to it requires.
    const ACCESS: Access;

    /// Expected bytes per second of one stream in a busy market. Based on sizes and rates observed on the exchange: all
    /// 855 order books together bring 2.2 MB/s; the busiest market brings one ticker, one trade and eight books per
    /// second.
    const BYTES_PER_SECOND: f64;

    /// Measured time to decode one message, in ns, for each format in the order of [`Format::ALL`](super::Format::ALL).
    const DECODE_NS: [f64; 4];

    /// The ordering key of the messages of one stream. A message with a greater key is newer.
    type Order: Ord + Copy + Send;

    /// The data type that carries this message.
    fn data_type(&self) -> DataType;

    /// The market, currency or account that this message is about.
    fn scope(&self) -> Scope;

    /// The ordering key of this message.
    fn order(&self) -> Self::Order;

    /// The latest time in an ordering key, in Unix ms. The key cannot be true if this time cannot.
    fn latest_ms(order: Self::Order) -> u64;

    /// The exchange's timestamp of the event, in Unix ms.
    fn exchange_ms(&self) -> u64;

    /// An id that is unique in the stream, for messages that the exchange may send twice. `None` for all others, and if
    /// the message has no readable id.
    fn id(&self) -> Option<u64>;

    /// What the message says about the event with its [`id`](Self::id). If two messages with one id differ in this,
    /// they report two events.
    #[doc(hidden)]
    fn contents(&self) -> Fingerprint;

    /// Whether each trade of the market causes a message of this type, which shows the time of the trade.
    const SHOWS_TRADES: bool = false;

    /// The time of the newest trade that the message shows, in Unix ms.
    fn last_trade_ms(&self) -> Option<u64> {
        None
    }

    /// Whether the message is a snapshot or reports a change.
    fn stream_type(&self) -> StreamType;

    /// Returns the same message with another [`stream_type`](Self::stream_type).
    #[must_use]
    fn with_stream_type(self, stream_type: StreamType) -> Self;

    /// The stream that the message belongs to.
    #[inline]
    fn key(&self) -> StreamKey {
        StreamKey { data_type: self.data_type(), scope: self.scope() }
    }

    /// Whether the message still matters to a reader that has seen a later one, with the key `_newest`.
    #[inline]
    fn is_news_after(&self, _newest: Self::Order) -> bool {
        Self::NATURE == Nature::Occurrence
    }

    /// The number of elements in a list inside the message, such as the units of an order book. Each takes time to
    /// decode.
    #[inline]
    fn unit_count(&self) -> usize {
        0
    }

    /// Sets the part of the message that only its `type` field contains: the interval of a candle.
    #[doc(hidden)]
    #[inline]
    fn set_data_type(&mut self, _data_type: DataType) {}

    /// Returns the book without its level if the level is `plain_level`, the value that the exchange writes for an
    /// ungrouped book. Returns `None` in all other cases.
    #[doc(hidden)]
    #[inline]
    fn without_level(&self, _plain_level: f64) -> Option<Self> {
        None
    }
}

/// How a message relates to earlier ones of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// A state: the newest message replaces earlier ones.
    State,
    /// An event: each message counts.
    Occurrence,
}

/// The access that a data type requires. It decides which endpoint of the exchange serves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Access {
    /// Anyone, at the public endpoint.
    Public,
    /// The owner of an account, at the private endpoint.
    Private,
}

/// Generates the code that is the same for each type in the list.
macro_rules! nouns {
    ([] $($Noun:ident $noun:ident,)*) => {
        /// The kind of a message, one for each type. Converts to a number, counted from 0.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum NounKind {
            $(#[doc = concat!("A [`", stringify!($Noun), "`].")] $Noun,)*
        }

        impl NounKind {
            /// All kinds.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$Noun),*];

            /// The number of kinds.
            pub const COUNT: usize = [$(stringify!($Noun)),*].len();

            /// The data types that carry this kind, except grouped order books, of which there is one for each step.
            pub const fn data_types(self) -> &'static [DataType] {
                match self {
                    $(Self::$Noun => $Noun::DATA_TYPES,)*
                }
            }

            /// Measured time to decode one message, in ns, for each format in the order of
            /// [`Format::ALL`](super::Format::ALL).
            pub const fn decode_ns(self) -> [f64; 4] {
                match self {
                    $(Self::$Noun => $Noun::DECODE_NS,)*
                }
            }
        }
    };
}

for_each_noun! { nouns! }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_types_and_kinds_refer_to_each_other() {
        for kind in NounKind::ALL {
            assert!(!kind.data_types().is_empty(), "{kind:?}");
            for data_type in kind.data_types() {
                assert_eq!(data_type.kind(), kind, "{data_type}");
                assert_eq!(DataType::from_name(data_type.as_str()), Some(*data_type));
            }
        }
    }

    #[test]
    fn set_data_type_sets_the_data_type_of_a_message() {
        each_noun!(T => for data_type in T::DATA_TYPES {
            let mut message: T = Words::take(&mut || 0);
            message.set_data_type(*data_type);
            assert_eq!(message.data_type(), *data_type);
            assert_eq!(message.key(), StreamKey { data_type: *data_type, scope: message.scope() });
        });
    }

    #[test]
    fn with_stream_type_changes_only_the_stream_type() {
        each_noun!(T => {
            let message: T = Words::take(&mut || 0);
            for stream_type in [StreamType::Snapshot, StreamType::Realtime] {
                let changed = message.with_stream_type(stream_type);
                assert_eq!(changed.stream_type(), stream_type);
                assert_eq!(changed.with_stream_type(message.stream_type()), message);
            }
        });
    }

    #[test]
    fn only_occurrences_have_an_id() {
        each_noun!(T => {
            let message: T = Words::take(&mut || 0);
            assert_eq!(message.id().is_some(), T::NATURE == Nature::Occurrence, "{:?}", T::KIND);
        });
    }
}
