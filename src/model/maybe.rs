//! A value that a message may leave out. Takes no more space than the value itself.

use std::fmt;

use super::bits::Bits;
use super::{Date, DateTime, Time, Words};

/// A value that the exchange may leave out, or send in a form that cannot be read. [`get`](Self::get) returns it as an
/// [`Option`].
///
/// It takes no more space than the value: one value that the exchange cannot send stands for "absent". Comparing and
/// printing work as for an [`Option`], and `Maybe::default()` is absent.
///
/// ```
/// use hoga::Maybe;
///
/// let volume: Maybe<f64> = 0.5.into();
/// assert_eq!(volume.get(), Some(0.5));
/// assert_eq!(Maybe::<f64>::ABSENT.get(), None);
/// ```
#[derive(Clone, Copy)]
pub struct Maybe<T>(T);

/// A type with a value that stands for "absent".
#[allow(unnameable_types, reason = "a private half of `Maybe`")]
pub trait Niche: Copy {
    /// The value that stands for "absent".
    const ABSENT: Self;

    /// Whether this value stands for "absent".
    fn is_absent(&self) -> bool;
}

impl<T: Niche> Maybe<T> {
    /// No value.
    pub const ABSENT: Self = Self(T::ABSENT);

    /// Returns the value, or `None` if the message has none.
    #[inline]
    pub fn get(self) -> Option<T> {
        (!self.0.is_absent()).then_some(self.0)
    }

    /// Whether the message has no value.
    #[inline]
    pub fn is_absent(self) -> bool {
        self.0.is_absent()
    }
}

impl<T> Maybe<T> {
    /// Returns the stored value, which may be the one that stands for "absent".
    #[inline]
    pub(crate) const fn raw(self) -> T
    where
        T: Copy,
    {
        self.0
    }
}

impl<T: Niche> Default for Maybe<T> {
    fn default() -> Self {
        Self::ABSENT
    }
}

/// A NaN, [`u64::MAX`], a date with month 0 and a time with hour 255 become absent.
impl<T: Niche> From<T> for Maybe<T> {
    #[inline]
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T: Niche> From<Option<T>> for Maybe<T> {
    #[inline]
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::ABSENT, Self)
    }
}

impl<T: Niche> From<Maybe<T>> for Option<T> {
    #[inline]
    fn from(value: Maybe<T>) -> Self {
        value.get()
    }
}

impl<T: Niche + PartialEq> PartialEq for Maybe<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Niche + fmt::Debug> fmt::Debug for Maybe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl<T: Niche + Words> Words for Maybe<T> {
    const MAX: usize = T::MAX;

    #[inline]
    fn put(&self, word: &mut impl FnMut(u64)) {
        self.0.put(word);
    }

    #[inline]
    fn take(word: &mut impl FnMut() -> u64) -> Self {
        Self(T::take(word))
    }
}

impl<T: Niche + Bits> Bits for Maybe<T> {
    const WIDTH: u32 = T::WIDTH;

    #[inline]
    fn bits(&self) -> u64 {
        self.0.bits()
    }

    #[inline]
    fn from_bits(bits: u64) -> Self {
        Self(T::from_bits(bits))
    }
}

impl Niche for f64 {
    const ABSENT: Self = Self::NAN;

    #[inline]
    fn is_absent(&self) -> bool {
        self.is_nan()
    }
}

impl Niche for u64 {
    const ABSENT: Self = Self::MAX;

    #[inline]
    fn is_absent(&self) -> bool {
        *self == Self::MAX
    }
}

impl Niche for Date {
    const ABSENT: Self = Self { year: 0, month: 0, day: 0 };

    #[inline]
    fn is_absent(&self) -> bool {
        self.month == 0
    }
}

impl Niche for Time {
    const ABSENT: Self = Self { hour: u8::MAX, minute: 0, second: 0 };

    #[inline]
    fn is_absent(&self) -> bool {
        self.hour == u8::MAX
    }
}

impl Niche for DateTime {
    const ABSENT: Self = Self { date: Date::ABSENT, time: Time::ABSENT };

    #[inline]
    fn is_absent(&self) -> bool {
        self.date.is_absent()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds<T: Niche + PartialEq + fmt::Debug>(value: T) {
        assert_eq!(Maybe::from(value).get(), Some(value));
        assert_eq!(Maybe::from(Some(value)), Maybe::from(value));
        assert_ne!(Maybe::from(value), Maybe::ABSENT);
        assert_eq!(Maybe::from(None::<T>).get(), None);
        assert_eq!(Maybe::<T>::ABSENT, Maybe::ABSENT, "absent equals absent, although a NaN does not equal itself");
        assert_eq!(format!("{:?} {:?}", Maybe::from(value), Maybe::<T>::ABSENT), format!("{:?} None", Some(value)));
        assert_eq!(size_of::<Maybe<T>>(), size_of::<T>());
    }

    #[test]
    fn absent_differs_from_every_value_and_takes_no_space() {
        holds(0.0);
        holds(f64::MAX);
        holds(0u64);
        holds(u64::MAX - 1);
        let date = Date { year: 0, month: 1, day: 1 };
        let time = Time { hour: 0, minute: 0, second: 0 };
        holds(date);
        holds(time);
        holds(DateTime { date, time });
    }
}
