//! What somebody asks for: data types of markets, checked where it is written.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use super::{Depth, IntoMarkets, InvalidCode, MarketSelector, Mode, Pattern, StreamSpec, Universe};
use crate::config::Dialect;
use crate::model::{Candle, DataType, Event, Grouping, Interval, Noun, Orderbook, StreamKey, Ticker, Trade};

/// Streams asked for together. Built with [`ticker`], [`trade`], [`orderbook`], [`candle`] and [`Subscription::and`].
///
/// Markets are named one by one (`KRW-BTC`) or by patterns (`KRW-*`, `*-BTC`, `*`), which mean the markets that exist,
/// also those that will be listed later. Patterns need an engine that is told which markets there are.
///
/// `T` is what a feed of it carries: the noun that was asked for, or an [`Event`] where several were asked for together.
///
/// Problems are collected, not thrown: the call that takes a `Subscription` refuses it and names every offender.
#[must_use]
pub struct Subscription<T = Event> {
    untyped: UntypedSubscription,
    carries: PhantomData<fn() -> T>,
}

/// The same, whatever a feed of it carries.
#[derive(Debug, Clone, Default, PartialEq)]
struct UntypedSubscription {
    selections: Vec<Selection>,
    offenders: Vec<(String, InvalidCode)>,
    empty_types: Vec<DataType>,
    options: Vec<InvalidOption>,
}

/// A market or a pattern, and how its streams are wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Selection {
    selector: MarketSelector,
    data_type: DataType,
    mode: Mode,
    levels: Option<u8>,
}

/// A subscription that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedSubscription {
    /// Streams of markets that were named: sorted, each once.
    pub specs: Vec<StreamSpec>,
    /// Streams of markets that a pattern means.
    pub patterns: Vec<PatternSpec>,
}

/// Streams of all markets that a pattern means, and how they are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatternSpec {
    pattern: Pattern,
    data_type: DataType,
    mode: Mode,
    depth: Depth,
}

impl PatternSpec {
    /// The streams it means now.
    fn specs(&self, universe: &Universe) -> impl Iterator<Item = StreamSpec> {
        let Self { data_type, mode, depth, .. } = *self;
        universe.matching(&self.pattern).map(move |market| StreamSpec {
            key: StreamKey::of(data_type, market),
            mode,
            depth,
        })
    }
}

impl CheckedSubscription {
    /// What was asked for, as an exchange of this dialect understands it; or everything that is wrong.
    pub fn of<T>(subscription: Subscription<T>, dialect: &Dialect) -> Result<Self, InvalidSubscription> {
        let UntypedSubscription { selections, offenders, empty_types, mut options } = subscription.untyped;
        let (mut specs, mut patterns) = (Vec::new(), Vec::new());
        for selection in &selections {
            options.extend(selection.problem(dialect));
            let Selection { selector, data_type, mode, .. } = *selection;
            let depth = selection.depth(dialect);
            match selector {
                MarketSelector::Market(market) => {
                    specs.push(StreamSpec { key: StreamKey::of(data_type, market), mode, depth })
                }
                MarketSelector::Pattern(pattern) => patterns.push(PatternSpec { pattern, data_type, mode, depth }),
            }
        }
        if selections.is_empty() || !offenders.is_empty() || !empty_types.is_empty() || !options.is_empty() {
            return Err(InvalidSubscription { offenders, empty_types, options });
        }
        Ok(Self { specs: merged(specs), patterns })
    }

    /// The data types of its streams, each once.
    pub fn data_types(&self) -> Vec<DataType> {
        let patterns = self.patterns.iter().map(|pattern| pattern.data_type);
        let types: BTreeSet<_> = self.specs.iter().map(|spec| spec.key.data_type).chain(patterns).collect();
        types.into_iter().collect()
    }

    /// The streams it means where these markets exist: sorted, each once.
    pub fn specs_in(&self, universe: &Universe) -> Vec<StreamSpec> {
        let patterns = self.patterns.iter().flat_map(|pattern| pattern.specs(universe));
        merged(self.specs.iter().copied().chain(patterns).collect())
    }
}

