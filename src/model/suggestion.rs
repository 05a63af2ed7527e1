//! Which market a text most likely means.

use super::Market;

/// The quote currencies of the exchanges. The first of two currencies in this list is the quote.
const QUOTES: [&str; 6] = ["KRW", "IDR", "SGD", "THB", "USDT", "BTC"];

impl Market {
    /// Returns the market that a text most likely means, if it is written differently: `KRW-BTC` for `krw-btc`,
    /// `BTC/KRW`, `BTC-KRW` or `KRWBTC`. For error messages: nothing is known about whether the market exists.
    ///
    /// ```
    /// # use hoga::Market;
    /// assert_eq!(Market::suggestion("btc/krw").unwrap().to_string(), "KRW-BTC");
    /// assert_eq!(Market::suggestion("KRW-BTC"), None);
    /// ```
    pub fn suggestion(text: &str) -> Option<Self> {
        let upper = text.trim().to_ascii_uppercase();
        let parts: Vec<_> = upper.split(['-', '/', '_', ':', ' ']).filter(|part| !part.is_empty()).collect();
        let (first, second) = match parts[..] {
            [one] => divide(one)?,
            [first, second] => (first, second),
            _ => return None,
        };
        let (quote, base) = if rank(second) < rank(first) { (second, first) } else { (first, second) };
        let market: Self = format!("{quote}-{base}").parse().ok()?;
        (market.to_string() != text).then_some(market)
    }
}

/// Returns the place of a currency among the quotes; those that are none come last.
fn rank(currency: &str) -> usize {
    QUOTES.iter().position(|quote| *quote == currency).unwrap_or(QUOTES.len())
}

/// Divides a code without a separator.
fn divide(code: &str) -> Option<(&str, &str)> {
    let first = QUOTES.iter().find_map(|quote| Some((*quote, code.strip_prefix(quote)?)));
    let last = QUOTES.iter().find_map(|quote| Some((*quote, code.strip_suffix(quote)?)));
    first.or(last).filter(|(_, base)| !base.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_spellings_mean_the_market_of_the_exchange() {
        for (text, meant) in [
            ("krw-btc", Some("KRW-BTC")),
            ("BTC/KRW", Some("KRW-BTC")),
            ("BTC-KRW", Some("KRW-BTC")),
            ("btc_usdt", Some("USDT-BTC")),
            ("KRWBTC", Some("KRW-BTC")),
            ("btckrw", Some("KRW-BTC")),
            (" eth : btc ", Some("BTC-ETH")),
            ("USDT/KRW", Some("KRW-USDT")),
            ("KRW-BTC", None),
            ("BTC-ETH", None),
            ("KRW", None),
            ("", None),
            ("a-b-c", None),
            ("비트코인", None),
            ("bitcoin", None),
        ] {
            assert_eq!(Market::suggestion(text).map(|market| market.to_string()).as_deref(), meant, "{text}");
        }
    }
}
