//! Patterns of markets: `KRW-*`, `*-BTC`, `*`. Which markets exist is not known here.

use std::fmt;
use std::str::FromStr;

use super::{Currency, InvalidMarket, Market};

/// A pattern for all markets of one quote currency (`KRW-*`), of one base currency (`*-BTC`), or all markets (`*`).
///
/// A `*` stands for a whole currency, never for a part of one. The type is `Copy`, because it stores its text inline.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern(Side);

/// The half of the market code that the pattern gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Side {
    Neither,
    Quote(Currency),
    Base(Currency),
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidPattern {
    /// The text has no `*`, so it may be a market code but not a pattern.
    NoStar,
    /// A `*` stands for a part of a currency, or there is more than one.
    Star,
    /// The given currency is not valid in a market code.
    Currency(InvalidMarket),
}

impl fmt::Display for InvalidPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoStar => f.write_str("a pattern contains a '*'; a text without one is a market code"),
            Self::Star => f.write_str("a '*' stands for a whole currency: write KRW-*, *-BTC or * alone"),
            Self::Currency(reason) => write!(f, "the currency next to the '*' is not valid: {reason}"),
        }
    }
}

impl std::error::Error for InvalidPattern {}

impl Pattern {
    /// The pattern for every market.
    pub const ALL: Self = Self(Side::Neither);

    /// Returns true if the text contains a `*`, so that it is a pattern, valid or not, and not a market code.
    pub fn is_meant(text: &str) -> bool {
        text.contains('*')
    }

    /// Returns the quote currency, if the pattern has one.
    pub fn quote(&self) -> Option<&str> {
        if let Side::Quote(currency) = &self.0 { Some(currency.as_str()) } else { None }
    }

    /// Returns true if the pattern matches this market.
    pub fn matches(&self, market: Market) -> bool {
        match &self.0 {
            Side::Neither => true,
            Side::Quote(currency) => market.quote() == currency.as_str(),
            Side::Base(currency) => market.base() == currency.as_str(),
        }
    }
}

fn currency(text: &str) -> Result<Currency, InvalidPattern> {
    if text.contains('*') {
        return Err(InvalidPattern::Star);
    }
    text.parse().map_err(InvalidPattern::Currency)
}

impl FromStr for Pattern {
    type Err = InvalidPattern;
    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        if !Self::is_meant(text) {
            return Err(InvalidPattern::NoStar);
        }
        match text.split_once('-') {
            None if text == "*" => Ok(Self::ALL),
            Some((quote, "*")) => Ok(Self(Side::Quote(currency(quote)?))),
            Some(("*", base)) => Ok(Self(Side::Base(currency(base)?))),
            _ => Err(InvalidPattern::Star),
        }
    }
}

impl TryFrom<&str> for Pattern {
    type Error = InvalidPattern;
    fn try_from(text: &str) -> Result<Self, InvalidPattern> {
        text.parse()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Side::Neither => f.pad("*"),
            Side::Quote(currency) => f.pad(&format!("{currency}-*")),
            Side::Base(currency) => f.pad(&format!("*-{currency}")),
        }
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching(pattern: &str) -> Vec<&'static str> {
        let pattern: Pattern = pattern.parse().unwrap();
        let codes = ["KRW-BTC", "KRW-ETH", "BTC-ETH", "USDT-BTC", "KRWX-BTC", "KRW-BTCX"];
        codes.into_iter().filter(|code| pattern.matches(code.parse().unwrap())).collect()
    }

    #[test]
    fn a_star_stands_for_a_whole_currency() {
        assert_eq!(matching("KRW-*"), ["KRW-BTC", "KRW-ETH", "KRW-BTCX"]);
        assert_eq!(matching("*-BTC"), ["KRW-BTC", "USDT-BTC", "KRWX-BTC"]);
        assert_eq!(matching("*").len(), 6);
        assert_eq!(matching("EUR-*").len(), 0);
    }

    #[test]
    fn a_pattern_prints_as_it_was_written() {
        for text in ["KRW-*", "*-BTC", "*", "*-1INCH", "AAAAAAAAAAAAAAAAAAAAA-*"] {
            assert_eq!(text.parse::<Pattern>().unwrap().to_string(), text);
        }
        assert_eq!(format!("{:>6}|{:?}", Pattern::ALL, Pattern::ALL), "     *|*");
    }

    #[test]
    fn any_other_text_is_refused_with_the_reason() {
        let reason = |text: &str| text.parse::<Pattern>().unwrap_err();
        for star in ["KR*-BTC", "KRW-B*", "**", "*-*", "KRW-**", "K*-*", "KRW*", "*KRW", "KRW-BTC-*X", "a*"] {
            assert_eq!(reason(star), InvalidPattern::Star, "{star}");
        }
        for plain in ["", "KRW-BTC", "KRW-", "krw"] {
            assert_eq!(reason(plain), InvalidPattern::NoStar, "{plain}");
        }
        for (text, why) in [
            ("krw-*", InvalidMarket::Character),
            ("*-btc", InvalidMarket::Character),
            (" -*", InvalidMarket::Character),
            ("-*", InvalidMarket::NotAPair),
            ("*-", InvalidMarket::NotAPair),
            ("*-KRW-BTC", InvalidMarket::NotAPair),
            ("*-AAAAAAAAAAAAAAAAAAAAAA", InvalidMarket::TooLong),
        ] {
            assert_eq!(reason(text), InvalidPattern::Currency(why), "{text}");
        }
        // The first dash divides the code, so here the star stands for a part of a currency.
        assert_eq!(reason("KRW-BTC-*"), InvalidPattern::Star);
    }
}