/// Why a subscription was refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct InvalidSubscription {
    /// Each refused code with its reason.
    pub offenders: Vec<(String, InvalidCode)>,
    /// Data types that were asked for without any market.
    pub empty_types: Vec<DataType>,
    /// What the exchange does not have.
    pub options: Vec<InvalidOption>,
}

/// Something that the exchange does not have for what it was asked of.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum InvalidOption {
    /// Only order books have levels and steps.
    NotABook(DataType),
    /// The exchange takes any other number of levels for all.
    Levels {
        /// What was asked for.
        levels: u8,
        /// What there is.
        known: &'static [u8],
    },
    /// A step is a positive amount of KRW with at most 8 decimals.
    Step(f64),
    /// Only KRW markets have grouped books; others would stay silent.
    NotInKrw(String),
    /// This exchange has no grouped books, and ends the connection of who asks.
    NoSteps,
    /// Books grouped by this step are those that are not grouped: the exchange makes no difference.
    PlainStep(Grouping),
    /// This exchange has no such data, and ends the connection of who asks.
    NoSuchType(DataType),
}

impl fmt::Display for InvalidOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotABook(data_type) => write!(f, "{data_type}: only order books have levels and steps"),
            Self::Levels { levels, known } => write!(f, "{levels} levels: ask for one of {known:?}"),
            Self::Step(step) => write!(f, "a step of {step}: ask for a positive amount of KRW with at most 8 decimals"),
            Self::NotInKrw(markets) => write!(f, "{markets}: only KRW markets have grouped order books"),
            Self::NoSteps => f.write_str("this exchange has no grouped order books"),
            Self::PlainStep(step) => {
                write!(
                    f,
                    "a step of {step}: on this exchange that is the order book as it is; ask for it without a step"
                )
            }
            Self::NoSuchType(data_type) => write!(f, "this exchange has no {data_type}"),
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
pub fn ticker(markets: impl IntoMarkets) -> Subscription<Ticker> {
    Subscription::one_type(DataType::Ticker, markets)
}

/// Every execution on markets.
pub fn trade(markets: impl IntoMarkets) -> Subscription<Trade> {
    Subscription::one_type(DataType::Trade, markets)
}

/// The order books of markets.
pub fn orderbook(markets: impl IntoMarkets) -> Subscription<Orderbook> {
    Subscription::one_type(DataType::Orderbook, markets)
}

/// Candles of one interval of markets.
pub fn candle(interval: Interval, markets: impl IntoMarkets) -> Subscription<Candle> {
    Subscription::one_type(DataType::Candle(interval), markets)
}

impl Subscription {
    /// One data type of markets, each named once: for who learns only when the program runs which type it is.
    pub fn of(data_type: DataType, markets: impl IntoMarkets) -> Self {
        Self::one_type(data_type, markets)
    }
}

impl<T> Subscription<T> {
    /// Only for the `T` that messages of this type are, or for [`Event`].
    fn one_type(data_type: DataType, markets: impl IntoMarkets) -> Self {
        UntypedSubscription::new(data_type, markets.into_markets()).carrying()
    }

    /// The same streams as events.
    pub fn mixed(self) -> Subscription<Event> {
        self.untyped.carrying()
    }

    /// These streams and those.
    pub fn and<U>(self, other: Subscription<U>) -> Subscription<Event> {
        self.untyped.and(other.untyped).carrying()
    }

    /// Only the state when it is asked for and at the start of each socket after that, of all streams named so far. Of a
    /// stream that runs already it is the newest value: the exchange is not asked again, because it sends no changes of a
    /// stream while it prepares another snapshot. If nobody wants changes of the stream, the exchange is asked again.
    ///
    /// In the pool such a value stays live for as long as its connection: nothing says when it is outdated.
    pub fn only_snapshot(self) -> Self {
        self.in_mode(Mode::SnapshotOnly)
    }

    /// Only changes, of all streams named so far. Until something changes there is no value. A change that the exchange
    /// reports in a snapshot alone, asked for on behalf of others, is delivered as a change.
    pub fn only_realtime(self) -> Self {
        self.in_mode(Mode::RealtimeOnly)
    }

