//! Market selectors: the codes and patterns by which a subscription names its markets.

use std::fmt;
use std::str::FromStr;

use super::{InvalidMarket, InvalidPattern, Market, Pattern};

/// One market, or all markets of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MarketSelector {
    /// A single market.
    Market(Market),
    /// All existing markets that match a pattern.
    Pattern(Pattern),
}

/// Why a text selects no market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidCode {
    /// The text is not a market code.
    Market(InvalidMarket),
    /// The text is not a pattern.
    Pattern(InvalidPattern),
    /// The same text occurs twice in the list. Most likely another market was meant.
    Repeated,
}

impl fmt::Display for InvalidCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Market(reason) => reason.fmt(f),
            Self::Pattern(reason) => reason.fmt(f),
            Self::Repeated => f.write_str("it is in the list twice"),
        }
    }
}

impl std::error::Error for InvalidCode {}

impl FromStr for MarketSelector {
    type Err = InvalidCode;
    fn from_str(text: &str) -> Result<Self, InvalidCode> {
        if Pattern::is_meant(text) {
            text.parse().map(Self::Pattern).map_err(InvalidCode::Pattern)
        } else {
            text.parse().map(Self::Market).map_err(InvalidCode::Market)
        }
    }
}

impl fmt::Display for MarketSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Market(market) => market.fmt(f),
            Self::Pattern(pattern) => pattern.fmt(f),
        }
    }
}

/// A market code, a pattern, or several of them, as text or as [`Market`] and [`Pattern`].
pub trait IntoMarkets {
    /// Returns the selector of each market or pattern. For invalid text, returns the text and the reason.
    fn into_markets(self) -> Vec<Result<MarketSelector, (String, InvalidCode)>>;
}

impl IntoMarkets for &str {
    fn into_markets(self) -> Vec<Result<MarketSelector, (String, InvalidCode)>> {
        vec![self.parse().map_err(|reason| (self.to_owned(), reason))]
    }
}

impl IntoMarkets for Market {
    fn into_markets(self) -> Vec<Result<MarketSelector, (String, InvalidCode)>> {
        vec![Ok(MarketSelector::Market(self))]
    }
}

impl IntoMarkets for Pattern {
    fn into_markets(self) -> Vec<Result<MarketSelector, (String, InvalidCode)>> {
        vec![Ok(MarketSelector::Pattern(self))]
    }
}

impl IntoMarkets for MarketSelector {
    fn into_markets(self) -> Vec<Result<MarketSelector, (String, InvalidCode)>> {
        vec![Ok(self)]
    }
}

/// Accepts values and references, alone or in an array, slice or `Vec`.
macro_rules! into_markets {
    ($([$($generics:tt)*] $type:ty: $self:ident => $each:expr;)*) => {$(
        impl<$($generics)*> IntoMarkets for $type {
            fn into_markets($self) -> Vec<Result<MarketSelector, (String, InvalidCode)>> {
                $each.into_iter().flat_map(IntoMarkets::into_markets).collect()
            }
        }
    )*};
}

into_markets! {
    [] String: self => [self.as_str()];
    [] &String: self => [self.as_str()];
    [] &&str: self => [*self];
    [] &Market: self => [*self];
    [] &MarketSelector: self => [*self];
    [T: IntoMarkets, const N: usize] [T; N]: self => self;
    [T: IntoMarkets] Vec<T>: self => self;
}

impl<'a, T> IntoMarkets for &'a [T]
where
    &'a T: IntoMarkets,
{
    fn into_markets(self) -> Vec<Result<MarketSelector, (String, InvalidCode)>> {
        self.iter().flat_map(IntoMarkets::into_markets).collect()
    }
}

impl<'a, T> IntoMarkets for &'a Vec<T>
where
    &'a T: IntoMarkets,
{
    fn into_markets(self) -> Vec<Result<MarketSelector, (String, InvalidCode)>> {
        self.as_slice().into_markets()
    }
}
