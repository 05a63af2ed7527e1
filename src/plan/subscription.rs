//! What somebody asks for: data types of markets, checked where it is written.

use std::fmt;

use crate::model::{DataType, Interval, InvalidMarket, Market, StreamKey};

/// Streams asked for together. Built with [`ticker`], [`trade`], [`orderbook`], [`candle`] and [`Subscription::and`].
///
/// Problems are collected, not thrown: the call that takes a `Subscription` refuses it and names every offender.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Subscription {
    keys: Vec<StreamKey>,
    offenders: Vec<(String, InvalidMarket)>,
    empty_types: Vec<DataType>,
}

/// Why a subscription was refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSubscription {
    /// Each refused code with its reason.
    pub offenders: Vec<(String, InvalidMarket)>,
    /// Data types that were asked for without any market.
    pub empty_types: Vec<DataType>,
}

impl fmt::Display for InvalidSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (code, reason) in &self.offenders {
            write!(f, "{separator}\"{}\": {reason}", code.escape_default())?;
            separator = "; ";
        }
        for data_type in &self.empty_types {
            write!(f, "{separator}{data_type}: no market was named")?;
            separator = "; ";
        }
        if separator.is_empty() {
            f.write_str("nothing was asked for")?;
        }
        Ok(())
    }
}

impl std::error::Error for InvalidSubscription {}

/// The last price and the day's statistics of markets.
pub fn ticker(markets: impl IntoMarkets) -> Subscription {
    Subscription::of(DataType::Ticker, markets)
}

/// Every execution on markets.
pub fn trade(markets: impl IntoMarkets) -> Subscription {
    Subscription::of(DataType::Trade, markets)
}

/// The order books of markets.
pub fn orderbook(markets: impl IntoMarkets) -> Subscription {
    Subscription::of(DataType::Orderbook, markets)
}

/// Candles of one interval of markets.
pub fn candle(interval: Interval, markets: impl IntoMarkets) -> Subscription {
    Subscription::of(DataType::Candle(interval), markets)
}

impl Subscription {
    /// One data type of markets.
    pub fn of(data_type: DataType, markets: impl IntoMarkets) -> Self {
        let mut subscription = Self::default();
        let mut named = false;
        for market in markets.into_markets() {
            named = true;
            match market {
                Ok(market) => subscription.keys.push(StreamKey { data_type, market }),
                Err((code, reason)) => {
                    // Bounded: a megabyte of garbage must not come back in an error.
                    subscription.offenders.push((code.chars().take(64).collect(), reason));
                }
            }
        }
        if !named {
            subscription.empty_types.push(data_type);
        }
        subscription
    }

    /// These streams and those.
    pub fn and(mut self, other: Self) -> Self {
        self.keys.extend(other.keys);
        self.offenders.extend(other.offenders);
        self.empty_types.extend(other.empty_types);
        self
    }

    /// The streams asked for, sorted, each once; or everything that is wrong.
    pub fn keys(mut self) -> Result<Vec<StreamKey>, InvalidSubscription> {
        if self.keys.is_empty() || !self.offenders.is_empty() || !self.empty_types.is_empty() {
            return Err(InvalidSubscription { offenders: self.offenders, empty_types: self.empty_types });
        }
        self.keys.sort_unstable();
        self.keys.dedup();
        Ok(self.keys)
    }
}

/// A market code or many, as text or as [`Market`].
pub trait IntoMarkets {
    /// Each market, or its text and what is wrong with it.
    fn into_markets(self) -> Vec<Result<Market, (String, InvalidMarket)>>;
}

impl IntoMarkets for &str {
    fn into_markets(self) -> Vec<Result<Market, (String, InvalidMarket)>> {
        vec![self.parse().map_err(|reason| (self.to_owned(), reason))]
    }
}

impl IntoMarkets for Market {
    fn into_markets(self) -> Vec<Result<Market, (String, InvalidMarket)>> {
        vec![Ok(self)]
    }
}

/// By value or by reference, alone or in an array, slice or `Vec`: all mean the same.
macro_rules! into_markets {
    ($([$($generics:tt)*] $type:ty: $self:ident => $each:expr;)*) => {$(
        impl<$($generics)*> IntoMarkets for $type {
            fn into_markets($self) -> Vec<Result<Market, (String, InvalidMarket)>> {
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
    [T: IntoMarkets, const N: usize] [T; N]: self => self;
    [T: IntoMarkets] Vec<T>: self => self;
}

impl<'a, T> IntoMarkets for &'a [T]
where
    &'a T: IntoMarkets,
{
    fn into_markets(self) -> Vec<Result<Market, (String, InvalidMarket)>> {
        self.iter().flat_map(IntoMarkets::into_markets).collect()
    }
}

impl<'a, T> IntoMarkets for &'a Vec<T>
where
    &'a T: IntoMarkets,
{
    fn into_markets(self) -> Vec<Result<Market, (String, InvalidMarket)>> {
        self.as_slice().into_markets()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markets_may_be_written_in_any_usual_form() {
        let one = ticker("KRW-BTC").keys().unwrap();
        let market: Market = "KRW-BTC".parse().unwrap();
        let owned = vec!["KRW-BTC".to_owned()];
        assert_eq!(ticker(["KRW-BTC", "KRW-BTC"]).keys().unwrap(), one);
        assert_eq!(ticker(market).keys().unwrap(), one);
        assert_eq!(ticker(&owned).keys().unwrap(), one);
        assert_eq!(ticker(owned).keys().unwrap(), one);
        assert_eq!(ticker(&["KRW-BTC"][..]).keys().unwrap(), one);
    }

    #[test]
    fn every_offender_is_named_and_nothing_else_happens() {
        let asked = ticker(["KRW-BTC", "krw-eth"]).and(trade("")).and(orderbook(Vec::<String>::new()));
        let refused = asked.keys().unwrap_err();
        assert_eq!(refused.offenders.len(), 2);
        assert_eq!(refused.empty_types, [DataType::Orderbook]);
        let text = refused.to_string();
        assert!(text.contains("krw-eth") && text.contains("empty") && text.contains("orderbook"), "{text}");
    }

    #[test]
    fn hostile_codes_come_back_escaped_and_short() {
        let text = ticker("\u{1b}[2J".repeat(100_000)).keys().unwrap_err().to_string();
        assert!(text.len() < 1000 && !text.contains('\u{1b}'), "{text}");
    }
}