    /// At least so many levels of all order books named so far: on Upbit 1, 5, 15 or 30, which is all. Fewer are fewer
    /// bytes. The exchange sends a market's book once for each connection: where others ask for more levels, all readers of
    /// that book see them.
    pub fn levels(mut self, levels: u8) -> Self {
        self.untyped.for_books(|selection| selection.levels = Some(levels));
        self
    }

    /// All order books named so far with prices grouped by a step, in KRW. KRW markets only.
    pub fn grouped(mut self, krw: f64) -> Self {
        let Some(step) = Grouping::krw(krw) else {
            self.untyped.options.push(InvalidOption::Step(krw));
            return self;
        };
        self.untyped.for_books(|selection| selection.data_type = DataType::GroupedOrderbook(step));
        self
    }

    fn in_mode(mut self, mode: Mode) -> Self {
        self.untyped.selections.iter_mut().for_each(|selection| selection.mode = mode);
        self
    }
}

impl<T> Clone for Subscription<T> {
    fn clone(&self) -> Self {
        self.untyped.clone().carrying()
    }
}

impl<T> Default for Subscription<T> {
    fn default() -> Self {
        UntypedSubscription::default().carrying()
    }
}

impl<T> PartialEq for Subscription<T> {
    fn eq(&self, other: &Self) -> bool {
        self.untyped == other.untyped
    }
}

impl<T> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Subscription").field(&self.untyped).finish()
    }
}

/// What carries one noun can carry events.
impl<T: Noun> From<Subscription<T>> for Subscription<Event> {
    fn from(subscription: Subscription<T>) -> Self {
        subscription.mixed()
    }
}

impl UntypedSubscription {
    /// One data type of markets, each named once.
    fn new(data_type: DataType, selectors: Vec<Result<MarketSelector, (String, InvalidCode)>>) -> Self {
        let mut untyped = Self::default();
        let mut named = BTreeSet::new();
        if selectors.is_empty() {
            untyped.empty_types.push(data_type);
        }
        for selector in selectors {
            match selector {
                Ok(selector) if !named.insert(selector) => {
                    untyped.offenders.push((selector.to_string(), InvalidCode::Repeated));
                }
                Ok(selector) => {
                    untyped.selections.push(Selection { selector, data_type, mode: Mode::All, levels: None })
                }
                Err((code, reason)) => {
                    // Bounded: a megabyte of garbage must not come back in an error.
                    untyped.offenders.push((code.chars().take(64).collect(), reason));
                }
            }
        }
        untyped
    }

    fn carrying<T>(self) -> Subscription<T> {
        Subscription { untyped: self, carries: PhantomData }
    }

    fn and(mut self, other: Self) -> Self {
        self.selections.extend(other.selections);
        self.offenders.extend(other.offenders);
        self.empty_types.extend(other.empty_types);
        self.options.extend(other.options);
        self
    }

    fn for_books(&mut self, mut change: impl FnMut(&mut Selection)) {
        for selection in &mut self.selections {
            match selection.data_type {
                DataType::Orderbook | DataType::GroupedOrderbook(_) => change(selection),
                other => self.options.push(InvalidOption::NotABook(other)),
            }
        }
    }
}

impl Selection {
    fn problem(&self, dialect: &Dialect) -> Option<InvalidOption> {
        let in_krw = match self.selector {
            MarketSelector::Market(market) => market.quote() == "KRW",
            MarketSelector::Pattern(pattern) => pattern.quote() == Some("KRW"),
        };
        match (self.data_type, self.levels) {
            (DataType::Candle(_), _) if !dialect.has_candles => Some(InvalidOption::NoSuchType(self.data_type)),
            (DataType::GroupedOrderbook(_), _) if !dialect.has_levels => Some(InvalidOption::NoSteps),
            (DataType::GroupedOrderbook(step), _) if step.to_krw() == f64::from(dialect.level_default) => {
                Some(InvalidOption::PlainStep(step))
            }
            (DataType::GroupedOrderbook(_), _) if !in_krw => Some(InvalidOption::NotInKrw(self.selector.to_string())),
            (_, Some(levels)) if !dialect.unit_counts.contains(&levels) => {
                Some(InvalidOption::Levels { levels, known: dialect.unit_counts })
            }
            _ => None,
        }
    }

