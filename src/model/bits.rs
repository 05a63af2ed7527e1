//! Packs small values side by side into the bits of a word.

use super::{Change, Date, DateTime, Interval, MarketState, MarketWarning, Side, StreamType, Time};

/// A value that fits in a few bits.
pub(super) trait Bits: Sized {
    /// Width in bits.
    const WIDTH: u32;

    /// Returns the value in the lowest `WIDTH` bits; the others are 0.
    fn bits(&self) -> u64;

    /// Converts back the bits that [`bits`](Self::bits) returned. Any other bits convert to a meaningless value.
    fn from_bits(bits: u64) -> Self;
}

/// A word that is filled or emptied value by value, from its lowest bit up.
pub(super) struct Packed {
    word: u64,
    at: u32,
}

impl Packed {
    /// An empty word, to be filled.
    pub(super) const EMPTY: Self = Self { word: 0, at: 0 };

    /// Wraps a filled word, to be emptied.
    #[inline]
    pub(super) fn new(word: u64) -> Self {
        Self { word, at: 0 }
    }

    /// Adds a value. All values together must fit in 64 bits.
    #[inline]
    pub(super) fn push<B: Bits>(&mut self, value: &B) {
        self.word |= value.bits() << self.at;
        self.at += B::WIDTH;
    }

    /// Takes the next value, in the order of the pushes.
    #[inline]
    pub(super) fn pop<B: Bits>(&mut self) -> B {
        let bits = self.word >> self.at & (u64::MAX >> (u64::BITS - B::WIDTH));
        self.at += B::WIDTH;
        B::from_bits(bits)
    }

    /// Returns the filled word.
    #[inline]
    pub(super) fn word(&self) -> u64 {
        self.word
    }
}

/// Implements `Bits` for enums, with as many bits as their variants need. Invalid bits convert to the first variant.
macro_rules! enums {
    ($($type:ident { $first:ident $($variant:ident)* })*) => {$(
        impl Bits for $type {
            const WIDTH: u32 = usize::BITS - [$(Self::$variant),*].len().leading_zeros();

            #[inline]
            fn bits(&self) -> u64 {
                // Written out, so that a forgotten variant does not compile. It optimizes to the number itself.
                match self {
                    Self::$first => Self::$first as u64,
                    $(Self::$variant => Self::$variant as u64,)*
                }
            }

            #[inline]
            fn from_bits(bits: u64) -> Self {
                match bits {
                    $(bits if bits == Self::$variant as u64 => Self::$variant,)*
                    _ => Self::$first,
                }
            }
        }
    )*};
}

enums! {
    StreamType { Snapshot Realtime }
    Interval { Second1 Minute1 Minute3 Minute5 Minute10 Minute15 Minute30 Minute60 Minute240 }
}

/// Implements `Bits` for optional enums. As in memory, `None` has the number after the last variant. Invalid bits
/// convert to `None`.
macro_rules! optional_enums {
    ($($type:ident { $($variant:ident)* })*) => {$(
        impl Bits for Option<$type> {
            const WIDTH: u32 = usize::BITS - [$($type::$variant),*].len().leading_zeros();

            #[inline]
            fn bits(&self) -> u64 {
                match self {
                    None => [$($type::$variant),*].len() as u64,
                    $(Some($type::$variant) => $type::$variant as u64,)*
                }
            }

            #[inline]
            fn from_bits(bits: u64) -> Self {
                match bits {
                    $(bits if bits == $type::$variant as u64 => Some($type::$variant),)*
                    _ => None,
                }
            }
        }
    )*};
}

optional_enums! {
    Change { Rise Even Fall Unknown }
    Side { Ask Bid Unknown }
    MarketState { Preview Active Delisted Unknown }
    MarketWarning { None Caution Unknown }
}

impl Bits for u8 {
    const WIDTH: u32 = Self::BITS;

    #[inline]
    fn bits(&self) -> u64 {
        u64::from(*self)
    }

    #[inline]
    fn from_bits(bits: u64) -> Self {
        bits as u8
    }
}

impl Bits for Option<bool> {
    const WIDTH: u32 = 2;

    #[inline]
    fn bits(&self) -> u64 {
        self.map_or(2, u64::from)
    }

    #[inline]
    fn from_bits(bits: u64) -> Self {
        (bits & 2 == 0).then_some(bits & 1 != 0)
    }
}

impl Bits for Date {
    const WIDTH: u32 = 32;

    #[inline]
    fn bits(&self) -> u64 {
        let Self { year, month, day } = *self;
        u64::from(year) | u64::from(month) << 16 | u64::from(day) << 24
    }

    #[inline]
    fn from_bits(bits: u64) -> Self {
        Self { year: bits as u16, month: (bits >> 16) as u8, day: (bits >> 24) as u8 }
    }
}

impl Bits for Time {
    const WIDTH: u32 = 24;

    #[inline]
    fn bits(&self) -> u64 {
        let Self { hour, minute, second } = *self;
        u64::from(hour) | u64::from(minute) << 8 | u64::from(second) << 16
    }

    #[inline]
    fn from_bits(bits: u64) -> Self {
        Self { hour: bits as u8, minute: (bits >> 8) as u8, second: (bits >> 16) as u8 }
    }
}

impl Bits for DateTime {
    const WIDTH: u32 = Date::WIDTH + Time::WIDTH;

    #[inline]
    fn bits(&self) -> u64 {
        let Self { date, time } = self;
        date.bits() | time.bits() << Date::WIDTH
    }

    #[inline]
    fn from_bits(bits: u64) -> Self {
        Self { date: Date::from_bits(bits), time: Time::from_bits(bits >> Date::WIDTH) }
    }
}
