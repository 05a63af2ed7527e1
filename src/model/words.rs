//! Converts values to rows of 64-bit words, so that threads can share them through atomics, word by word and without
//! unsafe code.

use super::bits::Bits;
use super::{Nanos, Stamps};

/// A value that converts to a row of 64-bit words. The words have a meaning only to the same build of this crate.
#[allow(unnameable_types, reason = "a private half of `Noun`")]
pub trait Words: Sized {
    /// The maximum number of words that [`put`](Self::put) writes.
    const MAX: usize;

    /// Passes the words of the value to `word`, one after another.
    fn put(&self, word: &mut impl FnMut(u64));

    /// Reads a value that [`put`](Self::put) wrote. `word` returns the next word and is called once for each word
    /// written.
    ///
    /// Any words convert to a value, which is meaningless if they are not from `put`. At most `MAX` words are read.
    /// Neither this function nor any use of the value panics.
    fn take(word: &mut impl FnMut() -> u64) -> Self;
}

/// A value that can be read from a row of words: of its own, or the first words of a larger value.
#[allow(unnameable_types, reason = "a private half of `Noun`")]
pub trait FromWords: Sized {
    /// The maximum number of words that are read.
    const WORDS: usize;

    /// Reads the value. As for [`Words::take`], any words convert to a value.
    fn from_words(word: &mut impl FnMut() -> u64) -> Self;
}

impl<T: Words> FromWords for T {
    const WORDS: usize = T::MAX;

    #[inline]
    fn from_words(word: &mut impl FnMut() -> u64) -> Self {
        T::take(word)
    }
}

impl Words for u64 {
    const MAX: usize = 1;

    #[inline]
    fn put(&self, word: &mut impl FnMut(u64)) {
        word(*self);
    }

    #[inline]
    fn take(word: &mut impl FnMut() -> u64) -> Self {
        word()
    }
}

impl Words for f64 {
    const MAX: usize = 1;

    #[inline]
    fn put(&self, word: &mut impl FnMut(u64)) {
        word(self.to_bits());
    }

    #[inline]
    fn take(word: &mut impl FnMut() -> u64) -> Self {
        Self::from_bits(word())
    }
}

impl Words for Nanos {
    const MAX: usize = 1;

    #[inline]
    fn put(&self, word: &mut impl FnMut(u64)) {
        word(self.0);
    }

    #[inline]
    fn take(word: &mut impl FnMut() -> u64) -> Self {
        Self(word())
    }
}

/// The maximum number of words of a field.
pub(super) const fn words_of<T, W: Words>(_: fn(&T) -> &W) -> usize {
    W::MAX
}

/// The number of bits of a field.
pub(super) const fn bits_of<T, B: Bits>(_: fn(&T) -> &B) -> usize {
    B::WIDTH as usize
}

/// Implements [`Words`] for structs. The fields listed first have separate words. Each `[...]` packs its fields into
/// one shared word.
///
/// The generated code names every field of the struct, so a forgotten field does not compile.
macro_rules! words {
    ($($type:ident { $($own:ident)* $([$($packed:ident)*])* })*) => {$(
        impl $crate::model::Words for $type {
            const MAX: usize = 0
                $(+ $crate::model::words::words_of(|it: &$type| &it.$own))*
                $(+ {
                    let bits = 0 $(+ $crate::model::words::bits_of(|it: &$type| &it.$packed))*;
                    assert!(bits <= 64, "the packed fields exceed 64 bits");
                    1
                })*;

            #[inline]
            fn put(&self, word: &mut impl FnMut(u64)) {
                let Self { $($own,)* $($($packed,)*)* } = self;
                $($crate::model::Words::put($own, word);)*
                $({
                    let mut bits = $crate::model::bits::Packed::EMPTY;
                    $(bits.push($packed);)*
                    word(bits.word());
                })*
            }

            #[inline]
            fn take(word: &mut impl FnMut() -> u64) -> Self {
                $(let $own = $crate::model::Words::take(word);)*
                $(
                    let mut bits = $crate::model::bits::Packed::new(word());
                    $(let $packed = bits.pop();)*
                )*
                Self { $($own,)* $($($packed,)*)* }
            }
        }
    )*};
}

pub(super) use words;

