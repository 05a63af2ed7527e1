//! The key of a stream: a data type, and what the data is about.

use std::fmt;

use super::{Currency, DataType, Market};

/// Identifies one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey {
    /// The type of data that it carries.
    pub data_type: DataType,
    /// What the data is about.
    pub scope: Scope,
}

/// What the data of a stream is about: a market, a currency or an account.
///
/// Stored as one code: `KRW-BTC` is a market, `KRW` is a currency, and the account is empty. So a scope is as small as
/// a market and as fast to look up, which happens for each message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope(Market);

impl StreamKey {
    /// Returns the key of a stream about a market.
    #[inline]
    pub fn of(data_type: DataType, market: Market) -> Self {
        Self { data_type, scope: Scope(market) }
    }

    /// The market, if the stream is about one.
    #[inline]
    pub fn market(&self) -> Option<Market> {
        self.scope.market()
    }
}

impl Scope {
    /// The account of the user whose API key subscribes.
    pub const ACCOUNT: Self = Self(Market::BLANK);

    /// The market, if the scope is one.
    pub fn market(&self) -> Option<Market> {
        self.0.as_str().contains('-').then_some(self.0)
    }

    /// The currency, if the scope is one.
    pub fn currency(&self) -> Option<Currency> {
        self.0.as_str().parse().ok()
    }
}

impl From<Market> for Scope {
    #[inline]
    fn from(market: Market) -> Self {
        Self(market)
    }
}

impl From<Currency> for Scope {
    fn from(currency: Currency) -> Self {
        Self(Market::unchecked(currency.as_str()))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(if *self == Self::ACCOUNT { "account" } else { self.0.as_str() })
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.data_type, self.scope)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::*;

    /// Some keys in sorted order.
    fn keys() -> Vec<StreamKey> {
        let market = |code: &str| Scope::from(code.parse::<Market>().unwrap());
        let currency = |code: &str| Scope::from(code.parse::<Currency>().unwrap());
        let scopes =
            [Scope::ACCOUNT, currency("BTC"), market("BTC-ETH"), currency("KRW"), market("KRW-BTC"), market("KRW-ETH")];
        let types = [DataType::Ticker, DataType::Trade, DataType::Orderbook];
        types.into_iter().flat_map(|data_type| scopes.map(|scope| StreamKey { data_type, scope })).collect()
    }

    #[test]
    fn keys_sort_by_data_type_and_then_by_scope() {
        let shuffled: BTreeSet<_> = keys().into_iter().rev().collect();
        assert_eq!(shuffled.into_iter().collect::<Vec<_>>(), keys());
    }

    #[test]
    fn each_key_is_found_in_a_set() {
        let set: HashSet<_> = keys().into_iter().collect();
        assert_eq!(set.len(), keys().len());
        assert!(keys().iter().all(|key| set.contains(key)));
        assert!(!set.contains(&StreamKey::of(DataType::Ticker, "KRW-XRP".parse().unwrap())));
    }

    #[test]
    fn a_key_prints_as_its_data_type_and_its_scope() {
        let printed: Vec<_> = keys()[..6].iter().map(StreamKey::to_string).collect();
        let expected =
            ["ticker account", "ticker BTC", "ticker BTC-ETH", "ticker KRW", "ticker KRW-BTC", "ticker KRW-ETH"];
        assert_eq!(printed, expected);
        assert_eq!(format!("{:<9}|{:>9}|", Scope::ACCOUNT, keys()[2].scope), "account  |  BTC-ETH|");
    }

    #[test]
    fn a_scope_is_a_market_a_currency_or_the_account() {
        for key in keys() {
            let (market, currency) = (key.market(), key.scope.currency());
            let code = market.map(|market| market.to_string()).or(currency.map(|currency| currency.to_string()));
            assert!(market.is_none() || currency.is_none(), "{key}");
            assert_eq!(code.is_none(), key.scope == Scope::ACCOUNT);
            assert_eq!(code.unwrap_or_else(|| "account".to_owned()), key.scope.to_string());
        }
    }

    #[test]
    fn a_key_is_small() {
        assert_eq!((size_of::<Scope>(), size_of::<StreamKey>()), (24, 40));
    }
}
