//! The name of a stream: a kind of data, and what it is about.

use std::fmt;
use std::hash::{Hash, Hasher};

use super::{Currency, DataType, Market};

/// Names one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey {
    /// What it carries.
    pub data_type: DataType,
    /// What that is about.
    pub scope: Scope,
}

/// What the data of a stream is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// A market.
    Market(Market),
    /// A currency, in whatever market.
    Currency(Currency),
    /// The whole account of whoever asks.
    Account,
}

impl StreamKey {
    /// The stream of a data type about a market.
    #[inline]
    pub fn of(data_type: DataType, market: Market) -> Self {
        Self { data_type, scope: Scope::Market(market) }
    }

    /// The market, if it is about one.
    #[inline]
    pub fn market(&self) -> Option<Market> {
        self.scope.market()
    }
}

impl Scope {
    /// The market, if it is one.
    #[inline]
    pub fn market(&self) -> Option<Market> {
        if let Self::Market(market) = self { Some(*market) } else { None }
    }
}

/// As its name alone: a market and a currency never share one, and each message of a market is looked up by this.
impl Hash for Scope {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Market(market) => market.hash(state),
            Self::Currency(currency) => currency.hash(state),
            Self::Account => state.write_u64(0),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Market(market) => market.fmt(f),
            Self::Currency(currency) => currency.fmt(f),
            Self::Account => f.pad("account"),
        }
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

    /// Sorted.
    fn keys() -> Vec<StreamKey> {
        let market = |code: &str| Scope::Market(code.parse().unwrap());
        let currency = |code: &str| Scope::Currency(code.parse().unwrap());
        let scopes =
            [market("BTC-ETH"), market("KRW-BTC"), market("KRW-ETH"), currency("BTC"), currency("KRW"), Scope::Account];
        let types = [DataType::Ticker, DataType::Trade, DataType::Orderbook];
        types.into_iter().flat_map(|data_type| scopes.map(|scope| StreamKey { data_type, scope })).collect()
    }

    #[test]
    fn streams_are_in_the_order_of_their_type_and_then_of_their_scope() {
        let shuffled: BTreeSet<_> = keys().into_iter().rev().collect();
        assert_eq!(shuffled.into_iter().collect::<Vec<_>>(), keys());
    }

    #[test]
    fn each_stream_is_found_by_its_key_alone() {
        let set: HashSet<_> = keys().into_iter().collect();
        assert_eq!(set.len(), keys().len());
        assert!(keys().iter().all(|key| set.contains(key)));
        assert!(!set.contains(&StreamKey::of(DataType::Ticker, "KRW-XRP".parse().unwrap())));
    }

    #[test]
    fn a_stream_is_printed_as_its_type_and_its_scope() {
        let printed: Vec<_> = keys()[..6].iter().map(StreamKey::to_string).collect();
        let expected =
            ["ticker BTC-ETH", "ticker KRW-BTC", "ticker KRW-ETH", "ticker BTC", "ticker KRW", "ticker account"];
        assert_eq!(printed, expected);
        assert_eq!(format!("{:<9}|{:>9}|", Scope::Account, keys()[0].scope), "account  |  BTC-ETH|");
    }

    #[test]
    fn only_a_market_is_a_market() {
        let markets: Vec<_> = keys()[..6].iter().map(|key| key.market().map(|market| market.to_string())).collect();
        let expected = ["BTC-ETH", "KRW-BTC", "KRW-ETH"].map(|code| Some(code.to_owned()));
        assert_eq!(markets[..3], expected);
        assert_eq!(markets[3..], [None, None, None]);
    }

    #[test]
    fn a_key_is_small() {
        assert_eq!((size_of::<Scope>(), size_of::<StreamKey>()), (32, 48));
    }
}
