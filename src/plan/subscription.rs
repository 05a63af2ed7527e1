//! What somebody asks for: data types of markets, checked where it is written.

use std::fmt;

use super::{Depth, Mode, Want};
use crate::model::{DataType, Grouping, Interval, InvalidMarket, Market, StreamKey};

/// Streams asked for together. Built with [`ticker`], [`trade`], [`orderbook`], [`candle`] and [`Subscription::and`].
///
/// Problems are collected, not thrown: the call that takes a `Subscription` refuses it and names every offender.
#[derive(Debug, Clone, Default, PartialEq)]
#[must_use]
pub struct Subscription {
    wants: Vec<Want>,
    offenders: Vec<(String, InvalidMarket)>,
    empty_types: Vec<DataType>,
    options: Vec<InvalidOption>,
}

/// Why a subscription was refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq)]
pub struct InvalidSubscription {
    /// Each refused code with its reason.
    pub offenders: Vec<(String, InvalidMarket)>,
    /// Data types that were asked for without any market.
    pub empty_types: Vec<DataType>,
    /// Options that do not go with what they were given for.
    pub options: Vec<InvalidOption>,
}

/// An option that does not go with what it was given for.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum InvalidOption {
    /// Only order books have levels and steps.
    NotABook(DataType),
    /// The exchange sends 1, 5, 15 or 30 levels, and takes any other number for 30.
    Levels(u8),
    /// A step is a positive amount of KRW with at most 8 decimals.
    Step(f64),
    /// Only KRW markets have grouped books; others would stay silent.
    NotInKrw(Market),
}

