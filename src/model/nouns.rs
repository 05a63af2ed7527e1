//! The types of messages that the exchange sends: one list of them, what each answers about itself, and what is generated
//! from the list. ARCHITECTURE.md says how to add one.
//!
//! Other rooms do not name the types one by one: they are generic over [`Noun`], keep an [`EachNoun`] or an [`AnyNoun`], or
//! turn a [`NounKind`] into its type with `with_noun!`.

/// The list. Calls a macro with its own arguments first, then each type and its name in lower case.
///
/// The scanner tries the types in this order: what comes most often is first.
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

/// Evaluates an expression with `$it` as what an [`AnyNoun`] holds.
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

/// The answers of messages about a market that have the fields `market`, `timestamp` and `stream_type`.
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
pub use orderbook::{Level, Levels, MAX_LEVELS, Orderbook, Unit};
pub use ticker::{Change, MarketState, MarketWarning, Ticker};
pub use trade::Trade;

use std::fmt::Debug;

use super::{DataType, Scope, StreamKey, StreamType, Words};

/// A type of message: [`Ticker`], [`Trade`], [`Orderbook`] or [`Candle`]. Closed to other types.
///
/// What has no default differs between types, and a new one has to say it.
#[allow(private_bounds, reason = "closed to other types")]
pub trait Noun: family::Placed + Words + Into<super::Event> + Copy + PartialEq + Debug + Send + Sync + 'static {
    /// Which type it is.
    const KIND: NounKind = Self::PLACE;

    /// The data types that carry it, except those with a parameter that is not known in advance.
    const DATA_TYPES: &'static [DataType];

    /// What one message means to those that come after it.
    const NATURE: Nature;

    /// The access that it takes to ask for it.
    const ACCESS: Access;

    /// Expected bytes per second of one stream in a busy market, from sizes and rates seen on the exchange: all 855 books
    /// together bring 2.2 MB/s, the busiest market a ticker, a trade and eight books per second.
    const BYTES_PER_SECOND: f64;

    /// Measured time to decode one message, in ns, in each of [`Format::ALL`](super::Format::ALL).
    const DECODE_NS: [f64; 4];

    /// What orders the messages of one stream; the later one is newer.
    type Order: Ord + Copy + Send;

    /// The data type that carries this message.
    fn data_type(&self) -> DataType;

    /// What this message is about.
    fn scope(&self) -> Scope;

    /// Its place in the order.
    fn order(&self) -> Self::Order;

    /// When the exchange says it happened, in Unix ms.
    fn exchange_ms(&self) -> u64;

    /// Unique in its stream, for messages that the exchange may send twice.
    fn id(&self) -> Option<u64>;

    /// Whether it answers a request or reports a change.
    fn stream_type(&self) -> StreamType;

    /// The same message with another [`stream_type`](Self::stream_type).
    #[must_use]
    fn with_stream_type(self, stream_type: StreamType) -> Self;

    /// The stream it belongs to.
    #[inline]
    fn key(&self) -> StreamKey {
        StreamKey { data_type: self.data_type(), scope: self.scope() }
    }

    /// Whether it still says something to those who have seen `newest`, which is later.
    #[inline]
    fn is_news_after(&self, _newest: Self::Order) -> bool {
        Self::NATURE == Nature::Occurrence
    }

    /// Elements of a list inside the message, each of which costs time to decode: units of an order book.
    #[inline]
    fn unit_count(&self) -> usize {
        0
    }

    /// Takes over what only the message's type says: the interval of a candle.
    #[doc(hidden)]
    #[inline]
    fn set_data_type(&mut self, _data_type: DataType) {}

    /// The book without a level, if `plain_level` is how the exchange writes that its book has none.
    #[doc(hidden)]
    #[inline]
    fn without_level(&self, _plain_level: f64) -> Option<Self> {
        None
    }
}

/// What one message means to those that come after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// A state: the newest one replaces those before it.
    State,
    /// Something that happened: each message counts.
    Occurrence,
}

/// The access that a data type takes, and so which of the exchange's endpoints serves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Access {
    /// Anybody, at the public endpoint.
    Public,
    /// The owner of an account, at the private endpoint.
    Private,
}

/// Generates what is the same for each type in the list.
macro_rules! nouns {
    ([] $($Noun:ident $noun:ident,)*) => {
        /// The types of messages by name. As a number it counts from 0.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum NounKind {
            $(#[doc = concat!("A [`", stringify!($Noun), "`].")] $Noun,)*
        }

        impl NounKind {
            /// All of them.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$Noun),*];

            /// How many there are.
            pub const COUNT: usize = [$(stringify!($Noun)),*].len();

            /// The data types that carry it, except those with a parameter that is not known in advance.
            pub const fn data_types(self) -> &'static [DataType] {
                match self {
                    $(Self::$Noun => $Noun::DATA_TYPES,)*
                }
            }

            /// Measured time to decode one message, in ns, in each of [`Format::ALL`](super::Format::ALL).
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
    fn every_data_type_names_the_type_of_message_that_names_it() {
        for kind in NounKind::ALL {
            assert!(!kind.data_types().is_empty(), "{kind:?}");
            for data_type in kind.data_types() {
                assert_eq!(data_type.kind(), kind, "{data_type}");
                assert_eq!(DataType::from_name(data_type.as_str()), Some(*data_type));
            }
        }
    }

    #[test]
    fn a_message_takes_over_what_its_type_says() {
        each_noun!(T => for data_type in T::DATA_TYPES {
            let mut message: T = Words::take(&mut || 0);
            message.set_data_type(*data_type);
            assert_eq!(message.data_type(), *data_type);
            assert_eq!(message.key(), StreamKey { data_type: *data_type, scope: message.scope() });
        });
    }

    #[test]
    fn a_stream_type_is_changed_and_nothing_else() {
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
    fn what_happens_once_can_be_recognized_when_it_is_sent_again() {
        each_noun!(T => {
            let message: T = Words::take(&mut || 0);
            assert_eq!(message.id().is_some(), T::NATURE == Nature::Occurrence, "{:?}", T::KIND);
        });
    }
}