words! { Stamps { exchange_ms received published } }

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::model::{
        Candle, Change, Date, DateTime, Event, Interval, Level, Levels, MAX_LEVELS, Market, MarketState, MarketWarning,
        Maybe, Niche, Noun, Orderbook, Side, StreamType, Ticker, Time, Trade,
    };

    /// Builds values from random numbers.
    struct Draw<'a>(&'a [u64]);

    impl Draw<'_> {
        fn number(&mut self) -> u64 {
            let Some((first, rest)) = self.0.split_first() else { return 0 };
            self.0 = rest;
            *first
        }

        fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
            all[self.number() as usize % all.len()]
        }

        fn float(&mut self) -> f64 {
            let float = f64::from_bits(self.number());
            if float.is_nan() { -0.0 } else { float }
        }

        fn maybe<T: Niche>(&mut self, make: impl Fn(&mut Self) -> T) -> Maybe<T> {
            self.optional(make).into()
        }

        fn optional<T>(&mut self, make: impl Fn(&mut Self) -> T) -> Option<T> {
            self.number().is_multiple_of(2).then(|| make(self))
        }

        fn market(&mut self) -> Market {
            let base = (0..1 + self.number() % 19).map(|_| char::from(self.one_of(b"ABCXYZ019")));
            format!("KRW-{}", base.collect::<String>()).parse().unwrap()
        }

        fn date(&mut self) -> Date {
            let number = self.number();
            Date { year: number as u16, month: (number >> 20) as u8, day: (number >> 40) as u8 }
        }

        fn time(&mut self) -> Time {
            let number = self.number();
            Time { hour: number as u8, minute: (number >> 20) as u8, second: (number >> 40) as u8 }
        }

        fn date_time(&mut self) -> DateTime {
            DateTime { date: self.date(), time: self.time() }
        }

        fn stream_type(&mut self) -> StreamType {
            self.one_of(&[StreamType::Snapshot, StreamType::Realtime])
        }

        fn change(&mut self) -> Change {
            self.one_of(&[Change::Rise, Change::Even, Change::Fall, Change::Unknown])
        }

        fn side(&mut self) -> Side {
            self.one_of(&[Side::Ask, Side::Bid, Side::Unknown])
        }

        fn levels(&mut self) -> Levels {
            let mut levels = Levels::EMPTY;
            for _ in 0..self.number() % (MAX_LEVELS as u64 + 1) {
                levels.push(Level { price: self.float(), size: self.float() });
            }
            levels
        }

        fn ticker(&mut self) -> Ticker {
            Ticker {
                market: self.market(),
                opening_price: self.maybe(Self::float),
                high_price: self.maybe(Self::float),
                low_price: self.maybe(Self::float),
                trade_price: self.float(),
                prev_closing_price: self.maybe(Self::float),
                acc_trade_price: self.maybe(Self::float),
                change: self.optional(Self::change),
                change_price: self.maybe(Self::float),
                signed_change_price: self.maybe(Self::float),
                change_rate: self.maybe(Self::float),
                signed_change_rate: self.maybe(Self::float),
                ask_bid: self.optional(Self::side),
                trade_volume: self.maybe(Self::float),
                acc_trade_volume: self.maybe(Self::float),
                trade_date: self.maybe(Self::date),
                trade_time: self.maybe(Self::time),
                trade_timestamp: self.maybe(Self::number),
                acc_ask_volume: self.maybe(Self::float),
                acc_bid_volume: self.maybe(Self::float),
                highest_52_week_price: self.maybe(Self::float),
                highest_52_week_date: self.maybe(Self::date),
                lowest_52_week_price: self.maybe(Self::float),
                lowest_52_week_date: self.maybe(Self::date),
                market_state: self.one_of(&[
                    None,
                    Some(MarketState::Preview),
                    Some(MarketState::Active),
                    Some(MarketState::Delisted),
                    Some(MarketState::Unknown),
                ]),
                is_trading_suspended: self.one_of(&[None, Some(false), Some(true)]),
                delisting_date: self.maybe(Self::date),
                market_warning: self.one_of(&[
                    None,
                    Some(MarketWarning::None),
                    Some(MarketWarning::Caution),
                    Some(MarketWarning::Unknown),
                ]),
                timestamp: self.number(),
                acc_trade_price_24h: self.maybe(Self::float),
                acc_trade_volume_24h: self.maybe(Self::float),
                stream_type: self.stream_type(),
            }
        }

        fn trade(&mut self) -> Trade {
            Trade {
                market: self.market(),
                timestamp: self.number(),
                trade_date: self.maybe(Self::date),
                trade_time: self.maybe(Self::time),
                trade_timestamp: self.maybe(Self::number),
                trade_price: self.float(),
                trade_volume: self.maybe(Self::float),
                ask_bid: self.optional(Self::side),
                prev_closing_price: self.maybe(Self::float),
                change: self.optional(Self::change),
                change_price: self.maybe(Self::float),
                sequential_id: self.maybe(Self::number),
                best_ask_price: self.maybe(Self::float),
                best_ask_size: self.maybe(Self::float),
                best_bid_price: self.maybe(Self::float),
                best_bid_size: self.maybe(Self::float),
                stream_type: self.stream_type(),
            }
        }

        fn orderbook(&mut self) -> Orderbook {
            Orderbook {
                market: self.market(),
                timestamp: self.number(),
                total_ask_size: self.maybe(Self::float),
                total_bid_size: self.maybe(Self::float),
                asks: self.levels(),
                bids: self.levels(),
                stream_type: self.stream_type(),
                level: self.maybe(Self::float),
            }
        }

        fn candle(&mut self) -> Candle {
            Candle {
                interval: self.one_of(&[
                    Interval::Second1,
                    Interval::Minute1,
                    Interval::Minute3,
                    Interval::Minute5,
                    Interval::Minute10,
                    Interval::Minute15,
                    Interval::Minute30,
                    Interval::Minute60,
                    Interval::Minute240,
                ]),
                market: self.market(),
                candle_date_time_utc: self.date_time(),
                candle_date_time_kst: self.maybe(Self::date_time),
                opening_price: self.float(),
                high_price: self.float(),
                low_price: self.float(),
                trade_price: self.float(),
                candle_acc_trade_volume: self.maybe(Self::float),
                candle_acc_trade_price: self.maybe(Self::float),
                timestamp: self.number(),
                stream_type: self.stream_type(),
            }
        }

        fn stamps(&mut self) -> Stamps {
            Stamps { exchange_ms: self.number(), received: Nanos(self.number()), published: Nanos(self.number()) }
        }
    }

    fn words<T: Words>(value: &T) -> Vec<u64> {
        let mut words = Vec::new();
        value.put(&mut |word| words.push(word));
        words
    }

    #[track_caller]
    fn assert_round_trip<T: Words + PartialEq + Debug>(value: &T) {
        let words = words(value);
        assert!(words.len() <= T::MAX);
        let mut left = words.iter().copied();
        let back = T::take(&mut || left.next().expect("`take` reads more words than `put` wrote"));
        assert_eq!(left.next(), None, "`take` reads all the words that `put` wrote");
        assert_eq!(back, *value);
        // Also compares the signs of zeros, which `==` ignores.
        assert_eq!(format!("{back:?}"), format!("{value:?}"));
    }

    /// Converts arbitrary words to a value, prints and returns it.
    fn take_and_print<T: Words + Debug>(words: &[u64]) -> T {
        let mut left = words.iter().cycle().take(T::MAX);
        let value = T::take(&mut || *left.next().expect("`take` reads more than `MAX` words"));
        assert!(!format!("{value:?}").is_empty());
        value
    }

    /// Arbitrary numbers. Small ones are frequent, because they serve as lengths and variants.
    fn numbers() -> impl Strategy<Value = Vec<u64>> {
        vec(prop_oneof![any::<u64>(), 0..40u64], 1..200)
    }

    proptest! {
        #[test]
        fn every_value_round_trips(numbers in numbers()) {
            assert_round_trip(&Draw(&numbers).ticker());
            assert_round_trip(&Draw(&numbers).trade());
            assert_round_trip(&Draw(&numbers).orderbook());
            assert_round_trip(&Draw(&numbers).candle());
            assert_round_trip(&Draw(&numbers).stamps());
        }

        #[test]
        fn arbitrary_words_convert_to_usable_values(words in numbers()) {
            take_and_print::<Stamps>(&words);
            let book: Orderbook = take_and_print(&words);
            assert_eq!(book.units().count(), book.unit_count());
            each_noun!(T => {
                let event: Event = take_and_print::<T>(&words).into();
                assert!(event.key().to_string().ends_with(&event.key().scope.to_string()));
                let market = event.key().market().unwrap_or(Market::BLANK);
                assert!(market.as_str().len() <= Market::MAX_LEN);
                assert!(market.quote().len() + market.base().len() <= market.as_str().len());
            });
        }
    }

    proptest! {
        /// Values converted from arbitrary words round-trip too.
        #[test]
        fn values_from_arbitrary_words_round_trip(words in numbers()) {
            each_noun!(T => {
                let value: T = take_and_print(&words);
                let written = self::words(&value);
                assert!(written.len() <= T::MAX);
                let back: T = take_and_print(&written);
                assert_eq!(format!("{back:?}"), format!("{value:?}"), "{:?}", T::KIND);
            });
        }
    }

    #[test]
    fn values_have_the_expected_number_of_words() {
        let nothing = &mut Draw(&[]);
        assert_eq!((words(&nothing.ticker()).len(), Ticker::MAX), (26, 26));
        assert_eq!((words(&nothing.trade()).len(), Trade::MAX), (15, 15));
        assert_eq!((words(&nothing.candle()).len(), Candle::MAX), (12, 12));
        assert_eq!((words(&nothing.orderbook()).len(), Orderbook::MAX), (8, 128));
        assert_eq!((words(&nothing.stamps()).len(), Stamps::MAX), (3, 3));
    }
}