impl fmt::Display for InvalidOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotABook(data_type) => write!(f, "{data_type}: only order books have levels and steps"),
            Self::Levels(levels) => write!(f, "{levels} levels: ask for 1, 5, 15 or 30"),
            Self::Step(step) => write!(f, "a step of {step}: ask for a positive amount of KRW with at most 8 decimals"),
            Self::NotInKrw(market) => write!(f, "{market}: only KRW markets have grouped order books"),
        }
    }
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
        for option in &self.options {
            write!(f, "{separator}{option}")?;
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
                Ok(market) => subscription.wants.push(Want::all(StreamKey { data_type, market })),
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
        self.wants.extend(other.wants);
        self.offenders.extend(other.offenders);
        self.empty_types.extend(other.empty_types);
        self.options.extend(other.options);
        self
    }

    /// Only the state at the start of each socket, of all streams named so far.
    ///
    /// The exchange sends snapshots only when it is asked anew, and no changes of a stream between the request and its
    /// snapshot: of a stream that runs already, those who have it miss up to 200 ms of changes. For its newest value,
    /// which is the same and costs nobody anything, look into the pool.
    pub fn only_snapshot(self) -> Self {
        self.in_mode(Mode::SnapshotOnly)
    }

    /// Only changes, of all streams named so far. Until something changes there is no value.
    pub fn only_realtime(self) -> Self {
        self.in_mode(Mode::RealtimeOnly)
    }

    /// At least so many levels of all order books named so far: 1, 5, 15 or 30. Fewer are fewer bytes; see [`Depth`].
    pub fn levels(mut self, levels: u8) -> Self {
        let depth = match levels {
            30 => Depth::ALL,
            1 | 5 | 15 => Depth::levels(levels),
            _ => {
                self.options.push(InvalidOption::Levels(levels));
                return self;
            }
        };
        self.for_books(|want| want.depth = depth);
        self
    }

    /// All order books named so far with prices grouped by a step, in KRW. KRW markets only.
    pub fn grouped(mut self, krw: f64) -> Self {
        let Some(step) = Grouping::krw(krw) else {
            self.options.push(InvalidOption::Step(krw));
            return self;
        };
        let others = self.wants.iter().map(Want::market).filter(|market| !market.as_str().starts_with("KRW-"));
        self.options.extend(others.map(InvalidOption::NotInKrw).collect::<Vec<_>>());
        self.for_books(|want| want.key.data_type = DataType::GroupedOrderbook(step));
        self
    }

    fn in_mode(mut self, mode: Mode) -> Self {
        self.wants.iter_mut().for_each(|want| want.mode = mode);
        self
    }

    fn for_books(&mut self, mut change: impl FnMut(&mut Want)) {
        for want in &mut self.wants {
            match want.key.data_type {
                DataType::Orderbook | DataType::GroupedOrderbook(_) => change(want),
                other => self.options.push(InvalidOption::NotABook(other)),
            }
        }
    }

    /// The streams asked for, sorted, each once; or everything that is wrong.
    pub fn wants(mut self) -> Result<Vec<Want>, InvalidSubscription> {
        let Self { offenders, empty_types, options, .. } = &self;
        if self.wants.is_empty() || !offenders.is_empty() || !empty_types.is_empty() || !options.is_empty() {
            let Self { offenders, empty_types, options, .. } = self;
            return Err(InvalidSubscription { offenders, empty_types, options });
        }
        self.wants.sort_unstable();
        // Named twice in different ways: what serves both.
        self.wants.dedup_by(|other, want| {
            let same = other.key == want.key;
            if same {
                (want.mode, want.depth) = (want.mode.and(other.mode), want.depth.max(other.depth));
            }
            same
        });
        Ok(self.wants)
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
        let one = ticker("KRW-BTC").wants().unwrap();
        let market: Market = "KRW-BTC".parse().unwrap();
        let owned = vec!["KRW-BTC".to_owned()];
        assert_eq!(ticker(["KRW-BTC", "KRW-BTC"]).wants().unwrap(), one);
        assert_eq!(ticker(market).wants().unwrap(), one);
        assert_eq!(ticker(&owned).wants().unwrap(), one);
        assert_eq!(ticker(owned).wants().unwrap(), one);
        assert_eq!(ticker(&["KRW-BTC"][..]).wants().unwrap(), one);
    }

    #[test]
    fn every_offender_is_named_and_nothing_else_happens() {
        let asked = ticker(["KRW-BTC", "krw-eth"]).and(trade("")).and(orderbook(Vec::<String>::new()));
        let refused = asked.wants().unwrap_err();
        assert_eq!(refused.offenders.len(), 2);
        assert_eq!(refused.empty_types, [DataType::Orderbook]);
        let text = refused.to_string();
        assert!(text.contains("krw-eth") && text.contains("empty") && text.contains("orderbook"), "{text}");
    }

    #[test]
    fn options_belong_to_what_they_are_given_for() {
        let books = orderbook(["KRW-BTC", "KRW-ETH"]).levels(5).and(ticker("KRW-BTC").only_realtime());
        let wants = books.wants().unwrap();
        let [ticker, btc, eth] = wants[..] else { panic!("{wants:?}") };
        assert_eq!((ticker.mode, ticker.depth), (Mode::RealtimeOnly, Depth::ALL));
        assert_eq!((btc.mode, btc.depth, eth.depth), (Mode::All, Depth::levels(5), Depth::levels(5)));

        let twice = orderbook("KRW-BTC").levels(5).only_snapshot().and(orderbook("KRW-BTC").levels(15).only_realtime());
        let serves_both = Want { depth: Depth::levels(15), ..Want::all(btc.key) };
        assert_eq!(twice.wants().unwrap(), [serves_both]);

        let apart = orderbook("KRW-BTC").and(orderbook("KRW-BTC").grouped(10_000.0)).wants().unwrap();
        assert_eq!(apart.len(), 2, "grouped books are streams of their own");
    }

    #[test]
    fn options_that_the_exchange_does_not_know_are_refused() {
        let asked = orderbook("BTC-ETH").grouped(10.0).levels(7).and(ticker("KRW-BTC").levels(5));
        let refused = asked.and(orderbook("KRW-BTC").grouped(-1.0)).wants().unwrap_err();
        assert_eq!(
            refused.options,
            [
                InvalidOption::NotInKrw("BTC-ETH".parse().unwrap()),
                InvalidOption::Levels(7),
                InvalidOption::NotABook(DataType::Ticker),
                InvalidOption::Step(-1.0),
            ]
        );
        assert!(refused.to_string().contains("7 levels: ask for 1, 5, 15 or 30"), "{refused}");
    }

    #[test]
    fn hostile_codes_come_back_escaped_and_short() {
        let text = ticker("\u{1b}[2J".repeat(100_000)).wants().unwrap_err().to_string();
        assert!(text.len() < 1000 && !text.contains('\u{1b}'), "{text}");
    }
}
