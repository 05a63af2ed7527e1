//! The set of markets that exist, as reported by one source at one time.

use std::fmt;
use std::sync::Arc;

use crate::model::{Market, Pattern};

/// An immutable, sorted set of markets without duplicates. Cloning costs one reference count.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Universe(Arc<[Market]>);

impl Universe {
    /// Returns all markets, sorted.
    pub fn markets(&self) -> &[Market] {
        &self.0
    }

    /// Returns the number of markets.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true if there are no markets. This is the initial state, before a source has answered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if the market exists.
    pub fn contains(&self, market: Market) -> bool {
        self.0.binary_search(&market).is_ok()
    }

    /// Returns the markets that match the pattern, sorted. Checks every market once.
    pub fn matching(&self, pattern: &Pattern) -> impl Iterator<Item = Market> + use<'_> {
        let pattern = *pattern;
        self.0.iter().copied().filter(move |market| pattern.matches(*market))
    }

    /// Returns the markets that are not in `earlier`, sorted.
    pub fn listed_since(&self, earlier: &Self) -> impl Iterator<Item = Market> + use<> {
        self.without(earlier)
    }

    /// Returns the markets that are only in `earlier`, sorted.
    pub fn delisted_since(&self, earlier: &Self) -> impl Iterator<Item = Market> + use<> {
        earlier.without(self)
    }

    /// Returns an iterator that owns its clones, so the caller may replace either set while it iterates.
    fn without(&self, other: &Self) -> impl Iterator<Item = Market> + use<> {
        let (these, others) = (self.clone(), other.clone());
        (0..these.len()).map(move |index| these.0[index]).filter(move |market| !others.contains(*market))
    }
}

impl fmt::Debug for Universe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Universe({} markets)", self.len())
    }
}

impl FromIterator<Market> for Universe {
    fn from_iter<I: IntoIterator<Item = Market>>(markets: I) -> Self {
        let mut markets: Vec<Market> = markets.into_iter().collect();
        markets.sort_unstable();
        markets.dedup();
        Self(markets.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn universe(codes: &[&str]) -> Universe {
        codes.iter().map(|code| code.parse::<Market>().unwrap()).collect()
    }

    fn codes(markets: impl Iterator<Item = Market>) -> Vec<String> {
        markets.map(|market| market.to_string()).collect()
    }

    #[test]
    fn a_universe_is_sorted_and_holds_each_market_once() {
        let all = universe(&["KRW-ETH", "BTC-ETH", "KRW-BTC", "KRW-ETH"]);
        assert_eq!(codes(all.markets().iter().copied()), ["BTC-ETH", "KRW-BTC", "KRW-ETH"]);
        assert!(all.contains("KRW-BTC".parse().unwrap()) && !all.contains("KRW-XRP".parse().unwrap()));
        assert_eq!((all.len(), Universe::default().is_empty()), (3, true));
        assert_eq!(all, universe(&["BTC-ETH", "KRW-ETH", "KRW-BTC"]));
    }

    #[test]
    fn matching_returns_the_markets_of_a_pattern_in_order() {
        let all = universe(&["KRW-ETH", "BTC-ETH", "KRW-BTC"]);
        assert_eq!(codes(all.matching(&"KRW-*".parse().unwrap())), ["KRW-BTC", "KRW-ETH"]);
        assert_eq!(codes(all.matching(&"*-ETH".parse().unwrap())), ["BTC-ETH", "KRW-ETH"]);
        assert_eq!(all.matching(&Pattern::ALL).count(), 3);
    }

    #[test]
    fn two_universes_differ_by_listed_and_delisted_markets() {
        let (earlier, later) = (universe(&["KRW-BTC", "KRW-OLD"]), universe(&["KRW-NEW", "KRW-BTC"]));
        assert_eq!(codes(later.listed_since(&earlier)), ["KRW-NEW"]);
        assert_eq!(codes(later.delisted_since(&earlier)), ["KRW-OLD"]);
        assert_eq!(later.listed_since(&later).count(), 0);
        assert_eq!(later.listed_since(&Universe::default()).count(), 2);
    }
}
