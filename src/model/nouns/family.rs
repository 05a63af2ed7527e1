//! Something kept for each type of message, or for one that is known when the program runs.

use super::*;

/// Keeps something for each type of message, whose type depends on that of the message.
pub(crate) trait Family {
    /// What is kept for messages of type `T`.
    type Of<T: Noun>;
}

/// Generates what is the same for each type in the list.
macro_rules! families {
    ([] $($Noun:ident $noun:ident,)*) => {
        /// What a [`Family`] keeps for each type of message.
        pub(crate) struct EachNoun<F: Family> {
            $(pub $noun: F::Of<$Noun>,)*
        }

        /// What a [`Family`] keeps for one type of message, which is known when the program runs.
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

/// The private half of [`Noun`]: where the type is among the others.
pub(crate) trait Placed: Sized {
    /// The name of this type.
    const PLACE: NounKind;

    /// What is kept for this type.
    fn place<F: Family>(all: &mut EachNoun<F>) -> &mut F::Of<Self>
    where
        Self: Noun;

    /// What is kept for this type, as one that may be of any type.
    fn into_any<F: Family>(one: F::Of<Self>) -> AnyNoun<F>
    where
        Self: Noun;

    /// What is kept, if it is for this type.
    fn from_any<F: Family>(any: &AnyNoun<F>) -> Option<&F::Of<Self>>
    where
        Self: Noun;

    /// The same, to be changed.
    fn from_any_mut<F: Family>(any: &mut AnyNoun<F>) -> Option<&mut F::Of<Self>>
    where
        Self: Noun;
}