    fn depth(&self, dialect: &Dialect) -> Depth {
        self.levels.filter(|levels| *levels != dialect.units_default).map_or(Depth::ALL, Depth::levels)
    }
}

/// Sorted, each stream once: where it is named twice in different ways, as what serves both.
fn merged(mut specs: Vec<StreamSpec>) -> Vec<StreamSpec> {
    specs.sort_unstable();
    specs.dedup_by(|other, spec| {
        let same = other.key == spec.key;
        if same {
            (spec.mode, spec.depth) = (spec.mode.and(other.mode), spec.depth.max(other.depth));
        }
        same
    });
    specs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BITHUMB, UPBIT, UPBIT_INDONESIA};
    use crate::model::Market;
    use crate::plan::InvalidPattern;

    #[test]
    fn markets_may_be_written_in_any_usual_form() {
        let one = CheckedSubscription::of(ticker("KRW-BTC"), &UPBIT).unwrap().specs;
        let market: Market = "KRW-BTC".parse().unwrap();
        let owned = vec!["KRW-BTC".to_owned()];
        assert_eq!(CheckedSubscription::of(ticker("KRW-BTC").and(ticker("KRW-BTC")), &UPBIT).unwrap().specs, one);
        assert_eq!(CheckedSubscription::of(ticker(market), &UPBIT).unwrap().specs, one);
        assert_eq!(CheckedSubscription::of(ticker(&owned), &UPBIT).unwrap().specs, one);
        assert_eq!(CheckedSubscription::of(ticker(owned), &UPBIT).unwrap().specs, one);
        assert_eq!(CheckedSubscription::of(ticker(&["KRW-BTC"][..]), &UPBIT).unwrap().specs, one);
    }

    #[test]
    fn every_offender_is_named_and_nothing_else_happens() {
        let asked = ticker(["KRW-BTC", "krw-eth", "KRW-BTC"]).and(trade("")).and(orderbook(Vec::<String>::new()));
        let refused = CheckedSubscription::of(asked, &UPBIT).unwrap_err();
        assert_eq!(refused.offenders.len(), 3);
        assert_eq!(refused.empty_types, [DataType::Orderbook]);
        let text = refused.to_string();
        assert!(
            text.contains("krw-eth") && text.contains("twice") && text.contains("empty") && text.contains("orderbook"),
            "{text}"
        );
    }

    #[test]
    fn what_is_asked_for_does_not_depend_on_what_a_feed_of_it_carries() {
        let books: Subscription<Orderbook> = orderbook("KRW-BTC").levels(5);
        let mixed: Subscription = books.clone().into();
        assert_eq!(mixed, Subscription::of(DataType::Orderbook, "KRW-BTC").levels(5));
        assert_eq!(mixed, books.clone().mixed());
        assert_eq!(CheckedSubscription::of(mixed, &UPBIT), CheckedSubscription::of(books, &UPBIT));
    }

    #[test]
    fn options_belong_to_what_they_are_given_for() {
        let books = orderbook(["KRW-BTC", "KRW-ETH"]).levels(5).and(ticker("KRW-BTC").only_realtime());
        let specs = CheckedSubscription::of(books, &UPBIT).unwrap().specs;
        let [ticker, btc, eth] = specs[..] else { panic!("{specs:?}") };
        assert_eq!((ticker.mode, ticker.depth), (Mode::RealtimeOnly, Depth::ALL));
        assert_eq!((btc.mode, btc.depth, eth.depth), (Mode::All, Depth::levels(5), Depth::levels(5)));

        let twice = orderbook("KRW-BTC").levels(5).only_snapshot().and(orderbook("KRW-BTC").levels(15).only_realtime());
        let serves_both = StreamSpec { depth: Depth::levels(15), ..StreamSpec::all(btc.key) };
        assert_eq!(CheckedSubscription::of(twice, &UPBIT).unwrap().specs, [serves_both]);

        let apart = CheckedSubscription::of(orderbook("KRW-BTC").and(orderbook("KRW-BTC").grouped(10_000.0)), &UPBIT)
            .unwrap()
            .specs;
        assert_eq!(apart.len(), 2, "grouped books are streams of their own");
    }

    #[test]
    fn options_that_the_exchange_does_not_know_are_refused() {
        let asked = orderbook(["BTC-ETH", "*-ETH"]).grouped(10.0).and(orderbook("KRW-BTC").levels(7));
        let asked = asked.and(ticker("KRW-BTC").levels(5));
        let refused = CheckedSubscription::of(asked.and(orderbook("KRW-BTC").grouped(-1.0)), &UPBIT).unwrap_err();
        assert_eq!(
            refused.options,
            [
                InvalidOption::NotABook(DataType::Ticker),
                InvalidOption::Step(-1.0),
                InvalidOption::NotInKrw("BTC-ETH".to_owned()),
                InvalidOption::NotInKrw("*-ETH".to_owned()),
                InvalidOption::Levels { levels: 7, known: &[1, 5, 15, 30] },
            ]
        );
        assert!(refused.to_string().contains("7 levels: ask for one of [1, 5, 15, 30]"), "{refused}");
    }

    #[test]
    fn hostile_codes_come_back_escaped_and_short() {
        let text = CheckedSubscription::of(ticker("\u{1b}[2J".repeat(100_000)), &UPBIT).unwrap_err().to_string();
        assert!(text.len() < 1000 && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn each_exchange_is_asked_only_for_what_it_has() {
        let candles = CheckedSubscription::of(candle(Interval::Second1, "KRW-BTC"), &BITHUMB).unwrap_err();
        assert_eq!(candles.options, [InvalidOption::NoSuchType(DataType::Candle(Interval::Second1))]);
        assert_eq!(
            CheckedSubscription::of(orderbook("KRW-BTC").grouped(10.0), &UPBIT_INDONESIA).unwrap_err().options,
            [InvalidOption::NoSteps]
        );
        let step = |krw, dialect| {
            CheckedSubscription::of(orderbook("KRW-BTC").grouped(krw), dialect).map_err(|refused| refused.options)
        };
        let plain = InvalidOption::PlainStep(Grouping::krw(1.0).unwrap());
        assert_eq!(step(1.0, &BITHUMB).unwrap_err(), [plain]);
        assert!(step(10.0, &BITHUMB).is_ok() && step(1.0, &UPBIT).is_ok());
        let depth = |levels: u8, dialect| {
            CheckedSubscription::of(orderbook("KRW-BTC").levels(levels), dialect).map(|c| c.specs[0].depth)
        };
        assert_eq!((depth(30, &UPBIT), depth(15, &BITHUMB)), (Ok(Depth::ALL), Ok(Depth::ALL)));
        assert_eq!((depth(15, &UPBIT), depth(3, &BITHUMB)), (Ok(Depth::levels(15)), Ok(Depth::levels(3))));
        assert!(depth(30, &BITHUMB).is_err());
    }

    #[test]
    fn a_pattern_means_the_markets_that_exist() {
        let universe: Universe =
            ["KRW-BTC", "KRW-ETH", "BTC-ETH"].map(|code| code.parse::<Market>().unwrap()).into_iter().collect();
        let checked =
            CheckedSubscription::of(trade(["KRW-*", "KRW-NONE"]).and(trade("*-ETH").only_realtime()), &UPBIT).unwrap();
        let specs = checked.specs_in(&universe);
        let named: Vec<_> = specs.iter().map(|spec| (spec.key.scope.to_string(), spec.mode)).collect();
        let all = |code: &str| (code.to_owned(), Mode::All);
        let changes = ("BTC-ETH".to_owned(), Mode::RealtimeOnly);
        assert_eq!(named, [changes, all("KRW-BTC"), all("KRW-ETH"), all("KRW-NONE")]);
        assert_eq!(checked.specs_in(&Universe::default()).len(), 1);
        let refused = CheckedSubscription::of(ticker("KR*-BTC"), &UPBIT).unwrap_err();
        assert_eq!(refused.offenders, [("KR*-BTC".to_owned(), InvalidCode::Pattern(InvalidPattern::Star))]);
    }
}
