//! Containers with one value for each message type, or for one type chosen at run time.

use super::*;

/// A family of types, one for each message type.
pub(crate) trait Family {
    /// The type of the value for messages of type `T`.
    type Of<T: Noun>;
}

/// Generates the code that is the same for each type in the list.
macro_rules! families {
    ([] $($Noun:ident $noun:ident,)*) => {
        /// One value of a [`Family`] for each message type.
        pub(crate) struct EachNoun<F: Family> {
            $(pub $noun: F::Of<$Noun>,)*
        }

        /// One value of a [`Family`] for one message type, chosen at run time.
        pub(crate) enum AnyNoun<F: Family> {
            $($Noun(F::Of<$Noun>),)*
        }

        impl<F: Family> Default for EachNoun<F>
        where
            $(F::Of<$Noun>: Default,)*
        {
            fn default() -> Self {
                Self { $($noun: Default::default(),)* }
            }
        }

        $(impl Placed for $Noun {
            const PLACE: NounKind = NounKind::$Noun;

            #[inline]
            fn place<F: Family>(all: &mut EachNoun<F>) -> &mut F::Of<Self> {
                &mut all.$noun
            }

            #[inline]
            fn into_any<F: Family>(one: F::Of<Self>) -> AnyNoun<F> {
                AnyNoun::$Noun(one)
            }

            #[inline]
            fn from_any<F: Family>(any: &AnyNoun<F>) -> Option<&F::Of<Self>> {
                if let AnyNoun::$Noun(one) = any { Some(one) } else { None }
            }

            #[inline]
            fn from_any_mut<F: Family>(any: &mut AnyNoun<F>) -> Option<&mut F::Of<Self>> {
                if let AnyNoun::$Noun(one) = any { Some(one) } else { None }
            }
        })*
    };
}

for_each_noun! { families! }

/// The private half of [`Noun`]: finds the value for this type among those of all types.
pub(crate) trait Placed: Sized {
    /// The kind of this type.
    const PLACE: NounKind;

    /// Returns the value for this type.
    fn place<F: Family>(all: &mut EachNoun<F>) -> &mut F::Of<Self>
    where
        Self: Noun;

    /// Wraps a value for this type as one for any type.
    fn into_any<F: Family>(one: F::Of<Self>) -> AnyNoun<F>
    where
        Self: Noun;

    /// Returns the value if it is for this type.
    fn from_any<F: Family>(any: &AnyNoun<F>) -> Option<&F::Of<Self>>
    where
        Self: Noun;

    /// Returns the value, mutably, if it is for this type.
    fn from_any_mut<F: Family>(any: &mut AnyNoun<F>) -> Option<&mut F::Of<Self>>
    where
        Self: Noun;
}
